"""What goes into the store and comes out of it, beside `job.Job`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.application.encoding import Json
from isthmus.job import Resources


@dataclass(frozen=True, slots=True)
class Viewer:
    """On whose behalf the store is asked: an administrator sees everything, everybody else what is theirs.

    `job_id` names the one job that somebody else has shown to this viewer, to be read and not to be changed.
    """

    user_id: str
    is_admin: bool = False
    job_id: str | None = None

    def sees(self, owner_id: str, job_id: str) -> bool:
        """Whether they may read that owner's job."""
        return self.is_admin or owner_id == self.user_id or job_id == self.job_id


@dataclass(frozen=True, slots=True)
class JobInput:
    """One input file: the input's name, its place where several are taken, its bytes, and where it came from.

    At most one origin is set: an upload, or an output (its path) of an earlier job.
    """

    name: str
    position: int
    sha256: str
    file_name: str
    size: int
    upload_id: str | None = None
    from_job: str | None = None
    from_output: str | None = None


@dataclass(frozen=True, slots=True)
class CopiedFrom:
    """Somebody else's job that a job was made from: its owner's name and its id, as they were then."""

    owner: str
    job_id: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be accepted, checked against its application already. `digest` names a remembered definition.

    `notices` are the letters of what its owner is told of; None: what they chose for all their jobs.
    """

    cluster: str
    application: str
    version: str
    digest: str
    name: str
    resources: Resources
    inputs: Mapping[str, Json] = field(default_factory=dict)
    files: tuple[JobInput, ...] = ()
    labels: tuple[str, ...] = ()
    restartable: bool = False
    max_attempts: int = 3
    project_id: str | None = None
    parent_id: str | None = None
    notices: str | None = None
    copied_from: CopiedFrom | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job a request stands for, and when it was taken in; `created` is false when an earlier request made it."""

    job_id: str
    created: bool
    at: float


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What one job was asked to do: what staging needs beside its definition, `digest`. It never changes."""

    id: str
    digest: str
    inputs: Mapping[str, Json]
    files: tuple[JobInput, ...]
