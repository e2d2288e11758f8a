"""Which files there are, whose they are, and which nobody needs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from isthmus.errors import InvalidInput, NotFound
from isthmus.facts import OutputFile
from isthmus.job import JobState
from isthmus.store import JobInput, Lease, Store, Upload, Viewer
from tests.store.conftest import Clock
from tests.store.making import a_file, accepted, advanced, moved, person, stored
from tests.store.waiting import until, waits_for_a_lock

LATER = 2_000_000_000.0


def as_input(upload: Upload) -> JobInput:
    return JobInput("radar", 0, upload.sha256, upload.name, upload.size, upload_id=upload.id)


def test_an_upload_is_its_owners_until_deleted(store: Store, ann: Viewer, bob: Viewer, admin: Viewer) -> None:
    upload = store.add_upload(ann, a_file("radar"), "radar.nc", "application/x-netcdf")

    assert store.upload(ann, upload.id) == upload == store.upload(admin, upload.id)
    for id_ in (upload.id, "0" * 20, "a\0b"):
        with pytest.raises(NotFound):
            store.upload(bob, id_)
        with pytest.raises(NotFound):
            store.delete_upload(bob, id_)
    store.delete_upload(ann, upload.id)
    with pytest.raises(NotFound):
        store.upload(ann, upload.id)
    with pytest.raises(NotFound):
        store.delete_upload(ann, upload.id)


def test_uploads_are_listed_newest_first_and_only_ones_own(
    store: Store, ann: Viewer, bob: Viewer, clock: Clock
) -> None:
    made = []
    for name in "abcde":
        clock.now += 1
        made.append(store.add_upload(ann, a_file(name), name, "text/plain"))
    store.add_upload(bob, a_file("x"), "x", "text/plain")
    store.delete_upload(ann, made[1].id)

    first = store.uploads(ann, limit=2)
    rest = store.uploads(ann, limit=10, before=first[-1].id)

    assert [upload.name for upload in (*first, *rest)] == ["e", "d", "c", "a"]


def test_equal_files_of_two_users_are_stored_once_and_stay_apart(store: Store, ann: Viewer, bob: Viewer) -> None:
    mine = store.add_upload(ann, a_file("same"), "mine", "text/plain")
    theirs = store.add_upload(bob, a_file("same"), "theirs", "text/plain")

    store.delete_upload(bob, theirs.id)

    assert store.may_read(ann, mine.sha256)
    assert not store.may_read(bob, mine.sha256)


def test_a_file_may_be_read_by_whose_upload_input_or_output_it_is(
    store: Store, ann: Viewer, bob: Viewer, admin: Viewer, lease: Lease
) -> None:
    upload = store.add_upload(ann, a_file("in"), "in", "text/plain")
    job_id = accepted(store, ann, files=(as_input(upload),))
    advanced(store, lease, [job_id], JobState.STAGING_OUT)
    output = OutputFile("out", "out", a_file("out").sha256, 3, "text/plain")
    store.apply(lease, [replace(moved(stored(store, job_id), JobState.COMPLETED), outputs=(output,))], 50.0)
    store.delete_upload(ann, upload.id)

    for sha256 in (upload.sha256, output.sha256):
        assert store.may_read(ann, sha256)
        assert store.may_read(admin, sha256)
        assert not store.may_read(bob, sha256)
    assert not store.may_read(admin, a_file("never").sha256)


def test_only_files_that_nothing_refers_to_are_forgotten(store: Store, ann: Viewer, lease: Lease) -> None:
    kept, used, dropped = (store.add_upload(ann, a_file(name), name, "text/plain") for name in ("a", "b", "c"))
    job_id = accepted(store, ann, files=(as_input(used),))
    for upload in (used, dropped):
        store.delete_upload(ann, upload.id)
    everything = [kept.sha256, used.sha256, dropped.sha256]

    assert store.unreferenced(LATER, 10) == [dropped.sha256]
    assert store.forget_files(everything, LATER) == [dropped.sha256]
    assert store.known_files(everything) == {kept.sha256, used.sha256}

    advanced(store, lease, [job_id], JobState.COMPLETED)
    store.delete(ann, job_id, 5.0)
    assert store.unreferenced(LATER, 10) == [used.sha256]


def test_a_file_just_stored_is_left_alone(store: Store, ann: Viewer, clock: Clock) -> None:
    upload = store.add_upload(ann, a_file("a"), "a", "text/plain")
    store.delete_upload(ann, upload.id)

    assert store.unreferenced(clock.now, 10) == []
    assert store.forget_files([upload.sha256], clock.now) == []


def test_storing_a_file_again_makes_it_fresh(store: Store, ann: Viewer, clock: Clock) -> None:
    upload = store.add_upload(ann, a_file("a"), "a", "text/plain")
    clock.now += 100
    again = store.add_upload(ann, a_file("a"), "a", "text/plain")
    store.delete_upload(ann, upload.id)
    store.delete_upload(ann, again.id)

    assert store.unreferenced(clock.now, 10) == []
    assert store.unreferenced(clock.now + 1, 10) == [upload.sha256]


def test_a_job_accepted_while_files_are_forgotten_has_its_file_or_is_refused(store: Store, ann: Viewer) -> None:
    """Whichever comes first wins; never is a job left with an input whose file is forgotten."""

    def race(n: int) -> bool:
        upload = store.add_upload(ann, a_file(f"race {n}"), "a", "text/plain")
        parent = accepted(store, ann, files=(as_input(upload),))
        store.delete_upload(ann, upload.id)
        engine_free = [upload.sha256]
        with ThreadPoolExecutor(2) as threads:
            forgetting = threads.submit(store.forget_files, engine_free, LATER)
            accepting = threads.submit(accepted, store, ann, files=(as_input(upload),), parent_id=parent)
            forgetting.result(30)
            try:
                accepting.result(30)
            except (InvalidInput, IntegrityError):
                return False
        return store.known_files([upload.sha256]) == {upload.sha256}

    assert all(race(n) for n in range(10))


def test_on_postgresql_a_file_that_a_job_is_just_taking_is_not_forgotten(postgres_database: str) -> None:
    engine = create_engine(postgres_database)
    with Store.open(postgres_database) as store, engine.connect() as accepting, ThreadPoolExecutor(1) as threads:
        store.remember_definition("digest", "app", "1", {})
        ann = person(store, "ann")
        upload = store.add_upload(ann, a_file("a"), "a", "text/plain")
        job_id = accepted(store, ann)
        store.delete_upload(ann, upload.id)
        accepting.execute(
            text(
                "INSERT INTO job_inputs (job, name, position, sha256, file_name, size)"
                " SELECT number, 'a', 0, :sha256, 'a', 1 FROM jobs WHERE id = :id"
            ),
            {"sha256": upload.sha256, "id": job_id},
        )
        forgetting = threads.submit(store.forget_files, [upload.sha256], LATER)
        until(lambda: waits_for_a_lock(postgres_database))
        accepting.commit()

        assert forgetting.result(30) == []
        assert store.known_files([upload.sha256]) == {upload.sha256}
    engine.dispose()


def test_the_database_itself_refuses_an_input_without_a_file(store: Store, ann: Viewer, url: str) -> None:
    accepted(store, ann)
    engine = create_engine(url)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        number = connection.execute(text("SELECT number FROM jobs")).scalar_one()
        connection.execute(
            text("INSERT INTO job_inputs VALUES (:job, 'a', 0, 'no such file', 'a', 1, NULL, NULL, NULL)"),
            {"job": number},
        )
    engine.dispose()


def test_of_an_upload_it_is_known_how_many_of_ones_own_jobs_took_its_content(
    store: Store, ann: Viewer, bob: Viewer, lease: Lease
) -> None:
    taken = store.add_upload(ann, a_file("radar"), "radar", "text/plain")
    unused = store.add_upload(ann, a_file("other"), "other", "text/plain")
    again = store.add_upload(bob, a_file("radar"), "the same", "text/plain")
    file = JobInput("radar", 0, taken.sha256, "radar", taken.size, upload_id=taken.id)
    jobs = [accepted(store, ann, files=(file,)) for _ in range(2)]
    assert store.upload_uses(ann, [taken, unused]) == {taken.id: 2, unused.id: 0}
    assert store.upload_uses(bob, [again]) == {again.id: 0}
    assert store.upload_uses(ann, []) == {}

    assert store.delete_unused_uploads(ann) == 1
    assert [one.id for one in store.uploads(ann)] == [taken.id]
    assert [one.id for one in store.uploads(bob)] == [again.id]

    advanced(store, lease, jobs, JobState.COMPLETED)
    for job_id in jobs:
        store.delete(ann, job_id, 5.0)
    assert store.upload_uses(ann, [taken]) == {taken.id: 0}
