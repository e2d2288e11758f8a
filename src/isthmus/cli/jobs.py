"""Commands that look at jobs: list, show, explain, compare, follow."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import Misuse, say
from isthmus.cli.printing import emit, moment, print_facts, print_table, shown, size_text, span, state_text
from isthmus.cli.session import connect, find_job, time_of, who_am_i
from isthmus.errors import NotAllowed
from isthmus.job import JobState

if TYPE_CHECKING:
    from rich.text import Text

    from isthmus.client import Change, Client, Job, JobRecord


LAST_LINES = 10
LAST_BYTES = 8192
"""How much of a failed job's stderr `why` tells."""


def jobs(
    states: Annotated[
        list[JobState] | None, typer.Option("--state", case_sensitive=False, help="Only in this state; again for more.")
    ] = None,
    application: Annotated[
        str | None, typer.Option("--app", "--application", metavar="NAME", help="Only of this application.")
    ] = None,
    cluster: Annotated[str | None, typer.Option("--cluster", metavar="NAME", help="Only on this cluster.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="TEXT", help="Only with this label.")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="WORDS", help="Only with words that begin so.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only made since then: 2026-11-01, or a time: 2h, 7d.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="NAME", help="Only this user's; for administrators.")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Everybody's jobs; for administrators.", show_default=False)
    ] = False,
    archived: Annotated[
        bool, typer.Option("--archived", help="The archived ones instead.", show_default=False)
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Without a limit.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """List your jobs, the newest first."""
    from isthmus.client import JobQuery

    query = JobQuery(
        states=tuple(states or ()),
        application=application,
        cluster=cluster,
        text=text,
        label=label,
        created_after=None if since is None else time_of(since),
        owner=owner,
        everybody=everybody,
        archived=archived,
    )
    with connect() as gateway:
        me = who_am_i(gateway)
        if (everybody or owner not in (None, me.name)) and not me.sees_all:
            option = "--everybody" if everybody else "--owner"
            raise NotAllowed(f"{option} is for administrators: as {me.name} you see your own jobs only")
        found = gateway.find(query, None if everything else limit)
        if as_json:
            for job in found:
                emit(job.record.document)
            return
        columns = {name: read for name, read in _COLUMNS.items() if everybody or owner or name != "OWNER"}
        rows = [[read(job) for read in columns.values()] for job in found]
    print_table(tuple(columns), rows)


_COLUMNS: dict[str, Callable[[Job], str | Text]] = {
    "JOB": lambda job: job.id,
    "STATE": lambda job: state_text(job.state).append(_cause(job.record)),
    "APPLICATION": lambda job: job.application,
    "CLUSTER": lambda job: job.record.cluster,
    "OWNER": lambda job: job.record.owner,
    "MADE": lambda job: moment(job.record.created_at),
    "RAN": lambda job: span(job.seconds),
    "NAME": lambda job: job.name,
}
"""What a list of jobs tells; one of others' jobs has the owners too."""


def _cause(record: JobRecord) -> str:
    """Why it didn't complete; that a completed job ended with 0 goes without saying."""
    return f" ({record.cause})" if record.state in (JobState.FAILED, JobState.CANCELLED) and record.cause else ""


def show(
    word: options.JobArgument,
    script: Annotated[
        bool, typer.Option("--script", help="Show what runs on the cluster, as POSIX sh.", show_default=False)
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Show all that is known of a job."""
    with connect() as gateway:
        job = find_job(gateway, word)
        if script:
            print(job.script(), end="", flush=True)
            say("# /job/inputs and /job/work stand for the job's own folders, which each attempt gets anew.")
        elif as_json:
            emit(job.record.document)
        else:
            _show(job)


def _show(job: Job) -> None:
    record = job.record
    facts: list[tuple[str, str | Text]] = [
        ("job", job.id),
        ("name", record.name),
        ("labels", ", ".join(record.labels)),
        ("application", f"{record.application} {record.version}"),
        ("cluster", record.cluster),
        ("state", state_text(record.state).append(_cause(record))),
        ("evidence", record.evidence),
        ("waits because", record.waiting_reason),
        ("no contact since", moment(record.contact_lost_since)),
        ("cancel asked", _cancelling(record)),
        ("made", moment(record.created_at)),
        ("started", moment(record.started_at)),
        ("ended", moment(record.ended_at)),
        ("ran", span(job.seconds)),
        ("exit code", "" if record.exit_code is None else str(record.exit_code)),
        ("owner", record.owner),
        ("parent", record.parent or ""),
        ("made from", _origin(record)),
        ("children", ", ".join(record.children)),
        *((f"input {name}", _value(value)) for name, value in record.inputs.items()),
        *((f"file {name}", _file_names(files)) for name, files in record.files.items()),
        *((f"asked {name}", str(amount)) for name, amount in record.resources.items() if amount is not None),
        *((f"attempt {attempt.n}", _attempt(record, attempt.n)) for attempt in record.attempts),
        *((f"output {output.name}", f"{output.path}, {size_text(output.size)}") for output in record.outputs),
    ]
    print_facts(facts)


def _origin(record: JobRecord) -> str:
    """Whose job it was made from, if somebody else's."""
    return f"a job of {record.copied_from.owner}, {record.copied_from.job}" if record.copied_from else ""


def _cancelling(record: JobRecord) -> str:
    """When cancelling was asked for, and who did, if it was not the owner."""
    by = f" by an administrator, {record.cancelled_by}" if record.cancelled_by else ""
    return f"{moment(record.cancel_requested_at)}{by}"


def _file_names(files: object) -> str:
    members = files if isinstance(files, list) else [files]
    return ", ".join(str(one.get("name", "")) if isinstance(one, dict) else str(one) for one in members)


def _attempt(record: JobRecord, n: int) -> str:
    attempt = next(one for one in record.attempts if one.n == n)
    parts = [
        attempt.tag,
        f"native id {attempt.native_id}" if attempt.native_id else "",
        f"task {attempt.claimed_by}" if attempt.claimed_by not in (None, attempt.native_id) else "",
        f"on {attempt.node}" if attempt.node else "",
        attempt.scheduler_word,
        f"exit code {attempt.exit_code}" if attempt.exit_code is not None else "",
        f"{attempt.cpu_s:.1f} s of CPU" if attempt.cpu_s is not None else "",
        f"peak {attempt.peak_memory_mib} MiB" if attempt.peak_memory_mib is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def why(word: options.JobArgument, as_json: options.JsonOption = False) -> None:
    """Say why a job waits, or why it ended as it did.

    Of a failed one it tells the last lines of its stderr too.
    """
    with connect() as gateway:
        job = find_job(gateway, word)
        deleted_at = job.record.document.get("deleted_at")
        sentences = _after_deletion(job, str(deleted_at)) if deleted_at else job.why()
        has_failed = job.state is JobState.FAILED and not deleted_at
        complaints = _last_lines(gateway, job.id) if has_failed else []
    if as_json:
        emit({"job": job.id, "sentences": list(sentences), "stderr": complaints})
        return
    for sentence in sentences:
        print(shown(sentence))
    if complaints:
        print("Its last words on stderr:")
    elif has_failed and job.record.started_at:
        print(f"It wrote nothing to stderr; `isthmus logs {job.id}` has its stdout, `isthmus show` its attempts.")
    for line in complaints:
        print(f"  | {shown(line)}")


def _after_deletion(job: Job, deleted_at: str) -> tuple[str, ...]:
    """Sentences that promise no file: a deleted job has none."""
    from isthmus.client.records import parsed

    record = job.record
    at = moment(parsed(datetime, deleted_at))
    return (
        f"It had ended as {record.state}{_cause(record)}.",
        *((f"Evidence: {record.evidence}.",) if record.evidence else ()),
        f"It was deleted at {at}; its logs and outputs are gone.",
    )


def _last_lines(gateway: Client, job_id: str) -> list[str]:
    """The last lines of the job's stderr that are not empty."""
    from isthmus.client.flows import LogReader

    text = gateway.run(LogReader(job_id, "stderr", follow=False, offset=-LAST_BYTES).next()) or ""
    return [line.rstrip() for line in text.split("\n") if line.strip()][-LAST_LINES:]


def watch(word: options.JobArgument, as_json: options.JsonOption = False) -> None:
    """Follow a job until it has ended.

    The exit code says how: 0 completed, 10 failed, 11 cancelled.
    """
    from isthmus.cli.following import follow

    with connect() as gateway:
        code = follow(gateway, find_job(gateway, word), as_json=as_json)
    raise typer.Exit(code)


def logs(
    word: options.JobArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the program has ended.", show_default=False)
    ] = False,
    stderr: Annotated[
        bool, typer.Option("--stderr", help="What it wrote to stderr instead.", show_default=False)
    ] = False,
) -> None:
    """Print what a job's program has written."""
    with connect() as gateway:
        for piece in find_job(gateway, word).log("stderr" if stderr else "stdout", follow=follow):
            sys.stdout.write(piece)
            sys.stdout.flush()


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A job.")],
    b: Annotated[str | None, typer.Argument(metavar="B", help="Another job.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what two jobs were asked differently.

    With one job: what was changed of the one it was resubmitted from.
    """
    with connect() as gateway:
        first, second = _pair(gateway, a, b)
        changes = first.diff(second)
    if as_json:
        for change in changes:
            emit({"field": change.field, "a": change.a, "b": change.b})
    elif changes:
        print_table(("", first.id, second.id), [(one.field, *_both(one)) for one in changes])
    else:
        print(f"{first.id} and {second.id} were asked the same.")


def _pair(gateway: Client, a: str, b: str | None) -> tuple[Job, Job]:
    """The two jobs to compare. Misuse: there is only one, and it was resubmitted from none."""
    job = find_job(gateway, a)
    if b is not None:
        return job, find_job(gateway, b)
    if job.parent is None:
        raise Misuse(f"{job.id} was not resubmitted from another job; name the one to compare it with")
    return gateway.job(job.parent), job


def _both(change: Change) -> tuple[str, str]:
    """Both sides of a difference as text; files that look the same differ in their bytes."""
    if not change.field.startswith("files."):
        return _value(change.a), _value(change.b)
    a, b = _file_sizes(change.a), _file_sizes(change.b)
    return a, f"{b}, other bytes" if a == b else b


def _file_sizes(files: object) -> str:
    if not isinstance(files, list):
        return _value(files)
    return "; ".join(f"{one['name']} ({size_text(one['size'])})" for one in files) or "-"


def _value(value: object) -> str:
    """A value as one would type it."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
