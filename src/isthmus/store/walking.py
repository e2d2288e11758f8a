"""Finding the next jobs of a list without looking at all of them.

A page starts after the last job of the page before (keyset), never at a count, so it neither skips nor repeats a job
that was there from the start. What the sort order's own index can serve is the *walk*; everything else is the *sieve*.
First the sieve is held under a sample, the next jobs of the walk. Where what is looked for is common, a stretch of the
walk fills the page; where it is rare, the sieve's own indexes (text, labels) find it quickly. Databases that keep
statistics choose between the two by themselves, not always well; SQLite doesn't, so it is done here for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TextClause,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    text,
    tuple_,
    union_all,
)

from isthmus.job import JobState
from isthmus.store.cursor import Cursor, Key
from isthmus.store.records import Viewer
from isthmus.store.schema import ARCHIVED, CURRENT, job_labels, jobs, users
from isthmus.store.words import MAX_WORDS, is_storable, words_of

Filter: TypeAlias = ColumnElement[bool] | TextClause
Rows: TypeAlias = Select[*tuple[Any, ...]]

SAMPLE = 1500
STRETCH = 8000
MAX_BRANCHES = 12  # states times applications that are each walked by themselves


class Sort(StrEnum):
    CREATED = "created"
    STATE_AT = "state_at"
    NAME = "name"
    APPLICATION = "application"
    STATE = "state"


KEYS: Mapping[Sort, tuple[Column[Key], ...]] = {
    Sort.CREATED: (jobs.c.created_at, jobs.c.number),
    Sort.STATE_AT: (jobs.c.state_at, jobs.c.number),
    Sort.NAME: (jobs.c.name, jobs.c.created_at, jobs.c.number),
    Sort.APPLICATION: (jobs.c.application, jobs.c.created_at, jobs.c.number),
    Sort.STATE: (jobs.c.state, jobs.c.created_at, jobs.c.number),
}
"""What each order sorts by, the job's number last, so that no two jobs are equal."""

_SIEVED = (jobs.c.state, jobs.c.application, jobs.c.cluster, jobs.c.search_text)


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


def found_keys(
    connection: Connection, viewer: Viewer, query: ListQuery, after: Cursor | None, limit: int
) -> list[tuple[Key, ...]]:
    """The sort keys of the next `limit` of the viewer's jobs that the query lets through, after the cursor."""
    base = _base(connection, viewer, query)
    if base is None:
        return []
    branches, sieve = _divided(query)
    ranges = (*base, *_from_cursor(query, after), *_in_time(query))
    walk = _Walk(query.sort, query.descending, tuple((*ranges, *branch) for branch in branches))
    return [tuple(row[: len(KEYS[query.sort])]) for row in _sieved(connection, walk, sieve, limit)]


def _sieved(connection: Connection, walk: _Walk, sieve: _Sieve, limit: int) -> Sequence[tuple[Any, ...]]:
    if not sieve:
        return connection.execute(walk.rows(limit)).all()
    sample = walk.rows(SAMPLE, keep=_SIEVED).subquery()
    seen, passing, *having = connection.execute(sieve.counting(sample)).one()
    if seen < SAMPLE or passing >= limit:
        return connection.execute(walk.ordered(select(sample).where(*sieve.on(sample)), sample, limit)).all()
    if passing * STRETCH >= limit * SAMPLE:
        stretch = walk.rows(STRETCH, keep=_SIEVED).subquery()
        passed = connection.execute(walk.ordered(select(stretch).where(*sieve.on(stretch)), stretch, limit)).all()
        if len(passed) == limit:
            return passed
    more = (*sieve.on(jobs), *sieve.indexed(connection, having))
    return connection.execute(walk.rows(limit, more, by_number=sieve.is_rare)).all()


@dataclass(frozen=True, slots=True)
class _Walk:
    """Jobs in order. Each branch is one range of one index; their union is walked as if it were one."""

    sort: Sort
    descending: bool
    branches: tuple[tuple[Filter, ...], ...]

    def rows(
        self, limit: int, more: Sequence[Filter] = (), *, keep: Sequence[Column[Any]] = (), by_number: bool = False
    ) -> Rows:
        """The first `limit` jobs for which `more` holds, too: their sort keys, then other columns kept.

        `by_number`: `more` names the numbers of few jobs; SQLite, which can't know that, is told.
        """
        found = select(*dict.fromkeys((*KEYS[self.sort], *keep))).where(*more)
        if by_number:
            found = found.with_hint(jobs, "NOT INDEXED", "sqlite")
        parts = [self.ordered(found.where(*branch), jobs, limit) for branch in self.branches]
        if len(parts) == 1:
            return parts[0]
        merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
        return self.ordered(select(merged), merged, limit)

    def ordered(self, query: Rows, source: FromClause, limit: int) -> Rows:
        keys = (source.c[key.name] for key in KEYS[self.sort])
        return query.order_by(*(key.desc() if self.descending else key.asc() for key in keys)).limit(limit)


@dataclass(frozen=True, slots=True)
class _Sieve:
    """What else must hold of a job; the texts among it are words, each the beginning of one of the job's."""

    states: tuple[JobState, ...] = ()
    applications: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.states or self.applications or self.clusters or self.labels or self.words)

    @property
    def is_rare(self) -> bool:
        """Whether `indexed` finds the jobs by their numbers."""
        return bool(self.labels or self.words)

    def on(self, source: FromClause) -> Iterator[ColumnElement[bool]]:
        """As conditions on rows that are at hand."""
        for name, values in (("state", self.states), ("application", self.applications), ("cluster", self.clusters)):
            if values:
                yield source.c[name].in_([str(value) for value in values])
        yield from (_has_word(source, word) for word in self.words)
        for label in self.labels:
            yield exists().where(job_labels.c.job == source.c.number, job_labels.c.label == label)

    def counting(self, source: FromClause) -> Rows:
        """How many rows are at hand, how many of them pass, and then how many of them have each word."""
        return select(
            func.count(),
            _count_where(and_(*self.on(source))),
            *(_count_where(_has_word(source, word)) for word in self.words),
        ).select_from(source)

    def indexed(self, connection: Connection, having: Sequence[int]) -> Iterator[Filter]:
        """As conditions that an index of their own answers: of several words, the rarest of those just counted."""
        for label in self.labels:
            yield jobs.c.number.in_(select(job_labels.c.job).where(job_labels.c.label == label))
        if self.words:
            yield _matching(connection, min(zip(having, self.words, strict=True))[1])


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _has_word(source: FromClause, word: str) -> ColumnElement[bool]:
    return source.c.search_text.contains(f" {word}", autoescape=True)


def _matching(connection: Connection, word: str) -> Filter:
    """What the text index says; a word is letters and digits only, so it can't be taken for an operator."""
    if connection.dialect.name == "sqlite":
        match = text("SELECT rowid FROM job_search WHERE job_search MATCH :word").bindparams(word=f'"{word}"*')
        return jobs.c.number.in_(match)
    wanted = func.to_tsquery(text("'simple'"), f"{word}:*")
    return func.to_tsvector(text("'simple'"), jobs.c.search_text).op("@@", is_comparison=True)(wanted)


def _base(connection: Connection, viewer: Viewer, query: ListQuery) -> list[Filter] | None:
    """Whose jobs, and from which place; None where nothing can be found."""
    named = (*query.applications, *query.clusters, *query.labels, query.owner or "")
    if not all(is_storable(name) for name in named):
        return None
    owner_id = None if viewer.is_admin else viewer.user_id
    if query.owner is not None:
        asked = connection.execute(select(users.c.id).where(users.c.name == query.owner)).scalar_one_or_none()
        if asked is None or owner_id not in (None, asked):
            return None
        owner_id = asked
    place = ARCHIVED if query.archived else CURRENT
    return [place] if owner_id is None else [place, jobs.c.owner_id == owner_id]


def _from_cursor(query: ListQuery, after: Cursor | None) -> Iterator[Filter]:
    if after is None:
        return
    keys = KEYS[query.sort]
    place = tuple_(*(literal(value, key.type) for value, key in zip(after.keys, keys, strict=True)))
    yield tuple_(*keys) < place if query.descending else tuple_(*keys) > place


def _in_time(query: ListQuery) -> Iterator[Filter]:
    if query.created_after is not None:
        yield jobs.c.created_at >= query.created_after
    if query.created_before is not None:
        yield jobs.c.created_at < query.created_before


def _divided(query: ListQuery) -> tuple[list[tuple[Filter, ...]], _Sieve]:
    """The ranges that an index of this order serves for states and applications, and the filters left over."""
    states = tuple(dict.fromkeys(query.states))
    applications = tuple(dict.fromkeys(query.applications))
    walk_states = states if query.sort in (Sort.CREATED, Sort.STATE) else ()
    walk_applications = applications if query.sort in (Sort.CREATED, Sort.APPLICATION) else ()
    if max(1, len(walk_states)) * len(walk_applications) > MAX_BRANCHES:
        walk_applications = ()
    choices: list[list[Filter]] = []
    if walk_states:
        choices.append([jobs.c.state == state.value for state in walk_states])
    if walk_applications:
        choices.append([jobs.c.application == name for name in walk_applications])
    sieve = _Sieve(
        states=() if walk_states else states,
        applications=() if walk_applications else applications,
        clusters=query.clusters,
        labels=tuple(dict.fromkeys(query.labels)),
        words=words_of(query.text)[:MAX_WORDS],
    )
    return list(product(*choices)), sieve
