"""A cluster whose calls are counted, so that everybody can see how light the gateway is on it.

Counted is what may reach the cluster itself. `changed` and `folders` ask nobody, and are not.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from isthmus.cluster import Cluster, ClusterStatus, Folders, Handle, Order
from isthmus.errors import NoAnswer
from isthmus.facts import Claim, Facts, StagedIn, StagedOut, StagingFailed, Submitted

T = TypeVar("T")

WINDOW_S = 60.0
MAX_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """When a call was not answered (epoch seconds), and why."""

    at: float
    words: str


@dataclass(slots=True)
class Calls:
    """The calls of the last minute by kind, and the last failures. The clocks are of the wall and of the machine."""

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    _made: deque[tuple[float, str]] = field(default_factory=deque)
    _failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=MAX_FAILURES))

    def made(self, kind: str) -> None:
        """A call of this kind is counted."""
        self._made.append((self.monotonic(), kind))
        self._forget_old()

    def failed(self, kind: str, words: str) -> None:
        """A call of this kind was not answered."""
        self._failures.append(Failure(self.clock(), f"{kind}: {words}"))

    def per_minute(self) -> Mapping[str, float]:
        """How many calls of each kind were made in the last minute."""
        self._forget_old()
        return {kind: float(n) for kind, n in sorted(Counter(kind for _, kind in self._made).items())}

    def failures(self) -> tuple[Failure, ...]:
        """The last calls that were not answered, the newest first."""
        return tuple(reversed(self._failures))

    def _forget_old(self) -> None:
        oldest = self.monotonic() - WINDOW_S
        while self._made and self._made[0][0] <= oldest:
            self._made.popleft()


class CountedCluster:
    """The cluster itself, as its controller meets it; `calls` knows what was asked of it."""

    def __init__(self, cluster: Cluster, calls: Calls) -> None:
        self.name, self.calls, self._cluster = cluster.name, calls, cluster

    async def _counted(self, kind: str, call: Awaitable[T]) -> T:
        self.calls.made(kind)
        try:
            return await call
        except NoAnswer as fault:
            self.calls.failed(kind, fault.message)
            raise

    def folders(self, tag: str) -> Folders:
        return self._cluster.folders(tag)

    async def changed(self) -> frozenset[str]:
        return await self._cluster.changed()

    async def open(self) -> None:
        await self._counted("open", self._cluster.open())

    async def close(self) -> None:
        await self._cluster.close()

    async def stage_in(self, orders: Sequence[Order]) -> Mapping[str, StagedIn | StagingFailed]:
        return await self._counted("stage_in", self._cluster.stage_in(orders))

    async def submit(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        return await self._counted("submit", self._cluster.submit(handles))

    async def settle(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        return await self._counted("settle", self._cluster.settle(handles))

    async def observe(self, handles: Sequence[Handle]) -> Mapping[str, Facts]:
        return await self._counted("observe", self._cluster.observe(handles))

    async def cancel(self, handles: Sequence[Handle]) -> frozenset[str]:
        return await self._counted("cancel", self._cluster.cancel(handles))

    async def void(self, handles: Sequence[Handle], epoch: int) -> Mapping[str, Claim]:
        return await self._counted("void", self._cluster.void(handles, epoch))

    async def stage_out(self, orders: Sequence[Order]) -> Mapping[str, StagedOut | StagingFailed]:
        return await self._counted("stage_out", self._cluster.stage_out(orders))

    async def read_log(self, tag: str, stream: str, offset: int, limit: int) -> bytes:
        return await self._counted("read_log", self._cluster.read_log(tag, stream, offset, limit))

    async def discard(self, tags: Sequence[str]) -> None:
        await self._counted("discard", self._cluster.discard(tags))

    async def tags(self) -> frozenset[str]:
        return await self._counted("tags", self._cluster.tags())

    async def status(self) -> ClusterStatus:
        return await self._counted("status", self._cluster.status())
