"""A whole gateway on a real Mesos cluster: its web process, its controllers, and what the master says of it."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import isthmus
from isthmus.application import read_application
from isthmus.application.encoding import Json
from isthmus.cluster.mesos.messages import at, items, text
from isthmus.job import JobState, Resources
from isthmus.store import JobView, NewJob, Role, Store, Viewer
from isthmus.store.mesos import LaunchRow
from lab.mesos.cluster import Cluster

DEADLINE_S = 60.0
NAME = "sea"
SHELL = """
name: shell
version: 1.0.0
title: Shell
summary: Runs a line of shell.
isolation: preferred
inputs:
  line: {label: Line, schema: {type: string}}
outputs:
  made: {glob: made.txt, label: Made, required: false}
command: [sh, -c, "{inputs.line}"]
resources: {walltime_s: {default: 600}}
"""
_APPLICATION = read_application(SHELL, "shell.yaml")


def until(condition: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
    """The condition holds; AssertionError if it does not come to."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


@dataclass(slots=True)
class MesosGateway:
    """One gateway below `folder`; everything of it but the cluster ends with `close`."""

    folder: Path
    cluster: Cluster
    settings: Mapping[str, str] = field(default_factory=dict)
    store: Store = field(init=False)
    viewer: Viewer = field(init=False)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.home / "clusters.d").mkdir(parents=True)
        (self.folder / "logs").mkdir()
        port = _free_port()
        self._describe(port)
        self.store = Store.open(f"sqlite:///{self.home / 'isthmus.db'}")
        user = self.store.create_user("ada", None, Role.USER)
        self.viewer = Viewer(user.id)
        self.store.remember_definition(_APPLICATION.digest, "shell", "1.0.0", _APPLICATION.to_json())
        self.start("api", "--port", str(port))

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def _describe(self, port: int) -> None:
        words = {
            "masters": str([*self.cluster.masters]),
            "gateway_url": f'"http://127.0.0.1:{port}"',
            "user": f'"{getpass.getuser()}"',
            "claim_wait_s": "20",
            **self.settings,
        }
        table = "".join(f"{name} = {value}\n" for name, value in words.items())
        path = self.home / "clusters.d" / f"{NAME}.toml"
        path.write_text(f'kind = "mesos"\ncheck_s = 2\nsettle_s = 0.5\n[mesos]\n{table}', encoding="utf-8")

    # --- processes ----------------------------------------------------------------------------------------------------
    def start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        """`python -m isthmus.WHAT HOME WORDS…` runs."""
        source = str(Path(isthmus.__file__).parents[1])
        with (self.folder / "logs" / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"isthmus.{what}", str(self.home), *words],
                env={**os.environ, "PYTHONPATH": source},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._processes.append(process)
        return process

    def control(self) -> subprocess.Popen[bytes]:
        """A controller runs, which takes over when another has been silent for two seconds."""
        return self.start("controller", "--lease-timeout", "2")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self.store.close()

    # --- jobs ---------------------------------------------------------------------------------------------------------
    def submit(self, line: str, resources: Resources | None = None) -> str:
        """The id of a job that runs a line of shell."""
        asked = resources or Resources(memory_mib=64, walltime_s=300)
        new = NewJob(NAME, "shell", "1.0.0", _APPLICATION.digest, "run", asked, {"line": line})
        return self.store.accept(self.viewer, new).job_id

    def counting(self, name: str, line: str) -> str:
        """A job whose every start is a line of its ledger."""
        return self.submit(f"echo started >> {self.ledger(name)}; {line}")

    def ledger(self, name: str) -> Path:
        return self.folder / f"{name}.ledger"

    def starts(self, name: str) -> int:
        path = self.ledger(name)
        return path.read_text(encoding="utf-8").count("started") if path.exists() else 0

    def job(self, job_id: str) -> JobView:
        return self.store.job(self.viewer, job_id)

    def becomes(self, job_id: str, *states: JobState, within_s: float = DEADLINE_S) -> JobView:
        """The job, in one of these states; AssertionError if it does not come to, or ends otherwise."""
        deadline = time.monotonic() + within_s
        while (job := self.job(job_id)).state not in states:
            assert not job.state.is_final, f"{job.state} {job.cause}: {job.evidence}"
            assert time.monotonic() < deadline, f"still {job.state} ({job.waiting_reason}): {self.launches()}"
            time.sleep(0.05)
        return job

    def cancel(self, job_id: str) -> None:
        self.store.request_cancel(self.viewer, [job_id], time.time())

    def launches(self) -> list[LaunchRow]:
        return self.store.mesos.launches(NAME)

    def lease_epoch(self) -> int:
        row = self.store.lease_row(f"cluster-{NAME}")
        return row.epoch if row else 0

    def status(self) -> Json:
        """What the controller last told of the cluster."""
        return next((row.status for row in self.store.clusters() if row.name == NAME), None)

    def told_at(self) -> float:
        """When the controller last told of the cluster."""
        return next((row.seen_at or 0.0 for row in self.store.clusters() if row.name == NAME), 0.0)

    def detail(self, label: str) -> str:
        """One of the cluster's own facts, as the controller last told it."""
        pairs = [pair for pair in items(self.status(), "details") if isinstance(pair, list)]
        return next((str(pair[1]) for pair in pairs if pair[0] == label), "")

    # --- what the master says -----------------------------------------------------------------------------------------
    def framework_id(self) -> str:
        row = self.store.mesos.framework(NAME)
        return row.framework_id if row else ""

    def is_removed(self) -> bool:
        row = self.store.mesos.framework(NAME)
        return row is not None and row.removed_at is not None

    def framework(self) -> Json:
        """Our framework as the master tells of it; None if it knows of none."""
        found = items(self._read("/master/frameworks"), "frameworks")
        return next((one for one in found if text(one, "id") == self.framework_id()), None)

    def _read(self, path: str) -> Json:
        """What the master answers; nothing while it does not, or is not ready to."""
        try:
            told = self.cluster.read(path)
        except OSError:
            return None
        assert isinstance(told, dict)
        return told

    def offers_held(self) -> int:
        return len(items(self.framework(), "offers"))

    def is_subscribed(self) -> bool:
        return at(self.framework(), "active") is True


@contextmanager
def on(cluster: Cluster, folder: Path, **settings: str) -> Iterator[MesosGateway]:
    """A gateway on this cluster while the block runs, without a controller yet."""
    gateway = MesosGateway(folder, cluster, settings)
    try:
        yield gateway
    finally:
        gateway.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
