"""A job with everything a person may want to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from isthmus.application.encoding import Json
from isthmus.errors import NotFound
from isthmus.job import Attempt, Cause, JobState, Resources
from isthmus.store.duty import input_files
from isthmus.store.history import EventRow, Position, events_after
from isthmus.store.ids import is_id
from isthmus.store.listing import JobSummary, summaries
from isthmus.store.records import CopiedFrom, JobInput, Viewer
from isthmus.store.rows import attempt_of, attempt_rows, resources_of
from isthmus.store.schema import (
    clusters,
    definitions,
    deleted_inputs,
    events,
    job_labels,
    jobs,
    outputs,
    projects,
    users,
)


@dataclass(frozen=True, slots=True)
class OutputView:
    """One collected file: the output's name, its path below the work directory, and where its bytes are."""

    id: int
    attempt: int
    name: str
    path: str
    sha256: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, whole. `owner` and `project` are names; `outputs` are the last attempt's; `attempts` are in order.

    `files` are known of a deleted job, too, whose bytes are gone. `cancelled_by` names the administrator who asked to
    cancel another's job; it is empty where its owner did, or nobody.
    """

    id: str
    owner_id: str
    owner: str
    project_id: str | None
    project: str | None
    name: str
    labels: tuple[str, ...]
    application: str
    version: str
    digest: str
    definition: Json
    cluster: str
    contact_lost_since: float | None
    state: JobState
    state_at: float
    cause: Cause | None
    evidence: str
    waiting_reason: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    cancel_requested_at: float | None
    parent_id: str | None
    root_id: str
    children: tuple[str, ...]
    inputs: Mapping[str, Json]
    files: tuple[JobInput, ...]
    resources: Resources
    restartable: bool
    max_attempts: int
    attempts: tuple[Attempt, ...]
    outputs: tuple[OutputView, ...]
    archived_at: float | None
    deleted_at: float | None
    seq: int
    notices: str | None = None
    cancelled_by: str = ""
    copied_from: CopiedFrom | None = None


@cache
def _whole_job(of_one_owner: bool) -> Select[*tuple[Any, ...]]:
    query = (
        select(
            jobs,
            users.c.name.label("owner"),
            projects.c.name.label("project"),
            definitions.c.body,
            clusters.c.contact_lost_since,
        )
        .join(users, users.c.id == jobs.c.owner_id)
        .join(definitions, definitions.c.digest == jobs.c.digest)
        .outerjoin(clusters, clusters.c.name == jobs.c.cluster)
        .outerjoin(projects, projects.c.id == jobs.c.project_id)
        .where(jobs.c.id == bindparam("which"))
    )
    return query.where(jobs.c.owner_id == bindparam("whose")) if of_one_owner else query


def job(connection: Connection, viewer: Viewer, job_id: str) -> JobView:
    """The job. NotFound: there is none, or it is not the viewer's. Whom it was shown to see nothing of its family."""
    of_one_owner = not viewer.is_admin and job_id != viewer.job_id
    values = {"which": job_id, "whose": viewer.user_id} if of_one_owner else {"which": job_id}
    row = connection.execute(_whole_job(of_one_owner), values).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    number, is_guest = row.number, viewer.job_id is not None
    return JobView(
        id=row.id,
        owner_id=row.owner_id,
        owner=row.owner,
        project_id=row.project_id,
        project=row.project,
        name=row.name,
        labels=_labels(connection, number),
        application=row.application,
        version=row.version,
        digest=row.digest,
        definition=row.body,
        cluster=row.cluster,
        contact_lost_since=row.contact_lost_since,
        state=JobState(row.state),
        state_at=row.state_at,
        cause=None if row.cause is None else Cause(row.cause),
        evidence=row.evidence,
        waiting_reason=row.waiting_reason,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        exit_code=row.exit_code,
        cancel_requested_at=row.cancel_requested_at,
        parent_id=None if is_guest else row.parent_id,
        root_id=row.id if is_guest else row.root_id,
        children=_children(connection, viewer, job_id),
        inputs=row.inputs,
        files=_taken(connection, number) if row.deleted_at else input_files(connection, [number])[number],
        resources=resources_of(row.resources),
        restartable=row.restartable,
        max_attempts=row.max_attempts,
        attempts=_attempts(connection, number),
        outputs=_outputs(connection, number, row.attempts),
        archived_at=row.archived_at,
        deleted_at=row.deleted_at,
        seq=row.seq,
        notices=row.notices,
        cancelled_by="" if row.cancel_requested_at is None or is_guest else _canceller(connection, number),
        copied_from=None if row.copied_owner is None or is_guest else CopiedFrom(row.copied_owner, row.copied_job),
    )


def number_of(connection: Connection, viewer: Viewer, job_id: str) -> int:
    """The job's number. NotFound: there is none, or it is not the viewer's."""
    query = select(jobs.c.number).where(jobs.c.id == job_id)
    if not viewer.is_admin and job_id != viewer.job_id:
        query = query.where(jobs.c.owner_id == viewer.user_id)
    number = connection.execute(query).scalar_one_or_none() if is_id(job_id) else None
    if number is None:
        raise NotFound("there is no such job")
    return int(number)


def family(connection: Connection, viewer: Viewer, job_id: str) -> tuple[JobSummary, ...]:
    """The job with all it was made from and all that was made from it, as far as the viewer may see them, oldest first.

    `parent_id` makes them a tree. NotFound.
    """
    number = number_of(connection, viewer, job_id)
    if viewer.job_id is not None:
        return summaries(connection, [number])
    root = select(jobs.c.root_id).where(jobs.c.number == number).scalar_subquery()
    query = select(jobs.c.number).where(jobs.c.root_id == root).order_by(jobs.c.number)
    if not viewer.is_admin:
        query = query.where(jobs.c.owner_id == viewer.user_id)
    return summaries(connection, list(connection.execute(query).scalars()))


def events_of(connection: Connection, viewer: Viewer, job_id: str, limit: int) -> list[EventRow]:
    """The job's history, oldest first, at most `limit` lines. NotFound."""
    number_of(connection, viewer, job_id)
    return events_after(connection, viewer, Position(), limit, job_id)


_LABELS = select(job_labels.c.label).where(job_labels.c.job == bindparam("number")).order_by(job_labels.c.label)
_CHILDREN = select(jobs.c.id, jobs.c.owner_id).where(jobs.c.parent_id == bindparam("id")).order_by(jobs.c.number)
_ATTEMPTS = attempt_rows()
_OUTPUTS = (
    select(*(outputs.c[name] for name in OutputView.__slots__))
    .where(outputs.c.job == bindparam("number"), outputs.c.attempt == bindparam("n"))
    .order_by(outputs.c.id)
)


_TAKEN = (
    select(*(deleted_inputs.c[name] for name in JobInput.__slots__))
    .where(deleted_inputs.c.job == bindparam("number"))
    .order_by(deleted_inputs.c.name, deleted_inputs.c.position)
)
_CANCELLERS = (
    select(events.c.body)
    .where(events.c.job == bindparam("number"), events.c.kind == "cancel_requested")
    .order_by(events.c.id)
    .limit(1)
)


def _taken(connection: Connection, number: int) -> tuple[JobInput, ...]:
    """The files that a deleted job took."""
    return tuple(JobInput(*row) for row in connection.execute(_TAKEN, {"number": number}))


def _canceller(connection: Connection, number: int) -> str:
    body = connection.execute(_CANCELLERS, {"number": number}).scalar_one_or_none() or {}
    return str(body.get("administrator", ""))


def _labels(connection: Connection, number: int) -> tuple[str, ...]:
    return tuple(connection.execute(_LABELS, {"number": number}).scalars())


def _children(connection: Connection, viewer: Viewer, job_id: str) -> tuple[str, ...]:
    rows = connection.execute(_CHILDREN, {"id": job_id})
    return tuple(id_ for id_, owner_id in rows if viewer.sees(owner_id, id_))


def _attempts(connection: Connection, number: int) -> tuple[Attempt, ...]:
    found = (attempt_of(row) for row in connection.execute(_ATTEMPTS, {"number": number}))
    return tuple(attempt for attempt in found if attempt is not None)


def _outputs(connection: Connection, number: int, n: int) -> tuple[OutputView, ...]:
    return tuple(OutputView(*row) for row in connection.execute(_OUTPUTS, {"number": number, "n": n}))
