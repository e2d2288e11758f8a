"""`isthmus apps`."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import ExitCode, Misuse, say
from isthmus.cli.printing import emit, print_facts, print_table, shown_lines
from isthmus.cli.session import connect
from isthmus.errors import InvalidInput, NotAllowed

if TYPE_CHECKING:
    from isthmus.application import BrokenApplication
    from isthmus.client import ApplicationRecord, Client


def apps(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|check", help="One application; or `check`, then files.")
    ] = None,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="Files to check.")] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="VERSION", help="A version of it.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the applications, show one, or check definition files.

    `isthmus apps check FILE...` needs no gateway.
    """
    if name == "check":
        _check(files or [], as_json=as_json)
    elif files:
        raise Misuse("only `isthmus apps check` takes files")
    elif name is None:
        _list(as_json=as_json)
    else:
        with connect() as gateway:
            application = gateway.application(name, version)
        emit(application.document) if as_json else _show(application)


def _list(*, as_json: bool) -> None:
    with connect() as gateway:
        found = gateway.applications()
        broken = _broken(gateway)
    if as_json:
        for application in found:
            emit(application.document)
    else:
        print_table(("NAME", "VERSION", "SUMMARY"), [(one.name, one.version, one.summary) for one in found])
    for file in broken:
        say(f"isthmus: a broken file, which is not used:\n{shown_lines(file.message)}")


def _broken(gateway: Client) -> list[BrokenApplication]:
    """The files that the gateway can't use, for an administrator; it tells nobody else."""
    from isthmus.client import calls
    from isthmus.client.records import parsed

    try:
        answer = gateway.request(calls.get("applications", "broken"))
    except NotAllowed:
        return []
    files = parsed(list[dict[str, object]], answer.get("broken"))
    if not files:
        return []
    from isthmus.application import BrokenApplication, Fault

    return [BrokenApplication(str(one["file"]), parsed(tuple[Fault, ...], one["faults"])) for one in files]


def _show(application: ApplicationRecord) -> None:
    from isthmus.cli.flags import about

    print_facts([("application", f"{application.name} {application.version}"), ("title", application.title)])
    print(f"\n{shown_lines(application.summary)}\n")
    rows = [(found.name, found.type, about(found)) for found in application.inputs]
    print_table(("INPUT", "TYPE", ""), rows)
    print(f"\nSubmit it: isthmus submit {application.name} --help")


def _check(files: list[Path], *, as_json: bool) -> None:
    """Exit code 1 if anything is wrong. The files are taken together, as a gateway takes them."""
    from isthmus.application import read_catalogue

    texts, broken = _texts(_definitions(files or _folders()))
    found = read_catalogue(texts)
    for application in (version for versions in found.applications.values() for version in versions):
        name, version = application.name, application.version
        emit({"name": name, "version": version, "faults": []}) if as_json else print(f"{name} {version}: fine")
    broken += found.broken
    for file in broken:
        faults = [asdict(fault) for fault in file.faults]
        emit({"file": file.source, "faults": faults}) if as_json else print(shown_lines(file.message))
    if broken:
        raise typer.Exit(ExitCode.ERROR)


def _folders() -> list[Path]:
    """Every folder that the local gateway reads; its home may have none. InvalidInput: there is no home."""
    from isthmus.client.login import default_home
    from isthmus.config import read_configuration

    home = default_home()
    if not home.is_dir():
        raise InvalidInput(f"there is no gateway's home at {home}: name the files to check, or set ISTHMUS_HOME")
    folders = read_configuration(home).application_folders
    return [folder for folder in folders if folder.is_dir() or folder != home / "applications"]


def _definitions(files: list[Path]) -> list[Path]:
    """The files, those in folders among them."""
    found = [path for one in files for path in (sorted(one.glob("*.yaml")) if one.is_dir() else [one])]
    if not found:
        raise InvalidInput(f"there is no file *.yaml in {', '.join(map(str, files))}; name the files to check")
    return found


def _texts(paths: list[Path]) -> tuple[list[tuple[str, str]], list[BrokenApplication]]:
    """Each file's name and text, and those that can't be read."""
    from isthmus.application import BrokenApplication, Fault
    from isthmus.client.faults import unreadable

    texts: list[tuple[str, str]] = []
    broken: list[BrokenApplication] = []
    for path in paths:
        try:
            texts.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as fault:
            broken.append(BrokenApplication(str(path), [Fault(1, "", unreadable(fault))]))
    return texts, broken
