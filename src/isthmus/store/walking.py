"""Pages of the job list, and how many jobs there are: quick with a million of them, and right while jobs arrive.

A page starts after the last job of the page before (keyset), never at a count, so it neither skips nor repeats a job
that was there from the start. "By creation" is by number: the numbers are given in that order, and the job's key, the
text index and the labels' index are all in it. What the order's own index can serve is the *walk*; everything else is
the *sieve*. Tries, each only when the one before could not know the answer:

1. the next WINDOW jobs of the walk, sieved: fills the page where what is looked for is common;
2. the nearest MATCHES jobs of the text or label index for the sieve's rarest word or label. Where that index can't
   give the nearest (PostgreSQL's words, other orders): first STRETCH jobs of the walk, if they promise enough;
3. the whole walk, sieved: where it is common, but hardly ever with the rest of what is asked.

Whether a try saw everything is told by the statement that found its jobs: two statements could see different jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any, TypeAlias

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TextClause,
    case,
    column,
    exists,
    func,
    literal,
    select,
    table,
    text,
    true,
    tuple_,
    union_all,
)

from isthmus.job import JobState
from isthmus.store.cursor import Cursor, Key
from isthmus.store.records import Viewer
from isthmus.store.schema import ARCHIVED, CURRENT, job_labels, jobs, users
from isthmus.store.words import MAX_WORDS, is_storable, words_of

Condition: TypeAlias = ColumnElement[bool] | TextClause
Rows: TypeAlias = Select[*tuple[Any, ...]]

WINDOW = 1500
STRETCH = 15_000
MATCHES = 5000
MAX_BRANCHES = 12  # states times applications that are each walked by themselves
CLOCK_S = 300.0  # a job numbered later was not created earlier by more than this: clocks are set, and differ


class Sort(StrEnum):
    CREATED = "created"
    STATE_AT = "state_at"
    NAME = "name"
    APPLICATION = "application"
    STATE = "state"


ORDERS: Mapping[Sort, tuple[str, ...]] = {
    Sort.CREATED: ("number",),
    Sort.STATE_AT: ("state_at", "number"),
    Sort.NAME: ("name", "number"),
    Sort.APPLICATION: ("application", "number"),
    Sort.STATE: ("state", "number"),
}
"""What each order sorts by, the job's number last, so that no two jobs are equal."""

PLACES: Mapping[Sort, tuple[str, ...]] = {
    Sort.CREATED: ("created_at", "number"),
    Sort.STATE_AT: ("state_at", "number"),
    Sort.NAME: ("name", "created_at", "number"),
    Sort.APPLICATION: ("application", "created_at", "number"),
    Sort.STATE: ("state", "created_at", "number"),
}
"""What a cursor of each order holds: the sort keys and a time."""

_ASKED = ("owner_id", "name", "application", "cluster", "state", "state_at", "created_at", "archived_at", "deleted_at")
_LOOKED_AT = (jobs.c.number, jobs.c.search_text, *(jobs.c[name] for name in _ASKED))
_job_search = table("job_search", column("rowid"), column("job_search"))


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which jobs, in which order. Empty filters let everything through; `labels` must all be there, as must the words
    of `text`, each as the beginning of a word. `owner` is a user's name. Times are epoch seconds, `before` exclusive.
    """

    states: tuple[JobState, ...] = ()
    applications: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    text: str = ""
    labels: tuple[str, ...] = ()
    created_after: float | None = None
    created_before: float | None = None
    owner: str | None = None
    archived: bool = False
    sort: Sort = Sort.CREATED
    descending: bool = True
    cursor: str | None = None
    limit: int = 50


def next_places(
    connection: Connection, viewer: Viewer, query: ListQuery, after: Cursor | None, limit: int
) -> list[tuple[Key, ...]]:
    """The places of the next jobs of the list, at most `limit`; the last part of a place is the job's number."""
    scope = _scope(connection, viewer, query, after)
    if scope is None:
        return []
    whole = _whole_sieve(query)
    branches, sieve = _divided(whole, query.sort)
    return _found(connection, _Walk(scope.order, scope, branches), whole, sieve, limit)


@dataclass(frozen=True, slots=True)
class _Order:
    sort: Sort
    descending: bool

    def place(self, source: FromClause) -> tuple[ColumnElement[Key], ...]:
        return tuple(source.c[name] for name in PLACES[self.sort])

    def first(self, rows: Rows, source: FromClause, limit: int) -> Rows:
        return rows.order_by(*self.keys(source)).limit(limit)

    def keys(self, source: FromClause) -> Iterator[ColumnElement[Any]]:
        return (source.c[n].desc() if self.descending else source.c[n].asc() for n in ORDERS[self.sort])


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose jobs, from which place, after which one, between which times: ranges of every index of a walk."""

    order: _Order
    archived: bool
    owner_id: str | None
    after: Cursor | None
    created_after: float | None
    created_before: float | None
    above: int | None
    below: int | None

    def on(self, source: FromClause) -> Iterator[Condition]:
        yield ARCHIVED if self.archived else CURRENT
        if self.owner_id is not None:
            yield source.c.owner_id == self.owner_id
        if self.created_after is not None:
            yield source.c.created_at >= self.created_after
        if self.created_before is not None:
            yield source.c.created_at < self.created_before
        yield from self.numbered(source.c.number)
        if self.after is not None and self.order.sort is not Sort.CREATED:
            yield self._is_after(source, self.after)

    def numbered(self, number: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
        """What can be said of a job that only its number is known of."""
        if self.above is not None:
            yield number > self.above
        if self.below is not None:
            yield number < self.below
        if self.after is not None and self.order.sort is Sort.CREATED:
            last = int(self.after.keys[-1])
            yield number < last if self.order.descending else number > last

    def _is_after(self, source: FromClause, after: Cursor) -> ColumnElement[bool]:
        names = ORDERS[self.order.sort]
        values = dict(zip(PLACES[self.order.sort], after.keys, strict=True))
        last = tuple_(*(literal(values[name], jobs.c[name].type) for name in names))
        here = tuple_(*(source.c[name] for name in names))
        return here < last if self.order.descending else here > last


def _scope(connection: Connection, viewer: Viewer, query: ListQuery, after: Cursor | None) -> _Scope | None:
    """None where nothing can be found."""
    named = (*query.applications, *query.clusters, *query.labels, query.owner or "")
    if not all(is_storable(name) for name in named):
        return None
    owner_id = None if viewer.is_admin else viewer.user_id
    if query.owner is not None:
        asked = connection.execute(select(users.c.id).where(users.c.name == query.owner)).scalar_one_or_none()
        if asked is None or owner_id not in (None, asked):
            return None
        owner_id = asked
    above, below = _numbers_between(connection, query.created_after, query.created_before)
    order = _Order(query.sort, query.descending)
    return _Scope(order, query.archived, owner_id, after, query.created_after, query.created_before, above, below)


def _numbers_between(
    connection: Connection, created_after: float | None, created_before: float | None
) -> tuple[int | None, int | None]:
    """Numbers outside which no job was created between these times, so that time bounds a walk by number."""
    at, above, below = jobs.c.created_at, None, None
    if created_after is not None:
        earlier = select(jobs.c.number).where(at < created_after - CLOCK_S)
        above = connection.scalar(earlier.order_by(at.desc(), jobs.c.number.desc()).limit(1))
    if created_before is not None:
        later = select(jobs.c.number).where(at >= created_before + CLOCK_S)
        below = connection.scalar(later.order_by(at, jobs.c.number).limit(1))
    return above, below


@dataclass(frozen=True, slots=True)
class _Walk:
    """Jobs in order. Each branch is one range of one index; their union is walked as if it were one."""

    order: _Order
    scope: _Scope
    branches: tuple[tuple[ColumnElement[bool], ...], ...]

    def rows(self, columns: Sequence[ColumnElement[Any]], limit: int, more: Sequence[Condition] = ()) -> Rows:
        """The columns of the first `limit` jobs for which `more` holds, too."""
        found = select(*columns).where(*self.scope.on(jobs), *more)
        parts = [self.order.first(found.where(*branch), jobs, limit) for branch in self.branches]
        if len(parts) == 1:
            return parts[0]
        merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
        return self.order.first(select(merged), merged, limit)


@dataclass(frozen=True, slots=True)
class _Sieve:
    """What else must hold of a job; the words are each the beginning of one of the job's."""

    states: tuple[JobState, ...]
    applications: tuple[str, ...]
    clusters: tuple[str, ...]
    labels: tuple[str, ...]
    words: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.states or self.applications or self.clusters or self.labels or self.words)

    def on(self, source: FromClause) -> Iterator[ColumnElement[bool]]:
        for name, values in (("state", self.states), ("application", self.applications), ("cluster", self.clusters)):
            if values:
                yield source.c[name].in_([str(value) for value in values])
        yield from self.searched(source)

    def without(self, label: str) -> _Sieve:
        return replace(self, labels=tuple(other for other in self.labels if other != label))

    def searched(self, source: FromClause) -> list[ColumnElement[bool]]:
        """The conditions that have an index of their own: labels, then words."""
        labels = [_has_label(source, label) for label in self.labels]
        return labels + [source.c.search_text.contains(f" {word}", autoescape=True) for word in self.words]


def _has_label(source: FromClause, label: str) -> ColumnElement[bool]:
    tagged = job_labels.alias()
    return exists().where(tagged.c.job == source.c.number, tagged.c.label == label)


@dataclass(frozen=True, slots=True)
class _Try:
    """The places found, how many jobs were looked at, and how many of them pass each searched condition."""

    places: list[tuple[Key, ...]]
    seen: int
    having: list[int]


def _tried(
    connection: Connection, order: _Order, seen: CTE, page: Rows, searched: Sequence[ColumnElement[bool]]
) -> _Try:
    totals = select(func.count(), *(_count_where(condition) for condition in searched)).select_from(seen).subquery()
    found = page.subquery()
    both = select(totals, *order.place(found)).select_from(totals.outerjoin(found, true())).order_by(*order.keys(found))
    rows = [tuple(row) for row in connection.execute(both)]
    n = 1 + len(searched)
    return _Try([row[n:] for row in rows if row[-1] is not None], rows[0][0], list(rows[0][1:n]))


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _found(connection: Connection, walk: _Walk, whole: _Sieve, sieve: _Sieve, limit: int) -> list[tuple[Key, ...]]:
    """The places of the next `limit` jobs of the walk that pass the sieve; `whole` includes what the walk knows."""
    order = walk.order
    if not sieve:
        return _places(connection, walk.rows(order.place(jobs), limit))
    window = walk.rows(_LOOKED_AT, WINDOW).cte()
    searched = sieve.searched(window)
    passing = order.first(select(*order.place(window)).where(*sieve.on(window)), window, limit)
    first = _tried(connection, order, window, passing, searched)
    if len(first.places) == limit or first.seen < WINDOW:
        return first.places
    if not searched:
        return _places(connection, walk.rows(order.place(jobs), limit, tuple(sieve.on(jobs))))
    rare = _rarest(connection, walk, whole, first.having)
    if not rare.in_order and len(first.places) * STRETCH >= limit * WINDOW:
        stretch = walk.rows(_LOOKED_AT, STRETCH).subquery()
        passing = order.first(select(*order.place(stretch)).where(*sieve.on(stretch)), stretch, limit)
        places = _places(connection, passing)
        if len(places) == limit:
            return places
    second = _tried(connection, order, rare.seen, order.first(rare.passing, rare.source, limit), ())
    if second.seen < MATCHES or (rare.in_order and len(second.places) == limit):
        return second.places
    return _places(connection, walk.rows(order.place(jobs), limit, tuple(sieve.on(jobs))))


def _places(connection: Connection, rows: Rows) -> list[tuple[Key, ...]]:
    return [tuple(row) for row in connection.execute(rows)]


@dataclass(frozen=True, slots=True)
class _Rare:
    """What an index has, `seen`, and the places of `source`'s jobs among it that pass. `in_order`: it gave the nearest
    jobs of the walk, else any.
    """

    seen: CTE
    source: FromClause
    passing: Rows
    in_order: bool


def _rarest(connection: Connection, walk: _Walk, whole: _Sieve, having: Sequence[int]) -> _Rare:
    """The label or word that the fewest jobs had, as `having` counts them: labels, then words."""
    rarest = having.index(min(having))
    if rarest < len(whole.labels):
        return _labelled(walk, whole, whole.labels[rarest])
    word = whole.words[rarest - len(whole.labels)]
    return _worded(walk, whole, word) if connection.dialect.name == "sqlite" else _worded_unordered(walk, whole, word)


def _labelled(walk: _Walk, whole: _Sieve, label: str) -> _Rare:
    order, number, has = walk.order, job_labels.c.job, job_labels.c.label == label
    seen = _nearest(walk, number, has)
    last = select((func.min if order.descending else func.max)(seen.c.number)).scalar_subquery()
    passing = (
        select(*order.place(jobs))
        .with_hint(jobs, "NOT INDEXED", "sqlite")
        .join(job_labels, number == jobs.c.number)
        .where(has, number >= last if order.descending else number <= last)
        .where(*walk.scope.on(jobs), *whole.without(label).on(jobs))
    )
    return _Rare(seen, jobs, passing, order.sort is Sort.CREATED)


def _worded(walk: _Walk, whole: _Sieve, word: str) -> _Rare:
    """A word is letters and digits only, so it can't be taken for an operator, here and below."""
    order, matches = walk.order, _job_search.c.job_search.op("MATCH", is_comparison=True)(f'"{word}"*')
    seen = _nearest(walk, _job_search.c.rowid, matches)
    passing = select(*order.place(jobs)).with_hint(jobs, "NOT INDEXED", "sqlite")
    passing = passing.where(jobs.c.number.in_(select(seen.c.number)), *walk.scope.on(jobs), *whole.on(jobs))
    return _Rare(seen, jobs, passing, order.sort is Sort.CREATED)


def _worded_unordered(walk: _Walk, whole: _Sieve, word: str) -> _Rare:
    """PostgreSQL's text index has no order; and told numbers only, its planner may rather read the whole table."""
    wanted = func.to_tsquery(text("'simple'"), f"{word}:*")
    matches = func.to_tsvector(text("'simple'"), jobs.c.search_text).op("@@", is_comparison=True)(wanted)
    seen = select(*_LOOKED_AT).where(matches).limit(MATCHES).cte().prefix_with("MATERIALIZED")
    passing = select(*walk.order.place(seen)).where(*walk.scope.on(seen), *whole.on(seen))
    return _Rare(seen, seen, passing, in_order=False)


def _nearest(walk: _Walk, number: ColumnElement[int], has: ColumnElement[bool]) -> CTE:
    found = select(number.label("number")).where(has, *walk.scope.numbered(number))
    return found.order_by(number.desc() if walk.order.descending else number.asc()).limit(MATCHES).cte()


def _whole_sieve(query: ListQuery) -> _Sieve:
    return _Sieve(
        states=tuple(dict.fromkeys(query.states)),
        applications=tuple(dict.fromkeys(query.applications)),
        clusters=query.clusters,
        labels=tuple(dict.fromkeys(query.labels)),
        words=words_of(query.text)[:MAX_WORDS],
    )


def _divided(whole: _Sieve, sort: Sort) -> tuple[tuple[tuple[ColumnElement[bool], ...], ...], _Sieve]:
    """The ranges that an index of this order serves for states and applications, and the filters left over."""
    states = whole.states if sort in (Sort.CREATED, Sort.STATE) else ()
    applications = whole.applications if sort in (Sort.CREATED, Sort.APPLICATION) else ()
    if max(1, len(states)) * len(applications) > MAX_BRANCHES:
        applications = ()
    choices: list[list[ColumnElement[bool]]] = []
    if states:
        choices.append([jobs.c.state == state.value for state in states])
    if applications:
        choices.append([jobs.c.application == name for name in applications])
    left = replace(
        whole, states=() if states else whole.states, applications=() if applications else whole.applications
    )
    return tuple(product(*choices)), left
