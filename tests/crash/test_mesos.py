"""What can happen to a gateway on Mesos, once each: nothing is lost, run twice, wrongly told or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from lab.mesos.cluster import SOFTWARE
from tests.crash import mesos_scenarios as stories
from tests.crash import mutants
from tests.crash.api_front import api_front
from tests.crash.conftest import Sharing
from tests.crash.faults import MESOS_PLACES, NODE_PLACES
from tests.crash.mesos_rig import MesosRig
from tests.crash.mesos_scenarios import Story
from tests.crash.mutants import Mutant, plant
from tests.crash.rig import Rig
from tests.crash.scenarios import frozen_controller, killed_controller
from tests.crash.witness import Verdict


@pytest.fixture(scope="session")
def software() -> Path:
    """Where Mesos is installed; the test is skipped where it can't be."""
    if not (SOFTWARE / "stamp").exists():
        pytest.skip("Mesos is not installed: scripts/setup --test does it, on x86_64 only")
    return SOFTWARE


@pytest.fixture(scope="module")
def mesos_sharing(software: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharing]:
    folders = iter(lambda: tmp_path_factory.mktemp("mesos") / "rig", Path())
    sharing = Sharing(folders, lambda folder: MesosRig(folder, open_front=api_front))
    yield sharing
    sharing.end()


@pytest.fixture
def rig(mesos_sharing: Sharing) -> Iterator[MesosRig]:
    """A gateway and a Mesos that the tests of this module share as long as nothing is wrong with them."""
    yield cast(MesosRig, mesos_sharing.rig())
    mesos_sharing.give_back()


def assert_clean(verdict: Verdict) -> None:
    assert verdict.is_clean, f"\n{verdict}"


@pytest.mark.parametrize("place", MESOS_PLACES)
def test_a_controller_killed_there_is_replaced_without_harm(rig: Rig, place: str) -> None:
    assert_clean(killed_controller(place)(rig))


@pytest.mark.parametrize("place", MESOS_PLACES)
def test_a_controller_frozen_there_wakes_after_a_take_over_without_harm(rig: Rig, place: str) -> None:
    assert_clean(frozen_controller(place)(rig))


@pytest.mark.parametrize("place", NODE_PLACES)
def test_an_api_killed_there_is_asked_again_by_the_node_without_harm(rig: MesosRig, place: str) -> None:
    assert_clean(stories.killed_for_a_node(place)(rig))


@pytest.mark.parametrize(
    "story",
    [
        stories.agent_killed_and_back,
        stories.agent_cut_off_and_back,
        stories.master_killed_and_back,
        stories.taken_over,
        stories.second_copy,
        stories.copy_of_a_cancelled_job,
    ],
)
def test_no_harm_is_done_when(rig: MesosRig, story: Story) -> None:
    assert_clean(story(rig))


@pytest.mark.parametrize(
    ("mutant", "story", "seen"),
    [
        (mutants.HTTP_CLAIM, stories.second_copy, lambda verdict: verdict.run_twice),
        (mutants.HTTP_VOID, stories.copy_of_a_cancelled_job, lambda verdict: verdict.wrong),
        (mutants.UNREACHABLE_IS_GONE, stories.agent_cut_off_and_back, lambda verdict: verdict.wrong),
    ],
    ids=lambda value: value.name if isinstance(value, Mutant) else "",
)
def test_the_witness_sees_that(
    software: Path, tmp_path: Path, mutant: Mutant, story: Story, seen: Callable[[Verdict], tuple[str, ...]]
) -> None:
    source = plant(mutant, tmp_path)
    with MesosRig(tmp_path / "rig", source=source, open_front=api_front) as rig:
        verdict = story(rig)
    assert seen(verdict), f"nothing of the kind was seen:\n{verdict}"
