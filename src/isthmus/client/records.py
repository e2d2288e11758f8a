"""What a gateway answers, as frozen records. Times are aware datetimes in UTC.

A record keeps the answer it was read from as `document`, so that nothing a newer gateway says is lost.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from isthmus.errors import IsthmusError
from isthmus.job import Cause, JobState, SchedulerState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try of a job on its cluster."""

    n: int
    tag: str = ""
    native_id: str | None = None
    scheduler_state: SchedulerState | None = None
    scheduler_word: str = ""
    node: str = ""
    claimed_by: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    cpu_s: float | None = None
    peak_memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One file a job has left; `path` is relative to its outputs, `size` in bytes."""

    name: str
    path: str
    size: int
    sha256: str
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class CopiedFromRecord:
    """Somebody else's job that a job was made from: its owner's name and its id, as they were then."""

    owner: str
    job: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """All that the gateway says of one job, as of `seq`."""

    id: str
    application: str
    version: str
    cluster: str
    state: JobState
    state_at: datetime
    created_at: datetime
    name: str = ""
    labels: tuple[str, ...] = ()
    owner: str = ""
    project: str | None = None
    cause: Cause | None = None
    evidence: str = ""
    waiting_reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    parent: str | None = None
    children: tuple[str, ...] = ()
    inputs: dict[str, object] = field(default_factory=dict)
    files: dict[str, object] = field(default_factory=dict)
    resources: dict[str, object] = field(default_factory=dict)
    attempts: tuple[AttemptRecord, ...] = ()
    outputs: tuple[OutputRecord, ...] = ()
    contact_lost_since: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancelled_by: str | None = None
    copied_from: CopiedFromRecord | None = None
    notices: str | None = None
    seq: int = 0
    document: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancelRecord:
    """What became of asking for a job to be cancelled; `already_ended` if there was nothing left to cancel."""

    job: str
    outcome: str
    state: JobState
    document: dict[str, object] = field(default_factory=dict)

    @property
    def already_ended(self) -> bool:
        return self.outcome == "already_ended"


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """Whom a job is shown to: `kind` is `user`, `project` or `link`; `name` the user's or the project's.

    `link` is a new link's text, which is told this one time.
    """

    id: str
    job: str
    kind: str
    created_at: datetime
    name: str = ""
    by: str = ""
    expires_at: datetime | None = None
    link: str | None = None
    document: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """A file on the gateway that jobs may take as an input; `jobs` is how many of yours took a file of its content."""

    id: str
    sha256: str
    size: int
    name: str
    media_type: str = ""
    created_at: datetime | None = None
    jobs: int = 0
    document: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One input of an application; `schema` is JSON Schema of its value."""

    name: str
    label: str = ""
    help: str = ""
    unit: str = ""
    group: str = ""
    advanced: bool = False
    required: bool = True
    default: object = None
    schema: dict[str, object] = field(default_factory=dict)
    file: dict[str, object] | None = None

    @property
    def type(self) -> str:
        """string, integer, number, boolean, array or file."""
        return "file" if self.file is not None else str(self.schema.get("type", "string"))


@dataclass(frozen=True, slots=True)
class ApplicationRecord:
    """An application as the catalogue shows it; `inputs` stand in the order of its form."""

    name: str
    version: str
    title: str = ""
    summary: str = ""
    inputs: tuple[InputRecord, ...] = ()
    document: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApplicationSummary:
    """An application as the list has it."""

    name: str
    version: str
    title: str = ""
    summary: str = ""
    enabled: bool = True
    document: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that two jobs differ in; None where a job has no such thing."""

    field: str
    a: object = None
    b: object = None


def record(kind: type[T], answer: object) -> T:
    """The record that `answer` holds. IsthmusError: it is not one that this client understands."""
    if isinstance(answer, dict) and "document" in getattr(kind, "__slots__", ()):
        answer = {**answer, "document": answer}
    return parsed(kind, answer)


def records(kind: type[T], answer: object) -> tuple[T, ...]:
    """One record for each member of the list `answer`."""
    return tuple(record(kind, member) for member in parsed(list[object], answer))


def parsed(kind: type[T], answer: object) -> T:
    """`answer` as the type; strings become times and enums. IsthmusError: it can't be read as that."""
    try:
        return cast(T, _adapter(cast("Hashable", kind)).validate_python(answer))
    except ValidationError as fault:
        words = "the gateway's answer is not understood; is it a newer Isthmus, or another program?"
        raise IsthmusError(f"{words} ({fault.errors()[0]['msg']})", detail=str(fault)) from fault


@cache
def _adapter(kind: Hashable) -> TypeAdapter[object]:
    """Made once a type: making one costs more than reading a hundred answers."""
    return TypeAdapter(cast("type[object]", kind))
