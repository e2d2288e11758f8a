"""Everything that a job's page shows, gathered once for the page, its part and the page of a link."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from isthmus.application import Application, Json
from isthmus.errors import Conflict, IsthmusError, NotFound
from isthmus.gateway import Stream
from isthmus.gateway.submission import files_by_input
from isthmus.job import Cause, JobState
from isthmus.portal.advice import advice_for
from isthmus.portal.logpage import LogText, tail
from isthmus.portal.opened import Opened
from isthmus.portal.outputs import groups_of
from isthmus.portal.rendering import duration
from isthmus.portal.timeline import event_words, timeline_of
from isthmus.store.history import EventRow
from isthmus.store.records import JobInput
from isthmus.store.views import JobView

MAX_EVENTS = 2000

_EVENTS = {
    "accepted": "Accepted",
    "state": "New state",
    "waiting": "Waits",
    "cancel_requested": "Cancelling asked for",
    "changed": "Changed",
    "deleted": "Deleted",
}


@dataclass(frozen=True, slots=True)
class InputRow:
    """One input as it was given: its value in words, or its files."""

    name: str
    label: str
    unit: str
    words: str
    files: tuple[JobInput, ...]
    is_default: bool


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One resource: what was asked for and, where it is known, what was used."""

    label: str
    asked: str
    used: str = ""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of the history; `by` is who did it, empty for the gateway itself."""

    at: float
    title: str
    state: JobState | None
    words: tuple[str, ...]
    by: str


def context_of(opened: Opened, stream: Stream | None = None, *, with_log: bool = False) -> dict[str, object]:
    """The page's values. NotFound: the job is not shown to this reader."""
    job = opened.job()
    application = Application.from_json(job.definition)
    events = opened.gateway.store.events_of(opened.access.viewer, job.id, MAX_EVENTS)
    now = time.time()
    chosen = stream or usual_stream(job)
    why = opened.gateway.why(job)
    return {
        "job": job,
        "base": opened.base,
        "may_change": opened.may_change and job.deleted_at is None,
        "has_account": opened.visitor is not None,
        "faults": {},
        "given": {"name": job.name, "labels": "\n".join(job.labels)},
        "is_mine": opened.is_mine,
        "as_administrator": opened.as_administrator,
        "application": application,
        "cluster_known": job.cluster in opened.gateway.configuration.clusters,
        "why": why[0],
        "why_more": why[1:],
        "advice": advice_for(job, application, may_act=opened.may_change),
        "timeline": timeline_of(job.created_at, events, now),
        "now": now,
        "inputs": tuple(input_rows(job, application)),
        "resources": tuple(resource_rows(job, now)),
        "groups": groups_of(job, application),
        "logs": [one for one in job.outputs if one.name in tuple(Stream)],
        "stream": chosen,
        "log": log_of(opened, job, chosen) if with_log else None,
        "streams": tuple(Stream),
        "events": tuple(_line(row, job) for row in events),
        "live": live_address(opened, job),
    }


def usual_stream(job: JobView) -> Stream:
    """stderr of a program that failed and said something there, stdout of every other."""
    said = any(one.name == Stream.STDERR and one.size for one in job.outputs)
    failed = job.cause in (Cause.EXIT_NONZERO, Cause.SIGNAL, Cause.LAUNCH_FAILED)
    return Stream.STDERR if failed and said else Stream.STDOUT


def log_of(opened: Opened, job: JobView, stream: Stream) -> LogText:
    """The log's end; nothing, and complete, for a job that was deleted."""
    try:
        return tail(opened.gateway, opened.access.viewer, job.id, stream)
    except NotFound:
        return LogText(stream, "", 0, 0, True, 1)


def live_address(opened: Opened, job: JobView) -> str:
    """Where the page's one connection leads; which log it follows, and from where, is added to it."""
    return f"/live?job={job.id}" if opened.visitor else f"{opened.base}/live?"


def script_of(opened: Opened, job: JobView) -> tuple[str, str]:
    """The script, or why there is none to show."""
    try:
        return opened.gateway.script(job), ""
    except Conflict as gone:
        return "", gone.message
    except IsthmusError as fault:
        return "", f"it can't be written out any more: {fault.message}"


# --- inputs and resources ---------------------------------------------------------------------------------------------
def input_rows(job: JobView, application: Application) -> Iterator[InputRow]:
    """Every input that has a value, in the form's order."""
    files = files_by_input(job)
    for found in sorted(application.inputs, key=lambda one: one.order):
        given = files.get(found.name, ())
        value = job.inputs.get(found.name)
        if given or found.name in job.inputs:
            yield InputRow(found.name, found.label, found.unit, value_words(value), given, value == found.default)


def value_words(value: Json) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", []):
        return "nothing"
    if isinstance(value, list):
        return ", ".join(value_words(one) for one in value)
    return str(value)


def resource_rows(job: JobView, now: float) -> Iterator[ResourceRow]:
    """What was asked for, beside what the newest attempt used."""
    asked, attempt = job.resources, job.attempts[-1] if job.attempts else None
    end = attempt.ended_at or now if attempt else now
    ran_s = max(end - attempt.started_at, 0) if attempt and attempt.started_at else None
    yield ResourceRow(
        "Time",
        duration(asked.walltime_s),
        f"{duration(ran_s)}" if ran_s is not None else "",
        None if ran_s is None else ran_s / asked.walltime_s,
    )
    yield ResourceRow(
        "Processors", str(asked.total_cpus), *_cpu(attempt.cpu_s if attempt else None, ran_s, asked.total_cpus)
    )
    memory = asked.memory_mib
    peak = attempt.peak_memory_mib if attempt else None
    yield ResourceRow(
        "Memory",
        mebibytes(memory) if memory else "as the cluster gives",
        f"{mebibytes(peak)} at the most" if peak is not None else "",
        peak / memory if peak is not None and memory else None,
    )
    if asked.gpus:
        yield ResourceRow("GPUs", str(asked.gpus))
    for label, value in (("Queue", asked.queue), ("Account", asked.account)):
        if value:
            yield ResourceRow(label, value)


def _cpu(cpu_s: float | None, ran_s: float | None, cpus: int) -> tuple[str, float | None]:
    if cpu_s is None:
        return "", None
    share = cpu_s / (ran_s * cpus) if ran_s else None
    return f"{duration(cpu_s)} of processor time", share


def mebibytes(amount: int) -> str:
    """MiB, or GiB where that is shorter."""
    return f"{amount / 1024:.3g} GiB" if amount >= 1024 else f"{amount} MiB"


# --- history ----------------------------------------------------------------------------------------------------------
def _line(row: EventRow, job: JobView) -> EventLine:
    state = JobState(str(row.body["to"])) if row.kind == "state" else None
    by = row.body.get("by")
    who = "" if by is None else job.owner if by == job.owner_id else "an administrator"
    return EventLine(row.at, _EVENTS.get(row.kind, row.kind), state, event_words(row), who)


def labels_of(application: Application) -> Mapping[str, tuple[str, str]]:
    """What each field of a request is called, and its unit: `inputs.x`, `files.x`."""
    part = {one.name: "files" if one.file else "inputs" for one in application.inputs}
    return {f"{part[one.name]}.{one.name}": (one.label, one.unit) for one in application.inputs}
