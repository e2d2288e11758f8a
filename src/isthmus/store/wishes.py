"""What people want done with their jobs. The store notes it; only a cluster's controller fulfils it.

What an administrator does with a job of somebody else is in the audit and in the job's history with their name, in the
same transaction, whichever way it came; that it was cancelled, archived or deleted so, its owner is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, insert, select, update

from isthmus.errors import Conflict, NotFound
from isthmus.job import FINAL, JobState
from isthmus.store.audit import Actor, AuditKind, AuditLine, record_audit
from isthmus.store.conflicts import insert_or_refresh
from isthmus.store.history import Body, NewEvent, record
from isthmus.store.ids import is_id
from isthmus.store.notices import NoticeKind, tell_of_act
from isthmus.store.records import JobInput, Viewer
from isthmus.store.rows import AnyRow, Values
from isthmus.store.schema import (
    attempts,
    deleted_inputs,
    job_inputs,
    job_labels,
    jobs,
    outputs,
    submissions,
    users,
    wishes,
)
from isthmus.store.words import search_text


class CancelOutcome(StrEnum):
    REQUESTED = "requested"
    REQUESTED_BEFORE = "requested_before"
    ALREADY_ENDED = "already_ended"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What became of the request to cancel one job, and the job's state where it was found."""

    job_id: str
    outcome: CancelOutcome
    state: JobState | None = None


@dataclass(frozen=True, slots=True)
class JobChanges:
    """What an owner may change of a job; None leaves it."""

    name: str | None = None
    labels: tuple[str, ...] | None = None
    archived: bool | None = None


class ChangedMeanwhile(Conflict):
    """The job is not as the caller last saw it."""

    code = "changed_meanwhile"


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody follows the log of this attempt, the job's `attempt`th."""

    job_id: str
    attempt: int
    tag: str
    until_at: float


_FOLLOW_LOG = "follow_log"


def request_cancel(
    connection: Connection, viewer: Viewer, job_ids: Sequence[str], now: float, by: Actor | None = None
) -> list[CancelAnswer]:
    """Every job that is not final is to be cancelled; one answer a job id, in their order."""
    found = {row.id: row for row in connection.execute(_mine(viewer, [*filter(is_id, job_ids)]))}
    answers = [_cancel_answer(job_id, found.get(job_id)) for job_id in job_ids]
    wanted = {answer.job_id for answer in answers if answer.outcome is CancelOutcome.REQUESTED}
    if wanted:
        asked = update(jobs).where(jobs.c.number.in_([found[job_id].number for job_id in wanted]))
        connection.execute(asked.values(cancel_requested_at=now, next_check_at=0.0, seq=jobs.c.seq + 1))
        rows = [found[job_id] for job_id in dict.fromkeys(job_ids) if job_id in wanted]
        act = _act(connection, viewer, by, now)
        record(connection, [act.event(row, "cancel_requested") for row in rows])
        act.note(connection, rows, "asked to cancel it", tell=NoticeKind.CANCEL_ASKED)
    return answers


def _cancel_answer(job_id: str, row: AnyRow | None) -> CancelAnswer:
    if row is None:
        return CancelAnswer(job_id, CancelOutcome.NOT_FOUND)
    state = JobState(row.state)
    if state.is_final:
        return CancelAnswer(job_id, CancelOutcome.ALREADY_ENDED, state)
    before = row.cancel_requested_at is not None
    return CancelAnswer(job_id, CancelOutcome.REQUESTED_BEFORE if before else CancelOutcome.REQUESTED, state)


@dataclass(frozen=True, slots=True)
class _Act:
    """Something that the viewer does with jobs now; `actor` is who they are, where one of the jobs may be another's."""

    viewer: Viewer
    actor: Actor
    now: float

    def event(self, row: AnyRow, kind: str, more: Body = MappingProxyType({})) -> NewEvent:
        """The line of the job's history; of an administrator it has the name, which the owner could not look up."""
        who = {"by": self.viewer.user_id}
        if row.owner_id != self.viewer.user_id:
            who["administrator"] = self.actor.name
        return NewEvent(row.number, row.owner_id, self.now, kind, {**who, **more})

    def note(
        self,
        connection: Connection,
        rows: Sequence[AnyRow],
        words: str,
        *,
        kind: AuditKind = AuditKind.JOB_CHANGED_BY_ADMINISTRATOR,
        tell: NoticeKind | None = None,
    ) -> None:
        """What was done with jobs of others is in the audit, and their owners are told of it as asked."""
        others = [row for row in rows if row.owner_id != self.viewer.user_id]
        for row in others:
            record_audit(connection, AuditLine(self.actor, kind, words, row.number), self.now)
        if tell is not None and others:
            tell_of_act(connection, tell, [(row.number, row.owner_id) for row in others], self.actor.name, self.now)


def _act(connection: Connection, viewer: Viewer, by: Actor | None, now: float) -> _Act:
    """The act; whoever does not say who acts is named all the same, without an address."""
    if by is None:
        query = select(users.c.name).where(users.c.id == viewer.user_id)
        by = Actor(viewer.user_id, connection.execute(query).scalar_one_or_none() or "")
    return _Act(viewer, by, now)


def change(
    connection: Connection,
    viewer: Viewer,
    job_id: str,
    changes: JobChanges,
    now: float,
    expected_seq: int | None,
    by: Actor | None = None,
) -> None:
    """The job's name, labels and place are as asked. NotFound; ChangedMeanwhile: its `seq` is not the expected one."""
    row = _one(connection, viewer, job_id)
    if expected_seq is not None and row.seq != expected_seq:
        raise ChangedMeanwhile("the job has changed since you last read it")
    what = ", ".join(_changed(row.name, changes))
    if not what:
        return
    name = row.name if changes.name is None else changes.name
    if changes.labels is not None:
        _set_labels(connection, row.number, changes.labels)
    labels = connection.execute(select(job_labels.c.label).where(job_labels.c.job == row.number)).scalars()
    values: Values = {"name": name, "search_text": search_text(name, row.application, *sorted(labels))}
    if changes.archived is not None:
        values["archived_at"] = now if changes.archived else None
    connection.execute(update(jobs).where(jobs.c.number == row.number).values(**values, seq=jobs.c.seq + 1))
    act = _act(connection, viewer, by, now)
    record(connection, [act.event(row, "changed", {"name": name, "what": what})])
    told = NoticeKind.ARCHIVED if changes.archived else None
    act.note(connection, [row], what, tell=told)


def _changed(name_before: str, changes: JobChanges) -> Iterator[str]:
    if changes.name is not None and changes.name != name_before:
        yield f"called it “{changes.name}”, before “{name_before}”"
    if changes.labels is not None:
        yield (
            f"labelled it {', '.join(f'“{label}”' for label in changes.labels)}"
            if changes.labels
            else "took its labels off"
        )
    if changes.archived is not None:
        yield "archived it" if changes.archived else "took it out of the archive"


def _set_labels(connection: Connection, number: int, labels: Sequence[str]) -> None:
    connection.execute(delete(job_labels).where(job_labels.c.job == number))
    if labels:
        connection.execute(insert(job_labels), [{"job": number, "label": label} for label in dict.fromkeys(labels)])


def delete_job(connection: Connection, viewer: Viewer, job_id: str, now: float, by: Actor | None) -> None:
    """The job is out of every list and holds no file any more; its record stays. Conflict: it has not ended."""
    row = _one(connection, viewer, job_id)
    if JobState(row.state) not in FINAL:
        raise Conflict("only a job that has ended can be deleted: cancel it first")
    _keep_what_it_took(connection, row.number)
    connection.execute(delete(outputs).where(outputs.c.job == row.number))
    gone = update(jobs).where(jobs.c.number == row.number)
    connection.execute(gone.values(deleted_at=now, next_check_at=None, seq=jobs.c.seq + 1))
    act = _act(connection, viewer, by, now)
    record(connection, [act.event(row, "deleted")])
    kind = AuditKind.JOB_DELETED_BY_ADMINISTRATOR
    act.note(connection, [row], row.name, kind=kind, tell=NoticeKind.DELETED)


def _keep_what_it_took(connection: Connection, number: int) -> None:
    """The job's input files are known by name, size and hash, and nothing keeps their bytes for it any more."""
    columns = ("job", *JobInput.__slots__)
    taken = select(*(job_inputs.c[name] for name in columns)).where(job_inputs.c.job == number)
    connection.execute(insert(deleted_inputs).from_select(list(columns), taken))
    connection.execute(delete(job_inputs).where(job_inputs.c.job == number))


def follow(connection: Connection, viewer: Viewer, job_id: str, until_at: float) -> None:
    """The job's log is followed until then, if it is running. NotFound."""
    row = _one(connection, viewer, job_id, reading=True)
    wish: Values = {"cluster": row.cluster, "job": row.number, "kind": _FOLLOW_LOG, "until_at": until_at}
    insert_or_refresh(connection, wishes, ("job", "kind"), "until_at", [wish])


def open_wishes(connection: Connection, cluster: str, now: float) -> list[Wish]:
    """Logs of the cluster's started jobs that somebody follows now."""
    current = and_(attempts.c.job == jobs.c.number, attempts.c.n == jobs.c.attempts)
    query = (
        select(jobs.c.id, attempts.c.n, submissions.c.tag, wishes.c.until_at)
        .select_from(wishes)
        .join(jobs, jobs.c.number == wishes.c.job)
        .join(attempts, current)
        .join(submissions, submissions.c.id == attempts.c.submission_id)
        .where(wishes.c.cluster == cluster, wishes.c.until_at > now)
        .where(jobs.c.state.in_([JobState.RUNNING.value, JobState.STAGING_OUT.value]))
    )
    return [Wish(*row) for row in connection.execute(query)]


def forget_old_wishes(connection: Connection, now: float) -> None:
    """Wishes whose time is over are gone."""
    connection.execute(delete(wishes).where(wishes.c.until_at <= now))


def _mine(viewer: Viewer, job_ids: Sequence[str], *, reading: bool = False) -> Select[*tuple[Any, ...]]:
    query = select(
        *(jobs.c.number, jobs.c.id, jobs.c.owner_id, jobs.c.state, jobs.c.seq),
        *(jobs.c.cancel_requested_at, jobs.c.name, jobs.c.application, jobs.c.cluster),
    ).where(jobs.c.id.in_(job_ids), jobs.c.deleted_at.is_(None))
    if not viewer.is_admin and not (reading and [*job_ids] == [viewer.job_id]):
        query = query.where(jobs.c.owner_id == viewer.user_id)
    return query if reading else query.order_by(jobs.c.number).with_for_update()


def _one(connection: Connection, viewer: Viewer, job_id: str, *, reading: bool = False) -> AnyRow:
    row = connection.execute(_mine(viewer, [job_id], reading=reading)).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    return row
