"""Commands that do something to jobs that there are: fetch, cancel, put away."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import ExitCode, code_of_error, say, say_error
from isthmus.cli.printing import emit, shown
from isthmus.cli.session import connect, find_job
from isthmus.errors import Conflict, InvalidInput, IsthmusError
from isthmus.job import JobState

if TYPE_CHECKING:
    from isthmus.client import Client, Job


def get(
    word: options.JobArgument,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Only these outputs.")] = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Into this folder.")] = Path(),
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that have other content.", show_default=False)
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Fetch a job's outputs; prints the files.

    Nothing is fetched when a file of the same name and other content is there, e.g. of another job; see --force.
    """
    with connect() as gateway:
        job = find_job(gateway, word)
        try:
            paths = job.download(to, *(names or ()), overwrite=force)
        except Conflict as fault:
            raise Conflict(f"{fault.message}; choose another folder with --to, or overwrite with --force") from fault
    for path in paths:
        emit({"job": job.id, "path": str(path)}) if as_json else print(shown(str(path)))
    if not paths:
        say(f"Job {job.id} has no outputs{'' if job.is_final else ' yet'}.")


def cancel(words: options.JobsArgument, as_json: options.JsonOption = False) -> None:
    """Ask for jobs to be cancelled.

    Each is CANCELLED once that is proved. Exit code 4: one had ended in another way before.
    """
    from isthmus.client import calls

    def ask(gateway: Client, job: Job) -> Done:
        answer = gateway.request(calls.cancel(job.id))
        if not answer.already_ended:
            return Done("cancel asked", answer.document)
        in_vain = answer.state is not JobState.CANCELLED
        return Done(f"has already ended: {answer.state}", answer.document, ExitCode.REFUSED if in_vain else ExitCode.OK)

    _each(words, ask, as_json)


def archive(
    words: options.JobsArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Take them out of the archive.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Put jobs out of sight; they stay as they are.

    `isthmus jobs --archived` lists them. With --undo, `last` is your newest archived job.
    """
    from isthmus.client import calls

    def put_away(gateway: Client, job: Job) -> Done:
        was_archived = job.record.document.get("archived_at") is not None
        gateway.request(calls.change(job.id, {"archived": not undo}))
        return Done(_ARCHIVING[was_archived, undo], job.refresh().record.document)

    _each(words, put_away, as_json, archived=undo)


_ARCHIVING = {
    (False, False): "archived",
    (True, False): "was archived already",
    (True, True): "taken out of the archive",
    (False, True): "was not archived",
}
"""What is said of a job by whether it was archived, and whether it was to be taken out."""


def delete(
    words: options.JobsArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Delete ended jobs with their files. This can't be undone."""
    from isthmus.client import calls

    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete {len(words)} jobs and their files?", err=True)):
        raise InvalidInput("nothing was deleted; --yes deletes without asking")

    def remove(gateway: Client, job: Job) -> Done:
        gateway.request(calls.delete(job.id))
        return Done("deleted", job.record.document)

    _each(words, remove, as_json)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one job: in words, as a document, and as an exit code."""

    words: str
    document: dict[str, object]
    code: ExitCode = ExitCode.OK


def _each(words: list[str], act: Callable[[Client, Job], Done], as_json: bool, *, archived: bool = False) -> None:
    """Acts on every job, also after one was refused; ends with the highest of their codes.

    `archived`: the word `last` means an archived job.
    """
    worst = ExitCode.OK
    with connect() as gateway:
        for word in words:
            try:
                job = find_job(gateway, word, archived=archived)
                done = act(gateway, job)
            except IsthmusError as fault:
                say_error(fault)
                worst = max(worst, code_of_error(fault))
                continue
            emit(done.document) if as_json else print(f"{job.id} {done.words}")
            worst = max(worst, done.code)
    raise typer.Exit(worst)
