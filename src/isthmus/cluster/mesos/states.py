"""What each state of a task means: one table, and the two questions that are answered from it. Pure.

A *launch* is one handing over of a task to the master, as `TAG.N`. What its states prove:

- ALIVE: a master or an agent vouches for it.
- ABSENT: nobody vouches for anything; it may run, and may come back. LOST is among them: after it, RUNNING was seen.
- ENDED: it does not run and never will. Of a task that came to its end by itself nothing but that is believed. DROPPED
  and GONE are a master's conclusions: an agent that says otherwise afterwards, by an update of its own, is believed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from isthmus.cluster.mesos.messages import Update
from isthmus.facts import Claim, EndRecord, Listed, Listing, Unlisted, Voided
from isthmus.job import Cause, SchedulerState
from isthmus.store.mesos import NOT_TAKEN, REMOVED, LaunchRow

CLOCKS_S = 3.0  # by how much the clocks of the hosts of the controller and the web process may differ
LINGERS_S = 3.0  # beside its own grace, how long a task's program may outlive its executor


class Phase(Enum):
    SENT = auto()  # stored, and perhaps handed over; nobody has told of it
    ALIVE = auto()
    ABSENT = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a state of a launch says: `words` to a user whose program has not started, `cause` where one that has
    started left no end record. `is_guess` is an end that somebody concluded and nobody saw."""

    phase: Phase
    state: SchedulerState
    words: str
    cause: Cause | None = None
    is_guess: bool = False


_S = SchedulerState
STATES: dict[str, Meaning] = {
    "": Meaning(Phase.SENT, _S.QUEUED, "handed to {node}; not heard of yet"),
    "TASK_STAGING": Meaning(Phase.ALIVE, _S.QUEUED, "being set up on {node}"),
    "TASK_STARTING": Meaning(Phase.ALIVE, _S.QUEUED, "being set up on {node}"),
    "TASK_RUNNING": Meaning(Phase.ALIVE, _S.RUNNING, "fetching its inputs on {node}"),
    "TASK_KILLING": Meaning(Phase.ALIVE, _S.COMPLETING, "being stopped on {node}"),
    "TASK_FINISHED": Meaning(Phase.ENDED, _S.ENDED, "ended on {node} without a start", Cause.EXIT_ZERO),
    "TASK_FAILED": Meaning(Phase.ENDED, _S.ENDED, "failed on {node} before its start", Cause.SIGNAL),
    "TASK_KILLED": Meaning(Phase.ENDED, _S.ENDED, "stopped on {node}", Cause.CANCELLED_ON_CLUSTER),
    "TASK_ERROR": Meaning(Phase.ENDED, _S.ENDED, "refused by the master", Cause.REJECTED),
    "TASK_DROPPED": Meaning(Phase.ENDED, _S.ENDED, "not taken by {node}", Cause.NODE_FAILURE, is_guess=True),
    "TASK_GONE": Meaning(Phase.ENDED, _S.ENDED, "gone from {node}", Cause.NODE_FAILURE, is_guess=True),
    "TASK_GONE_BY_OPERATOR": Meaning(
        Phase.ENDED, _S.ENDED, "{node} was taken out of the cluster for good", Cause.NODE_FAILURE, is_guess=True
    ),
    "TASK_UNREACHABLE": Meaning(Phase.ABSENT, _S.UNKNOWN, "{node} is not answering since {since}; {may_run}"),
    "TASK_LOST": Meaning(Phase.ABSENT, _S.UNKNOWN, "the cluster lost sight of it on {node} at {since}; {may_run}"),
    "TASK_UNKNOWN": Meaning(
        Phase.ABSENT, _S.UNKNOWN, "since {since} the master does not know of it (it was on {node}); {may_run}"
    ),
    # Ours, not a master's: it refused the call itself.
    NOT_TAKEN: Meaning(Phase.ENDED, _S.ENDED, "refused by the master", Cause.REJECTED),
    # Ours, too: with the framework all its tasks are ended, but who of the agents heard of it is not known.
    REMOVED: Meaning(Phase.ENDED, _S.UNKNOWN, "the master removed the framework", is_guess=True),
}
_UNKNOWN_WORD = Meaning(Phase.ABSENT, _S.UNKNOWN, "the cluster says {word} of it on {node}")


@dataclass(frozen=True, slots=True)
class Ending:
    """What a reason says of a task's end: the cause for its job, and whether the cluster's machinery is to blame."""

    cause: Cause
    is_infrastructure: bool = True


_MACHINERY = Ending(Cause.NODE_FAILURE)
REASONS: dict[str, Ending] = {
    "REASON_CONTAINER_LIMITATION_MEMORY": Ending(Cause.OUT_OF_MEMORY, is_infrastructure=False),
    "REASON_CONTAINER_LIMITATION": Ending(Cause.SIGNAL, is_infrastructure=False),
    "REASON_CONTAINER_LIMITATION_DISK": Ending(Cause.SIGNAL, is_infrastructure=False),
    "REASON_MAX_COMPLETION_TIME_REACHED": Ending(Cause.WALLTIME, is_infrastructure=False),
    "REASON_CONTAINER_PREEMPTED": Ending(Cause.PREEMPTED),
    "REASON_AGENT_DRAINING": Ending(Cause.PREEMPTED),
    "REASON_SLAVE_DRAINING": Ending(Cause.PREEMPTED),
    "REASON_CONTAINER_LAUNCH_FAILED": Ending(Cause.LAUNCH_FAILED),
    "REASON_CONTAINER_UPDATE_FAILED": _MACHINERY,
    "REASON_EXECUTOR_TERMINATED": _MACHINERY,
    "REASON_EXECUTOR_UNREGISTERED": _MACHINERY,
    "REASON_EXECUTOR_REGISTRATION_TIMEOUT": _MACHINERY,
    "REASON_EXECUTOR_REREGISTRATION_TIMEOUT": _MACHINERY,
    "REASON_GC_ERROR": _MACHINERY,
    "REASON_IO_SWITCHBOARD_EXITED": _MACHINERY,
    "REASON_AGENT_DISCONNECTED": _MACHINERY,
    "REASON_AGENT_REMOVED": _MACHINERY,
    "REASON_AGENT_REMOVED_BY_OPERATOR": _MACHINERY,
    "REASON_AGENT_RESTARTED": _MACHINERY,
    "REASON_AGENT_UNKNOWN": _MACHINERY,
    "REASON_SLAVE_DISCONNECTED": _MACHINERY,
    "REASON_SLAVE_REMOVED": _MACHINERY,
    "REASON_SLAVE_REMOVED_BY_OPERATOR": _MACHINERY,
    "REASON_SLAVE_RESTARTED": _MACHINERY,
    "REASON_SLAVE_UNKNOWN": _MACHINERY,
    "REASON_FRAMEWORK_REMOVED": _MACHINERY,
    "REASON_MASTER_DISCONNECTED": _MACHINERY,
    "REASON_INVALID_OFFERS": _MACHINERY,
    "REASON_RESOURCES_UNKNOWN": _MACHINERY,
}
"""The reasons that say something; any other is the task's own affair."""


Launch = LaunchRow


def words_of(launch: Launch) -> str:
    """Its state, to a user whose program has not started there, or may have been lost there."""
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(launch.updated_at))
    node, may_run = launch.agent_host or "its node", "it may still be running"
    return meaning_of(launch.state).words.format(node=node, word=launch.state, since=since, may_run=may_run)


def told_of(launch: Launch) -> str:
    """All that the master said of its state, for operators."""
    told = " ".join(filter(None, (launch.state, launch.reason)))
    return f"{told}: {launch.message}" if launch.message else told


def blames_machinery(launch: Launch) -> bool:
    """Whether it ended by a fault of the cluster's, not of the task's."""
    if not launch.ended:
        return False
    reason = REASONS.get(launch.reason)
    return reason.is_infrastructure if reason else meaning_of(launch.state).is_guess


def meaning_of(state: str) -> Meaning:
    """The table's row; of a state that this table does not know, that nothing is known."""
    return STATES.get(state, _UNKNOWN_WORD)


def heard(launch: Launch, update: Update, now: float) -> Launch:
    """The launch after the update; the same object where that changes nothing, so a second delivery is harmless."""
    if (update.uuid and update.uuid == launch.uuid) or not _is_believed(launch, update):
        return launch
    same = (launch.state, launch.reason, launch.confirmed) == (update.state, update.reason, True)
    if same and not update.uuid:
        return launch
    answers_us = update.reason == "REASON_RECONCILIATION" and update.state == launch.state
    return replace(
        launch,
        state=update.state,
        uuid=update.uuid or launch.uuid,
        reason=launch.reason if answers_us else update.reason,
        source=launch.source if answers_us else update.source,
        message=launch.message if answers_us else update.message,
        agent_id=launch.agent_id or update.agent_id,
        updated_at=launch.updated_at if answers_us else now,
        confirmed=True,
        ended=meaning_of(update.state).phase is Phase.ENDED,
    )


_RANK = {"TASK_STAGING": 1, "TASK_STARTING": 2, "TASK_RUNNING": 3, "TASK_KILLING": 4}


def _is_believed(launch: Launch, update: Update) -> bool:
    if launch.state == REMOVED:  # whatever comes now was told before the removal
        return False
    if launch.ended:
        was_seen = bool(update.uuid) and not meaning_of(update.state).is_guess
        return meaning_of(launch.state).is_guess and was_seen
    if update.state == "TASK_ERROR" and launch.confirmed:
        return False  # a master says this of a second task with a living one's id, under the living one's name
    return not _RANK.get(update.state, 9) < _RANK.get(launch.state, 0)  # a slow answer does not turn the clock back


def listing_of(launches: Sequence[Launch], claim: Claim | None, waiting: str, most_failures: int) -> Listing:
    """What the scheduler is said to list of an attempt that has not started; `waiting` without a launch.

    An attempt that can't start any more (its claim is voided) and has not failed is not listed.
    """
    if failed := gave_up(launches, most_failures):
        return _ended(failed, meaning_of(failed.state).cause if failed.state in _REFUSED else Cause.LAUNCH_FAILED)
    if isinstance(claim, Voided):
        return Unlisted()
    newest = launches[-1] if launches else None
    if newest is None or newest.ended:
        before = f"{_ended_words(newest)}; " if newest else ""
        return Listed("", SchedulerState.QUEUED, "waiting", before + waiting)
    state = meaning_of(newest.state).state
    return Listed(newest.task_id, state, newest.state, words_of(newest), node=newest.agent_host)


def _ended_words(launch: Launch) -> str:
    """What became of a launch that started nothing, with what the machinery said of it."""
    if exit_code_of(launch) == NOTHING_STARTED:
        return f"its task on {launch.agent_host} could not reach the gateway, or make its program ready"
    said = launch.message or launch.reason
    return words_of(launch) + (f" ({said})" if said else "")


@dataclass(frozen=True, slots=True)
class Remains:
    """What an ended task left in its sandbox: whether that was read, and if so, the end record and what started."""

    is_read: bool = False
    end: EndRecord | None = None
    has_program: bool = False


UNREAD = Remains()


def started_listing(
    launch: Launch | None, claimed_at: float | None, remains: Remains, now: float, grace_s: float
) -> Listing:
    """What the scheduler is said to list of an attempt whose claim this launch holds; None: nobody knows the holder.

    `claimed_at` is epoch seconds of the web process; `grace_s` is what a program has to end after its TERM.
    """
    if launch is None or launch.state == REMOVED:
        return Unlisted()
    if launch.ended and not _is_doubtful(launch, claimed_at) and not may_linger(launch, now, grace_s):
        nothing = exit_code_of(launch) == NOTHING_STARTED and remains.is_read and not remains.has_program
        return replace(_ended(launch, _cause(launch)), never_started=nothing)
    state = SchedulerState.UNKNOWN if launch.ended else meaning_of(launch.state).state
    if meaning_of(launch.state).phase is Phase.SENT:
        state = SchedulerState.RUNNING  # its claim says so, before the master does
    word, words, cause = launch.state, words_of(launch), None
    if launch.ended and not meaning_of(launch.state).is_guess:
        word, cause = told_of(launch), _cause(launch)
        words = f"its executor on {launch.agent_host} is gone; making sure that its program has ended"
    return Listed(launch.task_id, state, word, words, cause, node=launch.agent_host)


def _is_doubtful(launch: Launch, claimed_at: float | None) -> bool:
    """Somebody concluded that it ended, and its program was started after that, as far as two clocks can tell."""
    is_guess = meaning_of(launch.state).is_guess
    return is_guess and claimed_at is not None and claimed_at > launch.updated_at - CLOCKS_S


def may_linger(launch: Launch, now: float, grace_s: float) -> bool:
    """Only its executor is proved to be gone: the task's script sees that within seconds, and ends its program."""
    since = now - launch.updated_at
    return launch.ended and launch.reason in _EXECUTOR_GONE and 0 <= since < grace_s + LINGERS_S


_EXECUTOR_GONE = frozenset(reason for reason in REASONS if reason.startswith("REASON_EXECUTOR_"))
_REFUSED = frozenset({"TASK_ERROR", NOT_TAKEN})
_EXITED = re.compile(r"Command exited with status (\d{1,3})\b")
NOTHING_STARTED = 73  # what over_http.sh ends with then, and else with its program's code, which may be the same


def exit_code_of(launch: Launch) -> int | None:
    """With what the task's command ended, if it failed by itself."""
    found = _EXITED.match(launch.message) if launch.state == "TASK_FAILED" else None
    return int(found[1]) if found else None


def _cause(launch: Launch) -> Cause | None:
    code = exit_code_of(launch)
    if code is not None:
        return Cause.LAUNCH_FAILED if code == NOTHING_STARTED else Cause.EXIT_NONZERO
    reason = REASONS.get(launch.reason)
    return reason.cause if reason else meaning_of(launch.state).cause


def _ended(launch: Launch, cause: Cause | None) -> Listed:
    word, ended, node = told_of(launch), SchedulerState.ENDED, launch.agent_host
    return Listed(launch.task_id, ended, word, words_of(launch), cause, proved_ended=True, node=node)


def gave_up(launches: Sequence[Launch], most_failures: int) -> Launch | None:
    """The launch after which an attempt is not launched again: refused, or the last of so many that failed.

    Ends by a fault of the cluster's, or since the gateway was out of reach, are not its failures: they are waited out.
    """
    if launches and launches[-1].state == "TASK_ERROR":
        return launches[-1]
    failed = [one for one in launches if _is_own_failure(one)]
    return failed[-1] if len(failed) >= most_failures else None


def _is_own_failure(launch: Launch) -> bool:
    is_blameless = blames_machinery(launch) or meaning_of(launch.state).is_guess
    return launch.ended and not is_blameless and exit_code_of(launch) != NOTHING_STARTED
