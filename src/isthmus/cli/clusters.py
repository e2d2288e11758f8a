"""`isthmus clusters`: how they are, and closing one for new jobs."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from pathlib import Path
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
    found = _clusters()
    if as_json:
        for cluster in found:
            emit(cluster)
        return
    rows = [
        (str(one["name"]), str(one.get("kind", "")), _condition(one), _calls(one), str(one.get("title", "")))
        for one in found
    ]
    print_table(("NAME", "KIND", "CONDITION", "CALLS/MIN", "TITLE"), rows)


@clusters.command("show", cls=options.PlainCommand)
def show(name: NameArgument, as_json: options.JsonOption = False) -> None:
    """Show what a cluster last said of itself."""
    from isthmus.cli.printing import print_facts
    from isthmus.client.records import parsed
    from isthmus.errors import NotFound

    found = _clusters()
    cluster = next((one for one in found if one["name"] == name), None)
    if cluster is None:
        raise NotFound(f"there is no cluster {name}; there is {', '.join(str(one['name']) for one in found) or 'none'}")
    if as_json:
        emit(cluster)
        return
    print_facts(
        [
            ("cluster", str(cluster["name"])),
            ("title", str(cluster.get("title", ""))),
            ("kind", str(cluster.get("kind", ""))),
            ("condition", _condition(cluster)),
            *((str(one["label"]).lower(), str(one["value"])) for one in _members(cluster, "details")),
            *(("machine", _machine(node)) for node in _members(cluster, "nodes")),
            *(("note", str(note)) for note in parsed(list[str], cluster.get("notes", []))),
            *(("failure", f"{one['at']} {one['words']}") for one in _members(cluster, "recent_failures")),
        ]
    )


@clusters.command("check", cls=options.PlainCommand)
def check(
    name: NameArgument,
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="DIR", help="The gateway's home: $ISTHMUS_HOME, else ~/.local/share/isthmus."),
    ] = None,
) -> None:
    """Try what a Mesos cluster's file says.

    Without a gateway: whether masters and agents answer, and where tasks would call.

    Exit code 1 when something is not as it must be.
    """
    from isthmus.client.login import default_home
    from isthmus.cluster.mesos.checking import check as look_at
    from isthmus.config import read_configuration
    from isthmus.errors import InvalidInput, NotFound

    configuration = read_configuration((home or default_home()).expanduser().absolute())
    for fault in configuration.broken:
        if f"/{name}.toml" in fault.message:
            raise fault
    config = configuration.clusters.get(name)
    if config is None:
        raise NotFound(f"there is no file {name}.toml in {configuration.home / 'clusters.d'}")
    if config.mesos is None:
        raise InvalidInput(f"cluster {name} is of kind {config.kind}: only Mesos clusters can be checked")
    findings = look_at(config.mesos)
    for finding in findings:
        print(f"{'good' if finding.good else 'BAD '}  {finding.words}")
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


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


def _clusters() -> list[dict[str, object]]:
    from isthmus.client import calls
    from isthmus.client.records import parsed

    with connect() as gateway:
        return parsed(list[dict[str, object]], gateway.request(calls.get("clusters")).get("clusters"))


def _members(cluster: dict[str, object], key: str) -> list[dict[str, object]]:
    """What its status lists under the key; nothing of a cluster that was not heard of, or from an older gateway."""
    from isthmus.client.records import parsed

    status = cluster.get("status")
    return parsed(list[dict[str, object]], status.get(key, [])) if isinstance(status, dict) else []


def _machine(node: dict[str, object]) -> str:
    used = f"{node['cpus_used']} of {node['cpus']} CPUs, {node['memory_used_mib']} of {node['memory_mib']} MiB"
    return f"{node['name']}: {used}" + (f", {node['gpus_used']} of {node['gpus']} GPUs" if node["gpus"] else "")


@clusters.command("register", cls=options.PlainCommand)
def register(name: NameArgument, as_json: options.JsonOption = False) -> None:
    """Register anew where a master removed the gateway. For administrators."""
    from isthmus.client import calls

    with connect() as gateway:
        answer = gateway.request(calls.send("POST", "clusters", name, "registration"))
    emit(answer) if as_json else print(f"{name}: the gateway registers anew, and waiting jobs are launched then.")


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
