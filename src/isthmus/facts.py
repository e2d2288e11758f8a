"""What can be known of an attempt, as types that keep the three kinds of knowledge apart.

*No answer* is an exception (`errors.NoAnswer`) and never becomes a fact. *Answered, not listed* is `Unlisted`.
*Answered, with a state* is `Listed`. A field of `Facts` that is None was not asked, or nobody answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.job import Cause, SchedulerState


# --- how a submission ended ---------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Accepted:
    """The scheduler has it, under this native id."""

    native_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The scheduler refused for good, in these words; nothing was queued."""

    words: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """The scheduler refused for now (a limit, busy); nothing was queued."""

    words: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Indeterminate:
    """Whether the scheduler took it is not known."""

    words: str


@dataclass(frozen=True, slots=True)
class NeverSubmitted:
    """The submit marker of this try is closed and was never used: the next try may go."""


Submitted = Accepted | Rejected | Deferred | Indeterminate | NeverSubmitted


# --- the claim ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Unclaimed:
    """The attempt's directory answered and holds no claim: the program was not started."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The program was started, under this native id, as this run (1 for the first)."""

    native_id: str
    run: int
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Voided:
    """The gateway holds the claim: no copy of this attempt can ever start."""

    epoch: int


Claim = Unclaimed | Claimed | Voided


# --- what a listing says ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Listed:
    """The scheduler lists the native id in this state, with its own raw word and reason.

    `cause` is what an ENDED word means, where it means one thing (or will mean, when the end is proved).
    `proved_ended` says that the scheduler vouches for the program's end (its process is gone), not only for its own
    bookkeeping. `never_started`: the native id holds the claim, and it is proved besides that it has ended with nothing
    started. `node` is where it is, once known.
    """

    native_id: str
    state: SchedulerState
    word: str
    reason: str = ""
    cause: Cause | None = None
    proved_ended: bool = False
    never_started: bool = False
    node: str = ""


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A listing proved complete does not hold the attempt."""


Listing = Listed | Unlisted


@dataclass(frozen=True, slots=True)
class EndRecord:
    """What the wrapper wrote when the program ended. `stopped_by` is `walltime`, `cancel` or empty (a natural end).

    `signals` are the names of the signals the wrapper itself got. Times are epoch seconds of the node's clock;
    `oom_kills` counts kills for memory in the job's own control group, None where not known, as is peak memory.
    """

    native_id: str
    run: int
    code: int
    stopped_by: str = ""
    signals: tuple[str, ...] = ()
    host: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    cpu_s: float | None = None
    peak_memory_mib: int | None = None
    oom_kills: int | None = None


# --- results of staging -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StagedIn:
    """The attempt's directory holds every input and the script."""


@dataclass(frozen=True, slots=True)
class StagingFailed:
    """Staging did not succeed, in words for the user; `permanent` when trying again can't help.

    `goes_on`: somebody else is still at it (a node sends its files) and will tell, so nothing has failed yet.
    """

    words: str
    permanent: bool
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One collected file: the output rule's name, its path below the work directory, and where its bytes are."""

    name: str
    path: str
    sha256: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class StagedOut:
    """Every output found is in the file store; `missing` names promised ones that the program did not write."""

    files: tuple[OutputFile, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything learnt of one attempt since its job was last decided."""

    released: bool = False
    staged_in: StagedIn | StagingFailed | None = None
    submitted: Submitted | None = None
    claim: Claim | None = None
    end: EndRecord | None = None
    listing: Listing | None = None
    staged_out: StagedOut | StagingFailed | None = None
    cancel_sent: bool = False


NOTHING = Facts()
