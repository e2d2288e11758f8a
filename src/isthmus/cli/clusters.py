"""`isthmus clusters`: how they are, and closing one for new jobs."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from typing import Annotated

import typer

from isthmus.cli import options
from isthmus.cli.printing import emit, print_table
from isthmus.cli.session import connect

clusters = typer.Typer(
    help="List the clusters and how they are; close one for new jobs.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A cluster.")]


@clusters.callback()
def list_clusters(context: typer.Context, as_json: options.JsonOption = False) -> None:
    """List the clusters and how they are; close one for new jobs."""
    if context.invoked_subcommand is not None:
        return
    from isthmus.client import calls
    from isthmus.client.records import parsed

    with connect() as gateway:
        found = parsed(list[dict[str, object]], gateway.request(calls.get("clusters")).get("clusters"))
    if as_json:
        for cluster in found:
            emit(cluster)
        return
    rows = [
        (str(one["name"]), str(one.get("kind", "")), _condition(one), _calls(one), str(one.get("title", "")))
        for one in found
    ]
    print_table(("NAME", "KIND", "CONDITION", "CALLS/MIN", "TITLE"), rows)


@clusters.command("close", cls=options.PlainCommand)
def close(
    name: NameArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; users are told.")],
    as_json: options.JsonOption = False,
) -> None:
    """Take no new jobs on a cluster; those it has go on. For administrators."""
    _change(name, {"closed": True, "reason": reason}, f"{name} takes no new jobs: {reason}", as_json)


@clusters.command("open", cls=options.PlainCommand)
def open_again(name: NameArgument, as_json: options.JsonOption = False) -> None:
    """Take new jobs on a cluster again. For administrators."""
    _change(name, {"closed": False}, f"{name} takes new jobs.", as_json)


def _change(name: str, body: dict[str, object], done: str, as_json: bool) -> None:
    from isthmus.client import calls

    with connect() as gateway:
        answer = gateway.request(calls.send("PATCH", "clusters", name, json=body))
    emit(answer) if as_json else print(done)


def _condition(cluster: dict[str, object]) -> str:
    if reason := cluster.get("closed_reason"):
        return f"closed: {reason}"
    if since := cluster.get("contact_lost_since"):
        return f"no contact since {since}"
    status = cluster.get("status")
    if not isinstance(status, dict):
        return "not heard of yet"
    return ", ".join(f"{status[word]} {word}" for word in ("running", "queued") if word in status) or "in contact"


def _calls(cluster: dict[str, object]) -> str:
    """How many calls the gateway made on it in the last minute, of all kinds."""
    status = cluster.get("status")
    counted = status.get("calls_per_minute") if isinstance(status, dict) else None
    return f"{sum(counted.values()):.0f}" if isinstance(counted, dict) and counted else ""
