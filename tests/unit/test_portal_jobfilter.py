"""The filter of a list of jobs: its address says all of it, and what it asks the store."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from isthmus.errors import InvalidInput
from isthmus.job import JobState
from isthmus.portal.jobfilter import GROUPS, WITHIN, Filter, read_filter, total
from isthmus.store.listing import Count, Sort

WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
DAYS = st.none() | st.dates(date(1970, 1, 1), date(9990, 12, 31))


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    first, last, states = draw(DAYS), draw(DAYS), draw(st.sets(st.sampled_from(list(JobState))))
    return Filter(
        states=tuple(state for state in JobState if state in states),
        application=draw(WORDS),
        cluster=draw(WORDS),
        labels=tuple(draw(st.lists(WORDS.filter(bool), max_size=4, unique=True))),
        text=draw(WORDS).strip(),
        owner=draw(WORDS).strip(),
        within=draw(st.sampled_from(["", *WITHIN])),
        first=first,
        last=last,
        zone=draw(st.sampled_from(["UTC", "Europe/Berlin", "America/Chicago"])) if first or last else "UTC",
        archived=draw(st.booleans()),
        sort=draw(st.sampled_from(list(Sort))),
        descending=draw(st.booleans()),
    )


@settings(deadline=None)
@given(filters())
def test_a_filters_address_says_all_of_it(wanted: Filter) -> None:
    query = urlsplit(wanted.address("/jobs")).query
    assert read_filter(QueryParams(query), everybody=True) == wanted


def test_an_address_without_a_query_asks_for_everything() -> None:
    assert Filter().address("/jobs") == "/jobs"
    assert read_filter(QueryParams("")) == Filter()
    assert not Filter().narrows


@settings(deadline=None)
@given(filters(), st.sampled_from(sorted(GROUPS)))
def test_a_group_of_states_goes_on_and_off(wanted: Filter, group: str) -> None:
    changed = wanted.with_group(group)
    assert changed.has(group) != wanted.has(group)
    assert set(changed.states) ^ set(wanted.states) <= set(GROUPS[group])


def test_every_state_is_in_one_group() -> None:
    assert sorted(state for states in GROUPS.values() for state in states) == sorted(JobState)


def test_days_are_those_of_the_readers_zone_and_the_last_is_included() -> None:
    asked = read_filter(QueryParams("from=2026-03-28&to=2026-03-29&zone=Europe/Berlin")).query()
    berlin = ZoneInfo("Europe/Berlin")
    assert asked.created_after == datetime(2026, 3, 28, tzinfo=berlin).timestamp()
    assert asked.created_before == datetime(2026, 3, 30, tzinfo=berlin).timestamp()  # a day of 23 hours


@pytest.mark.parametrize("zone", ["", "Nowhere/Town", "../../etc/passwd", "/etc/localtime", "\x00", "Europe"])
def test_days_in_a_zone_that_nobody_knows_are_those_of_utc(zone: str) -> None:
    asked = read_filter(QueryParams({"from": "2026-01-01", "zone": zone})).query()
    assert asked.created_after == datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("sort", list(Sort))
def test_a_column_sorts_one_way_and_then_the_other(sort: Sort) -> None:
    other = Filter(sort=Sort.NAME if sort is not Sort.NAME else Sort.CREATED)
    once = other.sorted_by(sort)
    assert once.descending == (sort in (Sort.CREATED, Sort.STATE_AT))
    assert once.sorted_by(sort).descending != once.descending


@pytest.mark.parametrize(
    "query",
    [
        *("state=x", "sort=x", "within=x", "from=x", "to=0001-01-01"),
        *("application=" + "x" * 201, "label=" + "x" * 201, "&".join(f"label={n}" for n in range(21))),
    ],
)
def test_what_no_page_asks_for_is_refused_at_its_field(query: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_filter(QueryParams(query))
    assert refused.value.faults[0].field == query.partition("=")[0]


def test_a_count_that_is_not_exact_is_told_so() -> None:
    counts = {state: Count(0, True) for state in JobState}
    counts |= {JobState.COMPLETED: Count(1000, False), JobState.FAILED: Count(12, True)}
    assert total(counts, [JobState.COMPLETED]) == "1,000+"
    assert total(counts, [JobState.COMPLETED, JobState.FAILED]) == "1,012+"
    assert total(counts, [JobState.FAILED]) == "12"
