"""A gateway's web process, killed and started at will, and nodes that know nothing of it but its address.

The controller's side is `HttpStaging` on the same store; nodes are the real scripts with the real curl.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import isthmus
from isthmus.cluster import InputFile, Order, OutputRule
from isthmus.cluster.remote import HttpSettings, HttpStaging, NodeCommand
from isthmus.collecting import Limits
from isthmus.facts import StagedIn, StagedOut, StagingFailed
from isthmus.files import FileStore
from isthmus.job import JobState, Resources
from isthmus.store import Lease, Store, Viewer
from isthmus.tickets import Tickets
from tests.store.making import CLUSTER, accepted, advanced, held, person, stored

DEADLINE_S = 30.0
SHELLS = {"dash": "/usr/bin/dash", "busybox": "/usr/bin/busybox sh"}
SETTINGS = HttpSettings(claim_wait_s=20, report_s=60, grace_s=1, limits=Limits(max_output_mib=4, max_log_mib=1))


@dataclass(slots=True)
class Node:
    """One run of an attempt's command, in a sandbox of its own or another's."""

    process: subprocess.Popen[str]
    sandbox: Path

    @property
    def folder(self) -> Path:
        return self.sandbox / "isthmus"

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(DEADLINE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    @property
    def said(self) -> str:
        return (self.sandbox / "said").read_text()


@dataclass(slots=True)
class RemoteRig:
    """`settings` are what nodes are told."""

    folder: Path
    store: Store
    files: FileStore
    listener: socket.socket
    owner: Viewer
    lease: Lease
    settings: HttpSettings = SETTINGS
    _web: subprocess.Popen[bytes] | None = None
    _nodes: list[Node] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def staging(self) -> HttpStaging:
        return HttpStaging(self.store, self.files, Tickets.at(self.home), self.url, CLUSTER, self.settings)

    def runs(self, order: Order) -> int:
        """How often the attempt's program was started, by its own word."""
        ledger = self.folder / "runs"
        return ledger.read_text().split().count(order.tag) if ledger.exists() else 0

    # --- the web process --------------------------------------------------------------------------------------------
    def start(self, failpoints: str = "") -> None:
        """A web process answers, or will: who connects before waits."""
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "PYTHONPATH": str(Path(isthmus.__file__).parents[1]),
            "ISTHMUS_FAILPOINTS": failpoints,
        }
        argv = [sys.executable, "-m", "isthmus.api", str(self.home), "--fd", str(self.listener.fileno())]
        log = (self.folder / "web.log").open("ab")
        self._web = subprocess.Popen(argv, env=environment, pass_fds=[self.listener.fileno()], stdout=log, stderr=log)
        log.close()

    def until_dead(self) -> None:
        """The web process has met its failpoint."""
        assert self._web is not None
        assert self._web.wait(DEADLINE_S) == -signal.SIGKILL

    def stop(self) -> None:
        if self._web is not None and self._web.poll() is None:
            self._web.kill()
            self._web.wait()

    # --- attempts ---------------------------------------------------------------------------------------------------
    def order(
        self, script: str, *rules: OutputRule, inputs: Mapping[str, bytes] | None = None, walltime_s: int = 60
    ) -> Order:
        """An attempt that can be fetched by a node. Its program's first act is a line in the ledger."""
        job_id = accepted(self.store, self.owner)
        advanced(self.store, self.lease, [job_id], JobState.SUBMITTING)
        attempt = stored(self.store, job_id).attempt
        assert attempt is not None
        given = tuple(self._input(name, content) for name, content in (inputs or {}).items())
        counted = f"echo {attempt.tag} >>{self.folder}/runs\ncd {self.staging.folders(attempt.tag).work}\n{script}"
        order = Order(attempt.tag, job_id, Resources(walltime_s=walltime_s), counted, inputs=given, outputs=rules)
        assert self.staging.stage_in([order]) == {order.tag: StagedIn()}
        return order

    def _input(self, name: str, content: bytes) -> InputFile:
        with self.files.writer() as writer:
            writer.write(content)
        return InputFile(name, writer.result.sha256, writer.result.size)

    def node(
        self,
        order: Order,
        sandbox: str = "sandbox",
        *,
        native_id: str | None = None,
        shell: str = "dash",
        under: tuple[str, ...] = (),
        **more: str,
    ) -> Node:
        """A node runs the attempt's command, with a command before it; `more` are variables that are others."""
        path = self.folder / order.tag / sandbox
        path.mkdir(parents=True, exist_ok=True)
        command = self.command(order, native_id or f"{order.tag}.1", shell)
        environment = {"PATH": f"{self._shell(shell)}:{os.environ['PATH']}", **command.environment, **more}
        with (path / "said").open("a") as said:
            process = subprocess.Popen(
                [*under, *SHELLS[shell].split(), "-c", command.text],
                env=environment,
                cwd=path,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        node = Node(process, path)
        self._nodes.append(node)
        return node

    def command(self, order: Order, native_id: str, shell: str = "dash") -> NodeCommand:
        return self.staging.command(order.tag, native_id, order.resources.walltime_s)

    def _shell(self, shell: str) -> Path:
        """A folder where `sh` is this shell."""
        folder = self.folder / "shells" / shell
        folder.mkdir(parents=True, exist_ok=True)
        sh = folder / "sh"
        if not sh.exists():
            sh.write_text(f'#!/bin/sh\nexec {SHELLS[shell]} "$@"\n')
            sh.chmod(0o755)
        return folder

    def collected(self, order: Order) -> StagedOut | StagingFailed:
        return self.staging.stage_out([order])[order.tag]

    def contents(self, order: Order) -> dict[str, str]:
        """The files that were sent, by path."""
        found = self.collected(order)
        assert isinstance(found, StagedOut), found
        return {file.path: self.files.path(file.sha256).read_text() for file in found.files}

    def close(self) -> None:
        self.stop()
        for node in self._nodes:
            if node.process.poll() is None:
                os.killpg(node.process.pid, signal.SIGKILL)
                node.process.wait()


@contextmanager
def remote_rig(folder: Path) -> Iterator[RemoteRig]:
    """A home with a store; no web process yet."""
    (folder / "home").mkdir()
    with Store.open(f"sqlite:///{folder / 'home' / 'isthmus.db'}") as store:
        store.remember_definition("digest", "app", "1", {"title": "An application"})
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            files = FileStore(folder / "home" / "files")
            rig = RemoteRig(folder, store, files, listener, person(store, "ann"), held(store))
            try:
                yield rig
            finally:
                rig.close()


def until(condition: Callable[[], object], what: str) -> None:
    """Returns when the condition holds; fails with `what` when it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def with_settings(rig: RemoteRig, **changes: object) -> None:
    """Nodes are told otherwise from now on."""
    rig.settings = replace(rig.settings, **changes)  # type: ignore[arg-type]  # fields of HttpSettings, by name
