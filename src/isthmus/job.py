"""A job, its attempts and its states: a newcomer starts here.

A *job* is one run of an application with given inputs, immutable once accepted. An *attempt* is one try of it on a
cluster, handed over by a *submission* that carries a *tag*. What changes over a job's life is this record, and only
`lifecycle.decide` says how.

    ACCEPTED ──► STAGING_IN ──► SUBMITTING ──► QUEUED ──► RUNNING ──► STAGING_OUT ──► COMPLETED | FAILED | CANCELLED
       ▲              │              │            │           │
       └──────────────┴── a new attempt, once the last is proved not to run ──┘

Invariants
 1. A final state carries a cause and the evidence it rests on.
 2. SUBMITTING is stored before anything is handed to a scheduler, so a submission without a record can't exist.
 3. RUNNING means that the claim is held by a native id: the program was started.
 4. STAGING_OUT means that the end record of the current run is here.
 5. CANCELLED means that the program is proved not to run: "cancel sent" is the wish `cancel_requested_at`, not a state.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is; ours, and durable. Each value says what is true."""

    ACCEPTED = "ACCEPTED"  # durable in the store; waits in the gateway, with a waiting_reason
    STAGING_IN = "STAGING_IN"  # inputs are being put into the attempt's directory on the cluster
    SUBMITTING = "SUBMITTING"  # the submission is stored; the cluster may or may not have it yet
    QUEUED = "QUEUED"  # the scheduler has it; its native id is known
    RUNNING = "RUNNING"  # the claim is held by a native id: the program was started
    STAGING_OUT = "STAGING_OUT"  # the end record of the current run is here; outputs are being collected
    COMPLETED = "COMPLETED"  # ended with exit code 0 and every promised output
    FAILED = "FAILED"  # ended otherwise; the cause says how
    CANCELLED = "CANCELLED"  # proved not to run, or to have ended, because somebody cancelled it

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
LIVE = frozenset(JobState) - FINAL

_S = JobState
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.ACCEPTED: frozenset({_S.STAGING_IN, _S.CANCELLED, _S.FAILED}),
    _S.STAGING_IN: frozenset({_S.SUBMITTING, _S.CANCELLED, _S.FAILED}),
    _S.SUBMITTING: frozenset({_S.QUEUED, _S.RUNNING, _S.STAGING_OUT, _S.ACCEPTED, _S.CANCELLED, _S.FAILED}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.STAGING_OUT, _S.ACCEPTED, _S.CANCELLED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.STAGING_OUT, _S.ACCEPTED, _S.CANCELLED, _S.FAILED}),
    _S.STAGING_OUT: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    _S.CANCELLED: frozenset(),
    # Only a job whose cause is `lost` comes back, when its claim or its end record is seen again.
    _S.FAILED: frozenset({_S.RUNNING, _S.STAGING_OUT}),
}
"""The states that may follow each state; staying in a state is always permitted."""


class SchedulerState(StrEnum):
    """What a scheduler says of a native id: theirs, only observed. There is no COMPLETED: a queue can't know it."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETING = "COMPLETING"
    ENDED = "ENDED"
    UNKNOWN = "UNKNOWN"


class Cause(StrEnum):
    """Why a job ended as it did."""

    EXIT_ZERO = "exit_zero"
    EXIT_NONZERO = "exit_nonzero"
    SIGNAL = "signal"
    WALLTIME = "walltime"
    CPU_LIMIT = "cpu_limit"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_FAILURE = "node_failure"
    PREEMPTED = "preempted"
    LAUNCH_FAILED = "launch_failed"
    REJECTED = "rejected"
    STAGE_IN_FAILED = "stage_in_failed"
    STAGE_OUT_FAILED = "stage_out_failed"
    CANCELLED_BY_USER = "cancelled_by_user"
    CANCELLED_ON_CLUSTER = "cancelled_on_cluster"
    DEPENDENCY_FAILED = "dependency_failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one job asks for. Memory and gpus are per node; total cpus are nodes * processes_per_node * cpus."""

    cpus: int = 1
    memory_mib: int | None = None
    gpus: int = 0
    walltime_s: int = 3600
    nodes: int = 1
    processes_per_node: int = 1
    queue: str | None = None
    account: str | None = None

    @property
    def total_cpus(self) -> int:
        return self.nodes * self.processes_per_node * self.cpus


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job on its cluster, and what is known of it.

    `native_id` is the scheduler's own name for the submission, once known; `claimed_by` is the native id that holds
    the claim, once seen. `submit_try` counts the submit markers used; `in_doubt_since` is set while a submission may
    or may not have been taken. `run` is the number of the current run, 0 before the first start.
    """

    n: int
    tag: str
    submit_try: int = 1
    in_doubt_since: float | None = None
    native_id: str | None = None
    claimed_by: str | None = None
    run: int = 0
    scheduler_state: SchedulerState | None = None
    scheduler_word: str = ""
    unlisted_since: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    stopped_by: str = ""
    cancel_sent_at: float | None = None
    stage_failures: int = 0
    voided: bool = False
    cpu_s: float | None = None
    peak_memory_mib: int | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What the life of a job is decided from. `seq` grows by one with every stored change and guards the next.

    What a job was asked to do (inputs, definition, labels) never changes and is not here: the store hands it to
    staging and to the API.
    """

    id: str
    owner_id: str
    cluster: str
    state: JobState
    state_at: float
    created_at: float
    resources: Resources = field(default_factory=Resources)
    restartable: bool = False
    max_attempts: int = 3
    attempt: Attempt | None = None
    attempts: int = 0
    cause: Cause | None = None
    evidence: str = ""
    waiting_reason: str = ""
    cancel_requested_at: float | None = None
    next_check_at: float = 0.0
    seq: int = 0


def tag_of(gateway_id: str, submission_id: str) -> str:
    """The 15-character name a submission carries on its cluster: `g` and 14 lower-case base32 characters.

    It fits the shortest job names known (15 characters, a letter first) and says nothing to others on the cluster.
    """
    digest = hashlib.sha256(f"{gateway_id}\0{submission_id}".encode()).digest()
    return "g" + base64.b32encode(digest)[:14].decode().lower()
