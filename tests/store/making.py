"""Short ways to what most tests of the store begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from isthmus.files import StoredFile
from isthmus.job import Attempt, Cause, Job, JobState, Resources, tag_of
from isthmus.lifecycle import Decision, JobEvent
from isthmus.store import Lease, NewJob, Role, Store, Viewer

CLUSTER = "local"
PASSWORD = "correct horse battery"


def person(store: Store, name: str, role: Role = Role.USER) -> Viewer:
    """A user without a password, since hashing one takes long on purpose."""
    return Viewer(store.create_user(name, None, role).id, is_admin=role is Role.ADMIN)


def a_job(name: str = "run", **changes: object) -> NewJob:
    new = NewJob(CLUSTER, "app", "1", "digest", name, Resources())
    return replace(new, **changes)  # type: ignore[arg-type]  # fields of NewJob, by name


def accepted(store: Store, viewer: Viewer, name: str = "run", **changes: object) -> str:
    return store.accept(viewer, a_job(name, **changes)).job_id


def held(store: Store, name: str = CLUSTER) -> Lease:
    lease = store.take(name, "test", store.lease_row(name))
    assert lease is not None
    return lease


def stored(store: Store, job_id: str, cluster: str = CLUSTER) -> Job:
    """The job as a controller reads it."""
    return next(job for job in store.live(cluster) if job.id == job_id)


def moved(job: Job, state: JobState, **changes: object) -> Decision:
    """The decision that takes the job to that state; a job that leaves ACCEPTED gets its next attempt."""
    if job.state is JobState.ACCEPTED and state is JobState.STAGING_IN:
        n = job.attempts + 1
        job = replace(job, attempt=Attempt(n, tag_of("gateway", f"{job.id}.{n}")), attempts=n)
    if state.is_final:
        changes = {"cause": Cause.EXIT_ZERO, "evidence": "seen", "next_check_at": float("inf"), **changes}
    new = replace(job, state=state, **{"state_at": 50.0, "next_check_at": 50.0, **changes})  # type: ignore[arg-type]
    return Decision(new, JobEvent("state", {"to": state.value}))


PATH = (JobState.STAGING_IN, JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.STAGING_OUT)


def advanced(store: Store, lease: Lease, job_ids: Sequence[str], state: JobState, **changes: object) -> None:
    """The accepted jobs are in that state, step by step; `changes` are the last step's."""
    path = PATH[: PATH.index(state) + 1] if state in PATH else (*PATH, state)
    jobs = {job.id: job for job in store.live(CLUSTER) if job.id in job_ids}
    for step in path:
        last = changes if step is path[-1] else {}
        decisions = [moved(job, step, **last) for job in jobs.values()]
        assert all(store.apply(lease, decisions, 50.0))
        jobs = {d.job.id: replace(d.job, seq=d.job.seq + 1) for d in decisions}


def a_file(text: str) -> StoredFile:
    """What the file store would say of these bytes."""
    return StoredFile(sha256(text.encode()).hexdigest(), len(text))
