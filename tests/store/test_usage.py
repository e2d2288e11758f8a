"""What a user takes up."""

from __future__ import annotations

from isthmus.facts import OutputFile
from isthmus.job import JobState
from isthmus.store import Lease, Store, Viewer
from isthmus.store.usage import Usage
from tests.store.making import a_file, accepted, advanced, moved, stored


def upload(store: Store, viewer: Viewer, text: str) -> str:
    return store.add_upload(viewer, a_file(text), "file.txt", "text/plain").id


def finished(store: Store, lease: Lease, viewer: Viewer, *texts: str) -> str:
    """A job that left these files."""
    job_id = accepted(store, viewer)
    advanced(store, lease, [job_id], JobState.STAGING_OUT)
    files = tuple(
        OutputFile("out", f"{n}.txt", a_file(text).sha256, a_file(text).size, "text/plain")
        for n, text in enumerate(texts)
    )
    decision = moved(stored(store, job_id), JobState.COMPLETED)
    assert store.apply(lease, [type(decision)(decision.job, decision.event, files)], 60.0) == [True]
    return job_id


def test_nothing_takes_up_nothing(store: Store, ann: Viewer) -> None:
    assert store.usage(ann.user_id) == Usage(0, 0, 0, 0)


def test_each_content_counts_once_whether_uploaded_or_written(
    store: Store, ann: Viewer, bob: Viewer, lease: Lease
) -> None:
    for text in ("12345", "12345", "123", "1"):
        upload(store, ann, text)
    finished(store, lease, ann, "123", "1234567")
    finished(store, lease, ann, "1234567")
    found = store.usage(ann.user_id)
    assert (found.upload_bytes, found.output_bytes, found.held_bytes) == (5 + 1, 3 + 7, 16)
    upload(store, bob, "12345")
    assert store.usage(bob.user_id).held_bytes == 5


def test_what_is_deleted_takes_up_nothing(store: Store, ann: Viewer, lease: Lease) -> None:
    upload_id, job_id = upload(store, ann, "12345"), finished(store, lease, ann, "123")
    store.delete_upload(ann, upload_id)
    store.delete(ann, job_id, 70.0)
    assert store.usage(ann.user_id).held_bytes == 0


def test_jobs_wait_until_their_program_starts_and_run_until_they_end(
    store: Store, ann: Viewer, bob: Viewer, lease: Lease
) -> None:
    for state in (JobState.QUEUED, JobState.RUNNING, JobState.STAGING_OUT, JobState.COMPLETED):
        advanced(store, lease, [accepted(store, ann)], state)
    accepted(store, ann)
    accepted(store, bob)
    found = store.usage(ann.user_id)
    assert (found.jobs_waiting, found.jobs_running) == (2, 2)
