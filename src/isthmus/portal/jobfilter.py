"""Which jobs a list shows and in which order, as its address says: so a list can be shared, kept and gone back to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from types import MappingProxyType
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.datastructures import QueryParams

from isthmus.errors import InputFault, InvalidInput
from isthmus.job import JobState
from isthmus.store.listing import Count, ListQuery, Sort

PAGE = 50
MOST_LABELS = 20
MOST_CHARACTERS = 200

GROUPS: Mapping[str, tuple[JobState, ...]] = MappingProxyType(
    {
        "Waiting": (JobState.ACCEPTED, JobState.STAGING_IN, JobState.SUBMITTING, JobState.QUEUED),
        "Running": (JobState.RUNNING, JobState.STAGING_OUT),
        "Completed": (JobState.COMPLETED,),
        "Failed": (JobState.FAILED,),
        "Cancelled": (JobState.CANCELLED,),
    }
)
"""States as people ask for them."""

WITHIN: Mapping[str, tuple[str, timedelta]] = MappingProxyType(
    {
        "day": ("last 24 hours", timedelta(days=1)),
        "week": ("last 7 days", timedelta(days=7)),
        "month": ("last 30 days", timedelta(days=30)),
        "year": ("last 365 days", timedelta(days=365)),
    }
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What an address asks for. `first` and `last` are days in the reader's `zone`, `last` included."""

    states: tuple[JobState, ...] = ()
    application: str = ""
    cluster: str = ""
    labels: tuple[str, ...] = ()
    text: str = ""
    owner: str = ""
    within: str = ""
    first: date | None = None
    last: date | None = None
    zone: str = "UTC"
    archived: bool = False
    sort: Sort = Sort.CREATED
    descending: bool = True

    @property
    def narrows(self) -> bool:
        """Whether it leaves jobs out that the list without any filter would show."""
        asked = (self.states, self.application, self.cluster, self.labels, self.text, self.owner, self.within)
        return any(asked) or self.first is not None or self.last is not None

    @property
    def narrows_beyond_states(self) -> bool:
        """Whether it leaves jobs out that have the states asked for."""
        return self.without_states.narrows or self.archived

    @property
    def cleared(self) -> Filter:
        """The same list in the same order with nothing left out."""
        return Filter(archived=self.archived, sort=self.sort, descending=self.descending)

    @property
    def without_states(self) -> Filter:
        return replace(self, states=())

    def has(self, group: str) -> bool:
        return set(GROUPS[group]) <= set(self.states)

    def with_group(self, group: str) -> Filter:
        """With the group's states asked for, or not asked for any more."""
        others = tuple(state for state in self.states if state not in GROUPS[group])
        return replace(self, states=others if self.has(group) else (*others, *GROUPS[group]))

    def with_label(self, label: str) -> Filter:
        return self if label in self.labels else replace(self, labels=(*self.labels, label))

    def without_label(self, label: str) -> Filter:
        return replace(self, labels=tuple(other for other in self.labels if other != label))

    def sorted_by(self, sort: Sort) -> Filter:
        """In this order, or in its reverse if that is how the list is sorted."""
        usual = sort in (Sort.CREATED, Sort.STATE_AT)
        return replace(self, sort=sort, descending=not self.descending if sort is self.sort else usual)

    def query(self, cursor: str | None = None, limit: int = PAGE) -> ListQuery:
        """What the store is asked."""
        after, before = self._times()
        return ListQuery(
            states=self.states,
            applications=(self.application,) if self.application else (),
            clusters=(self.cluster,) if self.cluster else (),
            text=self.text,
            labels=self.labels,
            created_after=after,
            created_before=before,
            owner=self.owner or None,
            archived=self.archived,
            sort=self.sort,
            descending=self.descending,
            cursor=cursor,
            limit=limit,
        )

    def _times(self) -> tuple[float | None, float | None]:
        zone = _zone(self.zone)
        after = None if self.first is None else _start_of(self.first, zone)
        before = None if self.last is None else _start_of(self.last + timedelta(days=1), zone)
        if self.within:
            since = time.time() - WITHIN[self.within][1].total_seconds()
            after = since if after is None else max(since, after)
        return after, before

    def address(self, path: str, **more: str) -> str:
        """The path with this filter in its query, and what else is to stand there."""
        pairs = [*self._pairs(), *more.items()]
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def _pairs(self) -> Iterator[tuple[str, str]]:
        yield from (("state", state.value) for state in JobState if state in self.states)
        yield from (("label", label) for label in self.labels)
        words = ("text", self.text), ("application", self.application), ("cluster", self.cluster)
        yield from ((name, value) for name, value in (*words, ("owner", self.owner), ("within", self.within)) if value)
        days = (("from", self.first), ("to", self.last))
        yield from ((name, day.isoformat()) for name, day in days if day is not None)
        if self.zone != "UTC" and (self.first or self.last):
            yield "zone", self.zone
        if self.archived:
            yield "archived", "1"
        if (self.sort, self.descending) != (Sort.CREATED, True):
            yield from (("sort", self.sort.value), ("order", "down" if self.descending else "up"))


def read_filter(given: QueryParams, *, everybody: bool = False) -> Filter:
    """What the query asks for; names of owners only where the list is everybody's. InvalidInput."""
    zone = _words(given, "zone")
    return Filter(
        states=_states(given.getlist("state")),
        application=_words(given, "application"),
        cluster=_words(given, "cluster"),
        labels=_labels(given.getlist("label")),
        text=_words(given, "text").strip(),
        owner=_words(given, "owner").strip() if everybody else "",
        within=_one_of(given, "within", tuple(WITHIN)),
        first=_day(given, "from"),
        last=_day(given, "to"),
        zone=zone if _zone(zone) is not UTC else "UTC",
        archived=given.get("archived") == "1",
        sort=Sort(_one_of(given, "sort", tuple(Sort)) or Sort.CREATED),
        descending=given.get("order") != "up",
    )


def _states(given: Sequence[str]) -> tuple[JobState, ...]:
    try:
        asked = {JobState(word.upper()) for word in given if word}
    except ValueError:
        raise _refused("state", f"must be one of {', '.join(JobState)}") from None
    return tuple(state for state in JobState if state in asked)


def _labels(given: Sequence[str]) -> tuple[str, ...]:
    labels = tuple(dict.fromkeys(label for label in given if label))
    if len(labels) > MOST_LABELS or any(len(label) > MOST_CHARACTERS for label in labels):
        raise _refused("label", f"at most {MOST_LABELS} of up to {MOST_CHARACTERS} characters")
    return labels


def _words(given: QueryParams, name: str) -> str:
    words = given.get(name, "")
    if len(words) > MOST_CHARACTERS:
        raise _refused(name, f"at most {MOST_CHARACTERS} characters")
    return words


def _one_of(given: QueryParams, name: str, known: Sequence[str]) -> str:
    word = given.get(name, "")
    if word and word not in known:
        raise _refused(name, f"must be one of {', '.join(known)}")
    return word


def _day(given: QueryParams, name: str) -> date | None:
    word = given.get(name, "")
    if not word:
        return None
    try:
        day = date.fromisoformat(word)
    except ValueError:
        raise _refused(name, "must be a day like 2026-01-31") from None
    if not 1970 <= day.year <= 9990:
        raise _refused(name, "must be a day from 1970 on")
    return day


def _refused(field: str, words: str) -> InvalidInput:
    return InvalidInput(f"the list can't be shown: {field}: {words}", (InputFault(field, "filter", words),))


def _zone(name: str) -> tzinfo:
    """The zone of this name; UTC where this machine knows none such."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _start_of(day: date, zone: tzinfo) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def total(counts: Mapping[JobState, Count], states: Sequence[JobState]) -> str:
    """How many jobs are in these states; `1,000+` where that is only known to be so many or more."""
    found = [counts[state] for state in states]
    return f"{sum(one.n for one in found):,}{'' if all(one.exact for one in found) else '+'}"
