"""A job's events as stretches of time, and how they are drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.job import JobState
from isthmus.portal.timeline import LEAST, WIDTH, Timeline, timeline_of
from isthmus.store.history import EventRow, Position

S = JobState


def event(at: float, kind: str, **body: str | int) -> EventRow:
    return EventRow(Position(0, int(at * 10)), "0" * 20, "ada", at, kind, body)


def moved(at: float, to: JobState, **body: str | int) -> EventRow:
    return event(at, "state", to=to.value, **body)


def drawn(*rows: EventRow, now: float = 100.0) -> Timeline:
    return timeline_of(0.0, [event(0, "accepted"), *rows], now)


def test_a_job_that_was_just_accepted_has_one_stretch_that_goes_on() -> None:
    (only,) = drawn().stretches
    assert (only.state, only.since, only.until, only.lasted_s(100.0)) == (S.ACCEPTED, 0.0, None, 100.0)


def test_each_stretch_ends_where_the_next_begins() -> None:
    found = drawn(moved(3, S.STAGING_IN), moved(4, S.SUBMITTING), moved(10, S.QUEUED)).stretches
    assert [(one.state, one.since, one.until) for one in found] == [
        (S.ACCEPTED, 0, 3),
        (S.STAGING_IN, 3, 4),
        (S.SUBMITTING, 4, 10),
        (S.QUEUED, 10, None),
    ]


def test_a_final_state_does_not_last() -> None:
    final = drawn(moved(3, S.STAGING_IN), moved(4, S.FAILED, evidence="no disk")).stretches[-1]
    assert final.lasted_s(100.0) is None
    assert final.notes == ("no disk",)


def test_what_became_known_while_a_state_lasted_is_noted_with_it() -> None:
    found = drawn(event(1, "waiting", reason="no room"), event(2, "cancel_requested", by="o"), moved(3, S.CANCELLED))
    assert found.stretches[0].notes == ("waits: no room", "cancelling was asked for")


def test_attempts_are_counted_and_drawn_as_bands_without_the_wait_between_them() -> None:
    again = drawn(
        moved(1, S.STAGING_IN),
        moved(2, S.SUBMITTING),
        moved(3, S.ACCEPTED, reason="the cluster lost it"),
        moved(4, S.STAGING_IN),
    )
    assert [(one.state, one.attempt) for one in again.stretches] == [
        (S.ACCEPTED, 0),
        (S.STAGING_IN, 1),
        (S.SUBMITTING, 1),
        (S.ACCEPTED, 1),
        (S.STAGING_IN, 2),
    ]
    first, second = again.bands
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.x + first.width == pytest.approx(again.bars[3].x)
    assert second.x == again.bars[4].x


def test_a_lost_job_that_came_back_runs_on_in_the_same_attempt() -> None:
    found = drawn(moved(1, S.STAGING_IN), moved(2, S.RUNNING), moved(3, S.FAILED), moved(9, S.RUNNING)).stretches
    assert [(one.state, one.attempt) for one in found[-2:]] == [(S.FAILED, 1), (S.RUNNING, 1)]
    assert found[-2].lasted_s(100.0) == 6


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=30))
def test_the_drawing_is_filled_and_no_stretch_is_too_narrow_to_see(lengths: list[float]) -> None:
    at, rows = 0.0, []
    for place, length in enumerate(lengths):
        at += length
        rows.append(moved(at, S.STAGING_IN if place % 2 else S.ACCEPTED))
    bars = timeline_of(0.0, rows, at + 1).bars
    assert all(bar.width >= LEAST - 0.1 for bar in bars)
    assert bars[-1].x + bars[-1].width == pytest.approx(WIDTH, abs=len(bars))


def test_short_steps_stand_in_one_line_with_all_that_was_noted_of_them() -> None:
    found = drawn(
        moved(0.1, S.STAGING_IN),
        moved(0.3, S.QUEUED, native_id="7"),
        moved(0.9, S.RUNNING, native_id="7"),
        moved(1.0, S.STAGING_OUT),
        moved(1.2, S.COMPLETED),
    ).steps
    assert [[one.state for one in step.stretches] for step in found] == [
        [S.ACCEPTED, S.STAGING_IN, S.QUEUED],
        [S.RUNNING],
        [S.STAGING_OUT],
        [S.COMPLETED],
    ]
    assert (found[0].since, found[0].notes) == (0.0, ("known on the cluster as 7",))
    assert found[0].lasted_s(100.0) == pytest.approx(0.9)
    assert found[-1].lasted_s(100.0) is None


def test_long_steps_and_those_of_two_attempts_stand_by_themselves() -> None:
    found = drawn(moved(5, S.STAGING_IN), moved(5.1, S.ACCEPTED), moved(5.2, S.STAGING_IN), moved(9, S.QUEUED)).steps
    assert [[one.state for one in step.stretches] for step in found] == [
        [S.ACCEPTED],
        [S.STAGING_IN, S.ACCEPTED],
        [S.STAGING_IN],
        [S.QUEUED],
    ]
