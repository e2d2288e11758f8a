"""`isthmus share`, `shares` and `unshare`: showing a job to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import Misuse, say
from isthmus.cli.printing import emit, moment, print_table, state_text
from isthmus.cli.session import connect, find_job

if TYPE_CHECKING:
    from isthmus.client import Client, ShareRecord


def share(
    word: options.JobArgument,
    user: Annotated[str | None, typer.Option("--with", metavar="NAME", help="With this user.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="With everybody in this project of yours.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="With whoever has the link.", show_default=False)] = False,
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", help="For so long; a link: 7 unless said, at most 90.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show a job to others, to be read only.

    They see its log and its outputs too, and nothing else of yours; who reads it is written down. A link's address is
    shown once.
    """
    if [user is not None, project is not None, link].count(True) != 1:
        raise Misuse("say whom to share it with: one of --with NAME, --project NAME and --link")
    with connect() as gateway:
        made = find_job(gateway, word).share(user, project=project, link=link, days=days)
        address = f"{gateway.url.rstrip('/')}/shared/{made.link}" if made.link else None
    if as_json:
        return emit(made.document | ({"address": address} if address else {}))
    until = f" until {moment(made.expires_at)}" if made.expires_at else ""
    if address:
        print(address)
        return say(f"Whoever has this address can read job {made.job}{until}. It is shown this once.")
    return print(f"{made.job} is shared with {made.kind} {made.name}{until}.")


def shares(
    word: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A job of yours; without it: what others share with you.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """List a job's shares, or what others share with you."""
    with connect() as gateway:
        if word is None:
            return _list_shared(gateway, as_json=as_json)
        job = find_job(gateway, word)
        found = job.shares()
    if as_json:
        for one in found:
            emit(one.document)
    elif found:
        print_table(("SHARE", "WITH", "BY", "UNTIL"), [_row(one) for one in found])
    else:
        say(f"Job {job.id} is shared with nobody; `isthmus share {job.id} --with NAME` changes that.")
    return None


def _row(one: ShareRecord) -> tuple[str, str, str, str]:
    whom = "whoever has the link" if one.kind == "link" else f"{one.kind} {one.name}"
    return one.id, whom, one.by, moment(one.expires_at) or "you end it"


def _list_shared(gateway: Client, *, as_json: bool) -> None:
    found = list(gateway.shared())
    if as_json:
        for one in found:
            emit(one.record.document)
    elif found:
        rows = [(one.id, state_text(one.state), one.record.owner, one.name) for one in found]
        print_table(("JOB", "STATE", "OWNER", "NAME"), rows)
    else:
        say("Nobody shares a job with you.")


def unshare(
    word: options.JobArgument,
    share_id: Annotated[str, typer.Argument(metavar="SHARE", help="One of those that `isthmus shares ID` lists.")],
    as_json: options.JsonOption = False,
) -> None:
    """End a share: it shows the job to nobody any more."""
    with connect() as gateway:
        job = find_job(gateway, word)
        job.unshare(share_id)
    emit({"job": job.id, "share": share_id}) if as_json else print(f"Share {share_id} of job {job.id} has ended.")
