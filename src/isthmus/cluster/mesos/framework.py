"""The subscription to a cluster's master, and what comes of it: offers to the launcher, updates to the ledger.

    SUBSCRIBE ──► framework id stored ──► events ──► offers: launcher ──► launches stored ──► ACCEPT
        ▲                                   └──────► updates: stored ──► ACKNOWLEDGE ──► news for the controller
        └── back-off ◄── silence, end of stream, another master

Another controller that subscribes with our id ends this stream ("Framework failed over"): then the lease is its, too.
A framework that the master has removed is dead for ever, and all its tasks with it: that is stored, and a new one is
registered only when an operator says so.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from isthmus.cluster.mesos import messages
from isthmus.cluster.mesos.agents import agents_of
from isthmus.cluster.mesos.connection import CallRefused, Master, NotPermitted
from isthmus.cluster.mesos.launcher import Launcher, sandbox_of
from isthmus.cluster.mesos.ledger import Change, Ledger
from isthmus.cluster.mesos.messages import Error, Event, Failure, Message, Offers, Rescind, Subscribed, Update
from isthmus.cluster.mesos.reconciler import Reconciler
from isthmus.cluster.mesos.states import (
    LINGERS_S,
    Launch,
    Phase,
    blames_machinery,
    may_linger,
    meaning_of,
    told_of,
)
from isthmus.errors import LeaseLost, NoAnswer, StorageFault
from isthmus.failpoint import reach
from isthmus.store.mesos import NOT_TAKEN

_log = structlog.get_logger(__name__)
T = TypeVar("T")

AGAIN_S, AGAIN_MOST_S = 0.2, 15.0
STEADY_S = 30.0  # a subscription that lasted so long was a good one
REMOVED_LOOK_S = 1.0
AGENTS_S = 15.0  # how often the agents are asked for while jobs wait or run
BATCH = 500  # updates in one transaction
KEPT_FAILURES = 10
_MOMENT_S = 0.1
UNCLAIMED_S = 2.0  # how long a task runs before its user is told that its program has not started yet
_QUIET = frozenset({"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"})  # nobody needs to look at a job because of these


@dataclass(frozen=True, slots=True)
class MachineryFault:
    """A launch that ended by a fault of the cluster's, not of the job's."""

    at: float
    words: str


@dataclass(slots=True)
class Framework:
    """One cluster's framework, as long as this controller holds the lease.

    `contact` is told since when the master is lost; `grace_s` is what a program has to end after its TERM.
    """

    about: messages.Introduction
    master: Master
    ledger: Ledger
    launcher: Launcher
    reconciler: Reconciler
    contact: Callable[[float | None], Awaitable[None]]
    grace_s: float
    framework_id: str = ""
    connected_since: float | None = None
    trouble: str = "not subscribed yet"
    removed: str = ""
    faults: deque[MachineryFault] = field(default_factory=lambda: deque(maxlen=KEPT_FAILURES))
    fault_count: int = 0
    _news: set[str] = field(default_factory=set)
    _updates: asyncio.Queue[tuple[float | None, Update]] = field(default_factory=asyncio.Queue)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # of who stores what was heard
    _subscribed_for: asyncio.Timeout | None = None

    # --- for others -------------------------------------------------------------------------------------------------
    def take_news(self) -> frozenset[str]:
        """Tags with news since the last call."""
        news, self._news = self._news, set()
        return frozenset(news)

    def add_news(self, tags: Iterable[str]) -> None:
        self._news.update(tags)

    async def send(self, message: Message) -> bool:
        """The master received the call; false if not, which is logged: everything is asked for again some time."""
        return await self._call(message) is None

    async def launch(self, accept: Message, launches: Sequence[Launch]) -> None:
        """The master received the call that launches these; if it refused it, they have failed."""
        fault = await self._call(accept)
        if isinstance(fault, CallRefused) and not isinstance(fault, NotPermitted):
            for one in launches:
                self._updates.put_nowait((None, Update(one.task_id, NOT_TAKEN, message=fault.message)))

    async def _call(self, message: Message) -> NoAnswer | None:
        """Why the master did not take the call, None if it did.

        What became of a call without an answer nobody knows: of an offer that it gave back, for one. So the
        subscription ends with it, and with that every offer.
        """
        try:
            await self.master.call(self.framework_id, message)
        except NoAnswer as fault:
            _log.warning("a call was not taken", cluster=self.ledger.cluster, call=message["type"], fault=fault.message)
            if not isinstance(fault, CallRefused):
                self._end_subscription()
            return fault
        return None

    def _end_subscription(self) -> None:
        if self.connected_since is not None and self._subscribed_for is not None:
            self._subscribed_for.reschedule(asyncio.get_running_loop().time())
            self._subscribed_for = None

    async def run(self) -> None:
        """Everything goes on until the task is cancelled. LeaseLost: another controller is the framework now."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_subscribed())
            group.create_task(self._keep_hearing())
            group.create_task(self._know_agents())
            group.create_task(self.launcher.run())
            group.create_task(self.reconciler.run())

    # --- the subscription -------------------------------------------------------------------------------------------
    async def _stay_subscribed(self) -> None:
        pause_s = AGAIN_S
        while True:
            row = await _stored(lambda: asyncio.to_thread(self.ledger.rows.framework, self.ledger.cluster))
            self.removed = row.words if row and row.removed_at else ""
            if self.removed:
                await asyncio.sleep(REMOVED_LOOK_S)
                continue
            began = time.monotonic()
            try:
                await self._subscription(row.framework_id if row else "")
            except NoAnswer as fault:
                await self._lost(fault.message)
            pause_s = AGAIN_S if time.monotonic() - began > STEADY_S else min(pause_s * 2, AGAIN_MOST_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # not to be guessed is no aim

    async def _subscription(self, framework_id: str) -> None:
        self.framework_id = framework_id
        idle = not self.ledger.waiting(time.time())[0]
        self.launcher.is_suppressed = idle
        call = messages.subscribe(self.about, framework_id, suppressed=idle)
        try:
            async with asyncio.timeout(None) as self._subscribed_for, aclosing(self.master.events(call)) as events:
                async for event in events:
                    await self._on(event)
        except TimeoutError:
            raise NoAnswer("the Mesos master did not answer a call") from None
        finally:
            self.connected_since = self._subscribed_for = None
            self.launcher.disconnected()
            self.reconciler.disconnected()

    async def _lost(self, words: str) -> None:
        if not self.trouble:
            _log.warning("the master is away", cluster=self.ledger.cluster, words=words)
        self.trouble = words
        await self.contact(time.time())

    async def _on(self, event: Event) -> None:
        match event:
            case Update():
                self._updates.put_nowait((self.connected_since, event))
            case Offers(offers):
                await self.launcher.offered(offers)
            case Rescind(offer_id):
                self.launcher.pool.drop([offer_id])
            case Subscribed():
                await self._subscribed(event)
            case Error(words):
                await self._over(words)
            case Failure(agent_id, ""):
                _log.warning("an agent is gone", cluster=self.ledger.cluster, agent=agent_id)

    async def _subscribed(self, event: Subscribed) -> None:
        ledger = self.ledger
        if event.framework_id != self.framework_id:
            await _stored(
                lambda: asyncio.to_thread(
                    ledger.rows.registered, ledger.lease, ledger.cluster, event.framework_id, time.time()
                )
            )
        self.framework_id, self.connected_since, self.trouble = event.framework_id, time.time(), ""
        await self.contact(None)
        _log.info("subscribed", cluster=ledger.cluster, master=self.master.leader, framework=event.framework_id)
        self.launcher.connected(event.framework_id)
        self.reconciler.connected()

    async def _over(self, words: str) -> None:
        if "failed over" in words.lower():
            raise LeaseLost(f"another controller is the framework of {self.ledger.cluster} now", detail=words)
        if "removed" in words.lower():
            await self._removed(words)
        raise NoAnswer(f"the Mesos master ended the subscription: {words}")

    async def _removed(self, words: str) -> None:
        ledger = self.ledger
        _log.error("the framework was removed", cluster=ledger.cluster, framework=self.framework_id, words=words)
        self._subscribed_for = None  # nothing cuts this short
        async with self._turn:  # what was told before the removal is not heard after it
            self.removed = words
            while not self._updates.empty():
                self._updates.get_nowait()
            tags = {launch.tag for launch in ledger.open()}
            removed = ledger.rows.removed
            await _stored(lambda: asyncio.to_thread(removed, ledger.lease, ledger.cluster, words, time.time()))
            await _stored(ledger.load)
        self.framework_id = ""
        self.add_news(tags)

    async def _know_agents(self) -> None:
        """The agents are known at once, and again while jobs wait or run."""
        asked_at = 0.0
        while True:
            await asyncio.sleep(REMOVED_LOOK_S)
            since = self.connected_since
            is_busy = any(self.ledger.counts()) and time.time() - asked_at >= AGENTS_S
            if since is None or not (is_busy or asked_at < since):
                continue
            asked_at = time.time()
            with suppress(NoAnswer):
                self.launcher.agents = agents_of(await self.master.ask("GET_AGENTS"))
                self.launcher.wake()

    # --- updates ----------------------------------------------------------------------------------------------------
    async def _keep_hearing(self) -> None:
        """Updates are stored in the order in which they came, many at once, and then acknowledged."""
        while True:
            batch = [await self._updates.get()]
            async with self._turn:
                if self.removed:
                    continue
                while len(batch) < BATCH and not self._updates.empty():
                    batch.append(self._updates.get_nowait())
                updates = [update for _, update in batch]
                await self._hear(updates)
            reach("mesos.update_stored")
            mine = [update for since, update in batch if update.uuid and since == self.connected_since]
            await asyncio.gather(*(self.send(messages.acknowledge(update)) for update in mine))

    async def _hear(self, updates: Sequence[Update]) -> None:
        for update in updates:
            if self.ledger.launch_of(update.task_id) is None:
                await self._meet(update)
        changes = await _stored(lambda: self.ledger.hear(updates, time.time()))
        for update in updates:
            self.reconciler.heard(update.task_id, update.state)
        for change in changes:
            self._note(change)
            if may_linger(change.after, time.time(), self.grace_s):  # its end is believed then, and not before
                later = self.grace_s + LINGERS_S + _MOMENT_S
                asyncio.get_running_loop().call_later(later, self.add_news, [change.after.tag])
            elif change.after.state == "TASK_RUNNING":  # its claim tells the same, and when; most come at once
                asyncio.get_running_loop().call_later(UNCLAIMED_S, self._look_if_unclaimed, change.after.tag)
        self.add_news(change.after.tag for change in changes if change.after.state not in _QUIET)
        self.launcher.came(self.ledger.may_wait(change.after.tag for change in changes))

    def _look_if_unclaimed(self, tag: str) -> None:
        entry = self.ledger.entry(tag)
        if entry is not None and not entry.is_over:
            self.add_news([tag])

    def _note(self, change: Change) -> None:
        if blames_machinery(change.after) and not change.before.ended:
            self.fault_count += 1
            after = change.after
            self.faults.appendleft(
                MachineryFault(time.time(), f"{after.task_id} on {after.agent_host}: {told_of(after)}")
            )
            _log.warning("a fault of the cluster", cluster=self.ledger.cluster, task=after.task_id, told=told_of(after))

    async def _meet(self, update: Update) -> None:
        """A task that we don't know is adopted if its attempt is ours; else it is ended, if it runs."""
        tag, _, n = update.task_id.rpartition(".")
        if tag and n.isdigit():
            sandbox = sandbox_of(self.framework_id, update.task_id)
            found = Launch(tag, int(n), update.task_id, update.agent_id, "", "", time.time(), sandbox)
            if await _stored(lambda: self.ledger.adopt(found)):
                return
        if meaning_of(update.state).phase is Phase.ALIVE:
            _log.warning("a task that nobody wants is ended", cluster=self.ledger.cluster, task=update.task_id)
            await self.send(messages.kill(update.task_id, update.agent_id))


async def _stored(work: Callable[[], Awaitable[T]]) -> T:
    """What the work gives, tried until the database takes it: what was told once is told by nobody again. LeaseLost."""
    while True:
        try:
            return await work()
        except StorageFault as fault:
            _log.warning("the database does not take it", fault=fault.message)
            await asyncio.sleep(1)
