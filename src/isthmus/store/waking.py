"""Answers of a thread brought into an event loop: those that come together wake the loop once.

Waking a loop is a system call, after which both threads want the interpreter: one for each answer of a commit costs
more than it takes to make them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Waking:
    """Brings answers into one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._come: deque[Callable[[], None]] = deque()
        self._is_called = False

    def wait_for(self, answer: Future[T]) -> asyncio.Future[T]:
        """What `answer` gives, to be awaited in the loop; cancelled there, it is cancelled here if it still can be."""
        waiter: asyncio.Future[T] = self.loop.create_future()
        waiter.add_done_callback(lambda ended: ended.cancelled() and answer.cancel())
        answer.add_done_callback(lambda ended: self._bring(partial(_settle, waiter, ended)))
        return waiter

    def _bring(self, settle: Callable[[], None]) -> None:
        """In the answering thread. What comes while a call is on its way is found by that call."""
        self._come.append(settle)
        if not self._is_called and not self.loop.is_closed():
            self._is_called = True
            self.loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._is_called = False
        while self._come:
            self._come.popleft()()


def _settle(waiter: asyncio.Future[T], ended: Future[T]) -> None:
    if waiter.done():
        return
    if ended.cancelled():
        waiter.cancel()
    elif (fault := ended.exception()) is not None:
        waiter.set_exception(fault)
    else:
        waiter.set_result(ended.result())
