"""What the controller does for one cluster, for as long as it holds the cluster's lease.

    due jobs ──► action_of ──► cluster (a task a batch) ──► facts ──► decide ──► store.apply ──► due at once? again

A job is in at most one batch at a time. A decision that the store refuses, since the job has changed meanwhile
(somebody asked to cancel it), is dropped: the job is read again and decided anew. Nothing is kept here that a restart
would miss.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from isthmus.cluster import Cluster, Handle, Order
from isthmus.controller.orders import Orders
from isthmus.errors import IsthmusError, LeaseLost, NoAnswer
from isthmus.facts import NOTHING, Facts, StagingFailed, Unlisted
from isthmus.failpoint import reach
from isthmus.job import Cause, Job
from isthmus.lifecycle import Action, Policy, action_of, decide, is_suspect
from isthmus.store import Store
from isthmus.store.leases import Lease

_log = structlog.get_logger(__name__)

PAUSE_S = 0.05  # how often the loop looks for change
BATCH = 500  # jobs in one batch; bounds the size of one transaction and of one answer of the cluster
STAGING_BATCH = 20  # staging copies files, so that smaller batches keep a large one from delaying many
RELOOK_S = 0.5  # due jobs are asked for this often even if nothing seems to have changed

_Batch = Sequence[Job]
_Learnt = list[tuple[Job, Facts]]


@dataclass(slots=True)
class ClusterLoop:
    """One cluster's jobs, moved on. `orders` reads what staging needs; `policy` holds the cluster's times."""

    store: Store
    cluster: Cluster
    lease: Lease
    policy: Policy
    orders: Orders
    max_waiting: int
    _inbox: _Learnt = field(default_factory=list)
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
                await self._mark_contact(fault)
                await asyncio.sleep(1)

    async def run(self) -> None:
        """Jobs of the opened cluster move on until the lease is lost (LeaseLost) or the task is cancelled."""
        try:
            await self._dispatch(await asyncio.to_thread(self.store.live, self.cluster.name))
            while True:
                began = time.monotonic()
                await self._round()
                await self._pause(time.monotonic() - began)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.cluster.close()

    async def _pause(self, round_s: float) -> None:
        """Waits for news; at least as long as the last round took, so that a busy loop does more in each round."""
        await asyncio.sleep(min(round_s, PAUSE_S))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), PAUSE_S)
        self._news.clear()

    async def _round(self) -> None:
        learnt, self._inbox = self._inbox, []
        self._busy.difference_update(job.id for job, _ in learnt)
        stored = await self._decide(learnt)
        news, self._kept_news = await self.cluster.changed() | self._kept_news, set()
        due = await self._due(news) if news or self._has_changed() else []
        await self._dispatch({job.id: job for job in [*due, *stored]}.values(), news)

    def _has_changed(self) -> bool:
        marker = self.store.changed_marker()
        if marker == self._marker and time.monotonic() - self._looked_at < RELOOK_S:
            return False
        self._marker, self._looked_at = marker, time.monotonic()
        return True

    async def _due(self, tags: Iterable[str]) -> list[Job]:
        now = time.time()
        name = self.cluster.name
        due = await asyncio.to_thread(self.store.due, name, now, BATCH, tuple(tags))
        released = await asyncio.to_thread(self.store.release, name, self.max_waiting, BATCH)
        await self._decide([(job, Facts(released=True)) for job in released if job.id not in self._busy], due)
        return due

    async def _decide(self, learnt: _Learnt, more: list[Job] | None = None) -> list[Job]:
        """Stores what follows from what was learnt; the jobs that ask for something at once (also added to `more`)."""
        now = time.time()
        decisions = [found for job, facts in learnt if (found := decide(job, facts, now, self.policy))]
        if not decisions:
            return []
        reach("controller.before_apply")
        applied = await asyncio.to_thread(self.store.apply, self.lease, decisions, now)
        reach("controller.after_apply")
        stored = [replace(d.job, seq=d.job.seq + 1) for d, done in zip(decisions, applied, strict=True) if done]
        self._discard(stored)
        urgent = [job for job in stored if job.next_check_at <= now]
        if more is not None:
            more.extend(urgent)
        return urgent

    def _discard(self, jobs: Iterable[Job]) -> None:
        """The directories of ended attempts go; what was worth keeping is in the file store."""
        tags = [job.attempt.tag for job in jobs if job.attempt and job.state.is_final and job.cause is not Cause.LOST]
        if tags:
            self._start(self._try(self.cluster.discard(tags)))

    # --- acting ---------------------------------------------------------------------------------------------
    async def _dispatch(self, jobs: Iterable[Job], news: Collection[str] = ()) -> None:
        now = time.time()
        batches: dict[Action | None, list[Job]] = defaultdict(list)
        for job in jobs:
            action = action_of(job, now, self.policy)
            if job.id not in self._busy:
                batches[action].append(job)
            if job.attempt and job.attempt.tag in news and (job.id in self._busy or action is Action.SUBMIT):
                self._kept_news.add(job.attempt.tag)  # it is not looked at now, and the cluster tells it only once
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

    async def _act(self, action: Action | None, batch: _Batch) -> None:
        learnt: Mapping[str, Facts] = {}
        if action is not None:
            reach(f"controller.before_{action.name.lower()}")
            learnt = await self._answered(_DEEDS[action](self, batch))
            reach(f"controller.after_{action.name.lower()}")
        self._inbox.extend((job, learnt.get(job.id, NOTHING)) for job in batch)
        self._news.set()

    async def _answered(self, asking: Awaitable[Mapping[str, Facts]]) -> Mapping[str, Facts]:
        """The answer, or an empty one: a cluster that gave none is marked, and nothing else is changed by it.

        A fault of our own is logged and its jobs are looked at again, so that none of them is left behind. A lost
        lease is told by the next write.
        """
        try:
            answer = await asking
        except NoAnswer as fault:
            await self._mark_contact(fault)
        except Exception:
            _log.exception("an action failed", cluster=self.cluster.name)
        else:
            await self._mark_contact(None)
            return answer
        return {}

    async def _mark_contact(self, fault: NoAnswer | None) -> None:
        if (fault is None) == (self._contact_lost_since is None):
            return
        self._contact_lost_since = None if fault is None else time.time()
        _log.warning("contact", cluster=self.cluster.name, lost=fault is not None, words=str(fault or ""))
        with contextlib.suppress(LeaseLost):
            await asyncio.to_thread(self.store.mark_contact, self.lease, self.cluster.name, self._contact_lost_since)

    async def _try(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (IsthmusError, OSError) as fault:
            _log.warning("left for later", cluster=self.cluster.name, fault=str(fault))

    async def _stage_in(self, batch: _Batch) -> Mapping[str, Facts]:
        orders = await self.orders.to_stage_in(batch)
        answers = await self.cluster.stage_in([order for order in orders.values() if isinstance(order, Order)])
        by_tag = _job_ids(batch)
        refused = {job_id: Facts(staged_in=no) for job_id, no in orders.items() if isinstance(no, StagingFailed)}
        return refused | {by_tag[tag]: Facts(staged_in=answer) for tag, answer in answers.items()}

    async def _stage_out(self, batch: _Batch) -> Mapping[str, Facts]:
        orders = await self.orders.to_stage_out(batch)
        answers = await self.cluster.stage_out(list(orders.values()))
        by_tag = _job_ids(batch)
        return {by_tag[tag]: Facts(staged_out=answer) for tag, answer in answers.items()}

    async def _submit(self, batch: _Batch) -> Mapping[str, Facts]:
        answers = await self.cluster.submit(_handles(batch))
        by_tag = _job_ids(batch)
        return {by_tag[tag]: Facts(submitted=answer) for tag, answer in answers.items()}

    async def _settle(self, batch: _Batch) -> Mapping[str, Facts]:
        answers = await self.cluster.settle(_handles(batch))
        seen = await self._observe(batch)
        by_tag = _job_ids(batch)
        settled = {by_tag[tag]: answer for tag, answer in answers.items()}
        return {job.id: replace(seen.get(job.id, NOTHING), submitted=settled.get(job.id)) for job in batch}

    async def _observe(self, batch: _Batch) -> Mapping[str, Facts]:
        answers = await self.cluster.observe(_handles(batch))
        by_tag = _job_ids(batch)
        facts = {by_tag[tag]: answer for tag, answer in answers.items()}
        vanished = sum(isinstance(answer.listing, Unlisted) and answer.end is None for answer in facts.values())
        if is_suspect(len(batch), vanished):
            _log.error("listing not believed", cluster=self.cluster.name, vanished=vanished, live=len(batch))
            return {job_id: replace(answer, listing=None) for job_id, answer in facts.items()}
        return facts

    async def _cancel(self, batch: _Batch) -> Mapping[str, Facts]:
        sent = await self.cluster.cancel(_handles(batch))
        seen = await self._observe(batch)
        return {
            job.id: replace(seen.get(job.id, NOTHING), cancel_sent=job.attempt is not None and job.attempt.tag in sent)
            for job in batch
        }

    async def _withdraw(self, batch: _Batch) -> Mapping[str, Facts]:
        await self.cluster.cancel(_handles(batch))
        claims = await self.cluster.void(_handles(batch), self.lease.epoch)
        answers = await self.cluster.observe(_handles(batch))
        by_tag = _job_ids(batch)
        return {by_tag[tag]: replace(answers.get(tag, NOTHING), claim=claim) for tag, claim in claims.items()}


_Deed = Callable[[ClusterLoop, _Batch], Awaitable[Mapping[str, Facts]]]
_DEEDS: Mapping[Action, _Deed] = {
    Action.STAGE_IN: ClusterLoop._stage_in,
    Action.SUBMIT: ClusterLoop._submit,
    Action.SETTLE: ClusterLoop._settle,
    Action.OBSERVE: ClusterLoop._observe,
    Action.CANCEL: ClusterLoop._cancel,
    Action.WITHDRAW: ClusterLoop._withdraw,
    Action.STAGE_OUT: ClusterLoop._stage_out,
}
_STAGING = frozenset({Action.STAGE_IN, Action.STAGE_OUT})


def _handles(batch: _Batch) -> list[Handle]:
    return [
        Handle(job.attempt.tag, job.attempt.submit_try, job.attempt.native_id, job.resources)
        for job in batch
        if job.attempt
    ]


def _job_ids(batch: _Batch) -> dict[str, str]:
    return {job.attempt.tag: job.id for job in batch if job.attempt}
