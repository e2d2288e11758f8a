"""Jobs that their owners show to others: to a user, to a project, or to whoever has a link.

A share lets others read one job. It ends when it is revoked or expires, when the job is deleted, and for each reader
when they are disabled or leave the project; a link ends also with the user who made it. Of a link only the SHA-256
is kept: its text is shown once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, insert, or_, select, update

from isthmus.errors import InputFault, InvalidInput, NotFound
from isthmus.store.ids import is_id, new_id
from isthmus.store.listing import JobSummary, summaries
from isthmus.store.notices import NoticeKind, tell_of_act, untell_of_share
from isthmus.store.records import Viewer
from isthmus.store.rows import AnyRow
from isthmus.store.schema import jobs, project_members, projects, shares, users

LINK_DAYS = 7
MAX_LINK_DAYS = 90
MAX_DAYS = 3650
DAY_S = 86_400.0
MAX_LIMIT = 200
_MAX_SHARES = 200


class ShareKind(StrEnum):
    USER = "user"
    PROJECT = "project"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class ShareWith:
    """Whom a job is shown to: the user or project of this name, or whoever has the link; and for how many days.

    Without `days` a link lives for `LINK_DAYS`, any other share until it is revoked.
    """

    kind: ShareKind
    name: str = ""
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share that stands. `name` is the user's or the project's, empty for a link; `by` the name of who made it."""

    id: str
    job_id: str
    kind: ShareKind
    name: str
    by: str
    created_at: float
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class NewShare:
    """A share just made; `link` is a link's text, which is shown this one time."""

    share: Share
    link: str | None


@dataclass(frozen=True, slots=True)
class SharedJob:
    """A job that somebody else shows to the reader, and the newest of the shares that do."""

    share: Share
    job: JobSummary


@dataclass(frozen=True, slots=True)
class Shown:
    """How a job stands to a reader: whose it is, and the share that shows it to them, if one does."""

    number: int
    job_id: str
    owner_id: str
    share: Share | None


# --- making and ending them -------------------------------------------------------------------------------------------
def make_share(
    connection: Connection, viewer: Viewer, job_id: str, wanted: ShareWith, by_name: str, now: float
) -> tuple[int, NewShare]:
    """The job's number, and the share that shows the job; one with the same person or project lasts as is asked now.

    A user it is newly shown to is told so, and that the person of this name did it. NotFound: the job is not the
    viewer's own. InvalidInput: whom it can't be shown to, or for how long.
    """
    number, owner_id = _own_job(connection, viewer, job_id)
    expires_at = _expires_at(wanted, now)
    user_id = _reader(connection, owner_id, wanted.name) if wanted.kind is ShareKind.USER else None
    project_id = _project(connection, viewer, wanted.name) if wanted.kind is ShareKind.PROJECT else None
    text = secrets.token_urlsafe(32) if wanted.kind is ShareKind.LINK else None
    share_id = None if text else _made_before(connection, number, user_id, project_id, now)
    if share_id is None:
        share_id = _insert(connection, viewer, number, (user_id, project_id, text), (now, expires_at))
        if user_id is not None:
            tell_of_act(connection, NoticeKind.SHARED, [(number, user_id)], by_name, now)
    else:
        connection.execute(update(shares).where(shares.c.id == share_id).values(expires_at=expires_at))
    share = _share(connection.execute(_SHARES.where(shares.c.id == share_id)).one())
    return number, NewShare(share, text)


def _own_job(connection: Connection, viewer: Viewer, job_id: str) -> tuple[int, str]:
    query = select(jobs.c.number, jobs.c.owner_id).where(jobs.c.id == job_id, jobs.c.deleted_at.is_(None))
    if not viewer.is_admin:
        query = query.where(jobs.c.owner_id == viewer.user_id)
    row = connection.execute(query.with_for_update()).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    return int(row.number), str(row.owner_id)


def _expires_at(wanted: ShareWith, now: float) -> float | None:
    is_link = wanted.kind is ShareKind.LINK
    days, most = (LINK_DAYS if is_link and wanted.days is None else wanted.days), MAX_LINK_DAYS if is_link else MAX_DAYS
    if days is not None and not 1 <= days <= most:
        raise _refused("days", "out_of_range", f"must be 1 to {most}")
    return None if days is None else now + days * DAY_S


def _reader(connection: Connection, owner_id: str, name: str) -> str:
    query = select(users.c.id).where(users.c.name == name, users.c.disabled_at.is_(None))
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise _refused("user", "unknown_user", "there is no user of that name who can sign in")
    if found == owner_id:
        raise _refused("user", "owner", "is the job's owner, who sees it anyway")
    return str(found)


def _project(connection: Connection, viewer: Viewer, name: str) -> str:
    query = select(projects.c.id).where(projects.c.name == name)
    if not viewer.is_admin:
        query = query.join(project_members, project_members.c.project_id == projects.c.id)
        query = query.where(project_members.c.user_id == viewer.user_id)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise _refused("project", "unknown_project", "you are in no project of that name")
    return str(found)


def _refused(field: str, code: str, message: str) -> InvalidInput:
    return InvalidInput(f"{field}: {message}", (InputFault(field, code, message),))


def _made_before(
    connection: Connection, number: int, user_id: str | None, project_id: str | None, now: float
) -> str | None:
    target = shares.c.user_id == user_id if project_id is None else shares.c.project_id == project_id
    query = select(shares.c.id).where(shares.c.job == number, target, _stands(now))
    return connection.execute(query.order_by(shares.c.id).limit(1)).scalar_one_or_none()


def _insert(
    connection: Connection,
    viewer: Viewer,
    number: int,
    target: tuple[str | None, str | None, str | None],
    times: tuple[float, float | None],
) -> str:
    query = select(func.count()).select_from(shares).where(shares.c.job == number, _stands(times[0]))
    if connection.execute(query).scalar_one() >= _MAX_SHARES:
        raise InvalidInput(f"a job has at most {_MAX_SHARES} shares: revoke some, or share it with a project")
    share_id, (user_id, project_id, text) = new_id(times[0]), target
    row = {"id": share_id, "job": number, "user_id": user_id, "project_id": project_id, "created_by": viewer.user_id}
    row |= {"link_sha256": None if text is None else _sha256(text)}
    connection.execute(insert(shares), {**row, "created_at": times[0], "expires_at": times[1]})
    return share_id


def end_share(connection: Connection, viewer: Viewer, job_id: str, share_id: str, now: float) -> tuple[int, Share]:
    """The job's number, and the share that shows it to nobody any more. NotFound: the job's owner has none such."""
    number, _ = _own_job(connection, viewer, job_id)
    query = _SHARES.where(shares.c.id == share_id, shares.c.job == number, _stands(now))
    row = connection.execute(query).one_or_none() if is_id(share_id) else None
    if row is None:
        raise NotFound("the job has no such share, or not any more")
    ended = update(shares).where(shares.c.id == share_id).values(revoked_at=now).returning(shares.c.user_id)
    reader_id = connection.execute(ended).scalar_one()
    if reader_id is not None:  # who may not see the job any more need not go on reading of it
        untell_of_share(connection, number, reader_id)
    return number, _share(row)


# --- reading them -----------------------------------------------------------------------------------------------------
_MAKER = users.alias("maker")
_READER = users.alias("reader")
_SHARES = (
    select(shares.c.id, jobs.c.id.label("job_id"), shares.c.created_at, shares.c.expires_at)
    .add_columns(_MAKER.c.name.label("by"), _READER.c.name.label("user_name"), projects.c.name.label("project_name"))
    .join(jobs, jobs.c.number == shares.c.job)
    .join(_MAKER, _MAKER.c.id == shares.c.created_by)
    .outerjoin(_READER, _READER.c.id == shares.c.user_id)
    .outerjoin(projects, projects.c.id == shares.c.project_id)
)


def _share(row: AnyRow) -> Share:
    kind = ShareKind.USER if row.user_name else ShareKind.PROJECT if row.project_name else ShareKind.LINK
    name = row.user_name or row.project_name or ""
    return Share(row.id, row.job_id, kind, name, row.by, row.created_at, row.expires_at)


def _stands(now: float) -> ColumnElement[bool]:
    return and_(shares.c.revoked_at.is_(None), or_(shares.c.expires_at.is_(None), shares.c.expires_at > now))


def _shown_to(user_id: str) -> ColumnElement[bool]:
    """True of shares with the user and with the projects they are in now."""
    mine = select(project_members.c.project_id).where(project_members.c.user_id == user_id)
    return or_(shares.c.user_id == user_id, shares.c.project_id.in_(mine))


def shares_of(connection: Connection, viewer: Viewer, job_id: str, now: float) -> list[Share]:
    """The job's shares that stand, the newest first. NotFound: it is not the viewer's own."""
    number, _ = _own_job(connection, viewer, job_id)
    query = _SHARES.where(shares.c.job == number, _stands(now)).order_by(shares.c.id.desc())
    return [_share(row) for row in connection.execute(query)]


_WHOSE = select(jobs.c.number, jobs.c.owner_id, jobs.c.deleted_at).where(jobs.c.id == bindparam("which"))


def shown(connection: Connection, viewer: Viewer, job_id: str, now: float) -> Shown:
    """How the job stands to the viewer. NotFound: it is neither theirs nor shown to them."""
    row = connection.execute(_WHOSE, {"which": job_id}).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    if viewer.sees(row.owner_id, job_id):
        return Shown(row.number, job_id, row.owner_id, None)
    theirs = _SHARES.where(shares.c.job == row.number, _shown_to(viewer.user_id), _stands(now))
    found = connection.execute(theirs.order_by(shares.c.id.desc()).limit(1)).one_or_none()
    if found is None or row.deleted_at is not None:
        raise NotFound("there is no such job")
    return Shown(row.number, job_id, row.owner_id, _share(found))


def shown_by_link(connection: Connection, text: str, now: float) -> Shown:
    """How the job stands that the link shows. NotFound: it shows none, or not any more."""
    query: Select[*tuple[Any, ...]] = _SHARES.add_columns(jobs.c.number, jobs.c.owner_id).where(
        shares.c.link_sha256 == _sha256(text), _stands(now), jobs.c.deleted_at.is_(None), _MAKER.c.disabled_at.is_(None)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("this link shows nothing, or not any more: ask whoever gave it to you for a new one")
    return Shown(row.number, row.job_id, row.owner_id, _share(row))


def shared_with(connection: Connection, viewer: Viewer, now: float, before: str | None, limit: int) -> list[SharedJob]:
    """Jobs of others that are shown to the viewer, the newest share first, each once, at most `limit` (1 to 200).

    Share ids sort by time, so `before` is the id of the last share on the page before.
    """
    newest = func.max(shares.c.id).label("newest")
    query = (
        select(shares.c.job, newest)
        .join(jobs, jobs.c.number == shares.c.job)
        .where(_shown_to(viewer.user_id), _stands(now), jobs.c.deleted_at.is_(None))
        .where(jobs.c.owner_id != viewer.user_id)
        .group_by(shares.c.job)
        .order_by(newest.desc())
        .limit(max(1, min(limit, MAX_LIMIT)))
    )
    if before is not None and is_id(before):
        query = query.having(newest < before)
    found = connection.execute(query).all()
    by_id = _by_id(connection, (share_id for _, share_id in found))
    told = summaries(connection, [number for number, _ in found])
    return [SharedJob(by_id[share_id], job) for (_, share_id), job in zip(found, told, strict=True)]


def _by_id(connection: Connection, ids: Iterable[str]) -> dict[str, Share]:
    return {row.id: _share(row) for row in connection.execute(_SHARES.where(shares.c.id.in_(list(ids))))}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
