"""Taking jobs in: from here on a job is durable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Table, insert, select

from isthmus.application.encoding import Json
from isthmus.errors import Conflict, InputFault, InvalidInput, NotFound
from isthmus.job import JobState
from isthmus.store.conflicts import insert_missing, insert_new
from isthmus.store.filerows import readable
from isthmus.store.history import NewEvent, record
from isthmus.store.ids import new_id
from isthmus.store.records import Accepted, JobInput, NewJob, Viewer
from isthmus.store.rows import Values, resources_values
from isthmus.store.schema import definitions, idempotency, job_inputs, job_labels, jobs
from isthmus.store.words import search_text


class IdempotencyMismatch(Conflict):
    """The key was used before, for a request that said something else."""

    code = "idempotency_mismatch"


def accept(
    connection: Connection, viewer: Viewer, new: NewJob, now: float, key: str | None, body_sha256: str | None
) -> Accepted:
    """The job is the viewer's, or the one an earlier request with this key made. IdempotencyMismatch, InvalidInput."""
    job_id = new_id(now)
    if key is not None:
        earlier = _job_of_key(connection, viewer, key, body_sha256 or "", job_id, now)
        if earlier is not None:
            return Accepted(earlier, created=False)
    _insert_jobs(connection, viewer, [(job_id, new)], now)
    return Accepted(job_id, created=True)


def accept_many(connection: Connection, viewer: Viewer, news: Sequence[NewJob], now: float) -> list[Accepted]:
    """All jobs are the viewer's, in this order, or none."""
    pairs = [(new_id(now), new) for new in news]
    _insert_jobs(connection, viewer, pairs, now)
    return [Accepted(job_id, created=True) for job_id, _ in pairs]


def _job_of_key(
    connection: Connection, viewer: Viewer, key: str, body_sha256: str, job_id: str, now: float
) -> str | None:
    """The job the key stands for already; None: it now stands for `job_id`."""
    row: Values = {"owner_id": viewer.user_id, "key": key, "body_sha256": body_sha256, "job": job_id, "created_at": now}
    if insert_new(connection, idempotency, row):
        return None
    known = connection.execute(
        select(idempotency.c.job, idempotency.c.body_sha256).where(
            idempotency.c.owner_id == viewer.user_id, idempotency.c.key == key
        )
    ).one()
    if known.body_sha256 != body_sha256:
        raise IdempotencyMismatch("this Idempotency-Key was used before, for a different request")
    return str(known.job)


def _insert_jobs(connection: Connection, viewer: Viewer, pairs: Sequence[tuple[str, NewJob]], now: float) -> None:
    if not pairs:
        return
    _check_files(connection, viewer, [file for _, new in pairs for file in new.files])
    roots = _roots(connection, viewer, {new.parent_id for _, new in pairs if new.parent_id is not None})
    rows = [_job_row(viewer, job_id, new, roots.get(new.parent_id or "", job_id), now) for job_id, new in pairs]
    connection.execute(insert(jobs), rows)
    numbers = _numbers(connection, [job_id for job_id, _ in pairs])
    _insert_all(
        connection,
        job_labels,
        ({"job": numbers[job_id], "label": label} for job_id, new in pairs for label in dict.fromkeys(new.labels)),
    )
    _insert_all(
        connection, job_inputs, (_input_row(numbers[job_id], file) for job_id, new in pairs for file in new.files)
    )
    record(
        connection,
        [
            NewEvent(
                numbers[job_id], viewer.user_id, now, "accepted", {"name": new.name, "application": new.application}
            )
            for job_id, new in pairs
        ],
    )


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
    query = select(jobs.c.id, jobs.c.root_id).where(jobs.c.id.in_(job_ids))
    if not viewer.is_admin:
        query = query.where(jobs.c.owner_id == viewer.user_id)
    return {row.id: row.root_id for row in connection.execute(query)} if job_ids else {}


def _roots(connection: Connection, viewer: Viewer, parents: set[str]) -> dict[str, str]:
    roots = _visible(connection, viewer, parents)
    if parents - roots.keys():
        raise NotFound("the job it was made from is not there")
    return roots


def _numbers(connection: Connection, job_ids: Sequence[str]) -> dict[str, int]:
    query = select(jobs.c.id, jobs.c.number).where(jobs.c.id.in_(job_ids))
    return {row.id: row.number for row in connection.execute(query)}


def _insert_all(connection: Connection, table: Table, rows: Iterable[Values]) -> None:
    found = list(rows)
    if found:
        connection.execute(insert(table), found)


def _job_row(viewer: Viewer, job_id: str, new: NewJob, root_id: str, now: float) -> Values:
    return {
        "id": job_id,
        "owner_id": viewer.user_id,
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
        "root_id": root_id,
        "created_at": now,
        "state": JobState.ACCEPTED.value,
        "state_at": now,
        "attempts": 0,
        "evidence": "",
        "waiting_reason": "",
        "seq": 0,
        "search_text": search_text(new.name, new.application, *new.labels),
    }


def _input_row(number: int, file: JobInput) -> Values:
    return {"job": number, **asdict(file)}


def remember_definition(connection: Connection, digest: str, name: str, version: str, body: Json) -> None:
    """There is a definition with this digest."""
    insert_missing(connection, definitions, [{"digest": digest, "name": name, "version": version, "body": body}])
