"""The only way a job's state changes: decisions, written under a lease, each only if its job has not changed since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, update

from isthmus.job import TRANSITIONS, Attempt, Cause, Job
from isthmus.lifecycle import Decision
from isthmus.store.filerows import keep_files
from isthmus.store.history import NewEvent, record
from isthmus.store.leases import Lease, hold
from isthmus.store.rows import (
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
    """A decision whose guard holds, beside the job as it stands."""

    number: int
    old: Job
    decision: Decision

    @property
    def new(self) -> Job:
        return self.decision.job


def apply(connection: Connection, lease: Lease, decisions: Sequence[Decision], now: float) -> list[bool]:
    """Every decision answered True is stored with its event, attempt and outputs; of the others nothing is.

    A decision is False when its job has changed since (`seq`). The rows are locked before they are compared, so no
    other writer can come between. LeaseLost: the lease is another's, nothing is stored. ImpossibleChange.
    """
    hold(connection, lease)
    standing = _locked(connection, {decision.job.id for decision in decisions})
    changes: list[_Change] = []
    answers = []
    for decision in decisions:
        number, old = standing.get(decision.job.id, (0, None))
        holds = old is not None and old.seq == decision.job.seq
        answers.append(holds)
        if old is not None and holds:
            del standing[old.id]  # a second decision on the same job was made before this one was stored
            changes.append(_Change(number, old, decision))
    _store(connection, changes, now)
    return answers


def _locked(connection: Connection, job_ids: set[str]) -> dict[str, tuple[int, Job]]:
    query = job_rows().where(jobs.c.id.in_(job_ids)).order_by(jobs.c.number).with_for_update(of=jobs)
    return {row[1]: (row[0], job_of(row)) for row in connection.execute(query)}


def _store(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    for change in changes:
        _refuse_impossible(change)
    _update_jobs(connection, [change for change in changes if change.new.state != change.old.state], moved=True)
    _update_jobs(connection, [change for change in changes if change.new.state == change.old.state], moved=False)
    _store_attempts(connection, changes, now)
    _store_outputs(connection, changes, now)
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
    rows = [_with_number(change.number, job_values(change.new), moved=moved) for change in changes]
    columns = _bound(name for name in rows[0] if name != "row")
    connection.execute(
        update(jobs).where(jobs.c.number == bindparam("row")).values(**columns, seq=jobs.c.seq + 1), rows
    )


def _with_number(number: int, values: Values, *, moved: bool) -> Values:
    kept = values if moved else {name: value for name, value in values.items() if name not in ("state", "state_at")}
    return {"row": number, **kept}


def _store_attempts(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    tried = [(change, change.new.attempt) for change in changes if change.new.attempt is not None]
    first = [(change, attempt) for change, attempt in tried if change.new.attempts > change.old.attempts]
    later = [(change, attempt) for change, attempt in tried if change.new.attempts == change.old.attempts]
    later = [(change, attempt) for change, attempt in later if attempt != change.old.attempt]
    if first:
        connection.execute(insert(submissions), [_new_submission(change, attempt, now) for change, attempt in first])
        connection.execute(insert(attempts), [_new_attempt(change, attempt) for change, attempt in first])
    if later:
        _update_attempts(connection, later)


def _new_submission(change: _Change, attempt: Attempt, now: float) -> Values:
    known: Values = {"id": submission_id(change.new.id, attempt.n), "cluster": change.new.cluster, "created_at": now}
    return {**known, **submission_values(attempt)}


def _new_attempt(change: _Change, attempt: Attempt) -> Values:
    known: Values = {"job": change.number, "submission_id": submission_id(change.new.id, attempt.n)}
    return {**known, **attempt_values(attempt)}


def _update_attempts(connection: Connection, later: Sequence[tuple[_Change, Attempt]]) -> None:
    rows = [{"row": change.number, "nth": attempt.n, **attempt_values(attempt)} for change, attempt in later]
    columns = _bound(name for name in rows[0] if name not in ("row", "nth", "n"))
    this = (attempts.c.job == bindparam("row"), attempts.c.n == bindparam("nth"))
    connection.execute(update(attempts).where(*this).values(**columns), rows)
    tags = [
        {"row": attempt.tag, **values} for change, attempt in later if (values := _submission_change(change, attempt))
    ]
    if not tags:
        return
    columns = _bound(name for name in tags[0] if name not in ("row", "tag"))
    connection.execute(update(submissions).where(submissions.c.tag == bindparam("row")).values(**columns), tags)


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
    connection.execute(
        delete(outputs).where(outputs.c.job == bindparam("row"), outputs.c.attempt == bindparam("nth")),
        [{"row": number, "nth": n} for number, n in whose],
    )
    connection.execute(
        insert(outputs),
        [{"job": change.number, "attempt": change.new.attempts, **asdict(file)} for change, file in found],
    )


def _bound(names: Iterable[str]) -> dict[str, BindParameter[object]]:
    return {name: bindparam(name) for name in names}
