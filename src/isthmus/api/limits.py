"""Bounds on what strangers can make the process do: the size of bodies, and the rate of password attempts."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.api.problem import TooManyAttempts, problem
from isthmus.errors import TooLarge

MAX_BODY_BYTES = 1024 * 1024
"""The most a JSON body may have; uploads have their own limit."""


class BodyLimit:
    """Requests whose body has more than the limit are answered 413, whether they say so first or not."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, except_for: frozenset[tuple[str, str]]) -> None:
        self._app, self._max_bytes, self._except_for = app, max_bytes, except_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) in self._except_for:
            return await self._app(scope, receive, send)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            return await problem(413, TooLarge.code, self._words())(scope, receive, send)
        return await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._max_bytes:
                raise HTTPException(413, self._words())  # FastAPI hands on only this kind while it reads a body
            return message

        return counted

    def _words(self) -> str:
        return f"the request's body may have at most {self._max_bytes} bytes"


@dataclass(slots=True)
class _Bucket:
    """Attempts left, as of a moment; they come back one by one."""

    left: float
    at: float


class PasswordGate:
    """Wrong passwords make the next attempt wait, counted apart for each name and for each address.

    A name or address may be wrong `burst` times at once, then once in `pause_s`. What is kept is bounded: the
    least recently wrong are forgotten first.
    """

    MAX_KEPT = 10_000

    def __init__(self, *, burst: int = 10, pause_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._pause_s, self._clock = burst, pause_s, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, name: str, address: str) -> None:
        """A password may be tried now. TooManyAttempts: not yet."""
        with self._lock:
            left = min(self._left(key) for key in _keys(name, address))
        if left < 1:
            raise TooManyAttempts(int((1 - left) * self._pause_s) + 1)

    def failed(self, name: str, address: str) -> None:
        """One attempt fewer is left for this name and this address."""
        with self._lock:
            for key in _keys(name, address):
                self._buckets[key] = _Bucket(self._left(key) - 1, self._clock())
                self._buckets.move_to_end(key)
            while len(self._buckets) > self.MAX_KEPT:
                self._buckets.popitem(last=False)

    def _left(self, key: str) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst
        return min(self._burst, bucket.left + (self._clock() - bucket.at) / self._pause_s)


def _keys(name: str, address: str) -> tuple[str, str]:
    return f"name {name}", f"address {address}"
