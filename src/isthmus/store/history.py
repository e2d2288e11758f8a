"""What happened to jobs, line by line, and how a reader follows it without missing a line.

On PostgreSQL transactions commit in another order than their events are numbered. So an event carries the number of
its transaction, and a reader stops before the oldest transaction that may still commit: what comes later always
sorts later. On SQLite one writer at a time numbers events in the order of commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    cast,
    func,
    insert,
    literal,
    literal_column,
    select,
    true,
    tuple_,
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


def record(connection: Connection, lines: Sequence[NewEvent]) -> None:
    """The lines are part of the history, once the transaction is."""
    if lines:
        rows = [{"job": e.job, "owner_id": e.owner_id, "at": e.at, "kind": e.kind, "body": dict(e.body)} for e in lines]
        connection.execute(insert(events), rows)


def events_after(
    connection: Connection, viewer: Viewer | None, position: Position, limit: int, job_id: str | None = None
) -> list[EventRow]:
    """The next events the viewer may see (None: the gateway itself, all), oldest first, at most `limit`."""
    query = (
        select(events.c.xid, events.c.id, jobs.c.id, events.c.owner_id, events.c.at, events.c.kind, events.c.body)
        .join(jobs, jobs.c.number == events.c.job)
        .where(tuple_(events.c.xid, events.c.id) > tuple_(literal(position.xid), literal(position.id)))
        .where(_settled(connection))
        .order_by(events.c.xid, events.c.id)
        .limit(limit)
    )
    if viewer is not None and not viewer.is_admin:
        query = query.where(events.c.owner_id == viewer.user_id)
    if job_id is not None:
        query = query.where(jobs.c.id == job_id)
    return [EventRow(Position(xid, id_), *rest) for xid, id_, *rest in connection.execute(query)]


def newest_position(connection: Connection) -> Position:
    """After every event that a reader may see now."""
    query = select(events.c.xid, events.c.id).where(_settled(connection))
    row = connection.execute(query.order_by(events.c.xid.desc(), events.c.id.desc()).limit(1)).one_or_none()
    return Position() if row is None else Position(*row)


def settled_marker(connection: Connection) -> str:
    """Changes when any transaction on this PostgreSQL ends, and rarely otherwise."""
    return str(connection.execute(select(cast(func.pg_current_snapshot(), Text))).scalar_one())


def _settled(connection: Connection) -> ColumnElement[bool]:
    """True of events that no later commit can come before."""
    if connection.dialect.name == "sqlite":
        return true()
    return events.c.xid < literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
