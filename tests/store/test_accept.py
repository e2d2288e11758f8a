"""Taking jobs in."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from isthmus.errors import InvalidInput, NotFound
from isthmus.job import JobState
from isthmus.store import IdempotencyMismatch, JobInput, Store, Viewer
from isthmus.store.accepting import Asked, accept
from tests.store.conftest import Clock
from tests.store.making import a_file, a_job, accepted


def count(address: str, table: str) -> int:
    engine = create_engine(address)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
    engine.dispose()
    return int(found)


def test_an_accepted_job_is_what_was_asked_for(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann, "storm", inputs={"eps": 0.5}, labels=("b", "a", "b"))

    job = store.job(ann, job_id)

    assert (job.state, job.name, job.inputs, job.labels) == (JobState.ACCEPTED, "storm", {"eps": 0.5}, ("a", "b"))
    assert job.definition == {"title": "An application"}
    assert [event.kind for event in store.events_of(ann, job_id)] == ["accepted"]


def test_an_accepted_job_is_there_after_the_store_was_closed(store: Store, ann: Viewer, url: str) -> None:
    job_id = accepted(store, ann)
    store.close()

    with Store.open(url) as again:
        assert again.job(ann, job_id).id == job_id


def test_the_same_key_and_body_stand_for_the_same_job(store: Store, ann: Viewer) -> None:
    first = store.accept(ann, a_job(), key="k", body_sha256="b")
    second = store.accept(ann, a_job(), key="k", body_sha256="b")

    assert (first.created, second.created) == (True, False)
    assert first.job_id == second.job_id


def test_the_same_key_with_another_body_is_refused_and_changes_nothing(store: Store, ann: Viewer, url: str) -> None:
    store.accept(ann, a_job(), key="k", body_sha256="b")

    with pytest.raises(IdempotencyMismatch):
        store.accept(ann, a_job(), key="k", body_sha256="other")

    assert count(url, "jobs") == 1


def test_a_key_is_its_users_own(store: Store, ann: Viewer, bob: Viewer) -> None:
    mine = store.accept(ann, a_job(), key="k", body_sha256="b")
    theirs = store.accept(bob, a_job(), key="k", body_sha256="b")

    assert theirs.created
    assert theirs.job_id != mine.job_id


def test_a_refused_job_does_not_use_up_its_key(store: Store, ann: Viewer) -> None:
    with pytest.raises(NotFound):
        store.accept(ann, a_job(parent_id="0" * 20), key="k", body_sha256="b")

    assert store.accept(ann, a_job(), key="k", body_sha256="b").created


def test_many_jobs_are_accepted_in_their_order_or_not_at_all(store: Store, ann: Viewer, url: str) -> None:
    names = [f"run {i}" for i in range(50)]
    made = store.accept_many(ann, [a_job(name) for name in names])
    with pytest.raises(NotFound):
        store.accept_many(ann, [a_job("fine"), a_job("bad", parent_id="0" * 20)])

    assert [store.job(ann, one.job_id).name for one in made] == names
    assert count(url, "jobs") == 50


def test_a_job_takes_an_upload_of_its_owner(store: Store, ann: Viewer) -> None:
    upload = store.add_upload(ann, a_file("radar"), "radar.nc", "application/x-netcdf")
    file = JobInput("radar", 0, upload.sha256, upload.name, upload.size, upload_id=upload.id)

    job_id = accepted(store, ann, files=(file,))

    assert store.job(ann, job_id).files == (file,)
    assert store.orders([job_id])[0].files == (file,)


def test_a_job_can_not_take_somebody_elses_upload(store: Store, ann: Viewer, bob: Viewer, url: str) -> None:
    upload = store.add_upload(ann, a_file("secret"), "radar.nc", "text/plain")
    file = JobInput("radar", 0, upload.sha256, "radar.nc", upload.size, upload_id=upload.id)

    with pytest.raises(InvalidInput) as refused:
        accepted(store, bob, files=(file,))

    assert [fault.field for fault in refused.value.faults] == ["radar"]
    assert count(url, "jobs") == 0


def test_a_job_can_not_take_a_deleted_upload(store: Store, ann: Viewer) -> None:
    upload = store.add_upload(ann, a_file("old"), "radar.nc", "text/plain")
    store.delete_upload(ann, upload.id)

    with pytest.raises(InvalidInput):
        accepted(store, ann, files=(JobInput("radar", 0, upload.sha256, "radar.nc", 3, upload_id=upload.id),))


def test_a_job_can_not_claim_to_come_from_somebody_elses_job(store: Store, ann: Viewer, bob: Viewer) -> None:
    theirs = accepted(store, ann)
    upload = store.add_upload(bob, a_file("mine"), "mine", "text/plain")
    file = JobInput("radar", 0, upload.sha256, "mine", upload.size, from_job=theirs, from_output="out")

    with pytest.raises(InvalidInput):
        accepted(store, bob, files=(file,))
    with pytest.raises(NotFound):
        accepted(store, bob, parent_id=theirs)


def test_the_input_of_an_earlier_job_can_be_taken_again_after_its_upload_was_deleted(store: Store, ann: Viewer) -> None:
    upload = store.add_upload(ann, a_file("radar"), "radar.nc", "text/plain")
    file = JobInput("radar", 0, upload.sha256, "radar.nc", upload.size, upload_id=upload.id)
    parent = accepted(store, ann, files=(file,))
    store.delete_upload(ann, upload.id)

    child = accepted(store, ann, files=(file,), parent_id=parent)

    assert store.job(ann, child).files == (file,)


def test_ids_sort_by_the_time_of_acceptance(store: Store, ann: Viewer, clock: Clock) -> None:
    made = []
    for _ in range(20):
        clock.now += 0.002
        made.append(accepted(store, ann))

    assert made == sorted(made)
    assert all(len(job_id) == 20 for job_id in made)


def test_orders_hold_what_was_asked_and_leave_out_what_is_not_there(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann, "storm", inputs={"eps": 1})

    (spec,) = store.orders([job_id, "0" * 20])

    assert (spec.id, spec.inputs) == (job_id, {"eps": 1})
    assert store.digests([job_id, "0" * 20]) == {job_id: spec.digest}
    assert store.definition(spec.digest) == {"title": "An application"}
    with pytest.raises(NotFound):
        store.definition("0" * 64)


def test_requests_taken_in_together_are_each_answered_for_themselves(store: Store, ann: Viewer, bob: Viewer) -> None:
    parent = accepted(store, ann, "parent")
    upload = store.add_upload(ann, a_file("radar"), "radar.nc", "text/plain")
    file = JobInput("radar", 0, upload.sha256, upload.name, upload.size, upload_id=upload.id)
    known = store.accept(ann, a_job("known"), key="old", body_sha256="b")
    asked = [
        Asked(ann, a_job("plain")),
        Asked(bob, a_job("bob's", labels=("l",)), "k", "b"),
        Asked(ann, a_job("again"), "old", "b"),
        Asked(ann, a_job("with a file", files=(file,)), "k", "b"),
        Asked(ann, a_job("child", parent_id=parent)),
        Asked(ann, a_job("the same"), "k", "b"),
    ]

    answers = store._database.transact(lambda c: accept(c, asked, 5.0))

    assert [one.created for one in answers] == [True, True, False, True, True, False]
    assert answers[2].job_id == known.job_id
    assert answers[5].job_id == answers[3].job_id
    viewers = [ann, bob, ann, ann, ann]
    jobs = [store.job(viewer, one.job_id) for viewer, one in zip(viewers, answers, strict=False)]
    assert [job.name for job in jobs] == ["plain", "bob's", "known", "with a file", "child"]
    assert (jobs[1].labels, jobs[3].files, jobs[4].root_id) == (("l",), (file,), parent)
    assert [job.created_at for job in jobs] == [one.at for one in answers[:5]]
    with pytest.raises(NotFound):
        store.job(ann, answers[1].job_id)
