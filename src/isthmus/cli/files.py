"""`isthmus files`: what you have uploaded, and taking it away again."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import Misuse, code_of_error, say, say_error
from isthmus.cli.printing import emit, moment, print_table, size_text
from isthmus.cli.session import connect
from isthmus.errors import IsthmusError

if TYPE_CHECKING:
    from isthmus.client import Client, UploadRecord

_PAGE = 200  # the most that the gateway gives at once

files = typer.Typer(
    help="List the files that you have uploaded; delete some.", invoke_without_command=True, rich_markup_mode=None
)


@files.callback()
def list_files(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Without a limit.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """List the files that you have uploaded, the newest first, with how many of your jobs took them."""
    if context.invoked_subcommand is not None:
        return
    with connect() as gateway:
        found = list(islice(_uploads(gateway), None if everything else limit))
    if as_json:
        for one in found:
            emit(one.document)
    elif found:
        rows = [(one.id, size_text(one.size), moment(one.created_at), str(one.jobs), one.name) for one in found]
        print_table(("FILE", "SIZE", "UPLOADED", "JOBS", "NAME"), rows)
    else:
        say("You have uploaded nothing.")


@files.command("rm", cls=options.PlainCommand)
def remove(
    ids: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Those that `isthmus files` lists.")] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="All that no job of yours took.", show_default=False)
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Delete files that you have uploaded; jobs that took one keep it."""
    from isthmus.client import calls

    if bool(ids) == unused:
        raise Misuse("say which files: their ids, or --unused")
    worst = 0
    with connect() as gateway:
        for upload_id in ids or [one.id for one in _uploads(gateway) if not one.jobs]:
            try:
                gateway.request(calls.delete_upload(upload_id))
            except IsthmusError as fault:
                say_error(fault)
                worst = max(worst, code_of_error(fault))
                continue
            emit({"file": upload_id}) if as_json else print(f"{upload_id} deleted")
    raise typer.Exit(worst)


def _uploads(gateway: Client) -> Iterator[UploadRecord]:
    """Your uploads, the newest first, as they are now."""
    from isthmus.client import calls

    before: str | None = None
    while True:
        page, before = gateway.request(calls.uploads(before, _PAGE))
        yield from page
        if before is None:
            return
