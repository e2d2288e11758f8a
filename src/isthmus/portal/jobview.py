"""Everything that a job's page shows, gathered once for the page, its part and the page of a link."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from isthmus.application import Application, Json, ResourceName
from isthmus.errors import Conflict, IsthmusError, NotFound
from isthmus.gateway import Stream
from isthmus.gateway.submission import files_by_input
from isthmus.job import Cause, JobState
from isthmus.portal.advice import advice_for
from isthmus.portal.amounts import LABELS, amount_words
from isthmus.portal.history import event_line, history_of
from isthmus.portal.logpage import LogText, tail
from isthmus.portal.naming import write_labels
from isthmus.portal.opened import Opened
from isthmus.portal.outputs import groups_of
from isthmus.portal.rendering import duration, memory_words
from isthmus.portal.timeline import timeline_of
from isthmus.store.records import JobInput
from isthmus.store.views import JobView

LAST_LINES = 5
"""How much of a failed job's stderr stands beside how it ended."""


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
    """One resource: what was asked for and, where it is known, what was used.

    While the program runs, its time is counted on from `since`, out of `most_s`.
    """

    label: str
    asked: str
    used: str = ""
    share: float | None = None
    since: float | None = None
    most_s: int | None = None


def context_of(opened: Opened, stream: Stream | None = None, *, with_log: bool = False) -> dict[str, object]:
    """The page's values. NotFound: the job is not shown to this reader."""
    job = opened.job()
    application = Application.from_json(job.definition)
    history = history_of(opened.gateway, opened.access.viewer, job.id)
    now = time.time()
    chosen = stream or usual_stream(job)
    why = opened.gateway.why(job)
    return {
        "job": job,
        "base": opened.base,
        "may_change": opened.may_change and job.deleted_at is None,
        "has_account": opened.visitor is not None,
        "faults": {},
        "collides": False,
        "stored": stored_texts(job),
        "given": stored_texts(job),
        "is_mine": opened.is_mine,
        "as_administrator": opened.as_administrator,
        "application": application,
        "cluster_known": job.cluster in opened.gateway.configuration.clusters,
        "why": why[0],
        "why_more": why[1:],
        "advice": advice_for(job, application, may_act=opened.may_change),
        "timeline": timeline_of(job.created_at, history.told, now),
        "now": now,
        "inputs": tuple(input_rows(job, application)),
        "resources": tuple(resource_rows(job, now)),
        "measured_later": _is_measured_later(job),
        "origin_href": origin_href(opened, job),
        "complaints": complaints(opened, job),
        "groups": groups_of(job, application),
        "logs": [one for one in job.outputs if one.name in tuple(Stream)],
        "stream": chosen,
        "log": log_of(opened, job, chosen) if with_log else None,
        "streams": tuple(Stream),
        "history": history,
        "events": tuple(event_line(row, job) for row in history.newest),
        "live": live_address(opened, job),
    }


def stored_texts(job: JobView) -> dict[str, str]:
    """The job's name and labels as a form holds them."""
    return {"name": job.name, "labels": write_labels(job.labels)}


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


def complaints(opened: Opened, job: JobView) -> tuple[str, ...]:
    """The last lines that a failed job's program wrote to stderr, as `isthmus why` has them; few of them."""
    if job.state is not JobState.FAILED or job.deleted_at is not None:
        return ()
    lines = [line.rstrip() for line in log_of(opened, job, Stream.STDERR).lines]
    return tuple([line for line in lines if line][-LAST_LINES:])


def origin_href(opened: Opened, job: JobView) -> str:
    """Where the other's job is that this one was made from; empty where the reader may not see that."""
    if job.copied_from is None or opened.visitor is None:
        return ""
    try:
        opened.gateway.store.shown(opened.visitor.caller.viewer, job.copied_from.job_id)
    except NotFound:
        return ""
    return f"/jobs/{job.copied_from.job_id}"


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
    runs = attempt is not None and attempt.ended_at is None and job.state is JobState.RUNNING
    yield ResourceRow(
        LABELS[ResourceName.WALLTIME_S],
        amount_words(ResourceName.WALLTIME_S, asked.walltime_s),
        f"{duration(ran_s)}" if ran_s is not None else "",
        None if ran_s is None else ran_s / asked.walltime_s,
        since=attempt.started_at if attempt and runs else None,
        most_s=asked.walltime_s,
    )
    cpu = _cpu(attempt.cpu_s if attempt else None, ran_s, asked.total_cpus)
    yield ResourceRow(LABELS[ResourceName.CPUS], str(asked.total_cpus), *cpu)
    memory = asked.memory_mib
    peak = attempt.peak_memory_mib if attempt else None
    yield ResourceRow(
        LABELS[ResourceName.MEMORY_MIB],
        amount_words(ResourceName.MEMORY_MIB, memory) if memory else "as the cluster gives",
        f"{memory_words(peak)} at the most" if peak is not None else "",
        peak / memory if peak is not None and memory else None,
    )
    if asked.gpus:
        yield ResourceRow(LABELS[ResourceName.GPUS], str(asked.gpus))
    for name, value in (("queue", asked.queue), ("account", asked.account)):
        if value:
            yield ResourceRow(LABELS[name], value)


def _is_measured_later(job: JobView) -> bool:
    """Whether its program runs and what it uses is not known before its end."""
    return job.state is JobState.RUNNING and bool(job.attempts) and job.attempts[-1].cpu_s is None


def _cpu(cpu_s: float | None, ran_s: float | None, cpus: int) -> tuple[str, float | None]:
    if cpu_s is None:
        return "", None
    share = cpu_s / (ran_s * cpus) if ran_s else None
    return f"{duration(cpu_s)} of CPU time", share


def field_labels(application: Application) -> Mapping[str, tuple[str, str]]:
    """What each field of a request is called, and its unit: `inputs.x`, `files.x`."""
    part = {one.name: "files" if one.file else "inputs" for one in application.inputs}
    return {f"{part[one.name]}.{one.name}": (one.label, one.unit) for one in application.inputs}
