"""What the controller does for one cluster, for as long as it holds the cluster's lease.

    due jobs ──► action_of ──► deeds (a task a batch) ──► facts ──► decide ──► store.apply ──► due at once? again

A job is in at most one batch at a time. A decision that the store refuses, since the job has changed meanwhile
(somebody asked to cancel it), is dropped: the job is read again and decided anew. Nothing is kept here that a restart
would miss. A fault of our own costs the job that meets it a minute, and no other job anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from isthmus.cluster import Cluster
from isthmus.controller.deeds import Deeds, Learnt
from isthmus.controller.pace import Pace
from isthmus.errors import LeaseLost, NoAnswer, StorageFault
from isthmus.facts import NOTHING, Facts
from isthmus.failpoint import reach
from isthmus.job import Job, JobState
from isthmus.lifecycle import Action, Decision, Policy, action_of, decide
from isthmus.store import ImpossibleChange, Store
from isthmus.store.leases import Lease

_log = structlog.get_logger(__name__)

PAUSE_S = 0.05  # how often the loop looks for change
BATCH = 500  # jobs in one batch; bounds the size of one answer of the cluster
WRITE_BATCH = 50  # decisions in one transaction: who submits a job waits for its end where the database is SQLite
WRITE_GAP_S = 0.002  # between two of them, for those who wait
STAGING_BATCH = 20  # staging copies files, so that smaller batches keep a large one from delaying many
RELOOK_S = 0.5  # due jobs are asked for this often even if nothing seems to have changed
SET_ASIDE_S = 60.0  # how long a job that meets a fault of our own is left alone


@dataclass(slots=True)
class ClusterLoop:
    """One cluster's jobs, moved on. `policy` holds the cluster's times; `max_waiting` is per owner."""

    store: Store
    cluster: Cluster
    lease: Lease
    policy: Policy
    deeds: Deeds
    max_waiting: int
    _inbox: list[tuple[Job, Facts]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _busy: set[str] = field(default_factory=set)
    _kept_news: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _marker: object = None
    _looked_at: float = 0.0
    _contact_lost_since: float | None = None

    async def open(self) -> None:
        """The cluster answers; waits as long as it takes, and says meanwhile that contact is lost."""
        while True:
            try:
                return await self.cluster.open()
            except NoAnswer as fault:
                await self._mark_contact(fault.message)
                await asyncio.sleep(1)

    async def run(self) -> None:
        """Jobs of the opened cluster move on until the lease is lost (LeaseLost) or the task is cancelled."""
        try:
            live = await asyncio.to_thread(self.store.live, self.cluster.name)
            await self._dispatch(job for job in live if job.state is not JobState.ACCEPTED)
            pace = Pace()
            while True:
                began = time.monotonic()
                await self._wait()
                woken = time.monotonic()
                await self._round()
                await asyncio.sleep(pace.rest_s(woken - began, time.monotonic() - woken))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.cluster.close()

    async def _wait(self) -> None:
        """News has come, or it is time to look for some."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), PAUSE_S)
        self._news.clear()

    async def _round(self) -> None:
        learnt, self._inbox = self._inbox, []
        self._busy.difference_update(job.id for job, _ in learnt)
        urgent = await self._decide(learnt)
        news, self._kept_news = await self.cluster.changed() | self._kept_news, set()
        due = await self._due(news) if news or self._has_changed() else []
        await self._dispatch({job.id: job for job in [*due, *urgent]}.values(), news)

    def _has_changed(self) -> bool:
        marker = self.store.changed_marker()
        if marker == self._marker and time.monotonic() - self._looked_at < RELOOK_S:
            return False
        self._marker, self._looked_at = marker, time.monotonic()
        return True

    async def _due(self, tags: Collection[str]) -> list[Job]:
        name, now = self.cluster.name, time.time()
        latest = now + self.policy.longest_pause_s
        due = await asyncio.to_thread(self.store.due, name, now, BATCH, tuple(tags), latest)
        released = await asyncio.to_thread(self.store.release, name, self.max_waiting, BATCH)
        return [*due, *await self._decide([(job, Facts(released=True)) for job in released])]

    # --- deciding -------------------------------------------------------------------------------------------
    async def _decide(self, learnt: Sequence[tuple[Job, Facts]]) -> list[Job]:
        """Stores what follows from what was learnt; returns the jobs that ask for something at once."""
        now = time.time()
        decisions = [
            found for job, facts in learnt if job.id not in self._busy and (found := self._of(job, facts, now))
        ]
        stored: list[Job] = []
        for start in range(0, len(decisions), WRITE_BATCH):
            if start:
                await asyncio.sleep(WRITE_GAP_S)
            stored += await self._apply(decisions[start : start + WRITE_BATCH], now)
        return [job for job in stored if job.next_check_at <= now]

    def _of(self, job: Job, facts: Facts, now: float) -> Decision | None:
        try:
            return decide(job, facts, now, self.policy)
        except Exception:
            self._set_aside(job)
            return None

    async def _apply(self, decisions: Sequence[Decision], now: float) -> list[Job]:
        """The jobs whose decision is stored; one that can't be stored is set aside alone."""
        reach("controller.before_apply")
        try:
            applied = await asyncio.to_thread(self.store.apply, self.lease, decisions, now)
        except ImpossibleChange:
            if len(decisions) > 1:
                return [job for decision in decisions for job in await self._apply([decision], now)]
            self._set_aside(decisions[0].job)
            return []
        reach("controller.after_apply")
        refused = [d.job.attempt.tag for d, done in zip(decisions, applied, strict=True) if not done and d.job.attempt]
        self._kept_news.update(refused)  # what was learnt of them is not stored, so they are looked at again
        return [replace(d.job, seq=d.job.seq + 1) for d, done in zip(decisions, applied, strict=True) if done]

    def _set_aside(self, job: Job) -> None:
        _log.exception("a job met a fault of ours and is left alone for a while", job=job.id)
        self._busy.add(job.id)
        asyncio.get_running_loop().call_later(SET_ASIDE_S, self._busy.discard, job.id)

    # --- acting ---------------------------------------------------------------------------------------------
    async def _dispatch(self, jobs: Iterable[Job], news: Collection[str] = ()) -> None:
        now = time.time()
        batches: dict[Action | None, list[Job]] = defaultdict(list)
        for job in jobs:
            action = action_of(job, now, self.policy)
            if job.attempt and job.attempt.tag in news and (job.id in self._busy or action is Action.SUBMIT):
                self._kept_news.add(job.attempt.tag)  # it is not looked at now, and the cluster tells it only once
            if job.id not in self._busy:
                batches[action].append(job)
        for action, members in batches.items():
            size = STAGING_BATCH if action in _STAGING else BATCH
            for start in range(0, len(members), size):
                batch = members[start : start + size]
                self._busy.update(job.id for job in batch)
                self._start(self._act(action, batch))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, action: Action | None, batch: Sequence[Job]) -> None:
        learnt: Learnt = {}
        if action is not None:
            reach(f"controller.before_{action.name.lower()}")
            learnt = await self._answered(action, batch)
            reach(f"controller.after_{action.name.lower()}")
        self._inbox.extend((job, learnt.get(job.id, NOTHING)) for job in batch)
        self._news.set()

    async def _answered(self, action: Action, batch: Sequence[Job]) -> Learnt:
        """What the cluster answered; nothing if it did not, which is marked and changes nothing else.

        A fault of our own costs only the job that meets it: the others of its batch are asked for one by one.
        """
        try:
            answer = await self.deeds.do(action, batch)
        except NoAnswer as fault:
            await self._mark_contact(fault.message)
        except Exception:
            if len(batch) > 1:
                alone = [await self._answered(action, [job]) for job in batch]
                return {job_id: facts for answer in alone for job_id, facts in answer.items()}
            _log.exception("an action failed", cluster=self.cluster.name, action=action.name, job=batch[0].id)
        else:
            await self._mark_contact(self.deeds.suspicion)
            return answer
        return {}

    async def _mark_contact(self, trouble: str) -> None:
        """Contact is lost, for this reason, or it is there (no reason)."""
        if bool(trouble) == (self._contact_lost_since is not None):
            return
        self._contact_lost_since = time.time() if trouble else None
        _log.warning("contact", cluster=self.cluster.name, lost=bool(trouble), words=trouble)
        with contextlib.suppress(LeaseLost, StorageFault):
            await asyncio.to_thread(self.store.mark_contact, self.lease, self.cluster.name, self._contact_lost_since)


_STAGING = frozenset({Action.STAGE_IN, Action.STAGE_OUT})
