"""Taking jobs in: from here on a job is durable.

Requests of any number of people are taken in together, a statement for all of them rather than for each. The
statements are built once: building one takes SQLAlchemy longer than running it takes the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import ColumnElement, Connection, Insert, Table, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from isthmus.application.encoding import Json
from isthmus.errors import Conflict, InputFault, InvalidInput, NotFound
from isthmus.job import JobState
from isthmus.store.conflicts import insert_missing
from isthmus.store.filerows import readable
from isthmus.store.ids import new_id
from isthmus.store.records import Accepted, JobInput, NewJob, Viewer
from isthmus.store.rows import Values, resources_values
from isthmus.store.schema import definitions, events, idempotency, job_inputs, job_labels, jobs
from isthmus.store.words import search_text


def _inserting(table: Table, *names: str, **others: ColumnElement[int]) -> Insert:
    return insert(table).values({**{name: bindparam(name) for name in names}, **others}).inline()


_NUMBER = select(jobs.c.number).where(jobs.c.id == bindparam("job_id")).scalar_subquery()
_INSERT_JOBS = _inserting(
    jobs,
    *("id", "owner_id", "project_id", "cluster", "application", "version", "digest", "name", "inputs", "resources"),
    *("restartable", "max_attempts", "parent_id", "root_id", "created_at", "state", "state_at", "attempts"),
    *("evidence", "waiting_reason", "seq", "search_text", "notices", "copied_owner", "copied_job"),
)
_INSERT_LABELS = _inserting(job_labels, "label", job=_NUMBER)
_INSERT_INPUTS = _inserting(job_inputs, *JobInput.__slots__, job=_NUMBER)
_INSERT_EVENTS = _inserting(events, "owner_id", "at", "kind", "body", job=_NUMBER)
_OF_KEY = select(idempotency.c.job, idempotency.c.body_sha256, idempotency.c.created_at).where(
    idempotency.c.owner_id == bindparam("whose"), idempotency.c.key == bindparam("which")
)
_ROOTS = select(jobs.c.id, jobs.c.root_id, jobs.c.owner_id).where(jobs.c.id.in_(bindparam("ids", expanding=True)))


class IdempotencyMismatch(Conflict):
    """The key was used before, for a request that said something else."""

    code = "idempotency_mismatch"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a job: whose, which, and the key that names the request with the digest of what it said."""

    viewer: Viewer
    new: NewJob
    key: str | None = None
    body_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A job on its way in."""

    id: str
    root_id: str
    viewer: Viewer
    new: NewJob


def accept(connection: Connection, requests: Sequence[Asked], now: float) -> list[Accepted]:
    """Each job is its viewer's, or the one an earlier request with this key made; one answer a request, in order.

    IdempotencyMismatch, InvalidInput, NotFound: one of the requests is at fault, and the transaction is to be undone.
    """
    ids = [new_id(now) for _ in requests]
    earlier = _earlier(connection, requests, ids, now)
    pairs = [(job_id, asked) for job_id, asked in zip(ids, requests, strict=True) if job_id not in earlier]
    _insert(connection, [_entry(connection, job_id, asked) for job_id, asked in pairs], now)
    return [earlier.get(job_id) or Accepted(job_id, created=True, at=now) for job_id in ids]


def _earlier(connection: Connection, requests: Sequence[Asked], ids: Sequence[str], now: float) -> dict[str, Accepted]:
    """The jobs that keys stand for already, by the id that was to be; every other key now stands for its id."""
    keyed = {job_id: asked for job_id, asked in zip(ids, requests, strict=True) if asked.key is not None}
    if not keyed:
        return {}
    rows = [_key_row(job_id, asked, now) for job_id, asked in keyed.items()]
    inserted = connection.execute(
        _insert_keys(connection.dialect.name), rows, execution_options={"preserve_rowcount": True}
    )
    if inserted.rowcount == len(rows):
        return {}
    found = {job_id: _of_key(connection, asked) for job_id, asked in keyed.items()}
    return {job_id: known for job_id, known in found.items() if known.job_id != job_id}


@cache
def _insert_keys(dialect: str) -> Insert:
    """Waits for a transaction that is inserting one of the keys; inserts those that nobody had used."""
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(idempotency)
    return statement.values({column.name: bindparam(column.name) for column in idempotency.c}).on_conflict_do_nothing()


def _key_row(job_id: str, asked: Asked, now: float) -> Values:
    return {
        "owner_id": asked.viewer.user_id,
        "key": asked.key,
        "body_sha256": asked.body_sha256 or "",
        "job": job_id,
        "created_at": now,
    }


def _of_key(connection: Connection, asked: Asked) -> Accepted:
    known = connection.execute(_OF_KEY, {"whose": asked.viewer.user_id, "which": asked.key}).one()
    if known.body_sha256 != (asked.body_sha256 or ""):
        raise IdempotencyMismatch("this Idempotency-Key was used before, for a different request")
    return Accepted(known.job, created=False, at=known.created_at)


def job_of_key(connection: Connection, viewer: Viewer, key: str, body_sha256: str) -> str | None:
    """The job that the key stands for. IdempotencyMismatch: it stands for a request that said something else."""
    known = connection.execute(_OF_KEY, {"whose": viewer.user_id, "which": key}).one_or_none()
    if known is not None and known.body_sha256 != body_sha256:
        raise IdempotencyMismatch("this Idempotency-Key was used before, for a different request")
    return None if known is None else str(known.job)


def _entry(connection: Connection, job_id: str, asked: Asked) -> _Entry:
    """The job, its files and its parent found to be there for the viewer."""
    viewer, new = asked.viewer, asked.new
    if new.files:
        _check_files(connection, viewer, new.files)
    if new.parent_id is None:
        return _Entry(job_id, job_id, viewer, new)
    roots = _visible(connection, viewer, {new.parent_id})
    if new.parent_id not in roots:
        raise NotFound("the job it was made from is not there")
    return _Entry(job_id, roots[new.parent_id], viewer, new)


def _check_files(connection: Connection, viewer: Viewer, files: Sequence[JobInput]) -> None:
    """Every file is one the viewer may read; its origin is one they may see. InvalidInput names those that aren't."""
    known = readable(connection, viewer, {file.sha256 for file in files})
    seen = _visible(connection, viewer, {file.from_job for file in files if file.from_job is not None})
    faults = tuple(
        InputFault(file.name, "unknown_file", f"there is no file {file.file_name} of yours")
        for file in files
        if file.sha256 not in known or (file.from_job is not None and file.from_job not in seen)
    )
    if faults:
        raise InvalidInput("an input names a file that is not there", faults)


def _visible(connection: Connection, viewer: Viewer, job_ids: set[str]) -> dict[str, str]:
    """The root of each of these jobs that the viewer may see."""
    if not job_ids:
        return {}
    found = connection.execute(_ROOTS, {"ids": list(job_ids)})
    return {id_: root_id for id_, root_id, owner_id in found if viewer.is_admin or owner_id == viewer.user_id}


def _insert(connection: Connection, entries: Sequence[_Entry], now: float) -> None:
    labels = ((one.id, label) for one in entries for label in dict.fromkeys(one.new.labels))
    for statement, rows in (
        (_INSERT_JOBS, [_job_row(entry, now) for entry in entries]),
        (_INSERT_LABELS, [{"job_id": job_id, "label": label} for job_id, label in labels]),
        (_INSERT_INPUTS, [_input_row(one.id, file) for one in entries for file in one.new.files]),
        (_INSERT_EVENTS, [_event_row(entry, now) for entry in entries]),
    ):
        if rows:
            connection.execute(statement, rows)


def _event_row(entry: _Entry, now: float) -> Values:
    body = {"name": entry.new.name, "application": entry.new.application}
    return {"job_id": entry.id, "owner_id": entry.viewer.user_id, "at": now, "kind": "accepted", "body": body}


def _job_row(entry: _Entry, now: float) -> Values:
    new = entry.new
    return {
        "id": entry.id,
        "owner_id": entry.viewer.user_id,
        "project_id": new.project_id,
        "cluster": new.cluster,
        "application": new.application,
        "version": new.version,
        "digest": new.digest,
        "name": new.name,
        "inputs": dict(new.inputs),
        "resources": resources_values(new.resources),
        "restartable": new.restartable,
        "max_attempts": new.max_attempts,
        "parent_id": new.parent_id,
        "root_id": entry.root_id,
        "created_at": now,
        "state": JobState.ACCEPTED.value,
        "state_at": now,
        "attempts": 0,
        "evidence": "",
        "waiting_reason": "",
        "seq": 0,
        "search_text": search_text(new.name, new.application, *new.labels),
        "notices": new.notices,
        "copied_owner": new.copied_from and new.copied_from.owner,
        "copied_job": new.copied_from and new.copied_from.job_id,
    }


def _input_row(job_id: str, file: JobInput) -> Values:
    return {"job_id": job_id} | {name: getattr(file, name) for name in JobInput.__slots__}


def remember_definition(connection: Connection, digest: str, name: str, version: str, body: Json) -> None:
    """There is a definition with this digest."""
    insert_missing(connection, definitions, [{"digest": digest, "name": name, "version": version, "body": body}])
