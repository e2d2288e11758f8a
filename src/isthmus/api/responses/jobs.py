"""What answers hold about jobs, what happens to them and what they wrote."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from isthmus.api.requests import State
from isthmus.api.responses.answer import Answer, Moment


class JobSummaryOut(Answer):
    id: str
    name: str
    labels: list[str]
    application: str
    version: str
    cluster: str
    state: State
    state_at: Moment
    cause: str | None
    waiting_reason: str
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    exit_code: int | None
    owner: str
    parent: str | None
    archived_at: Moment | None
    cancel_requested_at: Moment | None


class JobPage(Answer):
    """`next_cursor` is null on the last page."""

    jobs: list[JobSummaryOut]
    next_cursor: str | None


class CountOut(Answer):
    """`exact` is false where there are more than were counted."""

    n: int
    exact: bool


class Counts(Answer):
    states: dict[State, CountOut]


class ResourcesOut(Answer):
    cpus: int
    memory_mib: int | None
    gpus: int
    walltime_s: int
    nodes: int
    processes_per_node: int
    queue: str | None
    account: str | None


class InputFileOut(Answer):
    """A file the job takes; `upload`, or `job` and `output`, say where it came from."""

    name: str
    sha256: str
    size: int
    upload: str | None
    job: str | None
    output: str | None


class AttemptOut(Answer):
    n: int
    tag: str
    native_id: str | None
    scheduler_state: str | None
    scheduler_word: str
    node: str
    claimed_by: str | None
    run: int
    started_at: Moment | None
    ended_at: Moment | None
    exit_code: int | None
    cpu_s: float | None
    peak_memory_mib: int | None


class OutputOut(Answer):
    name: str
    path: str
    sha256: str
    size: int
    media_type: str


class CopiedFromOut(Answer):
    """The owner's name and the job's id, as they were; the job may not be there for the reader."""

    owner: str
    job: str


class JobOut(Answer):
    """`notices` are the letters of what its owner is told of; null: what they chose for all their jobs.

    Somebody to whom the job was shown sees neither parent nor children. `cancelled_by` names the administrator who
    asked to cancel another's job; `copied_from` says whose job it was made from, where it was another's then.
    """

    id: str
    name: str
    labels: list[str]
    application: str
    version: str
    digest: str
    cluster: str
    state: State
    state_at: Moment
    cause: str | None
    evidence: str
    waiting_reason: str
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    exit_code: int | None
    owner: str
    project: str | None
    parent: str | None
    children: list[str]
    inputs: dict[str, JsonValue]
    files: dict[str, list[InputFileOut]]
    resources: ResourcesOut
    attempts: list[AttemptOut]
    outputs: list[OutputOut]
    contact_lost_since: Moment | None
    cancel_requested_at: Moment | None
    cancelled_by: str | None
    copied_from: CopiedFromOut | None
    archived_at: Moment | None
    deleted_at: Moment | None
    notices: str | None
    seq: int


class CancelOut(Answer):
    """`requested`: the wish is stored and is fulfilled when the cluster proves it."""

    job: str
    outcome: Literal["requested", "requested_before", "already_ended", "not_found"]
    state: State | None
    detail: str


class BulkCancelOut(Answer):
    results: list[CancelOut]


class Why(Answer):
    state: State
    cause: str | None
    evidence: str
    waiting_reason: str
    sentences: list[str]


class EventOut(Answer):
    id: str
    job: str
    at: Moment
    kind: str
    body: dict[str, JsonValue]
    state: State | None


class Events(Answer):
    events: list[EventOut]


class Outputs(Answer):
    outputs: list[OutputOut]
