"""The only way a job's state changes: decisions, written under a lease, each only if its job has not changed since.

The statements are built once: building them takes longer than storing a few decisions does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, update

from isthmus.job import TRANSITIONS, Attempt, Cause, Job
from isthmus.lifecycle import Decision
from isthmus.store.filerows import keep_files
from isthmus.store.history import NewEvent, record
from isthmus.store.leases import Lease, hold
from isthmus.store.notices import WANTED, Telling, kind_of, tell
from isthmus.store.rows import (
    ATTEMPT_COLUMNS,
    JOB_COLUMNS,
    SUBMISSION_COLUMNS,
    Values,
    attempt_values,
    job_of,
    job_rows,
    job_values,
    submission_id,
    submission_values,
)
from isthmus.store.schema import attempts, jobs, outputs, submissions


class ImpossibleChange(AssertionError):
    """A decision that no job may undergo: a fault of the program, stopped before it is stored."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A decision whose guard holds, beside the job as it stands, and the letters of what its owner is told of."""

    number: int
    old: Job
    wanted: str
    decision: Decision

    @property
    def new(self) -> Job:
        return self.decision.job


def apply(
    connection: Connection, lease: Lease, decisions: Sequence[Decision], now: float, gateway_id: str
) -> list[bool]:
    """Every decision answered True is stored with its event, notice, attempt and outputs; of the others nothing is.

    A decision is False when its job has changed since (`seq`). The rows are locked before they are compared, so no
    other writer can come between. LeaseLost: the lease is another's, nothing is stored. ImpossibleChange.
    """
    hold(connection, lease)
    standing = _locked(connection, {decision.job.id for decision in decisions})
    changes: list[_Change] = []
    answers = []
    for decision in decisions:
        number, old, wanted = standing.get(decision.job.id, (0, None, ""))
        holds = old is not None and old.seq == decision.job.seq
        answers.append(holds)
        if old is not None and holds:
            del standing[old.id]  # a second decision on the same job was made before this one was stored
            changes.append(_Change(number, old, wanted, decision))
    _store(connection, changes, now)
    _tell(connection, changes, now, gateway_id)
    _record(connection, changes, now)
    return answers


def _locked(connection: Connection, job_ids: set[str]) -> dict[str, tuple[int, Job, str]]:
    rows = connection.execute(_LOCKED, {"ids": list(job_ids)})
    return {row[1]: (row[0], job_of(row), row[-1]) for row in rows}


def _store(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    for change in changes:
        _refuse_impossible(change)
    _update_jobs(connection, [change for change in changes if change.new.state != change.old.state], moved=True)
    _update_jobs(connection, [change for change in changes if change.new.state == change.old.state], moved=False)
    _store_attempts(connection, changes, now)
    _store_outputs(connection, changes, now)


def _tell(connection: Connection, changes: Sequence[_Change], now: float, gateway_id: str) -> None:
    tellings = [
        Telling(change.number, change.old.owner_id, kind, change.new.state, change.new.cause)
        for change in changes
        if change.wanted and change.new.state != change.old.state
        if (kind := kind_of(change.new.state, change.new.cause)) and kind.letter in change.wanted
    ]
    if tellings:
        tell(connection, gateway_id, tellings, now)


def _record(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    record(
        connection,
        [
            NewEvent(change.number, change.old.owner_id, now, change.decision.event.kind, change.decision.event.body)
            for change in changes
            if change.decision.event is not None
        ],
    )


def _refuse_impossible(change: _Change) -> None:
    old, new = change.old, change.new
    if new.state != old.state and new.state not in TRANSITIONS[old.state]:
        raise ImpossibleChange(f"job {old.id} can't go from {old.state} to {new.state}")
    if old.state.is_final and old.cause is not Cause.LOST:
        raise ImpossibleChange(f"job {old.id} is {old.state} for good")
    if new.state.is_final and new.cause is None:
        raise ImpossibleChange(f"job {old.id} can't be {new.state} without a cause")
    if (new.attempt.n if new.attempt else 0) != new.attempts or not old.attempts <= new.attempts <= old.attempts + 1:
        raise ImpossibleChange(f"job {old.id} can't have attempt {new.attempts} after {old.attempts}")


def _update_jobs(connection: Connection, changes: Sequence[_Change], *, moved: bool) -> None:
    """The rows are as decided. Indexed columns of the state are named only where it moved: most decisions don't."""
    if not changes:
        return
    rows = [{"row": change.number, **job_values(change.new)} for change in changes]
    if moved:
        connection.execute(_MOVE, rows)
        return
    for row in rows:
        del row["state"], row["state_at"]
    connection.execute(_KEEP, rows)


def _store_attempts(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    tried = [(change, change.new.attempt) for change in changes if change.new.attempt is not None]
    first = [(change, attempt) for change, attempt in tried if change.new.attempts > change.old.attempts]
    later = [(change, attempt) for change, attempt in tried if change.new.attempts == change.old.attempts]
    later = [(change, attempt) for change, attempt in later if attempt != change.old.attempt]
    if first:
        connection.execute(_INSERT_SUBMISSIONS, [_new_submission(change, attempt, now) for change, attempt in first])
        connection.execute(_INSERT_ATTEMPTS, [_new_attempt(change, attempt) for change, attempt in first])
    if later:
        _update_attempts(connection, later)


def _new_submission(change: _Change, attempt: Attempt, now: float) -> Values:
    known: Values = {"id": submission_id(change.new.id, attempt.n), "cluster": change.new.cluster, "created_at": now}
    return {**known, **submission_values(attempt)}


def _new_attempt(change: _Change, attempt: Attempt) -> Values:
    known: Values = {"job": change.number, "submission_id": submission_id(change.new.id, attempt.n)}
    return {**known, **attempt_values(attempt)}


def _update_attempts(connection: Connection, later: Sequence[tuple[_Change, Attempt]]) -> None:
    rows = [{"row": change.number, **attempt_values(attempt)} for change, attempt in later]
    connection.execute(_UPDATE_ATTEMPTS, [_renamed(row, n="nth") for row in rows])
    changed = [values for change, attempt in later if (values := _submission_change(change, attempt))]
    if changed:
        connection.execute(_UPDATE_SUBMISSIONS, [_renamed(row, tag="which") for row in changed])


def _submission_change(change: _Change, attempt: Attempt) -> Values | None:
    """The submission's columns, if one of them differs: most changes are of the attempt alone."""
    values = submission_values(attempt)
    return None if change.old.attempt and values == submission_values(change.old.attempt) else values


def _store_outputs(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    """The outputs of each attempt are the decision's; a lost job that came back has its outputs collected again."""
    found = [(change, file) for change in changes for file in change.decision.outputs]
    if not found:
        return
    keep_files(connection, ((file.sha256, file.size) for _, file in found), now)
    whose = {(change.number, change.new.attempts) for change, _ in found}
    connection.execute(_DELETE_OUTPUTS, [{"row": number, "nth": n} for number, n in whose])
    rows = [
        {"job": change.number, "attempt": change.new.attempts, "owner_id": change.old.owner_id, **asdict(file)}
        for change, file in found
    ]
    connection.execute(_INSERT_OUTPUTS, rows)


def _renamed(values: Values, **names: str) -> Values:
    """The values with some under other names: a column's own name can't be asked for and set in one statement."""
    return {names.get(name, name): value for name, value in values.items()}


# --- the statements -----------------------------------------------------------------------------------------
def _bound(names: Iterable[str], *but: str) -> dict[str, BindParameter[object]]:
    return {name: bindparam(name) for name in names if name not in but}


_THIS_JOB = jobs.c.number == bindparam("row")
_LOCKED = (
    job_rows()
    .add_columns(WANTED)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(jobs.c.number)
    .with_for_update(of=jobs)
)
_MOVE = update(jobs).where(_THIS_JOB).values(**_bound(JOB_COLUMNS), seq=jobs.c.seq + 1)
_KEEP = update(jobs).where(_THIS_JOB).values(**_bound(JOB_COLUMNS, "state", "state_at"), seq=jobs.c.seq + 1)
_INSERT_SUBMISSIONS, _INSERT_ATTEMPTS, _INSERT_OUTPUTS = insert(submissions), insert(attempts), insert(outputs)
_UPDATE_ATTEMPTS = (
    update(attempts)
    .where(attempts.c.job == bindparam("row"), attempts.c.n == bindparam("nth"))
    .values(**_bound(ATTEMPT_COLUMNS, "n"))
)
_UPDATE_SUBMISSIONS = (
    update(submissions).where(submissions.c.tag == bindparam("which")).values(**_bound(SUBMISSION_COLUMNS, "tag"))
)
_DELETE_OUTPUTS = delete(outputs).where(outputs.c.job == bindparam("row"), outputs.c.attempt == bindparam("nth"))
