"""A PostgreSQL that is really started, for tests and measurements, and gone when they end."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

START_S = 60.0
STOP_S = 60.0
SUPERUSER = "isthmus"


class PostgresUnavailable(RuntimeError):
    """PostgreSQL is not installed, or did not start; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server on the loopback interface; any number of databases can be made in it."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """SQLAlchemy's name for that database."""
        return f"postgresql+psycopg://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self) -> psycopg.Connection:
        """An autocommitting connection to the maintenance database `postgres`."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self.password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database exists inside the block, under the URL given; who is still connected then is cut off."""
        name = f"test_{secrets.token_hex(8)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            with self.connect() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server with files of its own is up inside the block and gone after it; durable settings are the shipped ones.

    It ends, too, when the calling thread's process is killed, but then leaves its temporary folder.
    """
    binaries = _binaries()
    account = _unprivileged_account()
    folder = Path(tempfile.mkdtemp(prefix="isthmus-postgres-"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        password = secrets.token_urlsafe(18)
        _make_files(binaries, folder, account, password)
        process, server = _start(binaries, folder, account, password)
        try:
            yield server
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    """The folder of the newest PostgreSQL that Debian's packages installed, else of the one on PATH."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    if found is None:
        raise PostgresUnavailable("PostgreSQL is not installed; run: scripts/setup --test")
    return Path(found).resolve().parent


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run the server as: PostgreSQL refuses root. None: as ourselves."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as(account: pwd.struct_passwd | None) -> list[str]:
    """The words before a command that drop root's rights, and end the command when this process is gone."""
    words = ["setpriv", "--pdeathsig", "INT"]
    if account is not None:
        words += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return words


def _make_files(binaries: Path, folder: Path, account: pwd.struct_passwd | None, password: str) -> None:
    secret = folder / "password"
    secret.touch(mode=0o600)
    if account is not None:
        os.chown(secret, account.pw_uid, account.pw_gid)
    secret.write_text(password)
    places = ["--pgdata", str(folder / "files"), "--pwfile", str(secret)]
    options = ["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    made = subprocess.run(
        [*_as(account), str(binaries / "initdb"), *places, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise PostgresUnavailable(f"initdb ended with {made.returncode}: {made.stderr.strip()}")


def _start(
    binaries: Path, folder: Path, account: pwd.struct_passwd | None, password: str
) -> tuple[subprocess.Popen[bytes], PostgresServer]:
    """A server that answers; another port is tried when somebody takes the free one first."""
    log = folder / "log"
    for _ in range(3):
        server = PostgresServer(_free_port(), password)
        settings = [f"port={server.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        options = [word for setting in [*settings, "max_connections=200"] for word in ("-c", setting)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_as(account), str(binaries / "postgres"), "-D", str(folder / "files"), *options],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests; they stop the server themselves
            )
        if _answers(server, process):
            return process, server
        _stop(process)
    raise PostgresUnavailable(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(server: PostgresServer, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server takes connections before the deadline and without ending."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            return False
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """The server has ended: a fast shutdown, or a kill when it takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
