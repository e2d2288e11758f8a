"""Answers of a thread in an event loop: all of them, and the loop woken once for those that come together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from isthmus.store.waking import Waking


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread woke it."""

    woken = 0

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object, **other: object) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(callback, *args, **other)  # type: ignore[arg-type]


async def gathered(waking: Waking, answers: list[Future[int]]) -> list[int | BaseException]:
    waiters = [waking.wait_for(answer) for answer in answers]
    for number, answer in enumerate(answers):
        answer.set_result(number)
    return await asyncio.gather(*waiters, return_exceptions=True)


def test_answers_that_come_together_wake_the_loop_once() -> None:
    loop = CountingLoop()
    waking = Waking(loop)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        before = loop.woken
        assert runner.run(gathered(waking, [Future() for _ in range(20)])) == list(range(20))
        assert loop.woken == before + 1
        assert runner.run(gathered(waking, [Future() for _ in range(3)])) == [0, 1, 2]
        assert loop.woken == before + 2


def test_a_fault_reaches_who_waits() -> None:
    async def asked() -> None:
        answer: Future[int] = Future()
        waiter = Waking(asyncio.get_running_loop()).wait_for(answer)
        answer.set_exception(LookupError("gone"))
        await waiter

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(asked())


def test_who_stops_waiting_takes_the_request_back() -> None:
    async def asked() -> Future[int]:
        answer: Future[int] = Future()
        Waking(asyncio.get_running_loop()).wait_for(answer).cancel()
        await asyncio.sleep(0)
        return answer

    assert asyncio.run(asked()).cancelled()


def test_an_answer_after_the_loops_end_harms_nobody() -> None:
    answer: Future[int] = Future()
    answer.set_running_or_notify_cancel()

    async def asked() -> None:
        Waking(asyncio.get_running_loop()).wait_for(answer)

    asyncio.run(asked())
    answer.set_result(1)
    assert answer.result() == 1
