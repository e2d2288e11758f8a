"""Pages of the job list, and how many jobs there are; `walking` finds which jobs come next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Subquery,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from isthmus.job import Cause, JobState
from isthmus.store.cursor import Cursor, parse_cursor
from isthmus.store.records import Viewer
from isthmus.store.schema import CURRENT, job_labels, jobs, users
from isthmus.store.walking import PLACES, ListQuery, Sort, next_places

__all__ = ["Count", "JobSummary", "ListQuery", "Page", "Sort", "counts", "page", "summaries"]

MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as a list shows it; `owner` is the owner's name."""

    id: str
    owner_id: str
    owner: str
    name: str
    labels: tuple[str, ...]
    application: str
    version: str
    cluster: str
    state: JobState
    state_at: float
    cause: Cause | None
    waiting_reason: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    cancel_requested_at: float | None
    parent_id: str | None
    archived_at: float | None
    deleted_at: float | None
    seq: int


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in the order asked for; `next_cursor` is None on the last page."""

    jobs: tuple[JobSummary, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many; not `exact`: at least that many."""

    n: int
    exact: bool


def page(connection: Connection, viewer: Viewer, query: ListQuery) -> Page:
    """At most `query.limit` (1 to 200) of the viewer's jobs. InvalidInput: the cursor is not one of this order."""
    limit = max(1, min(query.limit, MAX_LIMIT))
    after = parse_cursor(query.cursor, query.sort.value, query.descending, len(PLACES[query.sort]))
    rows = next_places(connection, viewer, query, after, limit + 1)
    numbers = [int(row[-1]) for row in rows[:limit]]
    cursor = Cursor(query.sort.value, query.descending, rows[limit - 1]) if len(rows) > limit else None
    return Page(summaries(connection, numbers), None if cursor is None else str(cursor))


def counts(connection: Connection, viewer: Viewer, bound: int) -> dict[JobState, Count]:
    """How many of the viewer's current jobs are in each state, exactly up to `bound`."""
    mine = [] if viewer.is_admin else [jobs.c.owner_id == viewer.user_id]
    parts = [
        select(literal(state.value), select(func.count()).select_from(_first(state, mine, bound + 1)).scalar_subquery())
        for state in JobState
    ]
    found = connection.execute(union_all(*parts)).all()
    return {JobState(state): Count(min(n, bound), exact=n <= bound) for state, n in found}


def _first(state: JobState, mine: Sequence[ColumnElement[bool]], limit: int) -> Subquery:
    return select(jobs.c.number).where(CURRENT, jobs.c.state == state.value, *mine).limit(limit).subquery()


_STORED = tuple(name for name in JobSummary.__slots__ if name not in ("owner", "labels"))
_NAMED: BindParameter[Sequence[int]] = bindparam("numbers", expanding=True)
_LABELS = select(job_labels.c.job, job_labels.c.label).where(job_labels.c.job.in_(_NAMED)).order_by(job_labels.c.label)
_SUMMARIES = (
    select(jobs.c.number, users.c.name.label("owner"), *(jobs.c[name] for name in _STORED))
    .join(users, users.c.id == jobs.c.owner_id)
    .where(jobs.c.number.in_(_NAMED))
)


def summaries(connection: Connection, numbers: Sequence[int]) -> tuple[JobSummary, ...]:
    """The jobs with these numbers, in this order."""
    labels: dict[int, list[str]] = defaultdict(list)
    for number, label in connection.execute(_LABELS, {"numbers": numbers}):
        labels[number].append(label)
    found = {}
    for number, owner, *values in connection.execute(_SUMMARIES, {"numbers": numbers}):
        stored = dict(zip(_STORED, values, strict=True))
        stored["state"] = JobState(stored["state"])
        stored["cause"] = None if stored["cause"] is None else Cause(stored["cause"])
        found[number] = JobSummary(**stored, owner=owner, labels=tuple(labels[number]))
    return tuple(found[number] for number in numbers)
