"""Which files there are, whose they are, and which nobody needs any more. Their bytes are in `isthmus.files`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, insert, select, union, update

from isthmus.errors import NotFound
from isthmus.store.conflicts import insert_or_refresh
from isthmus.store.ids import is_id, new_id
from isthmus.store.records import Viewer
from isthmus.store.rows import Values
from isthmus.store.schema import files, job_inputs, jobs, outputs, remote_outputs, uploads


@dataclass(frozen=True, slots=True)
class Upload:
    """A file somebody uploaded."""

    id: str
    owner_id: str
    sha256: str
    name: str
    media_type: str
    size: int
    created_at: float


_UPLOAD = (
    *(uploads.c.id, uploads.c.owner_id, uploads.c.sha256, uploads.c.name),
    *(uploads.c.media_type, uploads.c.size, uploads.c.created_at),
)


def keep_files(connection: Connection, found: Iterable[tuple[str, int]], now: float) -> None:
    """There is a row for each (sha256, size), locked until the transaction ends: nobody forgets it meanwhile."""
    rows: list[Values] = [{"sha256": sha256, "size": size, "created_at": now} for sha256, size in sorted(set(found))]
    insert_or_refresh(connection, files, ("sha256",), "created_at", rows)


def add_upload(
    connection: Connection, viewer: Viewer, sha256: str, size: int, name: str, media_type: str, now: float
) -> Upload:
    """The viewer has this file under a new upload id."""
    keep_files(connection, [(sha256, size)], now)
    upload = Upload(new_id(now), viewer.user_id, sha256, name, media_type, size, now)
    row = {column.name: getattr(upload, column.name) for column in _UPLOAD}
    connection.execute(insert(uploads), row)
    return upload


def upload(connection: Connection, viewer: Viewer, upload_id: str) -> Upload:
    """The upload. NotFound: there is none, or it is not the viewer's."""
    query = select(*_UPLOAD).where(uploads.c.id == upload_id, *_mine(viewer))
    row = connection.execute(query).one_or_none() if is_id(upload_id) else None
    if row is None:
        raise NotFound("there is no such file")
    return Upload(*row)


def upload_contents(connection: Connection, viewer: Viewer, ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """SHA-256 and name of each of these uploads that is or was the viewer's, deleted ones too."""
    query = select(uploads.c.id, uploads.c.sha256, uploads.c.name).where(uploads.c.id.in_(ids))
    if not viewer.is_admin:
        query = query.where(uploads.c.owner_id == viewer.user_id)
    return {row.id: (row.sha256, row.name) for row in connection.execute(query)}


def list_uploads(connection: Connection, viewer: Viewer, limit: int, before: str | None) -> list[Upload]:
    """The viewer's own uploads, the newest first, at most `limit`; ids sort by time, so `before` is one of them."""
    query = select(*_UPLOAD).where(uploads.c.owner_id == viewer.user_id, uploads.c.deleted_at.is_(None))
    if before is not None and is_id(before):
        query = query.where(uploads.c.id < before)
    return [Upload(*row) for row in connection.execute(query.order_by(uploads.c.id.desc()).limit(limit))]


def uses(connection: Connection, viewer: Viewer, hashes: Collection[str]) -> dict[str, int]:
    """By hash: how many of the viewer's own jobs that are not deleted took a file of this content; none is left out."""
    query = (
        select(job_inputs.c.sha256, func.count(job_inputs.c.job.distinct()))
        .join(jobs, jobs.c.number == job_inputs.c.job)
        .where(job_inputs.c.sha256.in_(hashes), jobs.c.owner_id == viewer.user_id)
        .group_by(job_inputs.c.sha256)
    )
    return dict.fromkeys(hashes, 0) | {row[0]: row[1] for row in connection.execute(query)}


def delete_unused(connection: Connection, viewer: Viewer, now: float) -> int:
    """The viewer's uploads are gone whose content no job of theirs took; how many were."""
    took = exists().where(
        job_inputs.c.sha256 == uploads.c.sha256, jobs.c.number == job_inputs.c.job, jobs.c.owner_id == viewer.user_id
    )
    unused = (uploads.c.owner_id == viewer.user_id, uploads.c.deleted_at.is_(None), ~took)
    return connection.execute(update(uploads).where(*unused).values(deleted_at=now)).rowcount


def delete_upload(connection: Connection, viewer: Viewer, upload_id: str, now: float) -> None:
    """The upload is gone for everybody; jobs that take the file as input keep it. NotFound."""
    found = upload(connection, viewer, upload_id)
    connection.execute(update(uploads).where(uploads.c.id == found.id).values(deleted_at=now))


def _mine(viewer: Viewer) -> list[ColumnElement[bool]]:
    kept = uploads.c.deleted_at.is_(None)
    return [kept] if viewer.is_admin else [kept, uploads.c.owner_id == viewer.user_id]


def readable(connection: Connection, viewer: Viewer, hashes: Collection[str]) -> set[str]:
    """Those of the hashes that the viewer may read: an upload of theirs, an input or output of a job they may see."""
    if not hashes:
        return set()
    sources: list[Select[str]] = [
        select(uploads.c.sha256).where(uploads.c.sha256.in_(hashes), *_mine(viewer)),
        select(outputs.c.sha256).where(outputs.c.sha256.in_(hashes)).join(jobs, jobs.c.number == outputs.c.job),
        select(job_inputs.c.sha256)
        .where(job_inputs.c.sha256.in_(hashes))
        .join(jobs, jobs.c.number == job_inputs.c.job),
    ]
    if not viewer.is_admin:
        sources[1:] = [source.where(jobs.c.owner_id == viewer.user_id) for source in sources[1:]]
    return set(connection.execute(union(*sources)).scalars())


def known_files(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Those of the hashes that have a row."""
    return set(connection.execute(select(files.c.sha256).where(files.c.sha256.in_(hashes))).scalars())


def unreferenced(connection: Connection, before: float, limit: int) -> list[str]:
    """Files that nothing refers to and that were last stored before that time, at most `limit`."""
    query = select(files.c.sha256).where(files.c.created_at < before, _unused()).order_by(files.c.created_at)
    return list(connection.execute(query.limit(limit)).scalars())


def forget_files(connection: Connection, hashes: Collection[str], before: float) -> list[str]:
    """The rows of those that are still as `unreferenced` said are gone; returns them: their bytes may go.

    The rows are locked first and looked at in a second statement, so that on PostgreSQL a job accepted or a file
    stored at the same moment is either seen here or finds the row missing.
    """
    named = files.c.sha256.in_(hashes)
    connection.execute(select(files.c.sha256).where(named).order_by(files.c.sha256).with_for_update())
    query = select(files.c.sha256).where(named, files.c.created_at < before, _unused())
    gone = list(connection.execute(query).scalars())
    connection.execute(delete(uploads).where(uploads.c.sha256.in_(gone)))  # deleted ones, as `_unused` says
    connection.execute(delete(files).where(files.c.sha256.in_(gone)))
    return gone


def _unused() -> ColumnElement[bool]:
    return ~(
        exists().where(uploads.c.sha256 == files.c.sha256, uploads.c.deleted_at.is_(None))
        | exists().where(job_inputs.c.sha256 == files.c.sha256)
        | exists().where(outputs.c.sha256 == files.c.sha256)
        | exists().where(remote_outputs.c.sha256 == files.c.sha256)
    )
