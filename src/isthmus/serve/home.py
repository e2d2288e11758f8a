"""A gateway's home made ready: the folder, the lock, the first administrator, the command line's token, the socket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.client.login import HOME_TOKEN, Login, read_login, write_login
from isthmus.errors import ConfigurationError, Conflict, NotFound, NotSignedIn, StorageFault
from isthmus.store import Store
from isthmus.store.users import FIRST_ADMINISTRATOR, Role, Scope

LOCK_WAIT_S = 3.0
BACKLOG = 1024
_TOKEN_NAME = "command line beside the gateway"  # noqa: S105  what people see in their list of tokens


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a start has to tell: the administrator's one-time password, the first time only."""

    administrator: str = FIRST_ADMINISTRATOR
    password: str | None = None


_CLUSTER = """\
# Written by Isthmus: jobs on this machine find the programs of the shipped applications.
title = "This machine"

[variables]
programs = {programs}

[local]
readable = [{programs}]
"""


def make_home(home: Path, programs: Path | None = None) -> None:
    """The folder is there, for its owner only; a new one's cluster finds its programs. StorageFault: it can't be."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not any(home.iterdir()):
            home.chmod(0o700)
            if programs is not None:
                name_programs(home, programs)
    except OSError as fault:
        raise StorageFault(f"the gateway's home {home} can't be made or read: {fault.strerror}") from fault


def name_programs(home: Path, programs: Path) -> None:
    """Jobs on this machine find the programs, and the file of the home's own cluster says nothing else any more."""
    folder = home / "clusters.d"
    folder.mkdir(exist_ok=True)
    # A JSON string is a TOML string.
    (folder / "local.toml").write_text(_CLUSTER.format(programs=json.dumps(str(programs))), encoding="utf-8")


@contextlib.contextmanager
def locked(home: Path) -> Iterator[int]:
    """This process and its children are the only gateway of the home. Conflict: another one runs.

    The children hold the lock's descriptor too, so that it is free only when all of an earlier gateway is gone; one
    that was killed is waited for.
    """
    descriptor = os.open(home / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, home)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                there = read_login(home / HOME_TOKEN)
                where = f", at {there.url}" if there else ""
                raise Conflict(
                    f"a gateway runs from {home} already{where}; stop it first, or choose another --home"
                ) from None
        time.sleep(0.05)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free. ConfigurationError: it can't be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        return listening
    except OSError as fault:
        words = {
            errno.EADDRINUSE: f"port {port} of {host} is in use by another program",
            errno.EACCES: f"port {port} of {host} is not for this user to take",
        }.get(fault.errno or 0, f"{host} port {port} can't be listened at: {fault.strerror or fault}")
        raise ConfigurationError(f"{words}; choose another with --port, or [api] port in isthmus.toml") from fault


def address_of(listening: socket.socket) -> str:
    """The address under which programs on this machine reach the socket."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare(home: Path, database_url: str, url: str) -> Welcome:
    """The database is migrated, there is an administrator, and the home holds a token for the command line."""
    with Store.open(database_url) as store:
        password = store.ensure_administrator()
        _keep_token(store, home, url)
    return Welcome(password=password)


def _keep_token(store: Store, home: Path, url: str) -> None:
    """The home's own token is good: the one it holds, or a new one of an administrator's.

    Whoever can read the home can read the database too, so the token gives nobody more than they have.
    """
    path = home / HOME_TOKEN
    kept = read_login(path)
    try:
        if kept:
            store.authenticate(kept.token)
            return write_login(path, Login(url, kept.token))
    except NotSignedIn:
        pass
    administrators = [user for user in store.users() if user.role is Role.ADMIN and user.disabled_at is None]
    if not administrators:
        raise NotFound("there is no administrator who can sign in; the database is damaged, or was changed by hand")
    made = store.create_token(administrators[0].id, _TOKEN_NAME, list(Scope), None)
    return write_login(path, Login(url, made.text))
