"""What keeps each promise, taken away: the witness must see it, and see nothing in the same story with it in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash import mutants, scenarios
from tests.crash.front import store_front
from tests.crash.mutants import Mutant, plant
from tests.crash.rig import Rig
from tests.crash.scenarios import Scenario
from tests.crash.witness import Verdict


@dataclass(frozen=True, slots=True)
class Case:
    """A mutant, the story that is aimed at it, and what the witness has to count."""

    mutant: Mutant
    scenario: Scenario
    seen: Callable[[Verdict], tuple[str, ...]]


CASES = [
    Case(mutants.CLAIM, scenarios.late_wrapper, lambda verdict: verdict.run_twice),
    Case(mutants.SUBMIT_MARKER, scenarios.repeated_submit, lambda verdict: verdict.duplicates),
    Case(mutants.VOID, scenarios.withdrawn_and_forgotten, lambda verdict: verdict.wrong),
    Case(mutants.ALWAYS_AGAIN, scenarios.cut_off, lambda verdict: verdict.run_twice),
    Case(mutants.GONE_IS_COMPLETED, scenarios.cut_off, lambda verdict: verdict.wrong),
    Case(mutants.SENT_IS_CANCELLED, scenarios.slow_to_end, lambda verdict: verdict.wrong),
    Case(mutants.LATE_WRITE, scenarios.late_write, lambda verdict: verdict.wrong),
    Case(mutants.ANSWER_FIRST, scenarios.unanswered_request, lambda verdict: verdict.lost),
    Case(mutants.KEY_IGNORED, scenarios.unheard_answer, lambda verdict: verdict.duplicates),
]
STORIES = {case.scenario.__name__: case.scenario for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mutant.name)
def test_the_witness_sees_that(case: Case, tmp_path: Path) -> None:
    source = plant(case.mutant, tmp_path)
    with Rig(tmp_path / "rig", source=source, open_front=store_front) as rig:
        verdict = case.scenario(rig)
    assert case.seen(verdict), f"nothing of the kind was seen:\n{verdict}"


@pytest.mark.parametrize("story", STORIES)
def test_the_same_story_is_clean_in_the_real_code(story: str, rig: Rig) -> None:
    verdict = STORIES[story](rig)
    assert verdict.is_clean, f"\n{verdict}"
