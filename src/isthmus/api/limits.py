"""Bounds on what people can make the process do: the size of bodies, the rate of password attempts, open streams."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.api.problem import TooManyAttempts, TooManyStreams, problem
from isthmus.config import LimitsConfig
from isthmus.errors import NotSignedIn, TooLarge

MAX_BODY_BYTES = 1024 * 1024
"""The most a JSON body may have; uploads have their own limit."""

MAX_SIGN_IN_BYTES = 4096
"""The most that the body of a request may have which strangers can send."""


class BodyLimit:
    """Requests whose body has more than the limit are answered 413, whether they say so first or not.

    `others` has the limits of single operations; None: they see to it themselves.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, others: Mapping[tuple[str, str], int | None]) -> None:
        self._app, self._max_bytes, self._others = app, max_bytes, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        limit = self._others.get((scope["method"], scope["path"]), self._max_bytes)
        if limit is None:
            return await self._app(scope, receive, send)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > limit:
            return await problem(413, TooLarge.code, _words(limit))(scope, receive, send)
        return await self._app(scope, _counting(receive, limit), send)


def _counting(receive: Receive, limit: int) -> Receive:
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise HTTPException(413, _words(limit))  # FastAPI hands on only this kind while it reads a body
        return message

    return counted


def _words(limit: int) -> str:
    return f"the request's body may have at most {limit} bytes"


@dataclass(slots=True)
class _Bucket:
    """Attempts left, as of a moment; they come back one by one."""

    left: float
    at: float


class PasswordGate:
    """Wrong passwords make the next attempt wait, counted for each name at each address, and for each address.

    From one address a name may be wrong `burst` times at once, then once in `pause_s`; all names together `NEIGHBOURS`
    times as often. So nobody is locked out by somebody elsewhere who tries their name, nor, soon, by a neighbour behind
    the same address. What is kept is bounded: the least recently tried are forgotten first. No more than `AT_ONCE`
    passwords are tried at the same time.
    """

    NEIGHBOURS = 10
    MAX_KEPT = 10_000
    AT_ONCE = 2

    def __init__(self, *, burst: int = 10, pause_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._pause_s, self._clock = burst, pause_s, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(self.AT_ONCE)

    @contextmanager
    def attempt(self, name: str, address: str) -> Iterator[None]:
        """A password is tried inside; unless that says NotSignedIn, it does not count. TooManyAttempts: not yet."""
        self._take(name, address)
        wrong = False
        try:
            with self._turns:
                yield
        except NotSignedIn:
            wrong = True
            raise
        finally:
            if not wrong:
                with self._lock:
                    self._change(name, address, 1)

    def _take(self, name: str, address: str) -> None:
        """Counted before it is tried, so that attempts made at the same time all count."""
        with self._lock:
            wait_s = max((1 - self._left(*one)) * self._pause_s / one[1] for one in self._counted(name, address))
            if wait_s > 0:
                raise TooManyAttempts(int(wait_s) + 1)
            self._change(name, address, -1)

    def _change(self, name: str, address: str, by: int) -> None:
        for key, times in self._counted(name, address):
            self._buckets[key] = _Bucket(min(self._burst * times, self._left(key, times) + by), self._clock())
            self._buckets.move_to_end(key)
        while len(self._buckets) > self.MAX_KEPT:
            self._buckets.popitem(last=False)

    def _left(self, key: str, times: int) -> float:
        """How many may be wrong now, where `times` as many as of one name may be."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst * times
        return min(self._burst * times, bucket.left + (self._clock() - bucket.at) * times / self._pause_s)

    def _counted(self, name: str, address: str) -> tuple[tuple[str, int], tuple[str, int]]:
        """What an attempt is counted for, and how many times as much that may."""
        return (f"name {address} {name}", 1), (f"address {address}", self.NEIGHBOURS)


class StreamPlaces:
    """Bounds how many live streams each reader has open in this process; for one event loop."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()

    def of_user(self, user_id: str) -> AbstractContextManager[None]:
        """The user has one stream more while it is entered, which raises TooManyStreams: they have the most."""
        return self._place(f"user {user_id}", self._limits.streams_per_user)

    def of_link(self, link: str) -> AbstractContextManager[None]:
        """As `of_user`, for all together who came by this link."""
        return self._place(f"link {link}", self._limits.streams_per_link)

    @contextmanager
    def _place(self, reader: str, most: int) -> Iterator[None]:
        if 0 < most <= self._taken[reader]:
            raise TooManyStreams(most)
        self._taken[reader] += 1
        try:
            yield
        finally:
            self._taken[reader] -= 1
            if not self._taken[reader]:
                del self._taken[reader]
