"""Asks for what was not told: launches nobody has heard of, and tasks that were forgotten; repeats what has no answer.

"No answer" means that the master does not know yet (an agent has not come back to it), never that a task is gone: so it
is asked again, ever more slowly. KILL is a wish too: it is repeated until the task's end is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from isthmus.cluster.mesos import messages
from isthmus.cluster.mesos.launcher import Send
from isthmus.cluster.mesos.ledger import Ledger
from isthmus.cluster.mesos.states import Launch, Phase, meaning_of

TICK_S = 1.0
SENT_S = 10.0  # how long after its handing over nothing may be heard of a launch before it is asked for
ALL_AGAIN_S = 900.0
FORGOTTEN_S = 5.0  # after a subscription, when the answers about what is known have come
KILL_AGAIN_S = 10.0
FIRST_PAUSE_S, MOST_PAUSE_S = 2.0, 60.0
MOST_AT_ONCE = 1000


@dataclass(slots=True)
class _Doubt:
    ask_at: float
    pause_s: float = FIRST_PAUSE_S


@dataclass(slots=True)
class Reconciler:
    """The doubts about one cluster's launches. Its clock is the machine's."""

    ledger: Ledger
    send: Send
    _doubts: dict[str, _Doubt] = field(default_factory=dict)
    _killed_at: dict[str, float] = field(default_factory=dict)
    _all_at: float | None = None  # None while there is no connection
    _forgotten_at: float = 0.0

    def connected(self) -> None:
        """What happened while nobody listened is asked for: every launch that has not ended, then what we forgot."""
        self._all_at = now = time.monotonic()
        self._forgotten_at = now + FORGOTTEN_S

    def disconnected(self) -> None:
        self._all_at = None
        self._doubts.clear()

    def heard(self, task_id: str, state: str) -> None:
        """The master has answered; that it does not know is no answer."""
        if state not in ("TASK_UNKNOWN", "TASK_LOST"):
            self._doubts.pop(task_id, None)
        if meaning_of(state).phase is Phase.ENDED:
            self._killed_at.pop(task_id, None)

    @property
    def doubts(self) -> int:
        """How many launches nobody has answered for."""
        return len(self._doubts)

    async def kill(self, launches: Iterable[Launch]) -> None:
        """The master was asked to end these tasks, but for those of nodes that don't answer: they are when they do."""
        there = [one for one in launches if meaning_of(one.state).phase in (Phase.SENT, Phase.ALIVE)]
        now = time.monotonic()
        self._killed_at |= {launch.task_id: now for launch in there}
        await asyncio.gather(*(self.send(messages.kill(launch.task_id, launch.agent_id)) for launch in there))

    async def run(self) -> None:
        """Asks and repeats until the task is cancelled; while nothing is open, every quarter of an hour."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._all_at is not None:
                await self.round(time.monotonic())

    async def round(self, now: float) -> None:
        """What is due at this time is asked."""
        launches = [*self.ledger.open()]
        self._doubt(launches, now)
        await self._ask([one for one in launches if self._is_due(one, now)], now)
        await self.kill(one for one in launches if self._is_unwanted(one, now))
        if now >= self._forgotten_at and await self.send(messages.reconcile(())):
            self._forgotten_at = now + ALL_AGAIN_S

    def _doubt(self, launches: Sequence[Launch], now: float) -> None:
        everything = self._all_at is not None and now >= self._all_at
        if everything:
            self._all_at = now + ALL_AGAIN_S
        silent_since = time.time() - SENT_S
        for one in launches:
            is_silent = one.state == "" and one.sent_at < silent_since
            if everything or is_silent or one.state in ("TASK_UNKNOWN", "TASK_LOST"):
                self._doubts.setdefault(one.task_id, _Doubt(now))

    def _is_due(self, launch: Launch, now: float) -> bool:
        doubt = self._doubts.get(launch.task_id)
        return doubt is not None and doubt.ask_at <= now

    async def _ask(self, launches: Sequence[Launch], now: float) -> None:
        for start in range(0, len(launches), MOST_AT_ONCE):
            part = launches[start : start + MOST_AT_ONCE]
            if await self.send(messages.reconcile((one.task_id, one.agent_id) for one in part)):
                for one in part:
                    self._ask_later(one.task_id, now)

    def _ask_later(self, task_id: str, now: float) -> None:
        doubt = self._doubts.get(task_id)
        if doubt is not None:  # else it was answered while the call was under way
            doubt.ask_at, doubt.pause_s = now + doubt.pause_s, min(doubt.pause_s * 2, MOST_PAUSE_S)

    def _is_unwanted(self, launch: Launch, now: float) -> bool:
        entry = self.ledger.entry(launch.tag)
        if entry is None or not entry.is_withdrawn:
            return False
        return now - self._killed_at.get(launch.task_id, -KILL_AGAIN_S) >= KILL_AGAIN_S
