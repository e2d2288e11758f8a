"""What a user takes up."""

from __future__ import annotations

from alembic import command
from sqlalchemy import create_engine, text

from isthmus.facts import OutputFile
from isthmus.job import JobState
from isthmus.store import Lease, Store, Viewer
from isthmus.store.upgrading import _config
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
    for content in ("12345", "12345", "123", "1"):
        upload(store, ann, content)
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


OLD_ROWS = (
    "INSERT INTO users (id, name, role, created_at, must_change_password) VALUES ('1', 'ann', 'user', 1.0, '0')",
    "INSERT INTO definitions (digest, name, version, body) VALUES ('d', 'app', '1', '{}')",
    "INSERT INTO jobs (number, id, owner_id, cluster, application, version, digest, name, inputs, resources,"
    " restartable, max_attempts, root_id, created_at, state, state_at, attempts, evidence, waiting_reason, seq,"
    " search_text) VALUES (1, 'j', '1', 'local', 'app', '1', 'd', 'run', '{}', '{}', '0', 3, 'j', 1.0, 'COMPLETED',"
    " 1.0, 1, '', '', 1, ' run ')",
    "INSERT INTO files (sha256, size, created_at) VALUES ('f', 17, 1.0)",
    "INSERT INTO outputs (id, job, attempt, name, path, sha256, size, media_type)"
    " VALUES (1, 1, 1, 'out', 'out', 'f', 17, 'text/plain')",
)


def test_what_jobs_wrote_before_a_database_was_upgraded_counts_as_well(database_url: str) -> None:
    config, engine = _config(), create_engine(database_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    engine.dispose()
    with Store.open(database_url) as store:
        assert store.usage("1").output_bytes == 17
