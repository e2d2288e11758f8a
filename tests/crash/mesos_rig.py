"""A gateway under test whose jobs run on a real Mesos cluster of its own, in folder/lab."""

from __future__ import annotations

import getpass
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.mesos.cluster import Cluster
from tests.crash.api_front import Address, free_port, new_token
from tests.crash.rig import Process, Rig, process_state
from tests.crash.witness import Entry, read_ledger, read_shown, runs_still

MOST_AGENTS = 3
PATIENT_EXECUTORS = {"MESOS_EXECUTOR_REREGISTRATION_TIMEOUT": "15secs"}  # a busy machine's are slow to come back
LOOK_S = 0.02

CLUSTER_FILE = """\
kind = "mesos"
settle_s = 0.5
lost_s = 20
check_s = 1
[mesos]
masters = {masters}
gateway_url = {url}
user = {user}
"""

APPLICATION = """\
name: {name}
version: 1.0.0
title: Ledger
summary: Tells a ledger that it starts and that it ends.
isolation: preferred
restartable: {restartable}
inputs:
  kind: {{schema: {{type: string}}}}
  seconds: {{schema: {{type: number}}}}
outputs:
  told: {{label: Told, glob: told, required: false}}
resources: {{cpus: 1, memory_mib: 32, walltime_s: 600}}
command: [/bin/sh, -c, 'echo told | tee told; exec sh "$@"', sh, {program}, "{{inputs.kind}}", "{{inputs.seconds}}"]
"""


class Deaths:
    """When each program that told of its start was first seen to be gone, in the order of what happened."""

    def __init__(self, ledger: Path) -> None:
        self.entries: list[Entry] = []
        self._ledger = ledger
        self._alive = runs_still(ledger)
        self._gone: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deaths", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nobody is watched any more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            for start in read_ledger(self._ledger).starts:
                if start.uuid not in self._gone and not self._alive(start):
                    self._gone.add(start.uuid)
                    self.entries.append(Entry(time.time(), "end", start.tag, start.uuid))


@dataclass(slots=True)
class MesosRig(Rig):
    """A gateway and the Mesos it uses, both below `folder`."""

    cluster: str = "mesos"
    stops: list[tuple[float, str]] = field(default_factory=list)  # when users asked for a cancel, and of which job
    _lab: Cluster | None = None
    _deaths: Deaths | None = None

    def __enter__(self) -> Self:
        agents = min(MOST_AGENTS, self.cpus)
        cpus = self.cpus / agents
        self._lab = Cluster.make(self.folder / "lab", agents, cpus=cpus, agent_env=PATIENT_EXECUTORS)
        try:
            return self._enter()
        except BaseException:  # nobody calls __exit__ then
            self.lab.down()
            raise

    def _enter(self) -> Self:
        self.lab.up()
        self.database_url = self.database_url or f"sqlite:///{self.home / 'isthmus.db'}"
        self.home.mkdir(parents=True, exist_ok=True)
        self.address = Address(free_port(), new_token(self.database_url))
        Rig.__enter__(self)
        self._deaths = Deaths(self.ledger)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._deaths is not None:
            self._deaths.stop()
        self.end_controllers()
        self.lab.down()
        Rig.__exit__(self, kind, fault, trace)

    @property
    def lab(self) -> Cluster:
        assert self._lab is not None
        return self._lab

    def cluster_file(self) -> str:
        """The lab's masters, the one that only redirects first."""
        assert self.address is not None
        words = {
            "masters": list(self.lab.masters),
            "url": f"http://127.0.0.1:{self.address.port}",
            "user": getpass.getuser(),
        }
        return CLUSTER_FILE.format(**{name: json.dumps(word) for name, word in words.items()})

    def application(self, name: str, restartable: str) -> str:
        """The witness's program, after a line into a file and into its log: there is something to send."""
        program = [str(self.folder / "program.sh"), str(self.ledger)]
        return APPLICATION.format(name=name, restartable=restartable, program=json.dumps(program)[1:-1])

    def accounting(self) -> list[Entry]:
        """The ends of programs as this machine shows them, and the cancels that were asked for.

        Mesos' own record would not do: masters forget it when they are killed.
        """
        assert self._deaths is not None
        tags = {job.name: job.tags for job in read_shown(self.database_url)}
        stops = [Entry(at, "stop", tag, "") for at, name in self.stops for tag in tags.get(name, ())]
        return [*self._deaths.entries, *stops]

    def cancel(self, name: str) -> None:
        """The cancel was asked for and answered; when, is noted."""
        self.stops.append((time.time(), name))
        Rig.cancel(self, name)

    def look(self) -> dict[str, str]:
        """The states; whoever takes requests, and the tasks' reports with them, is there again if it had died."""
        if process_state(self.front.pid) in "ZX":
            self.replace_front()
            assert self.front.pid
        return Rig.look(self)

    # --- what can be hit ------------------------------------------------------------------------------------
    def carriers(self) -> list[Process]:
        """The scripts that fetch, claim and report, each with its task's sandbox as its folder."""
        return [p for p in self.processes() if any(b"over_http.sh" in word for word in p.words[:2])]

    def executors(self) -> list[Process]:
        """Mesos' own keepers of the tasks."""
        return [p for p in self.processes() if any(word.endswith(b"/mesos-executor") for word in p.words[:4])]

    def below(self, process: Process) -> list[int]:
        """Every process of the same task: they have its id in their environment."""
        task = task_of(process)
        return [one.pid for one in self.processes() if one.pid != process.pid and task_of(one) == task]


def task_of(process: Process) -> str:
    """The task that a process belongs to, as its environment says; empty if it is gone."""
    name = b"MESOS_EXECUTOR_ID="
    try:
        words = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((os.fsdecode(word.removeprefix(name)) for word in words if word.startswith(name)), "")
