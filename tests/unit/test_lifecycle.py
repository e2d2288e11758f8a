"""The life of a job, told as stories: each test is one thing that can happen to it, and what must follow."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.facts import (
    Accepted,
    Claimed,
    Deferred,
    EndRecord,
    Facts,
    Indeterminate,
    Listed,
    NeverSubmitted,
    OutputFile,
    Rejected,
    StagedIn,
    StagedOut,
    StagingFailed,
    Unclaimed,
    Unlisted,
    Voided,
)
from isthmus.job import TRANSITIONS, Cause, Job, JobState, SchedulerState, tag_of
from isthmus.lifecycle import Action, Decision, Policy, action_of, decide, is_suspect

NOW = 1_800_000_000.0
POLICY = Policy(gateway_id="here")
S = JobState


def new_job(**changes: object) -> Job:
    job = Job(id="j1", owner_id="u1", cluster="local", state=S.ACCEPTED, state_at=NOW, created_at=NOW)
    return replace(job, **changes)  # type: ignore[arg-type]


def after(job: Job, *facts: Facts, now: float = NOW) -> Job:
    for fact in facts:
        job = decided(job, fact, now).job
    return job


def decided(job: Job, facts: Facts, now: float = NOW) -> Decision:
    decision = decide(job, facts, now, POLICY)
    assert decision is not None
    return decision


RELEASED = Facts(released=True)
STAGED = Facts(staged_in=StagedIn())
TAKEN = Facts(submitted=Accepted("7"))
STARTED = Facts(claim=Claimed("7", 1), listing=Listed("7", SchedulerState.RUNNING, "running"))
UNCLAIMED_AND_GONE = Facts(claim=Unclaimed(), listing=Unlisted())
COLLECTED = Facts(staged_out=StagedOut())


def ended(code: int = 0, **more: object) -> Facts:
    return Facts(claim=Claimed("7", 1), end=EndRecord("7", 1, code, **more))  # type: ignore[arg-type]


SUBMITTING = after(new_job(), RELEASED, STAGED)
QUEUED = after(SUBMITTING, TAKEN)
RUNNING = after(QUEUED, STARTED)


def wished(job: Job) -> Job:
    return replace(job, cancel_requested_at=NOW)


def test_a_job_goes_through_its_whole_life() -> None:
    states = [new_job().state]
    job = new_job()
    for facts in (RELEASED, STAGED, TAKEN, STARTED, ended(), COLLECTED):
        job = after(job, facts)
        states.append(job.state)
    assert states == [S.ACCEPTED, S.STAGING_IN, S.SUBMITTING, S.QUEUED, S.RUNNING, S.STAGING_OUT, S.COMPLETED]
    assert job.cause is Cause.EXIT_ZERO
    assert "exit code 0" in job.evidence


def test_each_attempt_carries_a_tag_of_its_own() -> None:
    first = after(new_job(), RELEASED).attempt
    assert first is not None
    assert first.tag == tag_of("here", "j1.1")
    assert len(first.tag) == 15
    assert tag_of("here", "j1.2") != first.tag != tag_of("restored", "j1.1")


@pytest.mark.parametrize("job", [SUBMITTING, QUEUED, RUNNING])
def test_an_end_record_leads_to_staging_out_from_wherever_the_job_was_last_seen(job: Job) -> None:
    assert after(job, ended(3)).state is S.STAGING_OUT


@pytest.mark.parametrize(
    ("record", "cause", "final"),
    [
        ({"code": 0}, Cause.EXIT_ZERO, S.COMPLETED),
        ({"code": 3}, Cause.EXIT_NONZERO, S.FAILED),
        ({"code": 75}, Cause.EXIT_NONZERO, S.FAILED),
        ({"code": 99}, Cause.EXIT_NONZERO, S.FAILED),
        ({"code": 127}, Cause.LAUNCH_FAILED, S.FAILED),
        ({"code": 128}, Cause.EXIT_NONZERO, S.FAILED),
        ({"code": 129}, Cause.SIGNAL, S.FAILED),
        ({"code": 139}, Cause.SIGNAL, S.FAILED),
        ({"code": 192}, Cause.SIGNAL, S.FAILED),
        ({"code": 193}, Cause.EXIT_NONZERO, S.FAILED),
        ({"code": 255}, Cause.EXIT_NONZERO, S.FAILED),
        ({"code": 143, "stopped_by": "walltime"}, Cause.WALLTIME, S.FAILED),
        ({"code": 143, "stopped_by": "cancel"}, Cause.CANCELLED_ON_CLUSTER, S.CANCELLED),
        ({"code": 0, "oom_kills": 1}, Cause.OUT_OF_MEMORY, S.FAILED),
        ({"code": 137, "oom_kills": 1}, Cause.OUT_OF_MEMORY, S.FAILED),
        ({"code": 0, "stopped_by": "walltime"}, Cause.EXIT_ZERO, S.COMPLETED),
    ],
)
def test_the_record_gives_the_cause_and_the_final_state(record: dict[str, object], cause: Cause, final: S) -> None:
    job = after(RUNNING, ended(**record), COLLECTED)  # type: ignore[arg-type]
    assert (job.cause, job.state) == (cause, final)


def test_an_ended_attempt_is_not_shown_with_the_schedulers_last_word_before_its_end() -> None:
    attempt = after(RUNNING, STARTED, ended()).attempt
    assert attempt is not None
    assert attempt.scheduler_state is SchedulerState.ENDED


def test_an_end_by_signal_after_our_cancel_is_cancelled_by_the_user() -> None:
    job = after(wished(RUNNING), Facts(cancel_sent=True), ended(143, stopped_by="cancel"), COLLECTED)
    assert (job.state, job.cause) == (S.CANCELLED, Cause.CANCELLED_BY_USER)


def test_a_natural_end_that_races_a_cancel_stays_completed() -> None:
    assert after(wished(RUNNING), Facts(cancel_sent=True), ended(0), COLLECTED).state is S.COMPLETED


def test_cancel_sent_is_not_cancelled() -> None:
    job = after(wished(RUNNING), Facts(cancel_sent=True))
    assert job.state is S.RUNNING
    assert action_of(job, NOW + 60, POLICY) is Action.CANCEL


def test_a_promised_output_that_is_missing_fails_a_job_that_ended_well() -> None:
    job = after(RUNNING, ended(), Facts(staged_out=StagedOut(missing=("summary",))))
    assert (job.state, job.cause) == (S.FAILED, Cause.STAGE_OUT_FAILED)
    assert "summary" in job.evidence


def test_a_missing_output_does_not_hide_why_the_program_failed() -> None:
    job = after(RUNNING, ended(3), Facts(staged_out=StagedOut(missing=("summary",))))
    assert (job.state, job.cause) == (S.FAILED, Cause.EXIT_NONZERO)


def test_a_full_disk_at_stage_out_waits_and_loses_nothing() -> None:
    full = Facts(staged_out=StagingFailed("the disk is full", permanent=False))
    job = after(RUNNING, ended(), full)
    assert (job.state, job.waiting_reason) == (S.STAGING_OUT, "the disk is full")
    assert after(job, COLLECTED).state is S.COMPLETED


def test_waits_for_staging_double_up_to_a_bound() -> None:
    full = Facts(staged_in=StagingFailed("the disk is full", permanent=False))
    job = after(new_job(), RELEASED)
    pauses = []
    for _ in range(8):
        job = after(job, full)
        pauses.append(job.next_check_at - NOW)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_cancel_ends_the_wait_for_a_stage_out_that_does_not_work() -> None:
    job = wished(after(RUNNING, ended()))
    job = after(job, Facts(staged_out=StagingFailed("the disk is full", permanent=False)))
    assert (job.state, job.cause) == (S.FAILED, Cause.STAGE_OUT_FAILED)


def test_while_a_node_sends_its_files_a_cancel_waits_for_them() -> None:
    sending = Facts(staged_out=StagingFailed("1 of 3 are here", permanent=False, goes_on=True))
    job = after(wished(after(RUNNING, ended())), sending)
    assert (job.state, job.waiting_reason) == (S.STAGING_OUT, "1 of 3 are here")
    assert job.attempt is not None and job.attempt.stage_failures == 0
    assert after(job, COLLECTED).state is S.COMPLETED


def test_outputs_go_with_the_final_decision() -> None:
    file = OutputFile("map", "map.png", "ab", 3, "image/png")
    decision = decided(after(RUNNING, ended()), Facts(staged_out=StagedOut((file,))))
    assert decision.outputs == (file,)


# --- a submission whose fate is not known -------------------------------------------------------------------
def test_a_submission_without_an_answer_is_handed_over_again_under_the_same_try() -> None:
    job = after(SUBMITTING, Facts())
    assert job.attempt == SUBMITTING.attempt
    assert action_of(job, NOW, POLICY) is Action.SUBMIT


def test_a_submission_in_doubt_is_settled_before_anything_else() -> None:
    job = after(SUBMITTING, Facts(submitted=Indeterminate("timed out")))
    assert action_of(job, NOW, POLICY) is Action.SETTLE


def test_a_doubt_that_lasts_ends_in_a_void_and_not_in_a_guess() -> None:
    job = after(SUBMITTING, Facts(submitted=Indeterminate("timed out")))
    assert action_of(job, NOW + POLICY.settle_s, POLICY) is Action.WITHDRAW


def test_a_try_that_was_closed_unused_is_followed_by_the_next() -> None:
    job = after(SUBMITTING, Facts(submitted=Indeterminate("?")), Facts(submitted=NeverSubmitted()))
    assert job.attempt is not None
    assert (job.attempt.submit_try, job.attempt.in_doubt_since) == (2, None)
    assert action_of(job, NOW, POLICY) is Action.SUBMIT


def test_a_doubtful_submission_that_started_is_adopted() -> None:
    doubtful = after(SUBMITTING, Facts(submitted=Indeterminate("timed out")))
    job = after(doubtful, Facts(claim=Claimed("9", 1)))
    assert job.state is S.RUNNING
    assert job.attempt is not None
    assert job.attempt.native_id == "9"


def test_a_voided_attempt_is_followed_by_a_new_one_under_another_tag() -> None:
    doubtful = after(SUBMITTING, Facts(submitted=Indeterminate("timed out")))
    job = after(doubtful, Facts(claim=Voided(1)))
    assert job.state is S.ACCEPTED
    again = after(job, RELEASED)
    assert again.attempt is not None
    assert again.attempt.tag == tag_of("here", "j1.2")


def test_attempts_that_never_start_are_given_up_after_a_bound() -> None:
    job = new_job()
    for _ in range(POLICY.max_unstarted):
        job = after(job, RELEASED, STAGED, Facts(claim=Voided(1)))
    assert (job.state, job.cause) == (S.FAILED, Cause.LAUNCH_FAILED)


def test_a_refusal_for_good_fails_in_the_schedulers_words() -> None:
    job = after(SUBMITTING, Facts(submitted=Rejected("more cpus than there are")))
    assert (job.state, job.cause, job.evidence) == (S.FAILED, Cause.REJECTED, "more cpus than there are")


def test_a_refusal_for_now_waits_and_says_why() -> None:
    job = after(SUBMITTING, Facts(submitted=Deferred("queue limit reached", 30)))
    assert (job.state, job.waiting_reason, job.next_check_at) == (S.SUBMITTING, "queue limit reached", NOW + 30)


def test_no_job_is_put_off_for_longer_than_the_longest_pause() -> None:
    for facts in (TAKEN, Facts(submitted=Deferred("come back next year", 3e7))):
        assert NOW < after(SUBMITTING, facts).next_check_at <= NOW + POLICY.longest_pause_s


# --- cancel, in every state ---------------------------------------------------------------------------------
def test_cancel_before_release_needs_nothing_from_the_cluster() -> None:
    assert after(wished(new_job()), Facts()).state is S.CANCELLED


def test_cancel_while_staging_in_ends_without_submitting() -> None:
    job = wished(after(new_job(), RELEASED))
    assert action_of(job, NOW, POLICY) is None
    assert after(job, Facts()).state is S.CANCELLED


def test_cancel_while_submitting_first_closes_the_try() -> None:
    assert action_of(wished(SUBMITTING), NOW, POLICY) is Action.SETTLE
    assert after(wished(SUBMITTING), Facts(submitted=NeverSubmitted())).state is S.CANCELLED


def test_cancel_of_a_submission_that_was_taken_goes_on_as_a_cancel_in_the_queue() -> None:
    job = after(wished(SUBMITTING), TAKEN)
    assert (job.state, job.next_check_at) == (S.QUEUED, NOW)
    assert action_of(job, NOW, POLICY) is Action.WITHDRAW


def test_cancel_in_the_queue_needs_the_void_and_the_absence() -> None:
    voided_but_listed = Facts(claim=Voided(1), listing=Listed("7", SchedulerState.QUEUED, "queued"))
    job = after(wished(QUEUED), voided_but_listed)
    assert job.state is S.QUEUED
    assert after(job, Facts(claim=Voided(1))).state is S.QUEUED  # no answer about the queue: not enough
    assert after(job, Facts(claim=Voided(1), listing=Unlisted())).state is S.CANCELLED


def test_cancel_in_the_queue_that_lost_the_race_for_the_claim_cancels_the_running_program() -> None:
    job = after(wished(QUEUED), STARTED)
    assert (job.state, job.next_check_at) == (S.RUNNING, NOW)
    assert action_of(job, NOW, POLICY) is Action.CANCEL


def test_a_final_job_does_not_change() -> None:
    done = after(RUNNING, ended(), COLLECTED)
    assert decide(wished(done), ended(3), NOW, POLICY) is None
    assert done.next_check_at == inf


# --- not in the queue is not completed -----------------------------------------------------------------------
def test_a_queued_job_missing_from_the_queue_is_voided_before_it_is_handed_over_again() -> None:
    job = after(QUEUED, UNCLAIMED_AND_GONE)
    assert job.state is S.QUEUED
    assert action_of(job, NOW, POLICY) is Action.OBSERVE
    assert action_of(job, NOW + POLICY.settle_s, POLICY) is Action.WITHDRAW
    assert after(job, Facts(claim=Voided(1), listing=Unlisted())).state is S.ACCEPTED


def test_a_queued_job_that_is_listed_again_was_never_missing() -> None:
    job = after(QUEUED, UNCLAIMED_AND_GONE, Facts(claim=Unclaimed(), listing=Listed("7", SchedulerState.HELD, "h")))
    assert job.attempt is not None
    assert job.attempt.unlisted_since is None


def test_absence_without_an_answer_from_the_directory_says_nothing() -> None:
    assert after(QUEUED, Facts(listing=Unlisted())).attempt == QUEUED.attempt
    assert after(RUNNING, Facts(listing=Unlisted())).attempt == RUNNING.attempt


def test_a_running_job_that_is_not_listed_becomes_lost_only_after_a_long_time_of_asking() -> None:
    gone = Facts(claim=Claimed("7", 1), listing=Unlisted())
    job = after(RUNNING, gone)
    assert job.state is S.RUNNING
    assert after(job, gone, now=NOW + POLICY.lost_s - 1).state is S.RUNNING
    lost = after(job, gone, now=NOW + POLICY.lost_s)
    assert (lost.state, lost.cause) == (S.FAILED, Cause.LOST)


def test_no_answer_at_all_never_makes_a_job_lost() -> None:
    assert after(RUNNING, Facts(), now=NOW + 10 * POLICY.lost_s).state is S.RUNNING


def test_a_lost_job_comes_back_with_its_end_record() -> None:
    gone = Facts(claim=Claimed("7", 1), listing=Unlisted())
    lost = after(after(RUNNING, gone), gone, now=NOW + POLICY.lost_s)
    assert after(lost, ended(0), COLLECTED).state is S.COMPLETED
    assert after(lost, STARTED).state is S.RUNNING


def cut_off(**more: object) -> Facts:
    """A signal ended the program, after the cluster told of a fault of its own."""
    listing = Listed("7", SchedulerState.UNKNOWN, "EXECUTOR_TERMINATED", cause=Cause.NODE_FAILURE)
    return replace(ended(143, signals=("TERM",), **more), listing=listing)


def test_a_program_that_the_clusters_fault_cut_off_is_started_again_if_it_may_be() -> None:
    job = after(replace(RUNNING, restartable=True), cut_off())
    assert (job.state, "EXECUTOR_TERMINATED" in job.waiting_reason) == (S.ACCEPTED, True)
    job = after(RUNNING, cut_off())
    assert (job.state, job.cause) == (S.STAGING_OUT, Cause.NODE_FAILURE)


def test_a_program_that_was_stopped_by_us_was_not_cut_off_by_the_clusters_fault() -> None:
    assert after(wished(RUNNING), cut_off(stopped_by="cancel")).cause is Cause.CANCELLED_BY_USER
    assert after(replace(RUNNING, restartable=True), replace(ended(3), listing=cut_off().listing)).cause is (
        Cause.EXIT_NONZERO
    )


AWAY = Facts(claim=Claimed("7", 1), listing=Listed("7", SchedulerState.UNKNOWN, "UNREACHABLE", "n1 does not answer"))


def test_a_running_job_out_of_sight_for_too_long_is_lost_until_it_is_seen_again() -> None:
    job = after(RUNNING, AWAY)
    assert after(job, AWAY, now=NOW + POLICY.lost_s - 1).state is S.RUNNING
    lost = after(job, AWAY, now=NOW + POLICY.lost_s)
    assert (lost.state, lost.cause) == (S.FAILED, Cause.LOST)
    assert lost.next_check_at < inf
    assert after(lost, AWAY, now=NOW + POLICY.lost_s + 1).state is S.FAILED
    assert after(lost, STARTED).state is S.RUNNING
    assert after(lost, ended(0), COLLECTED).state is S.COMPLETED


def test_a_job_that_came_back_into_sight_has_all_the_time_again() -> None:
    job = after(RUNNING, AWAY, STARTED)
    assert after(job, AWAY, now=NOW + POLICY.lost_s).state is S.RUNNING


def test_a_queued_job_whose_node_is_out_of_sight_is_not_lost() -> None:
    unclaimed = replace(AWAY, claim=Unclaimed())
    assert after(after(QUEUED, unclaimed), unclaimed, now=NOW + POLICY.lost_s).state is S.QUEUED


NOTHING_STARTED = Facts(
    claim=Claimed("7", 1),
    listing=Listed(
        "7", SchedulerState.ENDED, "status 73", cause=Cause.LAUNCH_FAILED, proved_ended=True, never_started=True
    ),
)


def test_a_claim_whose_holder_is_proved_to_have_started_nothing_is_followed_by_a_new_attempt() -> None:
    job = after(RUNNING, NOTHING_STARTED)
    assert not job.restartable
    assert job.state is S.ACCEPTED
    assert "status 73" in job.waiting_reason
    assert after(job, RELEASED).attempts == 2


def test_attempts_that_start_nothing_after_their_claim_are_given_up_after_a_bound() -> None:
    job = after(replace(RUNNING, attempts=POLICY.max_unstarted), NOTHING_STARTED)
    assert (job.state, job.cause) == (S.FAILED, Cause.LAUNCH_FAILED)


def test_a_cancel_is_fulfilled_when_the_holder_of_the_claim_started_nothing() -> None:
    job = after(wished(RUNNING), NOTHING_STARTED)
    assert (job.state, job.cause) == (S.CANCELLED, Cause.CANCELLED_BY_USER)


def test_a_program_proved_gone_without_a_record_still_has_its_outputs_collected() -> None:
    gone = Listed("7", SchedulerState.ENDED, "killed", cause=Cause.SIGNAL, proved_ended=True)
    job = after(RUNNING, Facts(claim=Claimed("7", 1), listing=gone))
    assert (job.state, job.cause) == (S.STAGING_OUT, Cause.SIGNAL)
    assert after(job, COLLECTED).state is S.FAILED


def test_only_a_restartable_job_is_started_again_after_a_proved_end_that_nobody_can_explain() -> None:
    facts = Facts(
        claim=Claimed("7", 1), listing=Listed("7", SchedulerState.ENDED, "ended without a record", proved_ended=True)
    )
    assert after(replace(RUNNING, restartable=True), facts).state is S.ACCEPTED
    assert after(RUNNING, facts, COLLECTED).cause is Cause.LOST


def test_only_a_restartable_job_is_started_again_after_a_node_failure() -> None:
    gone = Listed("7", SchedulerState.ENDED, "machine restarted", cause=Cause.NODE_FAILURE, proved_ended=True)
    facts = Facts(claim=Claimed("7", 1), listing=gone)
    assert after(RUNNING, facts).state is S.STAGING_OUT
    again = after(replace(RUNNING, restartable=True), facts)
    assert again.state is S.ACCEPTED
    worn = after(replace(RUNNING, restartable=True, attempts=3), facts)
    assert (worn.state, worn.cause) == (S.STAGING_OUT, Cause.NODE_FAILURE)


def test_an_end_the_scheduler_does_not_vouch_for_is_not_an_end() -> None:
    word = Listed("7", SchedulerState.ENDED, "CG", proved_ended=False)
    assert after(RUNNING, Facts(claim=Claimed("7", 1), listing=word)).state is S.RUNNING


def test_a_record_of_an_earlier_run_says_nothing_about_the_current_one() -> None:
    second = after(QUEUED, Facts(claim=Claimed("7", 2)))
    assert after(second, ended(143)).state is S.RUNNING


def test_a_record_cut_by_a_signal_does_not_count_while_its_id_waits_again() -> None:
    requeued = Facts(
        end=EndRecord("7", 1, 143, signals=("TERM",)), listing=Listed("7", SchedulerState.QUEUED, "PENDING")
    )
    assert after(RUNNING, requeued).state is S.RUNNING


def test_a_listing_that_lost_a_fifth_is_not_believed() -> None:
    assert is_suspect(live=20, vanished=5)
    assert not is_suspect(live=25, vanished=5)
    assert not is_suspect(live=4, vanished=4)


# --- whatever happens ---------------------------------------------------------------------------------------
native = st.sampled_from(["7", "8"])
anything = st.builds(
    Facts,
    released=st.booleans(),
    staged_in=st.sampled_from([None, StagedIn(), StagingFailed("w", True), StagingFailed("w", False)]),
    submitted=st.sampled_from(
        [None, Accepted("7"), Rejected("w"), Deferred("w", 5), Indeterminate("w"), NeverSubmitted()]
    ),
    claim=st.one_of(st.sampled_from([None, Unclaimed(), Voided(1)]), st.builds(Claimed, native, st.integers(1, 2))),
    end=st.one_of(st.none(), st.builds(EndRecord, native, st.integers(1, 2), st.sampled_from([0, 3, 143]))),
    listing=st.one_of(
        st.sampled_from([None, Unlisted()]),
        st.builds(
            Listed,
            native,
            st.sampled_from(SchedulerState),
            st.just("w"),
            cause=st.sampled_from([None, Cause.NODE_FAILURE, Cause.SIGNAL]),
            proved_ended=st.booleans(),
            never_started=st.booleans(),
        ),
    ),
    staged_out=st.sampled_from([None, StagedOut(), StagedOut(missing=("a",)), StagingFailed("w", True)]),
    cancel_sent=st.booleans(),
)


def never_started(facts: Facts) -> bool:
    return isinstance(facts.listing, Listed) and facts.listing.never_started


@given(st.lists(st.tuples(anything, st.floats(0, 5000), st.booleans()), max_size=25), st.booleans())
def test_whatever_is_learnt_in_whatever_order_the_rules_hold(
    story: list[tuple[Facts, float, bool]], restartable: bool
) -> None:
    job, now = new_job(restartable=restartable), NOW
    for facts, pause, cancel in story:
        now += pause
        if cancel and not job.state.is_final:
            job = replace(job, cancel_requested_at=now)
        decision = decide(job, facts, now, POLICY)
        if decision is None:
            continue
        then = decision.job
        assert then.state == job.state or then.state in TRANSITIONS[job.state]
        assert not then.state.is_final or (then.cause is not None and then.evidence)
        if then.attempts > job.attempts:
            assert facts.released
        if then.state is S.ACCEPTED and job.state is not S.ACCEPTED:
            voided = isinstance(facts.claim, Voided)
            proved = isinstance(facts.listing, Listed) and facts.listing.proved_ended and restartable
            assert voided or proved or never_started(facts)
        if then.state is S.CANCELLED and job.state in (S.QUEUED, S.RUNNING):
            assert isinstance(facts.claim, Voided) or never_started(facts)
        if then.state is S.COMPLETED:
            assert then.attempt is not None
            assert then.attempt.exit_code == 0
        assert then.state.is_final or then.next_check_at < inf or then.state is S.ACCEPTED
        job = then


# --- the node ---------------------------------------------------------------------------------------------------------
def test_a_job_is_on_the_node_where_it_was_seen_last_also_after_its_end() -> None:
    here = Facts(listing=Listed("7", SchedulerState.QUEUED, "STAGING", node="n1"))
    there = Facts(claim=Claimed("7", 1), listing=Listed("7", SchedulerState.RUNNING, "RUNNING", node="n2"))
    job = after(QUEUED, here)
    assert job.attempt is not None
    assert job.attempt.node == "n1"
    job = after(job, there, ended())
    assert job.attempt is not None
    assert (job.state, job.attempt.node) == (S.STAGING_OUT, "n2")


def test_a_running_job_whose_node_is_out_of_sight_says_so_until_it_is_seen_again() -> None:
    away = Facts(claim=Claimed("7", 1), listing=Listed("7", SchedulerState.UNKNOWN, "LOST", "n1 does not answer"))
    job = after(RUNNING, away)
    assert (job.state, job.waiting_reason) == (S.RUNNING, "n1 does not answer")
    back = Facts(claim=Claimed("7", 1), listing=Listed("7", SchedulerState.RUNNING, "RUNNING", "busy"))
    assert after(job, back).waiting_reason == ""
