"""`isthmus apps` and `isthmus clusters`."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import ExitCode
from isthmus.cli.printing import emit, print_facts, print_table
from isthmus.cli.session import connect
from isthmus.errors import InvalidInput

if TYPE_CHECKING:
    from isthmus.client import ApplicationRecord


def apps(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|check]", help="One application; or `check`, then files.")
    ] = None,
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE...]", help="Files to check.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="A version of it.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the applications, show one, or check definition files without a gateway (`isthmus apps check FILE...`)."""
    if name == "check":
        _check(files or [], as_json=as_json)
    elif files:
        raise InvalidInput("only `isthmus apps check` takes files")
    elif name is None:
        _list(as_json=as_json)
    else:
        with connect() as gateway:
            application = gateway.application(name, version)
        emit(application.document) if as_json else _show(application)


def _list(*, as_json: bool) -> None:
    with connect() as gateway:
        found = gateway.applications()
    if as_json:
        for application in found:
            emit(application.document)
    else:
        print_table(("NAME", "VERSION", "SUMMARY"), [(one.name, one.version, one.summary) for one in found])


def _show(application: ApplicationRecord) -> None:
    from isthmus.cli.flags import about

    print_facts([("application", f"{application.name} {application.version}"), ("title", application.title)])
    print(f"\n{application.summary}\n")
    rows = [(found.name, found.type, about(found)) for found in application.inputs]
    print_table(("INPUT", "TYPE", ""), rows)
    print(f"\nSubmit it: isthmus submit {application.name} --help")


def _check(files: list[Path], *, as_json: bool) -> None:
    """Exit code 1 if anything is wrong; each fault is a line `file:line: what`, as compilers write it."""
    count = 0
    for path in _definitions(files):
        for line, words in _faults(path):
            count += 1
            emit({"file": str(path), "line": line, "message": words}) if as_json else print(f"{path}:{line}: {words}")
    if count:
        raise typer.Exit(ExitCode.ERROR)


def _definitions(files: list[Path]) -> list[Path]:
    """The files, those in folders among them; those of the local gateway's home when none is given."""
    from isthmus.client.login import default_home

    given = files or [default_home() / "applications"]
    found = [path for one in given for path in (sorted(one.glob("*.yaml")) if one.is_dir() else [one])]
    if not found:
        raise InvalidInput(f"there is no application file in {', '.join(map(str, given))}; name the files to check")
    return found


def _faults(path: Path) -> Iterator[tuple[int, str]]:
    from isthmus.application import BrokenApplication, read_application

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as unreadable:
        yield 1, f"can't be read: {unreadable}"
        return
    try:
        read_application(text, str(path))
    except BrokenApplication as broken:
        for fault in broken.faults:
            yield fault.line, ": ".join(filter(None, (fault.where, fault.message)))


def clusters(as_json: options.JsonOption = False) -> None:
    """List the clusters and how they are."""
    from isthmus.client import calls
    from isthmus.client.records import parsed

    with connect() as gateway:
        found = parsed(list[dict[str, object]], gateway.request(calls.get("clusters")).get("clusters"))
    if as_json:
        for cluster in found:
            emit(cluster)
        return
    rows = [(str(one["name"]), str(one.get("kind", "")), _condition(one), str(one.get("title", ""))) for one in found]
    print_table(("NAME", "KIND", "CONDITION", "TITLE"), rows)


def _condition(cluster: dict[str, object]) -> str:
    if reason := cluster.get("closed_reason"):
        return f"closed: {reason}"
    if since := cluster.get("contact_lost_since"):
        return f"no contact since {since}"
    status = cluster.get("status")
    if not isinstance(status, dict):
        return "not heard of yet"
    return ", ".join(f"{status[word]} {word}" for word in ("running", "queued") if word in status) or "in contact"
