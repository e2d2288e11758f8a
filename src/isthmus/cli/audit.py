"""`isthmus audit`: who did what."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import say
from isthmus.cli.printing import emit, moment, print_table
from isthmus.cli.session import connect, find_job, time_of

if TYPE_CHECKING:
    from isthmus.client import Client

_PAGE = 200  # the most that the gateway gives at once

Line = Mapping[str, object]


def audit(
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only what this user did.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="KIND", help="Only this: signed_in, job_read, user_changed, ….")
    ] = None,
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="Only what concerns this job.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only since then: 2026-11-01, or a time: 2h, 7d.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Without a limit.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """List who did what, the newest first; for administrators."""
    begin = None if since is None else time_of(since).isoformat()
    most = None if everything else limit
    with connect() as gateway:
        job_id = None if job is None else find_job(gateway, job).id
        given = {"user": user, "kind": action, "job": job_id, "since": begin}
        asked = {name: value for name, value in given.items() if value is not None}
        found = islice(_lines(gateway, asked, min(most or _PAGE, _PAGE)), most)
        if as_json:
            for line in found:
                emit(line)
            return
        rows = [_row(line) for line in found]
    if not rows:
        say("The audit has no such line.")
        return
    print_table(("WHEN", "USER", "ACTION", "JOB", "WORDS", "FROM"), rows)


def _lines(gateway: Client, asked: Mapping[str, str], page: int) -> Iterator[Line]:
    """What the audit has, as many lines a request."""
    from isthmus.client import calls
    from isthmus.client.records import parsed

    before: dict[str, int] = {}
    while True:
        answer = gateway.request(calls.get("audit", params={**asked, "limit": page, **before}))
        yield from parsed(list[dict[str, object]], answer.get("lines"))
        following = answer.get("next_before")
        if not isinstance(following, int):
            return
        before = {"before": following}


def _row(line: Line) -> tuple[str, ...]:
    at = moment(datetime.fromisoformat(str(line["at"])))
    return (at, *(str(line.get(name) or "") for name in ("user", "kind", "job", "words", "address")))
