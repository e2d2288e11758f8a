"""Every place at which a process can die or freeze, once: nothing is lost, run twice, wrongly told or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.api_front import api_front
from tests.crash.faults import CONTROLLER_PLACES, PLACES, STORE_PLACES, SUPERVISOR_PLACES, places_in
from tests.crash.rig import SHIMMED, SOURCE, Rig
from tests.crash.scenarios import (
    aftermath,
    every_way,
    frozen_controller,
    killed_api,
    killed_controller,
    killed_front,
    killed_supervisor,
    late_write,
    shimmed,
    unheard_answer,
)
from tests.crash.witness import Verdict


def assert_clean(verdict: Verdict) -> None:
    assert verdict.is_clean, f"\n{verdict}"


def test_no_place_in_the_source_is_forgotten_here() -> None:
    assert set(places_in(SOURCE)) == PLACES


@pytest.mark.parametrize("place", [*CONTROLLER_PLACES, *STORE_PLACES])
def test_a_controller_killed_there_is_replaced_without_harm(shared_rig: Rig, place: str) -> None:
    assert_clean(killed_controller(place)(shared_rig))


@pytest.mark.parametrize("place", [*CONTROLLER_PLACES, *STORE_PLACES])
def test_a_controller_frozen_there_wakes_after_a_take_over_without_harm(shared_rig: Rig, place: str) -> None:
    assert_clean(frozen_controller(place)(shared_rig))


@pytest.mark.parametrize("place", SUPERVISOR_PLACES)
def test_a_supervisor_killed_there_is_replaced_without_harm(shared_rig: Rig, place: str) -> None:
    assert_clean(killed_supervisor(place)(shared_rig))


@pytest.mark.parametrize("command", SHIMMED)
def test_a_wrapper_troubled_at_one_of_its_commands_does_no_harm(shared_rig: Rig, command: str) -> None:
    assert_clean(shimmed(command)(shared_rig))


def test_another_supervisor_starts_nothing_of_what_is_over(shared_rig: Rig) -> None:
    every_way(shared_rig)
    shared_rig.start_controller()
    assert_clean(shared_rig.finish())
    shared_rig.end_controllers()
    assert_clean(aftermath(shared_rig))


@pytest.mark.parametrize("place", STORE_PLACES)
def test_a_request_whose_answer_never_came_is_repeated_without_harm(rig: Rig, place: str) -> None:
    assert_clean(killed_front(place)(rig))


@pytest.mark.parametrize("place", STORE_PLACES)
def test_an_api_killed_there_answers_the_repeated_request_with_the_same_job(tmp_path: Path, place: str) -> None:
    with Rig(tmp_path / "rig", open_front=api_front) as rig:
        assert_clean(killed_api(place)(rig))


@pytest.mark.parametrize("place", ["controller.before_apply", "controller.after_submit", "store.after_commit"])
def test_a_controller_killed_there_is_replaced_without_harm_on_postgresql(postgres_rig: Rig, place: str) -> None:
    assert_clean(killed_controller(place)(postgres_rig))


# The third transaction is that of a decision; before, there are those of the housekeeping.
@pytest.mark.parametrize(("place", "count"), [("controller.before_withdraw", 1), ("store.before_commit", 3)])
def test_a_controller_frozen_there_wakes_without_harm_on_postgresql(postgres_rig: Rig, place: str, count: int) -> None:
    assert_clean(frozen_controller(place, count)(postgres_rig))


def test_a_late_decision_is_not_written_on_postgresql(postgres_rig: Rig) -> None:
    assert_clean(late_write(postgres_rig))


def test_a_repeated_request_is_one_job_on_postgresql(postgres_rig: Rig) -> None:
    assert_clean(unheard_answer(postgres_rig))
