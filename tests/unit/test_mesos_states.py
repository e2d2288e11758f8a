"""What each state of a launch means to its job: the table row by row, and what is believed after what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isthmus.cluster.mesos.messages import Update
from isthmus.cluster.mesos.states import (
    CLOCKS_S,
    LINGERS_S,
    REASONS,
    STATES,
    UNREAD,
    Launch,
    Remains,
    blames_machinery,
    gave_up,
    heard,
    listing_of,
    may_linger,
    started_listing,
)
from isthmus.facts import Claim, Claimed, Listed, Listing, Unclaimed, Unlisted, Voided
from isthmus.job import Cause, SchedulerState
from isthmus.store.mesos import NOT_TAKEN, REMOVED

_S = SchedulerState
SENT = Launch("gtag", 1, "gtag.1", "A", "node1", "http://node1:5051", 100.0, "/sandbox")
HELD = Claimed("gtag.1", 1, 105.0)


def after(*states: str, reason: str = "", message: str = "") -> Launch:
    """The launch after updates by its agent, a second apart."""
    launch = SENT
    for n, state in enumerate(states):
        launch = heard(launch, Update("gtag.1", state, f"u{n}", "A", reason=reason, message=message), 110.0 + n)
    return launch


def told(state: str) -> Update:
    """A master's answer to reconciliation."""
    return Update("gtag.1", state, "", "A", "SOURCE_MASTER", "REASON_RECONCILIATION")


def waiting(launch: Launch, claim: Claim) -> Listing:
    """What an attempt that has not started sees."""
    return listing_of([launch], claim, "waits", 5)


def listed(launch: Launch, remains: Remains = UNREAD, now: float = 1000.0) -> Listed:
    """What a started job sees of the launch that holds its claim."""
    found = started_listing(launch, HELD.started_at, remains, now, grace_s=10)
    assert isinstance(found, Listed)
    return found


# --- the table: what a job whose program started sees -----------------------------------------------------------------
STARTED: dict[str, tuple[SchedulerState, bool, Cause | None]] = {
    "": (_S.RUNNING, False, None),
    "TASK_STAGING": (_S.QUEUED, False, None),
    "TASK_STARTING": (_S.QUEUED, False, None),
    "TASK_RUNNING": (_S.RUNNING, False, None),
    "TASK_KILLING": (_S.COMPLETING, False, None),
    "TASK_FINISHED": (_S.ENDED, True, Cause.EXIT_ZERO),
    "TASK_FAILED": (_S.ENDED, True, Cause.SIGNAL),
    "TASK_KILLED": (_S.ENDED, True, Cause.CANCELLED_ON_CLUSTER),
    "TASK_ERROR": (_S.ENDED, True, Cause.REJECTED),
    "TASK_DROPPED": (_S.ENDED, True, Cause.NODE_FAILURE),
    "TASK_GONE": (_S.ENDED, True, Cause.NODE_FAILURE),
    "TASK_GONE_BY_OPERATOR": (_S.ENDED, True, Cause.NODE_FAILURE),
    "TASK_UNREACHABLE": (_S.UNKNOWN, False, None),
    "TASK_LOST": (_S.UNKNOWN, False, None),
    "TASK_UNKNOWN": (_S.UNKNOWN, False, None),
}


def test_every_row_of_the_table_is_tested() -> None:
    assert STARTED.keys() | {REMOVED, NOT_TAKEN} == STATES.keys()


@pytest.mark.parametrize("state", STARTED)
def test_a_started_job_sees_each_state_as_the_table_says(state: str) -> None:
    found = listed(after(state) if state else SENT)
    assert (found.state, found.proved_ended, found.cause) == STARTED[state]


WAITING = {
    *("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR"),
    *(REMOVED, NOT_TAKEN),
}


@pytest.mark.parametrize("state", STATES)
def test_an_attempt_that_has_not_started_waits_again_when_its_launch_ended(state: str) -> None:
    found = waiting(after(state) if state else SENT, Unclaimed())
    assert isinstance(found, Listed)
    assert (found.word == "waiting") == (state in WAITING)


@pytest.mark.parametrize("state", STATES)
def test_an_attempt_that_cannot_start_any_more_is_not_listed_unless_it_was_refused(state: str) -> None:
    found = waiting(after(state) if state else SENT, Voided(1))
    assert isinstance(found, Unlisted) == (state != "TASK_ERROR")


def test_a_state_of_a_later_mesos_proves_nothing() -> None:
    found = listed(after("TASK_RUNNING", "TASK_DREAMING"))
    assert (found.state, found.word, found.proved_ended) == (_S.UNKNOWN, "TASK_DREAMING", False)


def test_a_started_job_of_a_removed_framework_is_missing_and_not_proved_ended() -> None:
    removed = replace(after("TASK_RUNNING"), state=REMOVED, ended=True)
    assert isinstance(started_listing(removed, 105.0, UNREAD, 1000.0, 10), Unlisted)


def test_a_started_job_whose_launch_nobody_knows_is_missing() -> None:
    assert isinstance(started_listing(None, 105.0, UNREAD, 1000.0, 10), Unlisted)


@pytest.mark.parametrize("state", ["TASK_UNREACHABLE", "TASK_LOST", "TASK_UNKNOWN"])
def test_a_job_out_of_sight_says_since_when_and_that_it_may_still_run(state: str) -> None:
    away = replace(after("TASK_RUNNING", state), updated_at=1_800_000_000.0)
    assert "since 2027-01-15 08:00 UTC" in listed(away).reason or "at 2027-01-15 08:00 UTC" in listed(away).reason
    assert listed(away).reason.endswith("it may still be running")


# --- what is believed -------------------------------------------------------------------------------------------------
def test_the_same_update_twice_changes_nothing() -> None:
    once = after("TASK_FAILED")
    assert heard(once, Update("gtag.1", "TASK_FAILED", once.uuid, "A"), 999.0) is once


@pytest.mark.parametrize("end", ["TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR"])
@pytest.mark.parametrize("late", ["TASK_RUNNING", "TASK_UNREACHABLE", "TASK_LOST", "TASK_GONE", "TASK_UNKNOWN"])
def test_an_end_that_was_seen_is_for_good(end: str, late: str) -> None:
    ended = after(end)
    assert heard(ended, Update("gtag.1", late, "new", "A"), 999.0) is ended
    assert heard(ended, told(late), 999.0) is ended


@pytest.mark.parametrize("state", ["TASK_UNREACHABLE", "TASK_LOST", "TASK_UNKNOWN"])
def test_a_task_that_went_out_of_sight_comes_back(state: str) -> None:
    back = heard(after("TASK_RUNNING", state), told("TASK_RUNNING"), 200.0)
    assert (back.state, back.ended) == ("TASK_RUNNING", False)


@pytest.mark.parametrize("guess", ["TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR"])
def test_an_agent_that_contradicts_a_masters_conclusion_is_believed(guess: str) -> None:
    concluded = heard(SENT, Update("gtag.1", guess, "", "A", "SOURCE_MASTER"), 120.0)
    assert concluded.ended
    assert not heard(concluded, Update("gtag.1", "TASK_RUNNING", "u", "A", "SOURCE_EXECUTOR"), 130.0).ended
    assert heard(concluded, told("TASK_RUNNING"), 130.0) is concluded


def test_a_start_after_the_conclusion_that_a_task_is_gone_is_no_end() -> None:
    gone = heard(SENT, Update("gtag.1", "TASK_GONE", "", "A", "SOURCE_MASTER"), 104.0)
    assert (listed(gone).state, listed(gone).proved_ended) == (_S.UNKNOWN, False)


def test_a_start_shortly_before_such_a_conclusion_may_be_after_it_by_another_clock() -> None:
    assert not listed(replace(after("TASK_GONE"), updated_at=105.0 + CLOCKS_S / 2)).proved_ended
    assert listed(replace(after("TASK_GONE"), updated_at=105.0 + CLOCKS_S)).proved_ended


def test_nothing_is_believed_after_the_removal() -> None:
    removed = replace(after("TASK_RUNNING"), state=REMOVED, ended=True)
    assert heard(removed, Update("gtag.1", "TASK_RUNNING", "new", "A", "SOURCE_EXECUTOR"), 999.0) is removed


def test_the_end_of_an_executor_is_an_end_when_its_program_can_not_outlive_it_any_more() -> None:
    killed = after("TASK_RUNNING", "TASK_FAILED", reason="REASON_EXECUTOR_TERMINATED")
    early, late = killed.updated_at + 10 + LINGERS_S - 0.1, killed.updated_at + 10 + LINGERS_S
    assert may_linger(killed, early, 10)
    lingering = listed(killed, now=early)
    assert (lingering.state, lingering.proved_ended, lingering.cause) == (_S.UNKNOWN, False, Cause.NODE_FAILURE)
    assert listed(killed, now=late).proved_ended


def test_a_refusal_of_a_second_task_with_its_id_does_not_touch_a_living_one() -> None:
    running = after("TASK_RUNNING")
    assert heard(running, Update("gtag.1", "TASK_ERROR", "", "A", reason="REASON_TASK_INVALID"), 999.0) is running


def test_a_slow_answer_does_not_turn_the_clock_back() -> None:
    running = after("TASK_RUNNING")
    assert heard(running, told("TASK_STAGING"), 999.0) is running


def test_the_first_answer_confirms_a_launch() -> None:
    assert not SENT.confirmed
    assert heard(SENT, told("TASK_STAGING"), 120.0).confirmed


# --- ends and faults --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reason", REASONS)
def test_each_known_reason_gives_a_started_job_its_cause(reason: str) -> None:
    found = listed(after("TASK_FAILED", reason=reason))
    assert found.cause is REASONS[reason].cause


def test_a_task_that_fails_by_itself_is_not_blamed_on_the_cluster() -> None:
    assert not blames_machinery(after("TASK_FAILED", message="Command exited with status 4"))
    assert not blames_machinery(after("TASK_FAILED", reason="REASON_CONTAINER_LIMITATION_MEMORY"))
    assert blames_machinery(after("TASK_FAILED", reason="REASON_EXECUTOR_TERMINATED"))
    assert blames_machinery(after("TASK_GONE_BY_OPERATOR"))
    assert not blames_machinery(after("TASK_RUNNING"))


@pytest.mark.parametrize(("code", "cause"), [(73, Cause.LAUNCH_FAILED), (3, Cause.EXIT_NONZERO)])
def test_an_exit_code_stands_in_the_message_alone(code: int, cause: Cause) -> None:
    found = listed(after("TASK_FAILED", message=f"Command exited with status {code}"))
    assert found.cause is cause


def test_a_program_that_ended_well_is_no_failure_whatever_its_message_says() -> None:
    found = listed(after("TASK_FINISHED", message="Command exited with status 0"))
    assert found.cause is Cause.EXIT_ZERO


@pytest.mark.parametrize(
    ("message", "remains", "never_started"),
    [
        ("Command exited with status 73", Remains(is_read=True), True),
        ("Command exited with status 73", Remains(is_read=True, has_program=True), False),
        ("Command exited with status 73", UNREAD, False),
        ("Command exited with status 731", Remains(is_read=True), False),
        ("Command terminated with signal Killed", Remains(is_read=True), False),
    ],
)
def test_only_the_scripts_own_exit_and_a_sandbox_without_a_trace_prove_that_nothing_was_started(
    message: str, remains: Remains, never_started: bool
) -> None:
    assert listed(after("TASK_FAILED", message=message), remains).never_started is never_started


def test_a_job_that_waits_again_is_told_what_became_of_its_last_launch() -> None:
    gone = waiting(after("TASK_GONE"), Unclaimed())
    failed = after("TASK_FAILED", reason="REASON_CONTAINER_LAUNCH_FAILED", message="no such image")
    told = waiting(failed, Unclaimed())
    assert isinstance(gone, Listed) and isinstance(told, Listed)
    assert gone.reason == "gone from node1; waits"
    assert told.reason == "failed on node1 before its start (no such image); waits"


def test_a_job_whose_task_could_not_reach_the_gateway_says_so() -> None:
    found = waiting(after("TASK_FAILED", message="Command exited with status 73"), Unclaimed())
    assert isinstance(found, Listed)
    assert "could not reach the gateway" in found.reason


@pytest.mark.parametrize(
    "blameless",
    [
        after("TASK_FAILED", message="Command exited with status 73"),
        after("TASK_FAILED", reason="REASON_EXECUTOR_TERMINATED"),
        after("TASK_FAILED", reason="REASON_CONTAINER_LAUNCH_FAILED"),
    ],
)
def test_an_attempt_is_not_given_up_for_faults_of_the_cluster(blameless: Launch) -> None:
    assert gave_up([blameless] * 50, 5) is None


def test_an_attempt_that_the_master_refuses_again_and_again_is_given_up_in_its_words() -> None:
    refused = [heard(SENT, Update("gtag.1", NOT_TAKEN, message="no such role"), 120.0)] * 5
    found = listing_of(refused, Unclaimed(), "", 5)
    assert isinstance(found, Listed)
    assert (found.state, found.cause) == (_S.ENDED, Cause.REJECTED)
    assert "no such role" in found.word


def test_an_attempt_is_given_up_after_so_many_failed_launches_but_not_for_stale_offers() -> None:
    failed = [replace(after("TASK_FAILED"), n=n, task_id=f"gtag.{n}") for n in range(1, 6)]
    stale = [replace(after("TASK_DROPPED"), n=n, task_id=f"gtag.{n}") for n in range(1, 9)]
    assert gave_up(failed[:4], 5) is None
    assert gave_up(stale, 5) is None
    assert gave_up(failed, 5) == failed[-1]
    found = listing_of(failed, Unclaimed(), "", 5)
    assert isinstance(found, Listed)
    assert (found.state, found.cause) == (_S.ENDED, Cause.LAUNCH_FAILED)


def test_a_refused_description_is_not_launched_again() -> None:
    refused = heard(SENT, Update("gtag.1", "TASK_ERROR", "", "A", reason="REASON_TASK_INVALID"), 120.0)
    assert gave_up([refused], 5) == refused
