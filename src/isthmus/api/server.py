"""The web process: one Uvicorn, one event loop, no worker processes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol

import uvicorn
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from isthmus.api.app import make_app
from isthmus.config import Configuration, read_configuration
from isthmus.events import Tail
from isthmus.files import FileStore
from isthmus.store import Store

GRACE_S = 4
"""What a request may take to finish after SIGTERM."""


class WebApplication(Protocol):
    """What is served: `state.services` holds what its requests share."""

    @property
    def state(self) -> State: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


Maker = Callable[[Configuration, Store, FileStore], WebApplication]


class _Server(uvicorn.Server):
    """Ends event streams before it waits for requests to finish; they would never."""

    def __init__(self, config: uvicorn.Config, tail: Tail) -> None:
        super().__init__(config)
        self._tail = tail

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tail.close()
        await super().shutdown(sockets)


def serve(
    home: Path, *, host: str | None = None, port: int | None = None, fd: int | None = None, make: Maker = make_app
) -> None:
    """Serves the gateway in `home` until SIGTERM or SIGINT, on a listening socket that was handed over or its own."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # Uvicorn puts its own in front, and raises the signal again when it has ended
    configuration = read_configuration(home)
    with Store.open(configuration.database_url) as store:
        app = make(configuration, store, FileStore(home / "files"))
        address = configuration.house.api
        server = server_for(app, host or address.host, address.port if port is None else port)
        asyncio.run(server.serve(sockets=None if fd is None else [handed_over(fd)]))


def _end(number: int, frame: FrameType | None) -> None:
    """Being told to end is no failure."""
    raise SystemExit(0)


def handed_over(fd: int) -> socket.socket:
    """The listening socket behind the number, as the kernel knows it.

    Uvicorn 0.54 takes any number for a Unix socket: clients then have no address, and asyncio leaves Nagle's
    algorithm on, which makes every answer 40 ms late. The same goes for a socket whose protocol Python doesn't know.
    """
    return socket.socket(fileno=fd)


def server_for(app: WebApplication, host: str, port: int) -> uvicorn.Server:
    """A server that answers requests with the app and ends within a few seconds when told to."""
    trusted = app.state.services.gateway.configuration.house.api.trusted_proxies
    config = uvicorn.Config(
        app,
        http="h11",  # the other one, taken where it is installed, bounds no head and lets trailers pass as headers
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=bool(trusted),
        forwarded_allow_ips=[str(network) for network in trusted],
    )
    return _Server(config, app.state.services.tail)
