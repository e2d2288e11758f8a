"""Who did what that others should be able to ask about later: signing in, sharing, reading what is another's.

A line is written in the transaction of what it tells, wherever there is one. Nothing here is ever changed or deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, insert, select

from isthmus.errors import InputFault, InvalidInput, NotFound
from isthmus.store.ids import is_id
from isthmus.store.records import Viewer
from isthmus.store.schema import audit, jobs
from isthmus.store.views import number_of
from isthmus.store.words import is_storable

MAX_LIMIT = 200
_MAX_WORDS = 500


class AuditKind(StrEnum):
    """What a line tells of."""

    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  (a word, no secret)
    TOKEN_MADE = "token_made"  # noqa: S105  (a word, no secret)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105  (a word, no secret)
    USER_CREATED = "user_created"
    USER_CHANGED = "user_changed"
    PROJECT_CREATED = "project_created"
    PROJECT_CHANGED = "project_changed"
    CLUSTER_CLOSED = "cluster_closed"
    CLUSTER_OPENED = "cluster_opened"
    CLUSTER_REGISTERED = "cluster_registered"
    JOB_SHARED = "job_shared"
    SHARE_ENDED = "share_ended"
    JOB_READ = "job_read"
    JOB_READ_BY_ADMINISTRATOR = "job_read_by_administrator"
    LINK_OPENED = "link_opened"
    OUTPUT_DOWNLOADED = "output_downloaded"
    INPUT_COPIED = "input_copied"
    JOB_CHANGED_BY_ADMINISTRATOR = "job_changed_by_administrator"
    JOB_DELETED_BY_ADMINISTRATOR = "job_deleted_by_administrator"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and the address they came from. `user_id` is None for somebody who is not signed in."""

    user_id: str | None
    name: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line to be written; `job` is a job's number."""

    actor: Actor
    kind: AuditKind
    words: str = ""
    job: int | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A line as it is read; `user` is the user's name then, or says who else it was."""

    id: int
    at: float
    user_id: str | None
    user: str
    kind: AuditKind
    job_id: str | None
    words: str
    address: str


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines: of a user (by name), of one kind or of `kinds`, of one job, from `since` on; and before that id."""

    user: str | None = None
    kind: AuditKind | None = None
    job_id: str | None = None
    before: int | None = None
    limit: int = 50
    since: float | None = None
    kinds: tuple[AuditKind, ...] = ()


def record_audit(connection: Connection, line: AuditLine, now: float) -> None:
    """The line is in the audit, once the transaction is."""
    actor = line.actor
    connection.execute(
        insert(audit),
        {
            "at": now,
            "user_id": actor.user_id,
            "user_name": _storable(actor.name),
            "kind": line.kind.value,
            "job": line.job,
            "words": _storable(line.words),
            "address": _storable(actor.address),
        },
    )


def record_seldom(connection: Connection, line: AuditLine, now: float, every_s: float) -> None:
    """The line is in the audit, or one of the same actor, job and kind that is not older than that."""
    actor = line.actor
    query = select(audit.c.id).where(
        audit.c.job == line.job,
        audit.c.kind == line.kind.value,
        audit.c.user_id.is_(None) if actor.user_id is None else audit.c.user_id == actor.user_id,
        audit.c.user_name == _storable(actor.name),
        audit.c.at > now - every_s,
    )
    if actor.user_id is None:  # of two who are not signed in, the address is all that tells them apart
        query = query.where(audit.c.address == _storable(actor.address))
    if connection.execute(query.limit(1)).first() is None:
        record_audit(connection, line, now)


def _storable(words: str) -> str:
    """The words, cut, or what says that they were none: a wrong name may hold anything."""
    return words[:_MAX_WORDS] if is_storable(words) else "(not readable)"


def audit_rows(connection: Connection, query: AuditQuery) -> list[AuditRow]:
    """At most `query.limit` (1 to 200) lines, the newest first."""
    rows = (
        select(audit.c.id, audit.c.at, audit.c.user_id, audit.c.user_name, audit.c.kind, jobs.c.id)
        .add_columns(audit.c.words, audit.c.address)
        .outerjoin(jobs, jobs.c.number == audit.c.job)
        .where(*_conditions(query))
        .order_by(audit.c.id.desc())
        .limit(max(1, min(query.limit, MAX_LIMIT)))
    )
    return [_row(*row) for row in connection.execute(rows)]


def _row(
    id_: int, at: float, user_id: str | None, user: str, kind: str, job_id: str | None, words: str, address: str
) -> AuditRow:
    return AuditRow(id_, at, user_id, user, AuditKind(kind), job_id, words, address)


def _conditions(query: AuditQuery) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.user is not None:
        found.append(audit.c.user_name == query.user)
    if query.kind is not None:
        found.append(audit.c.kind == query.kind.value)
    if query.kinds:
        found.append(audit.c.kind.in_([kind.value for kind in query.kinds]))
    if query.job_id is not None:
        found.append(jobs.c.id == _checked_id(query.job_id))
    if query.since is not None:
        found.append(audit.c.at >= query.since)
    if query.before is not None:
        found.append(audit.c.id < query.before)
    return found


def _checked_id(job_id: str) -> str:
    if not is_id(job_id):
        message = "is not a job's id"
        raise InvalidInput(message, (InputFault("query.job", "unknown_job", message),))
    return job_id


def audit_of_job(
    connection: Connection,
    viewer: Viewer,
    job_id: str,
    before: int | None,
    limit: int,
    kinds: tuple[AuditKind, ...] = (),
) -> list[AuditRow]:
    """What is told of the job, the newest first. NotFound: it is not the viewer's own."""
    if viewer.job_id is not None:
        raise NotFound("there is no such job")
    number_of(connection, viewer, job_id)
    return audit_rows(connection, AuditQuery(job_id=job_id, before=before, limit=limit, kinds=kinds))
