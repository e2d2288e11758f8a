"""Commands on jobs that there are: list, show, explain, compare, follow, cancel, put away."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import ExitCode, code_of_error, say, say_error
from isthmus.cli.printing import emit, print_facts, print_table, shown, state_text
from isthmus.cli.session import connect, find_job
from isthmus.cli.units import moment, size_text, span, walltime_s
from isthmus.errors import InvalidInput, IsthmusError
from isthmus.job import JobState

if TYPE_CHECKING:
    from rich.text import Text

    from isthmus.client import Client, Job, JobRecord


def jobs(
    states: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only in this state; again for more.")
    ] = None,
    application: Annotated[str | None, typer.Option("--app", metavar="NAME", help="Only of this application.")] = None,
    cluster: Annotated[str | None, typer.Option("--cluster", metavar="NAME", help="Only on this cluster.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="TEXT", help="Only with this label.")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="WORDS", help="Only with words that begin so.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only made since then: 2026-11-01, or a time: 2h, 7d.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="NAME", help="Only this user's; administrators.")
    ] = None,
    archived: Annotated[
        bool, typer.Option("--archived", help="The archived ones instead.", show_default=False)
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Without a limit.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """List jobs, the newest first."""
    from isthmus.client import JobQuery

    query = JobQuery(
        states=tuple(states or ()),
        application=application,
        cluster=cluster,
        text=text,
        label=label,
        created_after=None if since is None else _since(since),
        owner=owner,
        archived=archived,
    )
    with connect() as gateway:
        found = gateway.find(query, None if everything else limit)
        if as_json:
            for job in found:
                emit(job.record.document)
            return
        rows = [_row(job) for job in found]
    print_table(("JOB", "STATE", "APPLICATION", "CLUSTER", "MADE", "RAN", "NAME"), rows)


def _row(job: Job) -> tuple[str | Text, ...]:
    record = job.record
    state = state_text(record.state).append(_cause(record))
    return (
        job.id,
        state,
        record.application,
        record.cluster,
        moment(record.created_at),
        span(job.seconds),
        record.name,
    )


def _cause(record: JobRecord) -> str:
    """Why it didn't complete; that a completed job ended with 0 goes without saying."""
    return f" ({record.cause})" if record.state in (JobState.FAILED, JobState.CANCELLED) and record.cause else ""


def _since(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - timedelta(seconds=walltime_s(text))
        except (InvalidInput, OverflowError):
            raise InvalidInput(f"--since takes a date like 2026-11-01 or a time like 2h or 7d, not {text!r}") from None
    return at.astimezone(UTC)


def show(
    word: options.JobArgument,
    script: Annotated[
        bool, typer.Option("--script", help="Show what runs on the cluster.", show_default=False)
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Show all that is known of a job."""
    with connect() as gateway:
        job = find_job(gateway, word)
        if script:
            print(job.script(), end="")
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
        ("cancel asked", moment(record.cancel_requested_at)),
        ("made", moment(record.created_at)),
        ("started", moment(record.started_at)),
        ("ended", moment(record.ended_at)),
        ("ran", span(job.seconds)),
        ("exit code", "" if record.exit_code is None else str(record.exit_code)),
        ("owner", record.owner),
        ("parent", record.parent or ""),
        ("children", ", ".join(record.children)),
        *((f"input {name}", _value(value)) for name, value in record.inputs.items()),
        *((f"file {name}", _file_names(files)) for name, files in record.files.items()),
        *((f"asked {name}", str(amount)) for name, amount in record.resources.items() if amount is not None),
        *((f"attempt {attempt.n}", _attempt(record, attempt.n)) for attempt in record.attempts),
        *((f"output {output.name}", f"{output.path}, {size_text(output.size)}") for output in record.outputs),
    ]
    print_facts(facts)


def _file_names(files: object) -> str:
    members = files if isinstance(files, list) else [files]
    return ", ".join(str(one.get("name", "")) if isinstance(one, dict) else str(one) for one in members)


def _attempt(record: JobRecord, n: int) -> str:
    attempt = next(one for one in record.attempts if one.n == n)
    parts = [
        attempt.tag,
        f"native id {attempt.native_id}" if attempt.native_id else "",
        attempt.scheduler_word,
        f"exit code {attempt.exit_code}" if attempt.exit_code is not None else "",
        f"{attempt.cpu_s:.1f} s of CPU" if attempt.cpu_s is not None else "",
        f"peak {attempt.peak_memory_mib} MiB" if attempt.peak_memory_mib is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def why(word: options.JobArgument, as_json: options.JsonOption = False) -> None:
    """Say why a job waits, or why it ended as it did."""
    with connect() as gateway:
        job = find_job(gateway, word)
        sentences = job.why()
    if as_json:
        emit({"job": job.id, "sentences": list(sentences)})
        return
    for sentence in sentences:
        print(shown(sentence))


def watch(word: options.JobArgument, as_json: options.JsonOption = False) -> None:
    """Follow a job until it has ended; the exit code says how: 0 completed, 10 failed, 11 cancelled."""
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
    b: Annotated[str, typer.Argument(metavar="B", help="Another job.")],
    as_json: options.JsonOption = False,
) -> None:
    """Show what two jobs were asked differently."""
    with connect() as gateway:
        first, second = find_job(gateway, a), find_job(gateway, b)
        changes = first.diff(second)
    if as_json:
        for change in changes:
            emit({"field": change.field, "a": change.a, "b": change.b})
    elif changes:
        print_table(("", first.id, second.id), [(one.field, _value(one.a), _value(one.b)) for one in changes])
    else:
        print(f"{first.id} and {second.id} were asked the same.")


def _value(value: object) -> str:
    """A value as one would type it."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def get(
    word: options.JobArgument,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Only these outputs.")] = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Into this folder.")] = Path(),
    as_json: options.JsonOption = False,
) -> None:
    """Fetch a job's outputs; prints the files."""
    with connect() as gateway:
        job = find_job(gateway, word)
        paths = job.download(to, *(names or ()))
    for path in paths:
        emit({"job": job.id, "path": str(path)}) if as_json else print(path)
    if not paths:
        say(f"Job {job.id} has no outputs{'' if job.is_final else ' yet'}.")


def cancel(words: options.JobsArgument, as_json: options.JsonOption = False) -> None:
    """Ask for jobs to be cancelled; each is CANCELLED once that is proved."""
    _each(words, lambda gateway, job: job.cancel(), "cancel asked", as_json)


def archive(
    words: options.JobsArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Take them out of the archive.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Put jobs out of sight: they stay as they are, and `isthmus jobs --archived` lists them."""
    from isthmus.client import calls

    def put_away(gateway: Client, job: Job) -> Job:
        gateway.request(calls.change(job.id, {"archived": not undo}))
        return job.refresh()

    _each(words, put_away, "taken out of the archive" if undo else "archived", as_json)


def delete(
    words: options.JobsArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Delete ended jobs with their files. This can't be undone."""
    from isthmus.client import calls

    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete {len(words)} jobs and their files?", err=True)):
        raise InvalidInput("nothing was deleted; --yes deletes without asking")

    def remove(gateway: Client, job: Job) -> Job:
        gateway.request(calls.delete(job.id))
        return job

    _each(words, remove, "deleted", as_json)


def _each(words: list[str], act: Callable[[Client, Job], Job], done: str, as_json: bool) -> None:
    """Acts on every job, also after one was refused; ends with the worst of their codes."""
    worst = ExitCode.OK
    with connect() as gateway:
        for word in words:
            try:
                job = act(gateway, find_job(gateway, word))
            except IsthmusError as fault:
                say_error(fault)
                worst = max(worst, code_of_error(fault))
                continue
            emit(job.record.document) if as_json else print(f"{job.id} {done}")
    raise typer.Exit(worst)
