"""The witness itself: each broken promise is seen, and a kept one is not taken for broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.witness import (
    Asked,
    End,
    Entry,
    Evidence,
    Kind,
    Ledger,
    Shown,
    Start,
    Step,
    judge,
    read_accounting,
    read_ledger,
    read_struck,
)

ASKED = Asked("nap-1", Kind.NAP, answers=("job1",))
START = Start("g1", "u1", 10.0, 4711)
END = End("g1", "u1", 11.0, 0, natural=True)
STEPS = (
    Step(9.0, "ACCEPTED", "STAGING_IN"),
    Step(9.1, "STAGING_IN", "SUBMITTING"),
    Step(9.2, "SUBMITTING", "QUEUED"),
    Step(10.1, "QUEUED", "RUNNING"),
    Step(11.1, "RUNNING", "STAGING_OUT"),
    Step(11.2, "STAGING_OUT", "COMPLETED"),
)
DONE = Shown("job1", "nap-1", "COMPLETED", "exit_zero", "it ended with 0", 0, ("g1",), STEPS)
GOOD = Evidence(
    (ASKED,),
    (DONE,),
    Ledger((START,), {"u1": END}),
    (Entry(9.2, "submit", "g1", "1.1"), Entry(11.0, "end", "g1", "1.1")),
)


def ended(state: str, cause: str = "signal", exit_code: int | None = None) -> Shown:
    return replace(
        DONE, state=state, cause=cause, exit_code=exit_code, steps=(*STEPS[:-1], Step(11.2, "STAGING_OUT", state))
    )


def waiting(state: str) -> Shown:
    return replace(DONE, state=state, cause=None, evidence="", exit_code=None, steps=STEPS[:3])


CANCELLED = replace(ASKED, cancelled=True)
AGAIN = Start("g2", "u2", 12.0, 4712)
TWO_TAGS = replace(DONE, tags=("g1", "g2"))
RESTARTABLE = replace(ASKED, restartable=True)
TWO_RUNS = Ledger((START, AGAIN), {"u2": End("g2", "u2", 11.15, 0, natural=True)})


def test_a_job_that_did_what_it_says_is_clean() -> None:
    assert judge(GOOD).is_clean, str(judge(GOOD))


def test_a_cancelled_job_that_never_started_is_clean() -> None:
    steps = (*STEPS[:3], Step(9.5, "QUEUED", "CANCELLED"))
    shown = replace(DONE, state="CANCELLED", cause="cancelled_by_user", exit_code=None, steps=steps)
    verdict = judge(replace(GOOD, asked=(CANCELLED,), shown=(shown,), ledger=Ledger()))
    assert verdict.is_clean, str(verdict)


def stopped_at(at: float) -> Evidence:
    """A job that was cancelled, shown RUNNING at 10.1, and whose program never told anything."""
    shown = ended("CANCELLED", "cancelled_by_user", 143)
    accounting = (*GOOD.accounting, Entry(at, "stop", "g1", "1.1"))
    return replace(GOOD, asked=(CANCELLED,), shown=(shown,), ledger=Ledger(), accounting=accounting)


def test_a_program_stopped_as_it_starts_may_have_told_nothing() -> None:
    assert judge(stopped_at(10.0)).is_clean, str(judge(stopped_at(10.0)))


def test_a_program_stopped_long_after_its_start_must_have_told_of_it() -> None:
    assert judge(stopped_at(60.0)).wrong


def test_a_struck_job_may_fail_without_an_end() -> None:
    evidence = replace(GOOD, shown=(ended("FAILED"),), ledger=Ledger((START,)), struck=frozenset({"g1"}))
    assert judge(evidence).is_clean, str(judge(evidence))


@pytest.mark.parametrize(
    ("counter", "evidence"),
    {
        "an accepted job is unknown": ("lost", replace(GOOD, shown=())),
        "an accepted job never ends": ("lost", replace(GOOD, shown=(waiting("QUEUED"),), ledger=Ledger())),
        "one attempt starts twice": (
            "run_twice",
            replace(GOOD, ledger=Ledger((START, replace(START, uuid="u2")), {"u1": END})),
        ),
        "a second attempt starts": ("run_twice", replace(GOOD, shown=(TWO_TAGS,), ledger=TWO_RUNS)),
        "a restart comes before the end": (
            "run_twice",
            replace(GOOD, asked=(RESTARTABLE,), shown=(TWO_TAGS,), ledger=TWO_RUNS, accounting=()),
        ),
        "one request becomes two jobs": ("duplicates", replace(GOOD, shown=(DONE, replace(DONE, id="job2")))),
        "one request is answered with two jobs": (
            "duplicates",
            replace(GOOD, asked=(replace(ASKED, answers=("job1", "job2")),)),
        ),
        "one submission has two native ids": (
            "duplicates",
            replace(GOOD, accounting=(*GOOD.accounting, Entry(9.3, "submit", "g1", "2.1"))),
        ),
        "completed without a start": ("wrong", replace(GOOD, ledger=Ledger())),
        "completed without an end": ("wrong", replace(GOOD, ledger=Ledger((START,)))),
        "completed with another code": ("wrong", replace(GOOD, ledger=Ledger((START,), {"u1": replace(END, code=3)}))),
        "completed without an end, though struck": (
            "wrong",
            replace(GOOD, ledger=Ledger((START,)), struck=frozenset({"g1"})),
        ),
        "another exit code is shown": ("wrong", replace(GOOD, shown=(replace(DONE, exit_code=3),))),
        "failed though it ended well": ("wrong", replace(GOOD, shown=(ended("FAILED"),))),
        "failed though nobody hit it": ("wrong", replace(GOOD, shown=(ended("FAILED"),), ledger=Ledger((START,)))),
        "cancelled though nobody asked": ("wrong", replace(GOOD, shown=(ended("CANCELLED"),), ledger=Ledger((START,)))),
        "cancelled though it ended well": ("wrong", replace(GOOD, asked=(CANCELLED,), shown=(ended("CANCELLED"),))),
        "the program starts after a final state": (
            "wrong",
            replace(GOOD, ledger=Ledger((replace(START, at=11.5),), {"u1": END})),
        ),
        "the program ends after a final state": (
            "wrong",
            replace(GOOD, ledger=Ledger((START,), {"u1": replace(END, at=11.5)})),
        ),
        "the program outlives a final state": (
            "wrong",
            replace(
                GOOD,
                asked=(CANCELLED,),
                shown=(ended("CANCELLED"),),
                ledger=Ledger((START,)),
                alive=lambda start: start.pid == START.pid,
            ),
        ),
        "running without a start": (
            "wrong",
            replace(GOOD, shown=(replace(waiting("RUNNING"), steps=STEPS[:4]),), ledger=Ledger()),
        ),
        "staging out before the end": (
            "wrong",
            replace(GOOD, shown=(replace(DONE, steps=(*STEPS[:4], Step(10.5, "RUNNING", "STAGING_OUT"), STEPS[5])),)),
        ),
        "final without a cause": ("wrong", replace(GOOD, shown=(replace(DONE, cause=None),))),
        "final without evidence": ("wrong", replace(GOOD, shown=(replace(DONE, evidence=""),))),
        "something after a final state": (
            "wrong",
            replace(GOOD, shown=(replace(DONE, state="RUNNING", steps=(*STEPS, Step(12.0, "QUEUED", "RUNNING"))),)),
        ),
        "a state without its step": ("wrong", replace(GOOD, shown=(replace(DONE, steps=STEPS[:-1]),))),
        "a step from elsewhere": ("wrong", replace(GOOD, shown=(replace(DONE, steps=(*STEPS[:2], *STEPS[3:])),))),
    }.values(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_promise_is_seen(counter: str, evidence: Evidence) -> None:
    assert getattr(judge(evidence), counter)


def test_the_ledger_is_read_as_the_programs_wrote_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text("start g1 u1 100.25 4711\nstart g2 u2 100.50 4712\nend g1 u1 101.25 7 told\n")
    found = read_ledger(ledger)
    assert [(start.tag, start.pid) for start in found.starts] == [("g1", 4711), ("g2", 4712)]
    assert found.ends.keys() == {"u1"}
    assert (found.ends["u1"].code, found.ends["u1"].natural) == (7, False)
    assert found.ends["u1"].at - found.starts[0].at == pytest.approx(1.0)


def test_a_line_that_no_program_wrote_is_refused(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text("start g1 u1\n")
    with pytest.raises(ValueError, match="not a line"):
        read_ledger(ledger)


def test_a_half_line_of_the_accounting_is_passed_over(tmp_path: Path) -> None:
    accounting = tmp_path / "accounting"
    accounting.write_text(
        '{"at": 1.0, "deed": "submit", "tag": "g1", "native_id": "1.1", "boot": "b"}\n{"at": 1.0, "de\n'
    )
    assert read_accounting(accounting) == [Entry(1.0, "submit", "g1", "1.1")]


def test_only_what_cuts_a_program_off_excuses_it(tmp_path: Path) -> None:
    struck = tmp_path / "struck"
    struck.write_text("ln-delay g1\nsync-kill-before g2\nkill-group g3\nmv-slow-answer g4\n")
    assert read_struck(struck) == {"g2", "g3"}
