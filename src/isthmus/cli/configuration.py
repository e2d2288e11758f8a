"""`isthmus config check`: whether a gateway would start with the files as they are now."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for Pydantic.
# ruff: noqa: PLC0415
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isthmus.cli import options
from isthmus.cli.exits import ExitCode, say
from isthmus.cli.printing import print_facts
from isthmus.cli.processes import HomeOption
from isthmus.errors import ConfigurationError

if TYPE_CHECKING:
    from isthmus.config import Configuration

config = typer.Typer(help="Check the operator's files.", no_args_is_help=True, rich_markup_mode=None)


@config.callback()
def _root() -> None:
    """Check the operator's files."""


@config.command("check", cls=options.PlainCommand)
def check(home: HomeOption = None) -> None:
    """Check isthmus.toml, clusters.d and the application files, without starting anything.

    Do it before a restart: with a broken isthmus.toml the gateway does not start. Exit code 1: something is broken.
    """
    from isthmus.client.login import default_home
    from isthmus.config import read_configuration

    place = (home or default_home()).expanduser().absolute()
    if not place.is_dir():
        raise ConfigurationError(f"{place} is no folder: name a gateway's home with --home")
    configuration = read_configuration(place)
    print_facts(list(_facts(place, configuration)))
    faults = list(_faults(configuration))
    for fault in faults:
        say(f"broken: {fault}")
    if faults:
        raise typer.Exit(ExitCode.ERROR)
    print("Everything can be read.")


def _facts(home: Path, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """What a gateway would start with."""
    house = configuration.house
    yield "home", str(home)
    yield "listens at", f"{house.api.host}, port {house.api.port}"
    yield "database", "PostgreSQL" if configuration.database_url.startswith("postgresql") else "SQLite"
    yield "clusters", ", ".join(f"{name} ({one.kind})" for name, one in configuration.clusters.items())
    mail = house.mail
    yield "mail", f"by {mail.host}, port {mail.server_port}, from {mail.sender}" if mail.host else "none is sent"


def _faults(configuration: Configuration) -> Iterator[str]:
    """What the gateway would start without, or could not use."""
    from isthmus.gateway.catalogue import Shelf, unknown_names

    yield from (fault.message for fault in configuration.broken)
    secrets = [configuration.house.mail.password]
    secrets += [one.mesos.secret for one in configuration.clusters.values() if one.mesos is not None]
    for read in secrets:
        try:
            read()
        except ConfigurationError as fault:
            yield fault.message
    listing = Shelf(configuration).listing()
    yield from (one.message for one in listing.broken)
    yield from unknown_names(listing, configuration.house.applications)
