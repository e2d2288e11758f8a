"""What follows from what is known: the whole life of a job as pure functions, with `now` as an argument.

    job ──► action_of(job) ──► the cluster acts ──► facts ──► decide(job, facts) ──► store.apply ──► job

The action follows from the stored state alone, so a controller that dies anywhere is replaced by one that finds the
same action again; every action may run twice without harm. `decide` never acts and never guesses: a fact that is
missing changes nothing but the time of the next look.

Invariants, beside those of `job.py`
 1. Nothing is final without evidence; `Job.evidence` says it in a sentence.
 2. The end record beats the scheduler's word.
 3. A new attempt is made only when the last one is proved not to run: its claim is voided (it never can start) or
    the program is proved ended, and then only if the application is restartable.
 4. CANCELLED rests on a voided claim and absence, on a try that was never submitted, on an end by signal after our
    cancel was sent, or on the scheduler's own word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import inf

from isthmus.facts import (
    Accepted,
    Claimed,
    Deferred,
    EndRecord,
    Facts,
    Indeterminate,
    Listed,
    Listing,
    NeverSubmitted,
    OutputFile,
    Rejected,
    StagedIn,
    StagedOut,
    StagingFailed,
    Unclaimed,
    Unlisted,
    Voided,
)
from isthmus.job import Attempt, Cause, Job, JobState, SchedulerState, tag_of


@dataclass(frozen=True, slots=True)
class Policy:
    """The times and bounds that decisions on one cluster use; all in seconds unless named otherwise."""

    gateway_id: str
    settle_s: float = 15.0  # how long a submission may be in doubt, or an unstarted job unlisted, before it is voided
    lost_s: float = 3600.0  # how long a started job may be missing, or out of the cluster's sight, before it is lost
    check_s: float = 300.0  # how often a quiet live job is looked at; news about it comes sooner by itself
    retry_s: float = 2.0  # the first wait after something did not work; doubles up to `retry_most_s`
    retry_most_s: float = 60.0
    goes_on_s: float = 10.0  # how often to look at a staging that another is at, who will tell
    cancel_again_s: float = 10.0  # a cancel that is not proved yet is sent again
    max_unstarted: int = 5  # attempts that never started before the job is given up

    @property
    def longest_pause_s(self) -> float:
        """No live job is put off for longer: one that seems to be was put off by a clock that was set back since."""
        return max(1.5 * self.check_s, self.retry_most_s, self.cancel_again_s)  # 1.5: how far `_quiet` spreads them


class Action(Enum):
    """What to ask of the cluster for a job in its stored state."""

    STAGE_IN = auto()
    SUBMIT = auto()
    SETTLE = auto()  # close the submit marker and find out what became of the try
    OBSERVE = auto()
    CANCEL = auto()  # of a started program
    WITHDRAW = auto()  # of one not seen started: void its claim and, if that was free, take it out of the queue
    STAGE_OUT = auto()


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of a job's history; `body` is JSON."""

    kind: str
    body: Mapping[str, str | int | float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The job as it is to be stored, what to tell about it (None: nothing a person would want to read), its outputs."""

    job: Job
    event: JobEvent | None = None
    outputs: tuple[OutputFile, ...] = ()


def action_of(job: Job, now: float, policy: Policy) -> Action | None:
    """What the stored state asks for; None where the gateway itself holds the job back, or it is final."""
    match job.state:
        case JobState.STAGING_IN:
            return None if job.cancel_requested_at else Action.STAGE_IN
        case JobState.SUBMITTING:
            return _submitting_action(job, now, policy)
        case JobState.QUEUED:
            return Action.WITHDRAW if job.cancel_requested_at or _overdue(job, now, policy) else Action.OBSERVE
        case JobState.RUNNING:
            return Action.CANCEL if job.cancel_requested_at else Action.OBSERVE
        case JobState.STAGING_OUT:
            return Action.STAGE_OUT
        case JobState.FAILED if job.cause is Cause.LOST:
            return Action.OBSERVE
    return None


def _submitting_action(job: Job, now: float, policy: Policy) -> Action:
    doubt = _attempt(job).in_doubt_since
    if doubt is None:
        return Action.SETTLE if job.cancel_requested_at else Action.SUBMIT
    return Action.WITHDRAW if now - doubt >= policy.settle_s else Action.SETTLE


def _overdue(job: Job, now: float, policy: Policy) -> bool:
    unlisted_since = _attempt(job).unlisted_since
    return unlisted_since is not None and now - unlisted_since >= policy.settle_s


def decide(job: Job, facts: Facts, now: float, policy: Policy) -> Decision | None:
    """What the job is, now that `facts` are known; None when a final job stays as it is."""
    if job.state.is_final:
        return _reappeared(job, facts, now, policy) if job.cause is Cause.LOST else None
    job = _placed(job, facts)
    if job.attempt and facts.end and job.state in _BEFORE_END and _counts(job.attempt, facts):
        return _cut_off(job, facts.end, facts.listing, now) or _program_ended(job, facts.end, now)
    return _STEPS[job.state](job, facts, now, policy)


def is_suspect(live: int, vanished: int) -> bool:
    """A listing that lost more than a fifth of a cluster's live jobs, and at least 5, is not believed."""
    return vanished >= 5 and vanished * 5 > live


# --- the steps, in the order of a life ----------------------------------------------------------------------
def _accepted(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    if job.cancel_requested_at:
        return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, "cancelled before it left the gateway", now)
    if not facts.released:
        return Decision(replace(job, next_check_at=inf))
    n = job.attempts + 1
    attempt = Attempt(n, tag_of(policy.gateway_id, f"{job.id}.{n}"))
    return _to(replace(job, attempt=attempt, attempts=n), JobState.STAGING_IN, now)


def _staging_in(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    if job.cancel_requested_at:
        return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, "cancelled before it was submitted", now)
    match facts.staged_in:
        case StagedIn():
            return _to(_with(job, stage_failures=0), JobState.SUBMITTING, now)
        case StagingFailed(words, permanent=True):
            return _end(job, JobState.FAILED, Cause.STAGE_IN_FAILED, words, now)
        case StagingFailed(words):
            return _wait_for_staging(job, words, now, policy)
    return _look_again(job, now, policy.retry_s)


def _submitting(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    match facts.claim:
        case Claimed() as claim:
            return _started(job, claim, now, policy)
        case Voided():
            return _never_starts(job, facts, now, policy)
    match facts.submitted:
        case Accepted(native_id):
            job = _with(job, native_id=native_id, in_doubt_since=None)
            later = now if job.cancel_requested_at else _quiet(job, now, policy)
            return _to(job, JobState.QUEUED, now, next_check_at=later, native_id=native_id)
        case Rejected(words):
            if job.cancel_requested_at:
                return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, f"never queued: {words}", now)
            return _end(job, JobState.FAILED, Cause.REJECTED, words, now)
        case Deferred(words, retry_after_s):
            return _next_try(job, words, now + min(retry_after_s, policy.longest_pause_s), now)
        case NeverSubmitted():
            return _next_try(job, "", now, now)
        case Indeterminate(words):
            doubted = _with(job, in_doubt_since=_attempt(job).in_doubt_since or now)
            return _waiting(doubted, f"asking the cluster whether it took the job ({words})", now, policy.retry_s)
    return _look_again(job, now, policy.retry_s)


def _queued(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    match facts.claim:
        case Claimed() as claim:
            return _started(job, claim, now, policy)
        case Voided() if not isinstance(facts.listing, Listed) or facts.listing.state is SchedulerState.ENDED:
            if facts.listing is None:  # voided, but whether it still stands in the queue was not answered
                return _look_again(job, now, policy.retry_s)
            return _never_starts(job, facts, now, policy)
    match facts.listing:
        case Listed(state=SchedulerState.ENDED) | Unlisted() if isinstance(facts.claim, Unclaimed):
            missing = _with(job, unlisted_since=_attempt(job).unlisted_since or now)
            return _waiting(
                missing, "no longer in the cluster's queue; making sure it can't start", now, policy.retry_s
            )
        case Listed() as listed:
            return _seen(job, listed, now, policy)
    return _look_again(job, now, policy.cancel_again_s if job.cancel_requested_at else policy.check_s)


def _running(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    if facts.cancel_sent:
        job = _with(job, cancel_sent_at=_attempt(job).cancel_sent_at or now)
    match facts.listing:
        case Listed(state=SchedulerState.ENDED, never_started=True) as listed if facts.claim is not None:
            return _not_started_after_all(job, listed, now, policy)
        case Listed(state=SchedulerState.ENDED, proved_ended=True) as listed if facts.claim is not None:
            return _ended_without_record(job, listed, now)
        case Listed(state=SchedulerState.UNKNOWN) as listed if facts.claim is not None:
            return _out_of_sight(job, listed, now, policy)
        case Listed() as listed:
            return _seen(job, listed, now, policy)
        case Unlisted() if facts.claim is not None:
            return _missing(job, now, policy)
    return _look_again(job, now, policy.cancel_again_s if job.cancel_requested_at else policy.check_s)


def _staging_out(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    cause = job.cause or Cause.LOST
    match facts.staged_out:
        case StagedOut(files, missing) if missing and cause is Cause.EXIT_ZERO:
            words = f"{job.evidence}, but did not write what it promises: {', '.join(missing)}"
            return _end(job, JobState.FAILED, Cause.STAGE_OUT_FAILED, words, now, files)
        case StagedOut(files):
            return _end(job, _final_state(cause), cause, job.evidence, now, files)
        case StagingFailed(words, goes_on=True):
            return _waiting(job, words, now, policy.goes_on_s)
        case StagingFailed(words, permanent) if permanent or job.cancel_requested_at:
            ended_well = cause is Cause.EXIT_ZERO
            words = f"{job.evidence}; its outputs could not be collected: {words}"
            return _end(
                job,
                JobState.FAILED if ended_well else _final_state(cause),
                Cause.STAGE_OUT_FAILED if ended_well else cause,
                words,
                now,
            )
        case StagingFailed(words):
            return _wait_for_staging(job, words, now, policy)
    return _look_again(job, now, policy.retry_s)


_BEFORE_END = frozenset({JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING})
_STEPS: dict[JobState, Callable[[Job, Facts, float, Policy], Decision]] = {
    JobState.ACCEPTED: _accepted,
    JobState.STAGING_IN: _staging_in,
    JobState.SUBMITTING: _submitting,
    JobState.QUEUED: _queued,
    JobState.RUNNING: _running,
    JobState.STAGING_OUT: _staging_out,
}


# --- what several steps share -------------------------------------------------------------------------------
def _placed(job: Job, facts: Facts) -> Job:
    """The job on the node where it was seen last."""
    node = facts.listing.node if isinstance(facts.listing, Listed) else ""
    return _with(job, node=node) if job.attempt and node and node != job.attempt.node else job


def _counts(attempt: Attempt, facts: Facts) -> bool:
    """An end record counts for the current run only, and one cut by a signal not while its id waits again."""
    end, listing = facts.end, facts.listing
    if end is None or end.run < attempt.run:
        return False
    waits_again = isinstance(listing, Listed) and listing.state in (SchedulerState.QUEUED, SchedulerState.HELD)
    return not (end.signals and waits_again)


def _cut_off(job: Job, end: EndRecord, listing: Listing | None, now: float) -> Decision | None:
    """A signal ended the program, nobody of ours sent it, and the cluster says that the fault is its own."""
    if not isinstance(listing, Listed) or listing.cause not in _CLUSTERS_FAULT or not end.signals or end.stopped_by:
        return None
    if job.restartable and job.attempts < job.max_attempts and not job.cancel_requested_at:
        return _again(job, f"the program was cut off ({listing.word}); it is started again", now)
    return _program_ended(job, end, now, listing.cause)


def _program_ended(job: Job, end: EndRecord, now: float, cause: Cause | None = None) -> Decision:
    cause = cause or _cause_of(end, job)
    attempt = _attempt(job)
    job = _with(
        job,
        native_id=attempt.native_id or end.native_id,
        claimed_by=end.native_id,
        run=end.run,
        scheduler_state=SchedulerState.ENDED,
        scheduler_word="ended",
        started_at=attempt.started_at or end.started_at,
        ended_at=end.ended_at or now,
        exit_code=end.code,
        stopped_by=end.stopped_by,
        cpu_s=end.cpu_s,
        peak_memory_mib=end.peak_memory_mib,
        in_doubt_since=None,
    )
    evidence = f"the program ended with exit code {end.code}" + (f" on {end.host}" if end.host else "")
    if end.stopped_by:
        evidence += f" after it was stopped ({end.stopped_by})"
    if end.oom_kills:
        evidence += f" and the kernel killed {end.oom_kills} of its processes for memory"
    job = replace(job, cause=cause, evidence=evidence)
    return _to(job, JobState.STAGING_OUT, now, exit_code=end.code, cause=cause.value)


def _cause_of(end: EndRecord, job: Job) -> Cause:
    if end.oom_kills:
        return Cause.OUT_OF_MEMORY
    if end.code == 0:
        return Cause.EXIT_ZERO
    if end.stopped_by == "walltime":
        return Cause.WALLTIME
    if end.stopped_by == "cancel":
        return Cause.CANCELLED_BY_USER if job.cancel_requested_at else Cause.CANCELLED_ON_CLUSTER
    if end.code in (126, 127):
        return Cause.LAUNCH_FAILED
    return Cause.SIGNAL if 128 < end.code <= 128 + 64 else Cause.EXIT_NONZERO  # 64 is the last signal there is


def _started(job: Job, claim: Claimed, now: float, policy: Policy) -> Decision:
    attempt = _attempt(job)
    job = _with(
        job,
        native_id=attempt.native_id or claim.native_id,
        claimed_by=claim.native_id,
        run=claim.run,
        started_at=claim.started_at or now,
        in_doubt_since=None,
        unlisted_since=None,
    )
    later = now if job.cancel_requested_at else _quiet(job, now, policy)
    return _to(job, JobState.RUNNING, now, next_check_at=later, native_id=claim.native_id, run=claim.run)


def _never_starts(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    """The claim is voided: no copy of this attempt can ever start, so the job ends or gets its next attempt."""
    job = _with(job, voided=True)
    cause = facts.listing.cause if isinstance(facts.listing, Listed) else None
    if job.cancel_requested_at:
        return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, "withdrawn before it started", now)
    if cause is not None and not (cause is Cause.NODE_FAILURE and job.restartable):
        word = facts.listing.word if isinstance(facts.listing, Listed) else ""
        return _end(job, _final_state(cause), cause, f"the cluster ended it before it reported a start: {word}", now)
    if job.attempts >= policy.max_unstarted:
        words = f"{job.attempts} attempts left the cluster's queue without starting"
        return _end(job, JobState.FAILED, Cause.LAUNCH_FAILED, words, now)
    return _again(job, "the cluster lost it before it started; it is handed over again", now)


def _not_started_after_all(job: Job, listed: Listed, now: float, policy: Policy) -> Decision:
    """The claim was granted, but its holder ended with nothing started: nothing that ran is run again."""
    if job.cancel_requested_at:
        return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, "cancelled before its program was started", now)
    if job.attempts >= policy.max_unstarted:
        words = f"{job.attempts} attempts ended before their program was started ({listed.word})"
        return _end(job, JobState.FAILED, Cause.LAUNCH_FAILED, words, now)
    return _again(job, f"its program was not started ({listed.word}); it is handed over again", now)


def _ended_without_record(job: Job, listed: Listed, now: float) -> Decision:
    """The scheduler vouches that the program's process is gone, and there is no end record."""
    cause = listed.cause or Cause.LOST
    if job.cancel_requested_at and _attempt(job).cancel_sent_at:
        cause = Cause.CANCELLED_BY_USER
    elif job.restartable and cause in _RESTARTS and job.attempts < job.max_attempts:
        return _again(job, f"the program was cut off ({listed.word}); it is started again", now)
    job = replace(job, cause=cause, evidence=f"the cluster says that the program is gone ({listed.word})")
    job = _with(job, ended_at=now, scheduler_state=listed.state, scheduler_word=listed.word)
    return _to(job, JobState.STAGING_OUT, now, cause=cause.value, word=listed.word)


_CLUSTERS_FAULT = frozenset({Cause.NODE_FAILURE, Cause.PREEMPTED})
_RESTARTS = frozenset({Cause.NODE_FAILURE, Cause.PREEMPTED, Cause.SIGNAL, Cause.LOST})
"""Causes of a proved end that another run may not meet again; here LOST says that nobody knows why it ended."""


def _missing(job: Job, now: float, policy: Policy) -> Decision:
    since = _attempt(job).unlisted_since or now
    if now - since >= policy.lost_s:
        return _lost(job, f"missing from complete listings for {now - since:.0f} s, without an end record", now, policy)
    words = "not listed by the cluster and no end record yet; still asking"
    return _waiting(_with(job, unlisted_since=since), words, now, policy.retry_most_s)


def _out_of_sight(job: Job, listed: Listed, now: float, policy: Policy) -> Decision:
    """The cluster knows the job and does not see it: for ever, if its node never comes back."""
    since = _attempt(job).unlisted_since or now
    if now - since >= policy.lost_s:
        words = f"the cluster has not seen it for {now - since:.0f} s ({listed.word}), and there is no end record"
        return _lost(job, words, now, policy)
    seen = _seen(job, listed, now, policy)
    return replace(seen, job=_with(seen.job, unlisted_since=since))


def _lost(job: Job, words: str, now: float, policy: Policy) -> Decision:
    """Nobody can tell what became of the program; it is still looked for, and `_reappeared` undoes this."""
    return replace_next(_end(job, JobState.FAILED, Cause.LOST, words, now), now + policy.check_s)


def _reappeared(job: Job, facts: Facts, now: float, policy: Policy) -> Decision:
    if job.attempt and facts.end and _counts(job.attempt, facts):
        return _program_ended(job, facts.end, now)
    unseen = (SchedulerState.ENDED, SchedulerState.UNKNOWN)
    alive = isinstance(facts.listing, Listed) and facts.listing.state not in unseen
    if alive and isinstance(facts.claim, Claimed):
        return _started(replace(job, cause=None, evidence=""), facts.claim, now, policy)
    return Decision(replace(job, next_check_at=now + policy.check_s))


def _seen(job: Job, listed: Listed, now: float, policy: Policy) -> Decision:
    job = _with(job, scheduler_state=listed.state, scheduler_word=listed.word, unlisted_since=None)
    may_run = job.state is JobState.RUNNING and listed.state is not SchedulerState.UNKNOWN
    reason = "" if may_run else listed.reason
    pause = policy.cancel_again_s if job.cancel_requested_at else policy.check_s
    if reason == job.waiting_reason:
        return _look_again(job, now, pause)
    return _waiting(job, reason, now, pause)


def _next_try(job: Job, words: str, at: float, now: float) -> Decision:
    """The last try is proved not to have been submitted: the next may go, or a cancel is fulfilled."""
    if job.cancel_requested_at:
        return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, "cancelled before it was submitted", now)
    job = _with(job, submit_try=_attempt(job).submit_try + 1, in_doubt_since=None)
    event = JobEvent("waiting", {"reason": words}) if words and words != job.waiting_reason else None
    return Decision(replace(job, waiting_reason=words, next_check_at=at), event)


def _again(job: Job, reason: str, now: float) -> Decision:
    again = _to(job, JobState.ACCEPTED, now, next_check_at=inf, reason=reason)
    return replace(again, job=replace(again.job, waiting_reason=reason))


def _wait_for_staging(job: Job, words: str, now: float, policy: Policy) -> Decision:
    failures = _attempt(job).stage_failures + 1
    pause = min(policy.retry_s * 2 ** min(failures - 1, 16), policy.retry_most_s)
    return _waiting(_with(job, stage_failures=failures), words, now, pause)


def _waiting(job: Job, reason: str, now: float, pause_s: float) -> Decision:
    event = None if reason == job.waiting_reason else JobEvent("waiting", {"reason": reason})
    return Decision(replace(job, waiting_reason=reason, next_check_at=now + pause_s), event)


def _look_again(job: Job, now: float, pause_s: float) -> Decision:
    return Decision(replace(job, next_check_at=now + pause_s))


def _quiet(job: Job, now: float, policy: Policy) -> float:
    """When to look at a quiet job next: spread by its tag, so that a crowd does not come due at once."""
    return now + policy.check_s * (0.5 + int.from_bytes(_attempt(job).tag.encode()[-4:], "big") % 1000 / 1000)


def _to(
    job: Job, state: JobState, now: float, *, next_check_at: float | None = None, **body: str | int | float | None
) -> Decision:
    event = JobEvent("state", {"from": job.state.value, "to": state.value, **body})
    check = now if next_check_at is None else next_check_at
    return Decision(replace(job, state=state, state_at=now, waiting_reason="", next_check_at=check), event)


def _end(
    job: Job, state: JobState, cause: Cause, evidence: str, now: float, outputs: tuple[OutputFile, ...] = ()
) -> Decision:
    ended = _to(replace(job, cause=cause, evidence=evidence), state, now, cause=cause.value, evidence=evidence)
    return replace(replace_next(ended, inf), outputs=outputs)


def replace_next(decision: Decision, at: float) -> Decision:
    """The same decision, with the next look at `at`."""
    return replace(decision, job=replace(decision.job, next_check_at=at))


def _final_state(cause: Cause) -> JobState:
    if cause is Cause.EXIT_ZERO:
        return JobState.COMPLETED
    if cause in (Cause.CANCELLED_BY_USER, Cause.CANCELLED_ON_CLUSTER):
        return JobState.CANCELLED
    return JobState.FAILED


def _attempt(job: Job) -> Attempt:
    if job.attempt is None:
        raise ValueError(f"job {job.id} is {job.state} without an attempt")
    return job.attempt


def _with(job: Job, **changes: str | int | float | bool | SchedulerState | None) -> Job:
    return replace(job, attempt=replace(_attempt(job), **changes))  # type: ignore[arg-type]  # names are Attempt's own
