"""Hands waiting attempts to the cluster, and holds offers only while some wait.

An offer that is neither accepted nor declined is held for ever, and others starve. So: with nothing waiting the roles
are suppressed and no offer is held, after a moment in which the next job of a burst finds them still at hand; what
does not fit is declined for a few seconds; a job that comes revives the roles, which clears those filters too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from isthmus.application.encoding import Json
from isthmus.cluster.mesos import messages
from isthmus.cluster.mesos.agents import Agent
from isthmus.cluster.mesos.ledger import Entry, Ledger
from isthmus.cluster.mesos.messages import Image, Message, Offer, Task
from isthmus.cluster.mesos.offers import Need, Pool, Space, Want, need_of, too_large, words_of_need
from isthmus.cluster.mesos.states import Launch
from isthmus.cluster.remote import HttpStaging
from isthmus.failpoint import reach
from isthmus.job import Resources

LINGER_S = 1.0  # how long offers are held after the last attempt was launched
REFUSE_S = 5.0  # how long what did not fit is not offered again, unless more comes free with it
UNFIT_S = 3600.0  # the same for agents without the wanted attributes, and for what an idle gateway gives back
REVIVE_GAP_S = 0.5
TOLD_S = 3.0  # how long an attempt waits before its user is told for what
MOST_AT_ONCE = 1000

Send = Callable[[Message], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Tasks:
    """What all tasks of a cluster have in common; times in seconds."""

    memory_mib: int
    disk_mib: int
    kill_grace_s: float
    image: Image | None = None


@dataclass(slots=True)
class Launcher:
    """The launching of one cluster.

    `send` tells whether a call reached the master; `hand_over` takes an ACCEPT with the launches that it makes, and
    sees to them if it is refused; `news` takes tags to look at.
    """

    ledger: Ledger
    staging: HttpStaging
    pool: Pool
    tasks: Tasks
    roles: tuple[str, ...]
    send: Send
    hand_over: Callable[[Message, Sequence[Launch]], Awaitable[None]]
    news: Callable[[Iterable[str]], None]
    is_suppressed: bool = True
    agents: tuple[Agent, ...] = ()
    _framework_id: str = ""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _wake_s: float | None = None
    _idle_since: float | None = None
    _revived_at: float = 0.0
    _unasked: set[str] = field(default_factory=set)  # tags that came since the roles were revived
    _since: dict[str, float] = field(default_factory=dict)  # tag: since when no offer fits
    _reasons: dict[str, str] = field(default_factory=dict)

    # --- what others tell it ----------------------------------------------------------------------------------------
    def connected(self, framework_id: str) -> None:
        """Offers come from now on, if the roles are not suppressed."""
        self._framework_id = framework_id
        self.wake()

    def disconnected(self) -> None:
        """Every offer died with the connection."""
        self._framework_id = ""
        self.pool.drop_all()

    async def offered(self, offers: Sequence[Offer]) -> None:
        """The offers are in the pool, or declined at once."""
        unfit = self.pool.add(offers)
        self.wake()
        if unfit:
            await self.send(messages.decline(unfit, UNFIT_S))

    def came(self, tags: Iterable[str]) -> None:
        """These attempts may wait now."""
        self._unasked.update(tags)
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    def reason(self, tag: str) -> str:
        """What a waiting attempt waits for, in words for its user."""
        return self._reasons.get(tag, "waits for free resources of the cluster")

    # --- the work ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Attempts are launched as they come and as offers do, until the task is cancelled. LeaseLost."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._wake_s)
            self._wake.clear()
            self._wake_s = None
            if self._framework_id:
                await self._round()

    async def _round(self) -> None:
        entries, later = self.ledger.waiting(time.time())
        if later is not None:
            self._wake_within(later - time.time())
        wants = self._wants(entries)
        if wants and len(self.pool):
            launched = await self._launch(self.pool.place(wants))
            wants = [want for want in wants if want.tag not in launched]
        self._tell(wants)
        if wants:
            self._idle_since = None
            await self._ask_for_more(wants)
        else:
            await self._rest()

    def _wants(self, entries: Sequence[Entry]) -> list[Want]:
        """What may be placed; of the others the reason is told."""
        sizes = [agent.total for agent in self.agents if self.pool.is_wanted(agent.attributes)]
        wants: list[Want] = []
        known: dict[Resources, tuple[Need, str]] = {}
        for entry in entries:
            if len(wants) == MOST_AT_ONCE:
                break
            if entry.resources not in known:
                need = need_of(entry.resources, self.tasks.memory_mib, self.tasks.disk_mib)
                known[entry.resources] = need, too_large(need, sizes)
            need, fault = known[entry.resources]
            if fault:
                self._say(entry.tag, fault)
                self._unasked.discard(entry.tag)
            else:
                wants.append(Want(entry.tag, need, frozenset(one.agent_id for one in entry.launches)))
        return wants

    def _tell(self, wants: Sequence[Want]) -> None:
        now = time.monotonic()
        self._since = {want.tag: self._since.get(want.tag, now) for want in wants}
        for want in wants:
            if now - self._since[want.tag] >= TOLD_S:
                self._say(want.tag, f"waits until {words_of_need(want.need)} are free on one agent")
        if wants:
            self._wake_within(TOLD_S)

    def _say(self, tag: str, reason: str) -> None:
        if self._reasons.get(tag) != reason:
            self._reasons[tag] = reason
            self.news([tag])

    async def _ask_for_more(self, wants: Sequence[Want]) -> None:
        """What is held fits nobody, so it goes back; the roles are revived if somebody has come since they were."""
        if held := self.pool.drop_all():
            await self.send(messages.decline(held, REFUSE_S))
        if not self.is_suppressed and self._unasked.isdisjoint(want.tag for want in wants):
            return
        since = time.monotonic() - self._revived_at
        if since < REVIVE_GAP_S:
            self._wake_within(REVIVE_GAP_S - since)
        elif await self.send(messages.revive(self.roles)):
            self.is_suppressed, self._revived_at = False, time.monotonic()
            self._unasked.clear()

    async def _rest(self) -> None:
        """Nothing waits: for a moment offers stay, then all go back and none come."""
        if self.is_suppressed and not len(self.pool):
            return
        self._idle_since = self._idle_since or time.monotonic()
        left = self._idle_since + LINGER_S - time.monotonic()
        if left > 0:
            self._wake_within(left)
            return
        if not self.is_suppressed and await self.send(messages.suppress(self.roles)):
            self.is_suppressed = True
        if held := self.pool.drop_all():
            await self.send(messages.decline(held, UNFIT_S))
        self._reasons.clear()
        self._unasked.clear()

    def _wake_within(self, seconds: float) -> None:
        seconds = max(seconds, 0.01)
        self._wake_s = seconds if self._wake_s is None else min(self._wake_s, seconds)

    # --- launching --------------------------------------------------------------------------------------------------
    async def _launch(self, spaces: Sequence[Space]) -> frozenset[str]:
        """The tasks are stored, then handed over; the tags of those that need no other try."""
        if not spaces:
            return frozenset()
        planned = [(space, [self._planned(space, want) for want, _ in space.placed]) for space in spaces]
        stored = await self.ledger.launch([launch for _, launches in planned for launch in launches])
        reach("mesos.launch_stored")
        await asyncio.gather(*(self._accept(space, launches, stored) for space, launches in planned))
        tags = frozenset(launch.tag for _, launches in planned for launch in launches)
        self._unasked -= tags
        for tag in tags:
            self._reasons.pop(tag, None)
        return tags

    def _planned(self, space: Space, want: Want) -> Launch:
        entry = self.ledger.entry(want.tag)
        n = entry.newest.n + 1 if entry and entry.newest else 1
        task_id = f"{want.tag}.{n}"
        return Launch(
            tag=want.tag,
            n=n,
            task_id=task_id,
            agent_id=space.agent_id,
            agent_host=space.host,
            agent_url=space.agent_url,
            sent_at=time.time(),
            sandbox=sandbox_of(self._framework_id, task_id),
        )

    async def _accept(self, space: Space, launches: Sequence[Launch], stored: frozenset[str]) -> None:
        made = [
            (launch, resources)
            for launch, (_, resources) in zip(launches, space.placed, strict=True)
            if launch.task_id in stored
        ]
        if made:
            tasks = [self._task(launch, resources) for launch, resources in made]
            await self.hand_over(messages.accept(space.offer_ids, tasks, REFUSE_S), [launch for launch, _ in made])
            reach("mesos.accepted")
        else:
            await self.send(messages.decline(space.offer_ids, 0.0))

    def _task(self, launch: Launch, resources: tuple[Json, ...]) -> Task:
        entry = self.ledger.entry(launch.tag)
        walltime_s = entry.resources.walltime_s if entry else 0
        command = self.staging.command(launch.tag, launch.task_id, walltime_s)
        return Task(
            task_id=launch.task_id,
            name=launch.tag,
            agent_id=launch.agent_id,
            command=command.text,
            environment=command.environment,
            resources=resources,
            labels={"isthmus_job": entry.job_id if entry else "", "isthmus_tag": launch.tag},
            kill_grace_s=self.tasks.kill_grace_s,
            image=self.tasks.image,
        )


def sandbox_of(framework_id: str, task_id: str) -> str:
    """Where an agent's file API has a task's folder, also after its end; its executor has the task's own id."""
    return f"/frameworks/{framework_id}/executors/{task_id}/runs/latest"
