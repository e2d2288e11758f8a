"""What is known of the attempts of one cluster and their launches: the stored rows, and their image in memory.

Every change is stored first, under the lease, and only then seen here; `load` makes the image anew. Nothing in it is
known to nobody else, so a controller that dies takes nothing along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.cluster.mesos.messages import Update
from isthmus.cluster.mesos.states import Launch, Phase, gave_up, heard, meaning_of
from isthmus.job import Resources
from isthmus.store.leases import Lease
from isthmus.store.mesos import MesosRows, QueuedRow

MOST_FAILURES = 5  # launches of one attempt that end by themselves before its program starts
REPLACED_S = 60.0  # how long an attempt that has not started waits for the node that went out of sight
_AGAIN_MOST_S = 60.0


@dataclass(slots=True)
class Entry:
    """One attempt. `is_over`: it is not to be launched (again): withdrawn, started, or ended."""

    tag: str
    job_id: str
    resources: Resources
    is_submitted: bool = False
    is_over: bool = False
    is_withdrawn: bool = False
    launches: list[Launch] = field(default_factory=list)
    holder: str = ""  # the task that holds the claim, once it was seen

    @property
    def newest(self) -> Launch | None:
        return self.launches[-1] if self.launches else None

    @property
    def launch(self) -> Launch | None:
        """The one that started the program, else the newest."""
        return next((one for one in self.launches if one.task_id == self.holder), self.newest)

    def launch_at(self) -> float | None:
        """When it may be launched next, epoch seconds; None: it may not, as far as is known."""
        if not self.is_submitted or self.is_over or gave_up(self.launches, MOST_FAILURES):
            return None
        if self.newest is None:
            return 0.0
        phase = meaning_of(self.newest.state).phase
        if phase is Phase.ENDED:
            return self.newest.updated_at + self._pause_s()
        return self.newest.updated_at + REPLACED_S if phase is Phase.ABSENT else None

    def is_due(self, at: float, now: float) -> bool:
        """Whether that time has come; one that lies too far off is of a clock that was set back since, and has come."""
        return at <= now or at > now + max(_AGAIN_MOST_S, REPLACED_S)

    def _pause_s(self) -> float:
        """A stale offer is nobody's fault; anything else is given time to mend."""
        failures = sum(launch.ended and launch.reason != "REASON_INVALID_OFFERS" for launch in self.launches)
        return min(2.0 ** min(failures - 1, 16), _AGAIN_MOST_S) if failures else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A launch before and after what was heard of it."""

    before: Launch
    after: Launch


@dataclass(slots=True)
class Ledger:
    """The attempts and launches of one cluster, by tag and by task."""

    rows: MesosRows
    lease: Lease
    cluster: str
    _entries: dict[str, Entry] = field(default_factory=dict)
    _tags: dict[str, str] = field(default_factory=dict)  # by task
    _may_wait: dict[str, None] = field(default_factory=dict)  # tags, in the order in which they came

    async def load(self) -> None:
        """The image is as the rows are."""
        queued = await asyncio.to_thread(self.rows.queued, self.cluster)
        launches = await asyncio.to_thread(self.rows.launches, self.cluster)
        self._entries, self._tags, self._may_wait = {}, {}, {}
        self._add(queued)
        for launch in launches:
            self._put(launch)

    def _add(self, rows: Iterable[QueuedRow]) -> None:
        for row in rows:
            entry = self._entries.setdefault(row.tag, Entry(row.tag, row.job_id, row.resources))
            entry.is_submitted, entry.is_over = row.submitted_at is not None, row.is_over
            entry.is_withdrawn = row.is_withdrawn
            self._may_wait[row.tag] = None

    def _put(self, launch: Launch) -> None:
        entry = self._entries.get(launch.tag)
        if entry is None:  # its attempt is gone: whatever of it lives is not wanted
            entry = self._entries[launch.tag] = Entry(launch.tag, "", Resources(), is_over=True, is_withdrawn=True)
        known = {one.n: one for one in entry.launches} | {launch.n: launch}
        entry.launches = [known[n] for n in sorted(known)]
        self._tags[launch.task_id] = launch.tag
        if meaning_of(launch.state).phase in (Phase.ENDED, Phase.ABSENT):
            self._may_wait[launch.tag] = None

    # --- reading ----------------------------------------------------------------------------------------------------
    def entry(self, tag: str) -> Entry | None:
        return self._entries.get(tag)

    def launch_of(self, task_id: str) -> Launch | None:
        entry = self._entries.get(self._tags.get(task_id, ""))
        return None if entry is None else next((one for one in entry.launches if one.task_id == task_id), None)

    def open(self) -> Iterator[Launch]:
        """Every launch that has not ended."""
        return (one for entry in self._entries.values() for one in entry.launches if not one.ended)

    def waiting(self, now: float) -> tuple[list[Entry], float | None]:
        """The attempts to be launched now, the first submitted first, and when the next will be."""
        found, later = [], None
        for tag in [*self._may_wait]:
            entry = self._entries.get(tag)
            at = entry.launch_at() if entry else None
            if entry is None or at is None:
                del self._may_wait[tag]
            elif entry.is_due(at, now):
                found.append(entry)
            else:
                later = at if later is None else min(later, at)
        return found, later

    def counts(self) -> tuple[int, int]:
        """How many attempts wait, and how many launches are with the cluster."""
        waiting = sum(entry.launch_at() is not None for entry in self._entries.values())
        return waiting, sum(1 for _ in self.open())

    # --- changing ---------------------------------------------------------------------------------------------------
    async def submit(self, resources: Mapping[str, Resources], now: float) -> frozenset[str]:
        """Those of the staged attempts that stand in the queue, now or since earlier."""
        stored = await asyncio.to_thread(self.rows.submitted, self.lease, [*resources], now)
        self._add(await asyncio.to_thread(self.rows.queued, self.cluster, sorted(stored)))
        return stored

    async def withdraw(self, tags: Sequence[str], now: float) -> list[Launch]:
        """The attempts are not launched any more; their launches that have not ended."""
        await asyncio.to_thread(self.rows.withdrawn, self.lease, tags, now)
        left = []
        for entry in filter(None, map(self._entries.get, tags)):
            entry.is_over = entry.is_withdrawn = True
            left += [launch for launch in entry.launches if not launch.ended]
        return left

    def over(self, tag: str, holder: str = "") -> None:
        """The attempt has started (as this task), or can't start any more: it is not launched again."""
        if entry := self._entries.get(tag):
            entry.is_over, entry.holder = True, holder or entry.holder

    async def launch(self, launches: Sequence[Launch]) -> frozenset[str]:
        """Those of the launches that are stored now; the attempts of the others wait no more. By task."""
        stored = await asyncio.to_thread(self.rows.launch, self.lease, self.cluster, launches)
        for launch in launches:
            if launch.task_id in stored:
                self._put(launch)
                self._may_wait.pop(launch.tag, None)
            else:
                self.over(launch.tag)
        return stored

    async def adopt(self, launch: Launch) -> bool:
        """A launch that the master knows and we did not is ours now; false if its attempt is not, or is over."""
        if not await asyncio.to_thread(self.rows.adopt, self.lease, self.cluster, launch):
            return False
        self._add(await asyncio.to_thread(self.rows.queued, self.cluster, [launch.tag]))
        self._put(launch)
        return True

    async def hear(self, updates: Iterable[Update], now: float) -> list[Change]:
        """What the updates change is stored; of tasks that are not known here nothing is."""
        fresh: dict[str, Change] = {}
        for update in updates:
            before = self.launch_of(update.task_id)
            if before is None:
                continue
            known = fresh.get(update.task_id, Change(before, before))
            after = heard(known.after, update, now)
            if after is not known.after:
                fresh[update.task_id] = Change(before, after)
        changes = [*fresh.values()]
        if changes:
            await asyncio.to_thread(self.rows.heard, self.lease, [change.after for change in changes])
        for change in changes:
            self._put(change.after)
        await self._look_up({change.after.tag for change in changes})
        return changes

    async def _look_up(self, tags: Iterable[str]) -> None:
        """Of these attempts it is known whether they are over, if it matters: most have started when a launch ends."""
        if asked := self.may_wait(tags):
            self._add(await asyncio.to_thread(self.rows.queued, self.cluster, sorted(asked)))

    def may_wait(self, tags: Iterable[str]) -> frozenset[str]:
        """Those of the tags that are to be launched now or later, as far as is known."""
        return frozenset(tag for tag in tags if (entry := self._entries.get(tag)) and entry.launch_at() is not None)

    async def forget(self, tags: Sequence[str]) -> None:
        """The attempts, which are over, are gone."""
        await asyncio.to_thread(self.rows.discard, tags)
        for tag in tags:
            entry = self._entries.pop(tag, None)
            for launch in entry.launches if entry else ():
                self._tags.pop(launch.task_id, None)
            self._may_wait.pop(tag, None)
