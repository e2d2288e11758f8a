"""A loop's rests: none for a lone job, and under load as long as its share of the time asks for."""

from __future__ import annotations

import pytest

from isthmus.controller.pace import MOST_CREDIT_S, MOST_REST_S, REST_FOR_WORK, Pace


def test_the_rounds_of_a_lone_job_follow_one_another_without_a_rest() -> None:
    pace = Pace()
    rests = [pace.rest_s(waited_s=0.0, worked_s=MOST_CREDIT_S / 10) for _ in range(9)]
    assert rests == [0.0] * 9


@pytest.mark.parametrize("round_s", [0.005, 0.02, 0.07])
def test_a_loop_that_never_waits_works_its_share_of_the_time(round_s: float) -> None:
    pace = Pace()
    rested_s = sum(pace.rest_s(waited_s=0.0, worked_s=round_s) for _ in range(1000))
    assert rested_s == pytest.approx(1000 * round_s * REST_FOR_WORK, rel=0.03)


def test_a_long_round_is_not_followed_by_a_longer_rest_than_users_bear() -> None:
    assert Pace().rest_s(waited_s=0.0, worked_s=60.0) == MOST_REST_S


def test_after_a_long_round_nothing_is_owed() -> None:
    pace = Pace()
    pace.rest_s(waited_s=0.0, worked_s=60.0)
    assert pace.rest_s(waited_s=1.0, worked_s=0.01) == 0.0


def test_a_day_of_quiet_earns_no_more_than_a_moment_of_it() -> None:
    pace = Pace()
    pace.rest_s(waited_s=86_400.0, worked_s=MOST_CREDIT_S)
    assert pace.rest_s(waited_s=0.0, worked_s=0.01) == pytest.approx(0.01 * REST_FOR_WORK)
