"""What answers hold, for the API's description. `documents` makes the answers; tests hold both together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from isthmus.api.requests import RoleName, ScopeName, State
from isthmus.store.audit import AuditKind
from isthmus.store.shares import ShareKind

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC, milliseconds."""


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- applications ------------------------------------------------------------
class ApplicationSummary(Answer):
    """`enabled`: the caller may run it. `inputs` is the JSON Schema 2020-12 of its inputs."""

    name: str
    version: str
    title: str
    summary: str
    keywords: list[str]
    enabled: bool
    inputs: dict[str, JsonValue]


class ApplicationList(Answer):
    applications: list[ApplicationSummary]


class FileRuleOut(Answer):
    max_mib: float
    extensions: list[str]
    media_types: list[str]
    many: bool
    min_files: int
    max_files: int


class InputOut(Answer):
    name: str
    label: str
    type: str
    required: bool
    default: JsonValue
    help: str
    unit: str
    group: str
    advanced: bool
    order: int
    value_schema: Annotated[dict[str, JsonValue], Field(alias="schema")]
    file: FileRuleOut | None


class OutputRuleOut(Answer):
    name: str
    glob: str
    label: str
    media_type: str
    show: str
    required: bool


class ResourceOut(Answer):
    """One resource that may be chosen; `computed` is the expression it is computed by, or empty."""

    name: str
    default: int
    min: int
    max: int | None
    computed: str


class MetricOut(Answer):
    name: str
    label: str
    unit: str
    column: str


class ProgressOut(Answer):
    kind: str
    pattern: str
    file: str
    metrics: list[MetricOut]


class ExampleOut(Answer):
    name: str
    title: str
    inputs: dict[str, JsonValue]
    files: dict[str, list[str]]
    resources: dict[str, JsonValue]


class ApplicationOut(Answer):
    """One version of an application, inputs in the order of its form."""

    name: str
    version: str
    versions: list[str]
    title: str
    summary: str
    description: str
    keywords: list[str]
    enabled: bool
    digest: str
    inputs: list[InputOut]
    outputs: list[OutputRuleOut]
    resources: list[ResourceOut]
    clusters: list[str]
    restartable: bool
    max_attempts: int
    isolation: str
    progress: list[ProgressOut]
    examples: list[ExampleOut]


class FaultOut(Answer):
    line: int
    where: str
    message: str


class BrokenFile(Answer):
    file: str
    faults: list[FaultOut]


class BrokenList(Answer):
    broken: list[BrokenFile]


# --- jobs ------------------------------------------------------------
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


class JobOut(Answer):
    """`notices` are the letters of what its owner is told of; null: what they chose for all their jobs.

    Somebody to whom the job was shown sees neither parent nor children.
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


class FieldFault(Answer):
    field: str
    code: str
    message: str


class ProblemOut(Answer):
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldFault] = []


class ResubmitOut(Answer):
    """The new job of each, or why there is none."""

    job: str
    new_job: str | None
    problem: ProblemOut | None


class BulkResubmitOut(Answer):
    results: list[ResubmitOut]


class DifferenceOut(Answer):
    field: str
    a: JsonValue
    b: JsonValue


class Diff(Answer):
    a: str
    b: str
    differences: list[DifferenceOut]


class FamilyMember(Answer):
    id: str
    name: str
    application: str
    version: str
    state: State
    created_at: Moment
    children: list[FamilyMember]


class Family(Answer):
    """The whole tree a job belongs to, from the first of its ancestors that is still there."""

    tree: list[FamilyMember]


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


# --- files, clusters, people ------------------------------------------------------------
class FileOut(Answer):
    id: str
    sha256: str
    size: int
    name: str
    media_type: str
    created_at: Moment


class FileList(Answer):
    """`next_before` is to be sent as `before` for the next page; null on the last."""

    files: list[FileOut]
    next_before: str | None


class NodeOut(Answer):
    name: str
    cpus: int
    cpus_used: int
    memory_mib: int
    memory_used_mib: int
    gpus: int
    gpus_used: int


class FailureOut(Answer):
    """A time at which the cluster did not answer, and what was known of it."""

    at: Moment
    words: str


class StatusOut(Answer):
    queued: int
    running: int
    nodes: list[NodeOut]
    isolation: str
    notes: list[str]
    calls_per_minute: dict[str, float]
    recent_failures: list[FailureOut]


class LimitsOut(Answer):
    """The largest node; null where it is not known."""

    cpus: int | None
    memory_mib: int | None
    gpus: int | None
    nodes: int | None


class ClusterOut(Answer):
    name: str
    title: str
    kind: str
    enabled: bool
    status: StatusOut | None
    seen_at: Moment | None
    contact_lost_since: Moment | None
    closed_reason: str | None
    limits: LimitsOut
    isolation: str
    notes: list[str]


class ClusterList(Answer):
    clusters: list[ClusterOut]


class Me(Answer):
    """`notices`: of what mails go to `email`, unless a job says otherwise."""

    name: str
    role: RoleName
    scopes: list[ScopeName]
    email: str | None
    notices: str


class TokenOut(Answer):
    id: str
    name: str
    scopes: list[ScopeName]
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None


class NewTokenOut(TokenOut):
    """`token` is shown this once."""

    token: str
    must_change_password: bool


class TokenList(Answer):
    tokens: list[TokenOut]


class UserOut(Answer):
    id: str
    name: str
    role: RoleName
    disabled: bool
    created_at: Moment
    must_change_password: bool


class UserList(Answer):
    users: list[UserOut]


class Health(Answer):
    """`notes` are for whoever runs the gateway: something is wrong, and it works all the same."""

    status: Literal["ok", "not ready"]
    reasons: list[str]
    notes: list[str]


# --- shares, projects, audit, usage ------------------------------------------------------------
class ShareOut(Answer):
    """`name` is the user's or the project's; empty for a link."""

    id: str
    job: str
    kind: ShareKind
    name: str
    by: str
    created_at: Moment
    expires_at: Moment | None


class NewShareOut(ShareOut):
    """`link` is shown this once: what the portal's address and `/shared/` go before."""

    link: str | None


class ShareList(Answer):
    shares: list[ShareOut]


class SharedJobOut(Answer):
    share: ShareOut
    job: JobSummaryOut


class SharedList(Answer):
    """Jobs that others show to the caller; `next_before` is None on the last page."""

    shared: list[SharedJobOut]
    next_before: str | None


class ProjectOut(Answer):
    id: str
    name: str
    created_at: Moment
    members: list[str]


class ProjectList(Answer):
    projects: list[ProjectOut]


class AuditLineOut(Answer):
    """`user` is a user's name, or says who else it was; `words` say what it was about."""

    id: int
    at: Moment
    user: str
    kind: AuditKind
    job: str | None
    words: str
    address: str


class AuditList(Answer):
    lines: list[AuditLineOut]
    next_before: int | None


class UsageOut(Answer):
    """Each content counts once; `upload_bytes` are those that no job wrote as well. No limit: `limit_bytes` is null."""

    held_bytes: int
    limit_bytes: int | None
    upload_bytes: int
    output_bytes: int
    jobs_waiting: int
    jobs_running: int
