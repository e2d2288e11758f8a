"""`job.Job` as columns, and back: the one place that knows which field is stored where.

A row of `JOB_ROW` holds the job, its current attempt and that attempt's submission, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import inf
from typing import Any, TypeAlias

from sqlalchemy import Row, Select, and_, bindparam, select

from isthmus.job import Attempt, Cause, Job, JobState, Resources, SchedulerState
from isthmus.store.schema import attempts, jobs, submissions

Values: TypeAlias = dict[str, object]  # column -> what the driver is given
AnyRow: TypeAlias = Row[*tuple[Any, ...]]  # what a driver hands over; the types begin here

_JOB = (
    *("number", "id", "owner_id", "cluster", "state", "state_at", "created_at", "resources", "restartable"),
    *("max_attempts", "attempts", "cause", "evidence", "waiting_reason", "cancel_requested_at", "next_check_at", "seq"),
)
JOB_COLUMNS = (
    *("state", "state_at", "attempts", "cause", "evidence", "waiting_reason", "cancel_requested_at", "next_check_at"),
    *("started_at", "ended_at", "exit_code"),
)
"""The columns of `jobs` that a decision may change."""

_RESOURCES = tuple(field.name for field in fields(Resources))
SUBMISSION_COLUMNS = ("tag", "submit_try", "in_doubt_since", "native_id")
ATTEMPT_COLUMNS = (
    *("n", "claimed_by", "run", "scheduler_state", "scheduler_word", "unlisted_since", "started_at", "ended_at"),
    *("exit_code", "stopped_by", "cancel_sent_at", "stage_failures", "voided", "cpu_s", "peak_memory_mib", "node"),
)
_WIDTH = len(_JOB) + len(SUBMISSION_COLUMNS) + len(ATTEMPT_COLUMNS)


def job_rows() -> Select[*tuple[Any, ...]]:
    """Selects what `job_of` reads: every job with its current attempt, if it has one."""
    current = and_(attempts.c.job == jobs.c.number, attempts.c.n == jobs.c.attempts)
    columns = [
        *(jobs.c[name] for name in _JOB),
        *(submissions.c[name] for name in SUBMISSION_COLUMNS),
        *(attempts.c[name] for name in ATTEMPT_COLUMNS),
    ]
    return select(*columns).select_from(
        jobs.outerjoin(attempts, current).outerjoin(submissions, submissions.c.id == attempts.c.submission_id)
    )


def attempt_rows() -> Select[*tuple[Any, ...]]:
    """Selects what `attempt_of` reads: every attempt of the job whose `number` it is given, in order."""
    columns = [*(submissions.c[name] for name in SUBMISSION_COLUMNS), *(attempts.c[name] for name in ATTEMPT_COLUMNS)]
    return (
        select(*columns)
        .join_from(attempts, submissions, submissions.c.id == attempts.c.submission_id)
        .where(attempts.c.job == bindparam("number"))
        .order_by(attempts.c.n)
    )


def job_of(row: AnyRow) -> Job:
    """The job a row of `job_rows` holds."""
    found: Sequence[Any] = row[:_WIDTH]  # what a query adds stands behind
    (_, id_, owner_id, cluster, state, state_at, created_at, asked, restartable, max_attempts, count) = found[:11]
    (cause, evidence, waiting_reason, cancel_requested_at, next_check_at, seq) = found[11:17]
    return Job(
        id=id_,
        owner_id=owner_id,
        cluster=cluster,
        state=JobState(state),
        state_at=state_at,
        created_at=created_at,
        resources=resources_of(asked),
        restartable=restartable,
        max_attempts=max_attempts,
        attempt=attempt_of(found[17:]),
        attempts=count,
        cause=None if cause is None else Cause(cause),
        evidence=evidence,
        waiting_reason=waiting_reason,
        cancel_requested_at=cancel_requested_at,
        next_check_at=inf if next_check_at is None else next_check_at,
        seq=seq,
    )


def attempt_of(found: Sequence[Any]) -> Attempt | None:
    """The attempt in the columns of submission and attempt, None where there is no row."""
    (tag, submit_try, in_doubt_since, native_id, n, claimed_by, run, state, word, unlisted_since) = found[:10]
    (started_at, ended_at, code, stopped_by, cancel_sent_at, failures, voided, cpu_s, peak_memory_mib, node) = found[
        10:
    ]
    if n is None:
        return None
    return Attempt(
        n=n,
        tag=tag,
        submit_try=submit_try,
        in_doubt_since=in_doubt_since,
        native_id=native_id,
        claimed_by=claimed_by,
        run=run,
        scheduler_state=None if state is None else SchedulerState(state),
        scheduler_word=word,
        unlisted_since=unlisted_since,
        started_at=started_at,
        ended_at=ended_at,
        exit_code=code,
        stopped_by=stopped_by,
        cancel_sent_at=cancel_sent_at,
        stage_failures=failures,
        voided=voided,
        cpu_s=cpu_s,
        peak_memory_mib=peak_memory_mib,
        node=node,
    )


def resources_of(stored: Mapping[str, Any]) -> Resources:
    """The resources that `asdict` gave the stored form of."""
    return Resources(**stored)


def job_values(job: Job) -> Values:
    """What a decision gives the `JOB_COLUMNS`."""
    attempt = job.attempt
    return {
        "state": job.state.value,
        "state_at": job.state_at,
        "attempts": job.attempts,
        "cause": None if job.cause is None else job.cause.value,
        "evidence": job.evidence,
        "waiting_reason": job.waiting_reason,
        "cancel_requested_at": job.cancel_requested_at,
        "next_check_at": None if job.next_check_at == inf else job.next_check_at,
        "started_at": attempt and attempt.started_at,
        "ended_at": attempt and attempt.ended_at,
        "exit_code": attempt and attempt.exit_code,
    }


def submission_id(job_id: str, n: int) -> str:
    """The submission that carries attempt `n` alone."""
    return f"{job_id}.{n}"


def submission_values(attempt: Attempt) -> Values:
    return {name: getattr(attempt, name) for name in SUBMISSION_COLUMNS}


def attempt_values(attempt: Attempt) -> Values:
    return {name: getattr(attempt, name) for name in ATTEMPT_COLUMNS}


def resources_values(resources: Resources) -> Values:
    return {name: getattr(resources, name) for name in _RESOURCES}
