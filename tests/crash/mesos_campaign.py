"""What a campaign does to Mesos beside what it does to a gateway: masters, agents and executors die and freeze."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar

from lab.mesos.cluster import MASTER
from lab.processes import Condition
from tests.crash.api_front import api_front
from tests.crash.campaign import Opened, Round
from tests.crash.faults import strike
from tests.crash.mesos_rig import MesosRig, task_of
from tests.crash.rig import Process, send, until
from tests.crash.witness import Verdict


@dataclass(slots=True)
class MesosRound(Round):
    """A round on Mesos. Agents that are silent for more than 5 s are unreachable to their master, and come back."""

    asking_s: ClassVar[float] = 40.0  # a task costs far more here than a job of the local engine
    end_s: ClassVar[float] = 240.0
    away_s: ClassVar[float] = 8.0
    rig: MesosRig
    _healed_at: dict[str, float] = field(default_factory=dict)  # parts of the cluster that are down or frozen

    def deeds(self) -> dict[Callable[[], None], int]:
        """What may happen, and how often in proportion."""
        return {
            self._kill_controller: 5,
            self._freeze_controller: 4,
            self._arm_controller: 5,
            self._kill_front: 3,
            self._cancel: 3,
            self._kill_agent: 4,
            self._freeze_agent: 4,
            self._kill_master: 3,
            self._freeze_master: 2,
            self._kill_wrapper: 4,
            self._kill_carrier: 3,
            self._kill_container: 2,
            self._kill_executor: 2,
        }

    def aftermath(self) -> Verdict:
        """The verdict after every part of the cluster and the controller were started anew: nothing starts again."""
        for name in (MASTER, *self.rig.lab.agents):
            self.rig.lab.restart(name)
        self.rig.end_controllers()
        self.rig.lab.wait_for_agents()
        self.rig.start_controller()
        until(lambda: not self.rig.wrappers(), "no program runs any more")
        until(lambda: not self.rig.executors(), "no task is left on the cluster")
        return self.rig.verdict()

    # --- the cluster's own parts ----------------------------------------------------------------------------
    def _kill_agent(self) -> None:
        self._hurt(self.random.choice(self.rig.lab.agents), kill=True, what="agent killed")

    def _freeze_agent(self) -> None:
        self._hurt(self.random.choice(self.rig.lab.agents), kill=False, what="agent frozen")

    def _kill_master(self) -> None:
        self._hurt(MASTER, kill=True, what="master killed")

    def _freeze_master(self) -> None:
        self._hurt(MASTER, kill=False, what="master frozen")

    def _hurt(self, name: str, *, kill: bool, what: str) -> None:
        if name in self._healed_at:
            return
        (self.rig.lab.kill if kill else self.rig.lab.freeze)(name)
        self._healed_at[name] = time.monotonic() + self.random.uniform(0.2, self.away_s)
        self.happened[what] += 1

    def _heal(self, now: float) -> None:
        """Parts whose time has come run again."""
        for name in [name for name, at in self._healed_at.items() if now >= at]:
            del self._healed_at[name]
            frozen = any(part.name == name and part.condition is Condition.FROZEN for part in self.rig.lab.status())
            (self.rig.lab.thaw if frozen else self.rig.lab.start)(name)

    # --- its tasks ------------------------------------------------------------------------------------------
    def _kill_wrapper(self) -> None:
        if wrappers := self.rig.wrappers():
            strike(self.rig, self.random.choice(wrappers), group=False)
            self.happened["wrapper killed"] += 1

    def _kill_carrier(self) -> None:
        self._cut(self.rig.carriers(), "over_http.sh killed")

    def _kill_executor(self) -> None:
        self._cut(self.rig.executors(), "executor killed")

    def _kill_container(self) -> None:
        """An executor and all below it, as where Mesos keeps tasks in control groups: they die together there."""
        self._cut(self.rig.executors(), "container killed")

    def _cut(self, processes: list[Process], what: str) -> None:
        """One of them is killed, and the judge is told whose program that may have cut off."""
        if not processes:
            return
        hit = self.random.choice(processes)
        tag, _, _ = task_of(hit).rpartition(".")
        if not tag:
            return
        with self.rig.struck.open("a", encoding="ascii") as told:
            told.write(f"kill-{what.split(maxsplit=1)[0]} {tag}\n")
        for process in (hit.pid, *self.rig.below(hit)) if what.startswith("container") else (hit.pid,):
            send(signal.SIGKILL, process)
        self.happened[what] += 1

    # --- keeping the round going ----------------------------------------------------------------------------
    def _keep(self) -> None:
        self._heal(time.monotonic())
        Round._keep(self)

    def _calm_down(self) -> None:
        self._heal(float("inf"))
        self.rig.lab.wait_for_agents()
        Round._calm_down(self)


def mesos_engine(stack: ExitStack, folder: Path, database_url: str, sleep_s: Callable[[], float]) -> Opened:
    """Jobs run on a Mesos cluster of the round's own."""
    rig = stack.enter_context(
        MesosRig(folder, database_url=database_url, cpus=6, open_front=api_front, sleep_s=sleep_s)
    )

    def new_round(random: Random, faults: int) -> Round:
        return MesosRound(rig, random, faults)

    return rig, new_round
