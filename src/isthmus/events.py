"""The tail of the event table, read once a process and handed to everybody who follows it.

    store ──► one thread, while anybody follows ──► the event loop ──► a line of rows for each follower

A follower that names a position first reads from the store what came after it, then from its line, so nothing between
the two is missed or told twice. One that does not keep up is ended, and comes back with its last position.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from isthmus.store import Store
from isthmus.store.history import EventRow, Position, seen_by
from isthmus.store.records import Viewer

_log = structlog.get_logger(__name__)

POLL_S = 0.05
RELOOK_S = 1.0
BATCH = 1000
LINE_LENGTH = 2000
"""Rows that may wait for one follower before it counts as too slow."""


@dataclass(slots=True, eq=False)
class Follower:
    """An asynchronous iterator over events that the viewer may see; None between them is a pulse.

    A pulse comes every `pulse_s`, however much happens, and when somebody called `Tail.nudge`: its reader's right to
    read can be looked up before the next event.
    """

    viewer: Viewer
    job_id: str | None
    pulse_s: float
    reached: Position = field(default_factory=Position)
    _line: deque[EventRow] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _nudged: bool = False
    _ended: bool = False
    _pulse_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._pulse_at = time.monotonic() + self.pulse_s

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> EventRow | None:
        while not self.takes_pulse():
            if self._line:
                return self._line.popleft()
            if self._ended:
                raise StopAsyncIteration
            await self._news_or_pulse()
        return None

    def takes_pulse(self) -> bool:
        """Whether a pulse is due; the next one is then due later."""
        if not self._nudged and time.monotonic() < self._pulse_at:
            return False
        self._nudged = False
        self._pulse_at = time.monotonic() + self.pulse_s
        return True

    async def _news_or_pulse(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(self._pulse_at - time.monotonic(), 0))

    def offer(self, row: EventRow) -> None:
        """The row is in the line, if it concerns this follower and was not read from the store before."""
        mine = self.viewer.sees(row.owner_id, row.job_id)
        if self._ended or not mine or row.position <= self.reached or self.job_id not in (None, row.job_id):
            return
        if len(self._line) >= LINE_LENGTH:
            self.end()
            return
        self._line.append(seen_by(self.viewer, row))
        self._news.set()

    def catch_up(self, rows: Sequence[EventRow], position: Position) -> None:
        """The last rows read from the store, and the position they reach, come before what the line holds."""
        self.reached = position
        newer = [row for row in self._line if row.position > position]
        self._line = deque([*rows, *newer])

    def nudge(self) -> None:
        self._nudged = True
        self._news.set()

    def end(self) -> None:
        """No more rows come after those in the line."""
        self._ended = True
        self._news.set()


class Tail:
    """One process's view of the event table; its methods belong to one event loop, but for `nudge`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followers: set[Follower] = set()
        self._starting = asyncio.Lock()
        self._poller: _Poller | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None  # of the followers, once there was one

    @property
    def followers(self) -> int:
        return len(self._followers)

    @asynccontextmanager
    async def follow(
        self,
        viewer: Viewer,
        after: Position | None,
        *,
        job_id: str | None = None,
        pulse_s: float = 15.0,
        nudge_in_s: float | None = None,
    ) -> AsyncIterator[AsyncIterator[EventRow | None]]:
        """Events after that position (None: from now on) until the tail closes or the follower is too slow.

        With `nudge_in_s` a pulse comes then too.
        """
        follower = Follower(viewer, job_id, pulse_s)
        self._loop = loop = asyncio.get_running_loop()
        timer = None if nudge_in_s is None else loop.call_later(nudge_in_s, follower.nudge)
        await self._add(follower)
        try:
            yield follower if after is None else self._resumed(follower, after)
        finally:
            self._remove(follower)
            if timer is not None:
                timer.cancel()

    async def _resumed(self, follower: Follower, after: Position) -> AsyncIterator[EventRow | None]:
        position = after
        while True:
            rows = await asyncio.to_thread(self._store.events_after, follower.viewer, position, BATCH, follower.job_id)
            position = rows[-1].position if rows else position
            if len(rows) < BATCH:
                break
            for row in rows:
                if follower.takes_pulse():
                    yield None
                yield row
        follower.catch_up(rows, position)
        async for found in follower:
            yield found

    async def _add(self, follower: Follower) -> None:
        async with self._starting:
            if self._poller is None and not self._closed:
                newest = await asyncio.to_thread(self._store.newest_position)
                self._poller = _Poller(self, self._store, newest)
                self._poller.start()
            self._followers.add(follower)
        if self._closed:
            follower.end()

    def _remove(self, follower: Follower) -> None:
        self._followers.discard(follower)
        if not self._followers and self._poller is not None:
            self._poller.stop()
            self._poller = None

    def nudge(self) -> None:
        """Every follower gets a pulse now: something about its right to read may have changed. Called in any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to hear
                self._loop.call_soon_threadsafe(self._nudge_all)

    def _nudge_all(self) -> None:
        for follower in self._followers:
            follower.nudge()

    def close(self) -> None:
        """Every follower ends, and no new one gets anything."""
        self._closed = True
        for follower in self._followers:
            follower.end()

    def deliver(self, poller: _Poller, rows: list[EventRow]) -> None:
        """What a poller read is offered to everybody; a poller that was replaced meanwhile is not heard."""
        if poller is self._poller:
            for follower in tuple(self._followers):
                for row in rows:
                    follower.offer(row)

    def fail(self, poller: _Poller) -> None:
        """The poller gave up: everybody comes back with their last position, and the next starts a new one."""
        if poller is self._poller:
            self._poller = None
            for follower in self._followers:
                follower.end()


class _Poller(threading.Thread):
    """Reads new events while it is not stopped, and hands them to its tail's event loop."""

    def __init__(self, tail: Tail, store: Store, position: Position) -> None:
        super().__init__(name="event-tail", daemon=True)
        self._tail, self._store, self._position = tail, store, position
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            self._read_on()
        except Exception as fault:  # whatever it is, nobody may wait for events that never come
            _log.error("the event tail failed", fault=str(fault), exc_info=fault)
            self._tell(self._tail.fail, self)

    def _read_on(self) -> None:
        marker: object = None
        looked_at = 0.0
        while not self._stopped.wait(POLL_S):
            found = self._store.changed_marker()
            if found == marker and time.monotonic() - looked_at < RELOOK_S:
                continue
            marker, looked_at = found, time.monotonic()
            self._read_all()

    def _read_all(self) -> None:
        rows = self._store.events_after(None, self._position, BATCH)
        while rows and not self._stopped.is_set():
            self._position = rows[-1].position
            self._tell(self._tail.deliver, self, rows)
            rows = self._store.events_after(None, self._position, BATCH) if len(rows) == BATCH else []

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *arguments)
        except RuntimeError:  # the loop is closed: nobody is left to hear
            self.stop()
