"""A gateway's web process as its clients meet it: a real server on a loopback port, a real store, real files.

No controller runs; what one would do to a job, `Rig.move` does through the store, under a lease as it would.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
import uvicorn

from isthmus.api import make_app
from isthmus.api.server import Maker, handed_over, server_for
from isthmus.application import Json
from isthmus.config import Configuration, HouseConfig, read_configuration
from isthmus.facts import OutputFile
from isthmus.files import FileStore
from isthmus.job import Attempt, Cause, Job, JobState, tag_of
from isthmus.lifecycle import Decision, JobEvent
from isthmus.store import Lease, Store, Viewer
from isthmus.store.users import Role, Scope
from tests.postgres import PostgresServer

ADMINISTRATOR = Viewer("", is_admin=True)
PASSWORD = "correct horse battery"

ECHO = """\
name: echo
version: 1.0.0
title: Echo
summary: Says what it is told.
keywords: [test]
inputs:
  words:
    label: Words
    schema: {type: string, maxLength: 100}
  times:
    label: Times
    unit: times
    schema: {type: integer, minimum: 1, maximum: 10}
    default: 1
  paper:
    label: Paper
    file: {max_mib: 1, extensions: [.txt]}
    required: false
  notes:
    label: Notes
    files: {max_mib: 1, max: 3}
    required: false
outputs:
  said: {label: Said, glob: "said*.txt", media_type: text/plain, show: text}
command: [echo, "{inputs.words}"]
resources:
  cpus: {default: 1, max: 64}
  memory_mib: {default: 100, min: 10, max: 4096}
  walltime_s: {computed: "60 + 10 * inputs.times", min: 10, max: 86400}
deployments:
  "*": {}
isolation: preferred
"""


@dataclass(slots=True)
class Person:
    """A user with a token, and a client that sends it."""

    name: str
    user_id: str
    token: str
    client: httpx.Client

    @property
    def viewer(self) -> Viewer:
        return Viewer(self.user_id)


@dataclass(slots=True)
class Rig:
    """A served gateway; `address` is its base URL."""

    configuration: Configuration
    store: Store
    files: FileStore
    address: str
    server: uvicorn.Server
    _clients: list[httpx.Client] = field(default_factory=list)
    _lease: Lease | None = None
    _people: int = 0

    def person(
        self,
        name: str,
        role: Role = Role.USER,
        scopes: tuple[Scope, ...] = tuple(Scope),
        password: str | None = PASSWORD,
    ) -> Person:
        """A new user whose name begins so, signed in with a token of these scopes."""
        self._people += 1
        name = f"{name}-{self._people}"
        user = self.store.create_user(name, password, role)
        token = self.store.create_token(user.id, "test", scopes, None).text
        return Person(name, user.id, token, self.client(token))

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=f"{self.address}/api/v1", headers=headers, timeout=20)
        return self.adopt(client)

    def adopt(self, client: httpx.Client) -> httpx.Client:
        """The client is closed with the gateway."""
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()

    # --- what a controller would do -----------------------------------------------------------------------------
    def move(self, job_id: str, state: JobState, **changes: object) -> None:
        """The job is in this state, as a controller would have stored it."""
        job = self._job(job_id)
        moved = replace(job, state=state, state_at=time.time(), **changes)  # type: ignore[arg-type]  # Job's own names
        self._apply(Decision(moved, JobEvent("state", {"from": job.state.value, "to": state.value})))

    def withdraw(self, job_id: str) -> None:
        """The job was cancelled before it was handed to a cluster."""
        evidence = "cancelled before it was submitted"
        self.move(job_id, JobState.CANCELLED, cause=Cause.CANCELLED_BY_USER, evidence=evidence)

    def start(self, job_id: str) -> None:
        """The job's program was started."""
        attempt = Attempt(1, tag_of(self.store.gateway_id, f"{job_id}.1"), native_id="17")
        self.move(job_id, JobState.STAGING_IN, attempt=attempt, attempts=1)
        for state in (JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING):
            self.move(job_id, state)

    def run_to_end(self, job_id: str, outputs: Mapping[str, bytes], *, code: int = 0) -> None:
        """The job ran and wrote these files; `stdout` and `stderr` are outputs of those names."""
        self.start(job_id)
        self.move(job_id, JobState.STAGING_OUT)
        job = self._job(job_id)
        files = tuple(self._output(path, content) for path, content in outputs.items())
        ended = JobState.FAILED if code else JobState.COMPLETED
        cause = Cause.EXIT_NONZERO if code else Cause.EXIT_ZERO
        evidence = f"the program ended with exit code {code}"
        assert job.attempt is not None
        done = replace(
            job,
            state=ended,
            state_at=time.time(),
            cause=cause,
            evidence=evidence,
            attempt=replace(job.attempt, exit_code=code, ended_at=time.time(), cpu_s=1.5, peak_memory_mib=12),
        )
        event = JobEvent("state", {"from": job.state.value, "to": ended.value})
        self._apply(replace(Decision(done, event), outputs=files))

    def _output(self, path: str, content: bytes) -> OutputFile:
        with self.files.writer() as writer:
            writer.write(content)
        stored = writer.result
        name = path if path in ("stdout", "stderr") else "said"
        return OutputFile(name, path, stored.sha256, stored.size, "text/plain")

    def _job(self, job_id: str) -> Job:
        view = self.store.job(ADMINISTRATOR, job_id)
        return Job(
            id=view.id,
            owner_id=view.owner_id,
            cluster=view.cluster,
            state=view.state,
            state_at=view.state_at,
            created_at=view.created_at,
            resources=view.resources,
            attempt=view.attempts[-1] if view.attempts else None,
            attempts=len(view.attempts),
            cause=view.cause,
            evidence=view.evidence,
            cancel_requested_at=view.cancel_requested_at,
            seq=view.seq,
        )

    def _apply(self, decision: Decision) -> None:
        if self._lease is None:
            self._lease = self.store.take("cluster-local", "test", None)
        assert self._lease is not None
        assert self.store.apply(self._lease, [decision], time.time()) == [True]


def write_application(home: Path, text: str = ECHO, name: str = "echo") -> Path:
    """The definition is in the home's own folder."""
    folder = home / "applications"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


@contextmanager
def serving(
    home: Path,
    database_url: str | None = None,
    settings: Mapping[str, Mapping[str, Json]] | None = None,
    make: Maker = make_app,
) -> Iterator[Rig]:
    """The gateway in `home`, served until the block ends; `settings` are sections of its isthmus.toml."""
    configuration = read_configuration(home)
    house = {**(settings or {}), "database": {"url": database_url or ""}}
    configuration = replace(configuration, house=HouseConfig.model_validate(house))
    if not (home / "applications").exists():
        write_application(home)
    with Store.open(configuration.database_url) as store:
        files = FileStore(home / "files")
        app = make(configuration, store, files)
        with _listening() as listener, _running(server_for(app, "127.0.0.1", 0), listener) as server:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            rig = Rig(configuration, store, files, address, server)
            try:
                yield rig
            finally:
                rig.close_clients()


DATABASES = ["sqlite", "postgresql"]


@contextmanager
def serving_on(
    request: pytest.FixtureRequest, home: Path, settings: Mapping[str, Mapping[str, Json]] | None = None
) -> Iterator[Rig]:
    """A gateway on the database that a parametrised fixture names."""
    if request.param == "sqlite":
        with serving(home, settings=settings) as rig:
            yield rig
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url, serving(home, url, settings) as rig:
        yield rig


@contextmanager
def _listening() -> Iterator[socket.socket]:
    with handed_over(socket.create_server(("127.0.0.1", 0), backlog=1024).detach()) as listener:
        yield listener


@contextmanager
def _running(server: uvicorn.Server, listener: socket.socket) -> Iterator[uvicorn.Server]:
    def run() -> None:
        asyncio.run(server.serve(sockets=[listener]))

    thread = threading.Thread(target=run, name="web-process")
    thread.start()
    try:
        until(lambda: server.started, "the server starts")
        yield server
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive(), "the server did not end"


def until(condition: Callable[[], object], what: str, timeout_s: float = 10) -> None:
    """Returns when the condition holds; fails with `what` when it doesn't in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)
