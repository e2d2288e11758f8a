"""What happened to jobs, line by line, and how a reader follows it without missing a line.

On PostgreSQL transactions commit in another order than their events are numbered. So an event carries the number of
its transaction, and a reader stops before the oldest transaction that may still commit: what comes later always
sorts later. On SQLite one writer at a time numbers events in the order of commits.

A dump restored on another server brings events with that one's transaction numbers, which mean nothing here: they
are all set to 0, before those of any transaction, and readers find their place by the event's own number (`standing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from isthmus.errors import InvalidInput
from isthmus.store.records import Viewer
from isthmus.store.schema import events, jobs

Body = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A line to be written about the job with this number."""

    job: int
    owner_id: str
    at: float
    kind: str
    body: Body


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between two events; its text form is an SSE id."""

    xid: int = 0
    id: int = 0

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"

    @classmethod
    def parse(cls, words: str) -> Position:
        """The position whose text form this is. InvalidInput: it is none."""
        xid, dash, id_ = words.partition("-")
        if not (dash and xid.isascii() and xid.isdigit() and id_.isascii() and id_.isdigit() and len(words) < 40):
            raise InvalidInput("the event id is not one of this gateway's")
        return cls(int(xid), int(id_))


@dataclass(frozen=True, slots=True)
class EventRow:
    """One line of the history; reading goes on after `position`."""

    position: Position
    job_id: str
    owner_id: str
    at: float
    kind: str
    body: Body


_INSERT = insert(events)


def record(connection: Connection, lines: Sequence[NewEvent]) -> None:
    """The lines are part of the history, once the transaction is."""
    if lines:
        rows = [{"job": e.job, "owner_id": e.owner_id, "at": e.at, "kind": e.kind, "body": dict(e.body)} for e in lines]
        connection.execute(_INSERT, rows)


def events_after(
    connection: Connection, viewer: Viewer | None, position: Position, limit: int, job_id: str | None = None
) -> list[EventRow]:
    """The next events the viewer may see (None: the gateway itself, all), oldest first, at most `limit`."""
    whose = None if viewer is None or viewer.is_admin else viewer.user_id
    if viewer is not None and viewer.job_id is not None:
        if job_id not in (None, viewer.job_id):
            return []
        whose, job_id = None, viewer.job_id
    query = _after(connection.dialect.name, whose is not None, job_id is not None)
    values = {"xid": position.xid, "id": position.id, "most": limit, "whose": whose, "which": job_id}
    rows = connection.execute(query, {name: value for name, value in values.items() if value is not None})
    return [seen_by(viewer, EventRow(Position(xid, id_), *rest)) for xid, id_, *rest in rows]


def seen_by(viewer: Viewer | None, row: EventRow) -> EventRow:
    """The event as this viewer may read it: guests don't learn administrators' names, nor earlier names and labels."""
    if viewer is None or viewer.job_id is None or _OWNERS_WORDS.isdisjoint(row.body):
        return row
    return replace(row, body={name: value for name, value in row.body.items() if name not in _OWNERS_WORDS})


_OWNERS_WORDS = frozenset({"administrator", "what"})


@cache
def _after(dialect: str, of_one_owner: bool, of_one_job: bool) -> Select[*tuple[Any, ...]]:
    position = tuple_(bindparam("xid", type_=BigInteger()), bindparam("id", type_=BigInteger()))
    query = (
        select(events.c.xid, events.c.id, jobs.c.id, events.c.owner_id, events.c.at, events.c.kind, events.c.body)
        .join(jobs, jobs.c.number == events.c.job)
        .where(tuple_(events.c.xid, events.c.id) > position, _settled(dialect))
        .order_by(events.c.xid, events.c.id)
        .limit(bindparam("most", type_=Integer()))
    )
    if of_one_owner:
        query = query.where(events.c.owner_id == bindparam("whose"))
    return query.where(jobs.c.id == bindparam("which")) if of_one_job else query


def newest_position(connection: Connection) -> Position:
    """After every event that a reader may see now."""
    query = select(events.c.xid, events.c.id).where(_settled(connection.dialect.name))
    row = connection.execute(query.order_by(events.c.xid.desc(), events.c.id.desc()).limit(1)).one_or_none()
    return Position() if row is None else Position(*row)


def standing(connection: Connection, position: Position) -> Position:
    """Where an event stands now that once stood at this position: renumbering may have moved it.

    What a restored database has lost stands after all that it has and before all that is new. (Where nothing was
    renumbered, nobody can tell what was lost: such a reader goes on at the end.)
    """
    xid = connection.execute(select(events.c.xid).where(events.c.id == position.id)).scalar_one_or_none()
    if xid is not None and xid in (0, position.xid):
        return Position(xid, position.id)
    renumbered = select(events.c.id).where(events.c.xid == 0).limit(1)
    if connection.dialect.name != "sqlite" and connection.execute(renumbered).first():
        return Position(0, position.id)  # its number may be another event's by now
    return min(position, newest_position(connection))


_SNAPSHOT_END: ColumnElement[int] = literal_column("pg_snapshot_xmax(pg_current_snapshot())::text::bigint")


def renumber_restored(connection: Connection) -> int:
    """No event names a transaction that this PostgreSQL has not come to; how many were renumbered.

    Of what a transaction sees, all was committed before its snapshot's end, so such an event is from another server.
    """
    newest = connection.execute(select(func.max(events.c.xid))).scalar_one_or_none()
    if newest is None or newest < connection.execute(select(_SNAPSHOT_END)).scalar_one():
        return 0
    return connection.execute(update(events).where(events.c.xid != 0).values(xid=0)).rowcount


def _settled(dialect: str) -> ColumnElement[bool]:
    """True of events that no later commit can come before."""
    if dialect == "sqlite":
        return true()
    return events.c.xid < literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
