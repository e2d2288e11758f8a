"""`isthmus serve`, `portal`, `api` and `controller`: the gateway's own processes."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="The gateway's home: $ISTHMUS_HOME, else ~/.local/share/isthmus."),
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="ADDRESS", help="Listen on this address; else as isthmus.toml says.")
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=0, max=65535, help="Listen on this port; else as isthmus.toml says."),
]


def serve(home: HomeOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run a gateway: the portal with the API, and a controller.

    Each is started again if it ends. An empty home will do.
    """
    from isthmus.serve.running import serve as run

    raise typer.Exit(run(_home(home), host, port))


def portal(home: HomeOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run the web process alone: portal and API.

    For a service manager of your own.
    """
    from isthmus.portal import serve as serve_portal

    serve_portal(_home(home), host=host, port=port)


def api(home: HomeOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run the API alone, without the portal.

    For a service manager of your own.
    """
    from isthmus.api import serve as serve_api

    serve_api(_home(home), host=host, port=port)


def controller(
    home: HomeOption = None,
    lease_timeout_s: Annotated[
        float, typer.Option("--lease-timeout", metavar="SECONDS", min=0.1, help="When a silent controller is replaced.")
    ] = 15.0,
) -> None:
    """Run a controller alone; a second one stands by."""
    from isthmus.controller.process import run

    run(_home(home), lease_timeout_s)


def _home(home: Path | None) -> Path:
    from isthmus.client.login import default_home

    return (home or default_home()).expanduser().absolute()
