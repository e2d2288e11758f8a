"""What people want done with their jobs."""

from __future__ import annotations

from math import inf

import pytest

from isthmus.errors import Conflict, NotFound
from isthmus.job import Cause, JobState
from isthmus.store import (
    CancelAnswer,
    CancelOutcome,
    ChangedMeanwhile,
    JobChanges,
    JobInput,
    Lease,
    ListQuery,
    Store,
    Viewer,
    Wish,
)
from isthmus.store.audit import Actor
from tests.store.making import CLUSTER, a_file, accepted, advanced, moved, stored


def test_a_cancel_is_noted_and_makes_the_job_due(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.QUEUED, next_check_at=1e6)
    before = stored(store, job_id)

    answers = store.request_cancel(ann, [job_id], 77.0)

    after = stored(store, job_id)
    assert answers == [CancelAnswer(job_id, CancelOutcome.REQUESTED, JobState.QUEUED)]
    assert (after.cancel_requested_at, after.next_check_at, after.seq) == (77.0, 0.0, before.seq + 1)
    assert store.events_of(ann, job_id)[-1].kind == "cancel_requested"


def test_a_cancel_answers_for_each_job_in_the_order_asked(store: Store, ann: Viewer, bob: Viewer, lease: Lease) -> None:
    running, ended, others = accepted(store, ann), accepted(store, ann), accepted(store, bob)
    advanced(store, lease, [ended], JobState.COMPLETED)
    store.request_cancel(ann, [running], 1.0)
    waiting = accepted(store, ann)

    answers = store.request_cancel(ann, [ended, waiting, others, "no such id", running], 2.0)

    assert [answer.outcome for answer in answers] == [
        CancelOutcome.ALREADY_ENDED,
        CancelOutcome.REQUESTED,
        CancelOutcome.NOT_FOUND,
        CancelOutcome.NOT_FOUND,
        CancelOutcome.REQUESTED_BEFORE,
    ]
    assert store.job(ann, running).cancel_requested_at == 1.0
    assert store.job(bob, others).cancel_requested_at is None


def test_cancelling_an_ended_job_changes_nothing(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.COMPLETED)
    before = store.job(ann, job_id)

    store.request_cancel(ann, [job_id], 2.0)

    assert store.job(ann, job_id) == before


def test_a_job_named_twice_in_one_request_is_cancelled_once(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)

    store.request_cancel(ann, [job_id, job_id], 2.0)

    assert [event.kind for event in store.events_of(ann, job_id)] == ["accepted", "cancel_requested"]


def test_an_administrator_cancels_anybodys_job(store: Store, ann: Viewer, admin: Viewer) -> None:
    job_id = accepted(store, ann)

    assert (
        store.request_cancel(admin, [job_id], 2.0, Actor(admin.user_id, "root"))[0].outcome is CancelOutcome.REQUESTED
    )
    assert store.job(ann, job_id).cancelled_by == "root"
    assert store.events_of(ann, job_id)[-1].body == {"by": admin.user_id, "administrator": "root"}


def test_guests_read_neither_administrators_names_nor_earlier_names(store: Store, ann: Viewer, admin: Viewer) -> None:
    job_id = accepted(store, ann)
    by = Actor(admin.user_id, "root")
    store.change(admin, job_id, JobChanges(name="public"), 2.0, by=by)
    store.request_cancel(admin, [job_id], 2.0, by)

    guest = Viewer("", job_id=job_id)

    assert store.job(guest, job_id).cancelled_by == ""
    bodies = [event.body for event in store.events_of(guest, job_id)]
    assert {"administrator", "what"}.isdisjoint(key for body in bodies for key in body)
    assert {"administrator", "what"} <= {key for event in store.events_of(ann, job_id) for key in event.body}


def test_what_changes_nothing_is_no_change(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    before = store.job(ann, job_id)
    store.change(ann, job_id, JobChanges(name=before.name), 2.0)
    assert store.job(ann, job_id).seq == before.seq


def test_of_a_job_that_its_owner_cancelled_no_administrator_is_named(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)

    store.request_cancel(ann, [job_id], 2.0, Actor(ann.user_id, "ann"))

    assert store.job(ann, job_id).cancelled_by == ""
    assert store.events_of(ann, job_id)[-1].body == {"by": ann.user_id}


def test_the_history_says_what_was_changed(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann, "alabama")

    store.change(ann, job_id, JobChanges(name="georgia", labels=("wet",)), 5.0)
    store.change(ann, job_id, JobChanges(labels=(), archived=True), 6.0)

    told = [event.body["what"] for event in store.events_of(ann, job_id) if event.kind == "changed"]
    assert told == ["called it “georgia”, before “alabama”, labelled it “wet”", "took its labels off, archived it"]


def test_a_job_is_renamed_labelled_and_found_by_the_new_words_only(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann, "alabama", labels=("first",))

    store.change(ann, job_id, JobChanges(name="georgia", labels=("second", "third")), 5.0)

    job = store.job(ann, job_id)
    assert (job.name, job.labels) == ("georgia", ("second", "third"))
    assert [found.id for found in store.page(ann, ListQuery(text="georgia third")).jobs] == [job_id]
    assert store.page(ann, ListQuery(text="alabama")).jobs == ()
    assert store.page(ann, ListQuery(labels=("first",))).jobs == ()
    assert store.events_of(ann, job_id)[-1].kind == "changed"


def test_what_is_not_named_in_a_change_stays(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann, "alabama", labels=("first",))

    store.change(ann, job_id, JobChanges(archived=True), 5.0)
    store.change(ann, job_id, JobChanges(name="georgia"), 6.0)

    job = store.job(ann, job_id)
    assert (job.name, job.labels, job.archived_at) == ("georgia", ("first",), 5.0)


def test_a_change_of_an_older_reading_is_refused(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    seq = store.job(ann, job_id).seq
    store.change(ann, job_id, JobChanges(name="new"), 5.0, expected_seq=seq)

    with pytest.raises(ChangedMeanwhile):
        store.change(ann, job_id, JobChanges(name="newer"), 6.0, expected_seq=seq)

    assert store.job(ann, job_id).name == "new"


def test_an_archived_job_is_in_the_archive_and_comes_back(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    store.change(ann, job_id, JobChanges(archived=True), 5.0)

    assert store.page(ann, ListQuery()).jobs == ()
    assert [job.id for job in store.page(ann, ListQuery(archived=True)).jobs] == [job_id]

    store.change(ann, job_id, JobChanges(archived=False), 6.0)
    assert [job.id for job in store.page(ann, ListQuery()).jobs] == [job_id]


def test_a_deleted_job_is_out_of_every_list_holds_no_file_and_keeps_its_record(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    upload = store.add_upload(ann, a_file("radar"), "radar", "text/plain")
    file = JobInput("radar", 0, upload.sha256, "radar", upload.size, upload_id=upload.id)
    job_id = accepted(store, ann, "alabama", files=(file,))
    advanced(store, lease, [job_id], JobState.COMPLETED)
    store.delete_upload(ann, upload.id)

    store.delete(ann, job_id, 5.0)

    assert store.page(ann, ListQuery()).jobs == store.page(ann, ListQuery(archived=True)).jobs == ()
    assert store.page(ann, ListQuery(text="alabama")).jobs == ()
    job = store.job(ann, job_id)
    assert (job.deleted_at, job.files, job.outputs, job.cause) == (5.0, (file,), (), Cause.EXIT_ZERO)
    assert not store.may_read(ann, file.sha256)
    assert not store.may_read(ann, upload.sha256)


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.RUNNING])
def test_a_job_that_has_not_ended_can_not_be_deleted(store: Store, ann: Viewer, lease: Lease, state: JobState) -> None:
    job_id = accepted(store, ann)
    if state is not JobState.ACCEPTED:
        advanced(store, lease, [job_id], state)

    with pytest.raises(Conflict):
        store.delete(ann, job_id, 5.0)

    assert store.job(ann, job_id).deleted_at is None


def test_a_deleted_lost_job_is_not_looked_at_any_more(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    store.apply(lease, [moved(stored(store, job_id), JobState.FAILED, cause=Cause.LOST, next_check_at=60.0)], 50.0)
    before = store.due(CLUSTER, 60.0, 1)

    store.delete(ann, job_id, 55.0)

    assert [job.id for job in before] == [job_id]
    assert store.due(CLUSTER, 1e9, 1) == []


def test_nobody_touches_anothers_job(store: Store, ann: Viewer, bob: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    advanced(store, lease, [job_id], JobState.COMPLETED)
    before = store.job(ann, job_id)

    for id_ in (job_id, "0" * 20, "not an id", "a\0b"):
        with pytest.raises(NotFound):
            store.change(bob, id_, JobChanges(name="mine"), 5.0)
        with pytest.raises(NotFound):
            store.delete(bob, id_, 5.0)
        with pytest.raises(NotFound):
            store.follow(bob, id_, 9.0)

    assert store.job(ann, job_id) == before


def test_a_followed_log_is_a_wish_while_the_job_runs_and_somebody_looks(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    job_id, waiting = accepted(store, ann), accepted(store, ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    attempt = stored(store, job_id).attempt
    assert attempt is not None
    for followed in (job_id, waiting):
        store.follow(ann, followed, 90.0)
    store.follow(ann, job_id, 95.0)

    assert store.wishes(CLUSTER, 94.0) == [Wish(job_id, 1, attempt.tag, 95.0)]
    assert store.wishes(CLUSTER, 95.0) == []
    assert store.wishes("elsewhere", 90.0) == []


def test_nobody_wishes_to_follow_the_log_of_an_ended_job(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    store.follow(ann, job_id, inf)
    advanced(store, lease, [job_id], JobState.COMPLETED)

    assert store.wishes(CLUSTER, 1.0) == []
