"""What each action asks of a cluster, for a batch of jobs, and the facts that come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from isthmus.cluster import Cluster, Handle, Order
from isthmus.controller.orders import Orders
from isthmus.facts import NOTHING, Facts, StagingFailed, Unlisted, Voided
from isthmus.job import Job, JobState
from isthmus.lifecycle import Action, is_suspect
from isthmus.store import Store

_log = structlog.get_logger(__name__)

Learnt = Mapping[str, Facts]  # by job id; a job that is missing was not answered for


@dataclass(slots=True)
class Deeds:
    """The actions on one cluster. `epoch` is the lease's; it names the claims that we void.

    `suspicion` says why the last listing was not believed, empty when it was.
    """

    store: Store
    cluster: Cluster
    orders: Orders
    epoch: int
    suspicion: str = ""
    _missed_before: set[str] = field(default_factory=set)

    async def do(self, action: Action, batch: Sequence[Job]) -> Learnt:
        """The action was asked for, and this is what is known since. NoAnswer: the cluster did not answer."""
        return await _DEEDS[action](self, batch)

    async def _stage_in(self, batch: Sequence[Job]) -> Learnt:
        orders = await self.orders.to_stage_in(batch)
        answers = await self.cluster.stage_in([order for order in orders.values() if isinstance(order, Order)])
        by_tag = _job_ids(batch)
        refused = {job_id: Facts(staged_in=no) for job_id, no in orders.items() if isinstance(no, StagingFailed)}
        return refused | {by_tag[tag]: Facts(staged_in=answer) for tag, answer in answers.items()}

    async def _stage_out(self, batch: Sequence[Job]) -> Learnt:
        orders = await self.orders.to_stage_out(batch)
        answers = await self.cluster.stage_out(list(orders.values()))
        by_tag = _job_ids(batch)
        return {by_tag[tag]: Facts(staged_out=answer) for tag, answer in answers.items()}

    async def _submit(self, batch: Sequence[Job]) -> Learnt:
        answers = await self.cluster.submit(_handles(batch))
        by_tag = _job_ids(batch)
        return {by_tag[tag]: Facts(submitted=answer) for tag, answer in answers.items()}

    async def _settle(self, batch: Sequence[Job]) -> Learnt:
        answers = await self.cluster.settle(_handles(batch))
        seen = await self._observe(batch)
        by_tag = _job_ids(batch)
        settled = {by_tag[tag]: answer for tag, answer in answers.items()}
        return {job.id: replace(seen.get(job.id, NOTHING), submitted=settled.get(job.id)) for job in batch}

    async def _observe(self, batch: Sequence[Job]) -> Learnt:
        answers = await self.cluster.observe(_handles(batch))
        by_tag = _job_ids(batch)
        facts = {by_tag[tag]: answer for tag, answer in answers.items()}
        if await self._is_believed(batch, facts):
            return facts
        return {job_id: replace(answer, listing=None) for job_id, answer in facts.items()}

    async def _is_believed(self, batch: Sequence[Job], facts: Learnt) -> bool:
        """False for a listing that lost too many jobs at once, unless an earlier one has lost the same."""
        missed = {job.id for job in batch if _vanished(job, facts.get(job.id, NOTHING))}
        fresh = missed - self._missed_before
        self._missed_before = (self._missed_before - {job.id for job in batch}) | missed
        live = await asyncio.to_thread(self.store.live_count, self.cluster.name) if len(fresh) >= 5 else 0
        self.suspicion = f"a listing lost {len(fresh)} of {live} jobs at once" if is_suspect(live, len(fresh)) else ""
        if self.suspicion:
            _log.error("listing not believed", cluster=self.cluster.name, words=self.suspicion)
        return not self.suspicion

    async def _cancel(self, batch: Sequence[Job]) -> Learnt:
        sent = await self.cluster.cancel(_handles(batch))
        seen = await self._observe(batch)
        return {
            job.id: replace(seen.get(job.id, NOTHING), cancel_sent=job.attempt is not None and job.attempt.tag in sent)
            for job in batch
        }

    async def _withdraw(self, batch: Sequence[Job]) -> Learnt:
        claims = await self.cluster.void(_handles(batch), self.epoch)
        # Only what can't start any more leaves the queue; a program that has started meanwhile is left alone.
        void = [handle for handle in _handles(batch) if isinstance(claims.get(handle.tag), Voided)]
        if void:
            await self.cluster.cancel(void)
        answers = await self.cluster.observe(_handles(batch))
        by_tag = _job_ids(batch)
        return {by_tag[tag]: replace(answers.get(tag, NOTHING), claim=claim) for tag, claim in claims.items()}


_DEEDS: Mapping[Action, Callable[[Deeds, Sequence[Job]], Awaitable[Learnt]]] = {
    Action.STAGE_IN: Deeds._stage_in,
    Action.SUBMIT: Deeds._submit,
    Action.SETTLE: Deeds._settle,
    Action.OBSERVE: Deeds._observe,
    Action.CANCEL: Deeds._cancel,
    Action.WITHDRAW: Deeds._withdraw,
    Action.STAGE_OUT: Deeds._stage_out,
}


def _vanished(job: Job, facts: Facts) -> bool:
    """The scheduler had it, and a listing has it no more, without an end to show for it."""
    had = job.state in (JobState.QUEUED, JobState.RUNNING) and job.attempt and job.attempt.unlisted_since is None
    return bool(had) and isinstance(facts.listing, Unlisted) and facts.end is None


def _handles(batch: Sequence[Job]) -> list[Handle]:
    return [
        Handle(job.attempt.tag, job.attempt.submit_try, job.attempt.native_id, job.resources)
        for job in batch
        if job.attempt
    ]


def _job_ids(batch: Sequence[Job]) -> dict[str, str]:
    return {job.attempt.tag: job.id for job in batch if job.attempt}
