"""The only way a job's state changes."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from isthmus.errors import LeaseLost
from isthmus.facts import OutputFile
from isthmus.job import Cause, JobState, SchedulerState
from isthmus.lifecycle import Decision, JobEvent
from isthmus.store import ImpossibleChange, Lease, Store, Viewer
from tests.store.making import a_file, a_job, accepted, advanced, held, moved, stored


def test_a_stored_decision_is_read_back_field_by_field(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    job = stored(store, job_id)
    assert job.attempt is not None
    attempt = replace(
        job.attempt,
        submit_try=3,
        in_doubt_since=1.5,
        native_id="77",
        claimed_by="78",
        run=2,
        scheduler_state=SchedulerState.SUSPENDED,
        scheduler_word="S",
        unlisted_since=2.5,
        started_at=3.5,
        ended_at=4.5,
        exit_code=9,
        stopped_by="walltime",
        cancel_sent_at=5.5,
        stage_failures=4,
        voided=True,
        cpu_s=6.5,
        peak_memory_mib=7,
    )
    changed = replace(
        job, attempt=attempt, cause=Cause.WALLTIME, evidence="seen", waiting_reason="why", next_check_at=60.25
    )

    assert store.apply(lease, [Decision(changed)], 51.0) == [True]

    assert stored(store, job_id) == replace(changed, seq=job.seq + 1)


def test_a_decision_made_of_an_older_job_is_refused_and_leaves_no_trace(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    job_id = accepted(store, ann)
    old = stored(store, job_id)
    store.request_cancel(ann, [job_id], 10.0)

    assert store.apply(lease, [moved(old, JobState.STAGING_IN)], 50.0) == [False]

    job = store.job(ann, job_id)
    assert (job.state, job.attempts) == (JobState.ACCEPTED, ())
    assert [event.kind for event in store.events_of(ann, job_id)] == ["accepted", "cancel_requested"]


def test_refused_decisions_do_not_hinder_the_others(store: Store, ann: Viewer, lease: Lease) -> None:
    ids = [accepted(store, ann) for _ in range(4)]
    jobs = [stored(store, job_id) for job_id in ids]
    store.request_cancel(ann, ids[1:2], 10.0)
    gone = replace(jobs[3], id="0" * 20)

    answers = store.apply(lease, [moved(job, JobState.STAGING_IN) for job in (*jobs[:3], gone)], 50.0)

    assert answers == [True, False, True, False]
    assert [store.job(ann, job_id).state for job_id in ids] == [
        JobState.STAGING_IN,
        JobState.ACCEPTED,
        JobState.STAGING_IN,
        JobState.ACCEPTED,
    ]


def test_of_two_decisions_on_one_job_the_first_is_stored(store: Store, ann: Viewer, lease: Lease) -> None:
    job = stored(store, accepted(store, ann))
    first, second = moved(job, JobState.STAGING_IN), moved(job, JobState.FAILED, cause=Cause.REJECTED)

    assert store.apply(lease, [first, second], 50.0) == [True, False]

    assert store.job(ann, job.id).state is JobState.STAGING_IN


def test_applying_the_same_decisions_again_changes_nothing(store: Store, ann: Viewer, lease: Lease) -> None:
    job = stored(store, accepted(store, ann))
    decision = moved(job, JobState.STAGING_IN)
    store.apply(lease, [decision], 50.0)
    before = store.job(ann, job.id)

    assert store.apply(lease, [decision], 50.0) == [False]

    assert store.job(ann, job.id) == before
    assert len(store.events_of(ann, job.id)) == 2


def test_nothing_is_stored_under_a_lease_that_was_lost(store: Store, ann: Viewer, lease: Lease) -> None:
    job = stored(store, accepted(store, ann))
    held(store)

    with pytest.raises(LeaseLost):
        store.apply(lease, [moved(job, JobState.STAGING_IN)], 50.0)

    assert store.job(ann, job.id).state is JobState.ACCEPTED


def test_nothing_is_stored_under_a_lease_that_never_was(store: Store, ann: Viewer) -> None:
    job = stored(store, accepted(store, ann))

    with pytest.raises(LeaseLost):
        store.apply(Lease("never", "me", 1), [moved(job, JobState.STAGING_IN)], 50.0)


@pytest.mark.parametrize(
    ("start", "end", "changes"),
    [
        (JobState.ACCEPTED, JobState.RUNNING, {}),
        (JobState.STAGING_IN, JobState.QUEUED, {}),
        (JobState.STAGING_OUT, JobState.RUNNING, {}),
        (JobState.COMPLETED, JobState.RUNNING, {}),
        (JobState.COMPLETED, JobState.COMPLETED, {}),
        (JobState.STAGING_OUT, JobState.COMPLETED, {"cause": None}),
    ],
)
def test_a_decision_no_job_may_undergo_is_stopped_and_undoes_its_whole_batch(
    store: Store,
    ann: Viewer,
    lease: Lease,
    start: JobState,
    end: JobState,
    changes: dict[str, object],
) -> None:
    other = stored(store, accepted(store, ann))
    job = stored(store, accepted(store, ann))
    if start is not JobState.ACCEPTED:
        last = JobState.STAGING_OUT if start is JobState.COMPLETED else start
        advanced(store, lease, [job.id], last)
        job = stored(store, job.id)
    if start is JobState.COMPLETED:
        done = moved(job, JobState.COMPLETED)
        store.apply(lease, [done], 50.0)
        job = replace(done.job, seq=done.job.seq + 1)

    with pytest.raises(ImpossibleChange):
        store.apply(lease, [moved(other, JobState.STAGING_IN), moved(job, end, **changes)], 50.0)

    assert store.job(ann, other.id).state is JobState.ACCEPTED


def test_a_lost_job_is_still_looked_at_and_may_come_back(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    lost = moved(stored(store, job_id), JobState.FAILED, cause=Cause.LOST, next_check_at=90.0)
    store.apply(lease, [lost], 80.0)

    (found,) = store.due("local", 90.0, 10)
    back = replace(moved(found, JobState.RUNNING), event=None)

    assert found == replace(lost.job, seq=lost.job.seq + 1)
    assert store.apply(lease, [Decision(replace(back.job, cause=None, evidence=""))], 91.0) == [True]
    assert store.job(ann, job_id).state is JobState.RUNNING


def test_an_ended_job_carries_its_attempts_times_and_code(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    job = stored(store, job_id)
    assert job.attempt is not None
    ended = replace(job, attempt=replace(job.attempt, started_at=10.0, ended_at=20.0, exit_code=3))
    store.apply(lease, [moved(ended, JobState.STAGING_OUT)], 50.0)

    view = store.job(ann, job_id)

    assert (view.started_at, view.ended_at, view.exit_code) == (10.0, 20.0, 3)


def test_a_new_attempt_keeps_the_earlier_ones(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.QUEUED)
    again = moved(stored(store, job_id), JobState.ACCEPTED, next_check_at=inf)
    store.apply(lease, [again], 50.0)
    store.apply(lease, [moved(stored(store, job_id), JobState.STAGING_IN)], 51.0)

    view, job = store.job(ann, job_id), stored(store, job_id)

    assert [attempt.n for attempt in view.attempts] == [1, 2]
    assert len({attempt.tag for attempt in view.attempts}) == 2
    assert job.attempt == view.attempts[1]


def test_outputs_are_stored_with_the_decision_that_brings_them(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.STAGING_OUT)
    file = a_file("result")
    output = OutputFile("result", "out/result.txt", file.sha256, file.size, "text/plain")
    done = replace(moved(stored(store, job_id), JobState.COMPLETED), outputs=(output,))

    assert store.apply(lease, [done], 50.0) == [True]

    (found,) = store.job(ann, job_id).outputs
    assert (found.name, found.path, found.sha256, found.size) == ("result", "out/result.txt", file.sha256, 6)
    assert store.may_read(ann, file.sha256)


def test_one_file_may_be_the_output_of_two_rules(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.STAGING_OUT)
    file = a_file("picture")
    both = [OutputFile(name, "storms.png", file.sha256, file.size, "image/png") for name in ("map", "pictures")]
    done = replace(moved(stored(store, job_id), JobState.COMPLETED), outputs=tuple(both))

    assert store.apply(lease, [done], 50.0) == [True]

    assert [(found.name, found.path) for found in store.job(ann, job_id).outputs] == [
        ("map", "storms.png"),
        ("pictures", "storms.png"),
    ]


def test_a_lost_job_that_came_back_has_its_outputs_collected_anew(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.STAGING_OUT)
    first, second = a_file("half"), a_file("whole")
    lost = moved(stored(store, job_id), JobState.FAILED, cause=Cause.LOST, next_check_at=60.0)
    half = OutputFile("result", "result", first.sha256, first.size, "text/plain")
    store.apply(lease, [replace(lost, outputs=(half,))], 50.0)
    back = moved(store.due("local", 99.0, 1)[0], JobState.STAGING_OUT, cause=None)
    store.apply(lease, [back], 60.0)
    whole = OutputFile("result", "result", second.sha256, second.size, "text/plain")
    store.apply(lease, [replace(moved(stored(store, job_id), JobState.COMPLETED), outputs=(whole,))], 61.0)

    assert [output.sha256 for output in store.job(ann, job_id).outputs] == [second.sha256]


def test_an_event_is_written_with_its_decision_and_none_without(store: Store, ann: Viewer, lease: Lease) -> None:
    job = stored(store, accepted(store, ann))
    told = Decision(replace(job, waiting_reason="a"), JobEvent("waiting", {"reason": "a", "n": 1, "at": 0.5}))
    store.apply(lease, [told], 50.5)
    store.apply(lease, [Decision(replace(stored(store, job.id), next_check_at=70.0))], 51.0)

    events = store.events_of(ann, job.id)

    assert [event.kind for event in events] == ["accepted", "waiting"]
    assert (events[1].at, events[1].body) == (50.5, {"reason": "a", "n": 1, "at": 0.5})


def test_a_batch_of_a_thousand_decisions_is_stored_in_one_transaction(store: Store, ann: Viewer, lease: Lease) -> None:
    store.accept_many(ann, [a_job() for _ in range(1000)])
    jobs = store.live("local")
    before = store.newest_position()

    assert store.apply(lease, [moved(job, JobState.STAGING_IN) for job in jobs], 50.0) == [True] * 1000

    assert len({row.position.xid for row in store.events_after(None, before, 2000)}) == 1
    assert all(job.state is JobState.STAGING_IN for job in store.live("local"))


@pytest.mark.parametrize("unfit", [{"peak_memory_mib": 10**30}, {"stopped_by": "\ud800"}])
def test_what_no_table_can_hold_is_impossible_and_leaves_no_trace(
    store: Store, ann: Viewer, lease: Lease, unfit: dict[str, object]
) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    job = stored(store, job_id)
    assert job.attempt is not None
    attempt = replace(job.attempt, **unfit)  # type: ignore[arg-type]  # names are Attempt's own

    with pytest.raises(ImpossibleChange):
        store.apply(lease, [Decision(replace(job, attempt=attempt))], 51.0)
    assert stored(store, job_id) == job
