"""Faults at random places and times, round after round, until enough were injected; the witness judges every round.

A round is a gateway of its own: two controllers, a front, some dozens of jobs. What happens when is drawn from the
seed; when exactly a process reaches it, is not, so that a seed names a family of runs, not one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import ClassVar, Protocol

from tests.crash.api_front import api_front
from tests.crash.faults import CONTROLLER_PLACES, STORE_PLACES, SUPERVISOR_PLACES, random_shim, strike
from tests.crash.rig import PAUSE_S, Child, Late, NoSupervisor, Plan, Rig, send
from tests.crash.scenarios import aftermath
from tests.crash.witness import Kind, Verdict
from tests.postgres import PostgresServer, running_postgres

KINDS = (Kind.QUICK, Kind.QUICK, Kind.NAP, Kind.NAP, Kind.NAP, Kind.FAIL, Kind.POLITE, Kind.ENDLESS)
SEEN_BEFORE_CANCEL = ("ACCEPTED", "SUBMITTING", "QUEUED", "QUEUED", "RUNNING", "RUNNING", "STAGING_OUT")
END_S = 90.0
CONTROLLERS = 2
ARMED_S = 3.0  # what is armed is left in peace for so long, to come to its place


@dataclass(slots=True)
class Totals:
    """What a campaign has seen so far."""

    faults: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    lost: int = 0
    run_twice: int = 0
    wrong: int = 0
    duplicates: int = 0

    def add(self, jobs: int, verdict: Verdict) -> None:
        self.jobs += jobs
        self.lost += len(verdict.lost)
        self.run_twice += len(verdict.run_twice)
        self.wrong += len(verdict.wrong)
        self.duplicates += len(verdict.duplicates)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.run_twice or self.wrong or self.duplicates)

    def summary(self) -> dict[str, int | dict[str, int]]:
        """The same as one JSON object."""
        return {
            "faults": self.faults.total(),
            "by_kind": dict(sorted(self.faults.items())),
            "jobs": self.jobs,
            "lost": self.lost,
            "run_twice": self.run_twice,
            "wrong": self.wrong,
            "duplicates": self.duplicates,
        }

    def table(self) -> str:
        """One row a kind of fault, then what the witness found."""
        rows = [*sorted(self.faults.items()), ("all faults", self.faults.total()), ("jobs", self.jobs)]
        rows += [("lost", self.lost), ("run twice", self.run_twice), ("wrong", self.wrong)]
        return "\n".join(f"{name:<32}{count:>7}" for name, count in [*rows, ("duplicates", self.duplicates)])


@dataclass(slots=True)
class Round:
    """One gateway with users and trouble. `faults` is how many are to be injected at least."""

    asking_s: ClassVar[float] = 8.0  # in which as many jobs are asked for as a round is to have at least
    end_s: ClassVar[float] = END_S
    rig: Rig
    random: Random
    faults: int
    happened: Counter[str] = field(default_factory=Counter)
    _armed: list[tuple[Child, str]] = field(default_factory=list)
    _armed_supervisors: set[int] = field(default_factory=set)
    _armed_until: float = 0.0

    def play(self, jobs: int) -> Verdict:
        """The verdict, after every fault was injected and everything had time to end."""
        next_job, next_fault = 0.0, time.monotonic() + 1.5
        while len(self.rig.asked) < jobs or self.injected.total() < self.faults:
            now = time.monotonic()
            if now >= next_job:
                self._ask()
                next_job = now + self.random.expovariate(jobs / self.asking_s)
            if now >= next_fault and not (self._is_armed and now < self._armed_until):
                self._strike()
                next_fault = now + self.random.expovariate(3)
            self._keep()
            time.sleep(PAUSE_S)
        self._calm_down()
        verdict = self.rig.finish(self.end_s)
        return self.aftermath() if verdict.is_clean else verdict

    def aftermath(self) -> Verdict:
        """The verdict after whoever keeps the jobs has looked through everything once more."""
        return aftermath(self.rig)

    @property
    def _is_armed(self) -> bool:
        return bool(self._armed or self._armed_supervisors)

    @property
    def injected(self) -> Counter[str]:
        """Every fault that has really happened."""
        struck = self.rig.struck.read_text().splitlines() if self.rig.struck.exists() else ()
        deeds = (line.split()[0] for line in struck)
        return self.happened + Counter(f"shim {deed}" for deed in deeds if not deed.startswith("kill-"))

    # --- users ----------------------------------------------------------------------------------------------
    def _ask(self) -> None:
        kind = self.random.choice(KINDS)
        bound_to_end = kind not in (Kind.POLITE, Kind.ENDLESS)
        plan = None if bound_to_end and self.random.random() < 0.75 else Plan(self.random.choice(SEEN_BEFORE_CANCEL))
        if not bound_to_end:
            plan = Plan("RUNNING")
        seconds = round(self.random.uniform(0.0, 0.6 if kind is Kind.POLITE else 2.0), 2)
        name = self.rig.ask(kind, seconds, cancel=plan, restartable=bound_to_end and self.random.random() < 0.2)
        if self.random.random() < 0.1:
            self.rig.ask_again(name, seconds)

    # --- trouble --------------------------------------------------------------------------------------------
    def _strike(self) -> None:
        """One fault, if there is somebody to meet it. What is armed counts when it has happened."""
        weights = self.deeds()
        self.random.choices(list(weights), list(weights.values()))[0]()

    def deeds(self) -> dict[Callable[[], None], int]:
        """What may happen, and how often in proportion."""
        return {
            self._kill_controller: 4,
            self._freeze_controller: 4,
            self._arm_controller: 4,
            self._kill_supervisor: 4,
            self._freeze_supervisor: 2,
            self._arm_supervisor: 3,
            self._kill_front: 2,
            self._kill_wrapper: 8,
            self._plan_shim: 10,
            self._cancel: 3,
        }

    def _kill_controller(self) -> None:
        if running := self._unfrozen():
            controller = self.random.choice(running)
            self._armed = [(child, what) for child, what in self._armed if child is not controller]
            controller.kill()
            self.happened["controller killed"] += 1

    def _freeze_controller(self) -> None:
        if running := self._unfrozen():
            controller = self.random.choice(running)
            controller.send(signal.SIGSTOP)
            self.happened["controller frozen"] += 1

    def _arm_controller(self) -> None:
        """The controllers are replaced by one that will die or freeze at some place."""
        deed = self.random.choice(("kill", "kill", "freeze"))
        place = self.random.choice((*CONTROLLER_PLACES, *STORE_PLACES))
        self._clear_the_way()
        armed = self.rig.start_controller(f"{place}={deed}:{self.random.randint(1, 3)}")
        self._armed.append((armed, f"{deed} at {place.partition('.')[0]} place"))

    def _clear_the_way(self) -> None:
        """No controller is awake, so that the next one gets the leases; these kills are not counted."""
        for controller in self._unfrozen():
            controller.kill()
        self._armed.clear()
        self._armed_until = time.monotonic() + ARMED_S

    def _kill_supervisor(self) -> None:
        for pid in self.rig.supervisors():
            self._armed_supervisors.discard(pid)
            send(signal.SIGKILL, pid)
            self.happened["supervisor killed"] += 1

    def _freeze_supervisor(self) -> None:
        for pid in self.rig.supervisors()[:1]:
            send(signal.SIGSTOP, pid)
            later(self.random.uniform(0.3, 4.0), signal.SIGCONT, pid)
            self.happened["supervisor frozen"] += 1

    def _arm_supervisor(self) -> None:
        """The supervisor is replaced by one that dies at some place; a controller may be quicker to start another."""
        place = self.random.choice(SUPERVISOR_PLACES)
        self._clear_the_way()
        self._kill_supervisor()
        failpoints = f"{place}=kill:{self.random.randint(1, 3)}"
        try:
            self.rig.start_supervisor(failpoints)
        except NoSupervisor:  # it came to its place while it took in what was there
            self.happened["kill at supervisor place"] += 1
            return
        armed = f"ISTHMUS_FAILPOINTS={failpoints}".encode()
        self._armed_supervisors |= {pid for pid in self.rig.supervisors() if armed in environment_of(pid)}

    def _kill_front(self) -> None:
        """The front dies while a request is on its way, or at one of its places."""
        if self.random.random() < 0.5:
            place = self.random.choice(STORE_PLACES)
            self.rig.replace_front(f"{place}=kill:{self.random.randint(1, 6)}")
        else:
            later(self.random.uniform(0, 0.03), signal.SIGKILL, self.rig.front.pid)
        for _ in range(4):
            self._ask()
        self.happened["API killed"] += 1

    def _kill_wrapper(self) -> None:
        if wrappers := self.rig.wrappers():
            group = self.random.random() < 0.5
            strike(self.rig, self.random.choice(wrappers), group=group)
            self.happened["wrapper and program killed" if group else "wrapper killed"] += 1

    def _plan_shim(self) -> None:
        random_shim(self.rig, self.random)

    def _cancel(self) -> None:
        names = [name for name, request in self.rig.asked.items() if not request.cancelled]
        if names:
            self.rig.cancel(self.random.choice(names))
            self.happened["cancelled by its user"] += 1

    # --- keeping the round going ----------------------------------------------------------------------------
    def _unfrozen(self) -> list[Child]:
        return [child for child in self.rig.controllers if not (child.is_gone or child.is_frozen)]

    def _keep(self) -> None:
        """Users look, what was armed is counted, who died is replaced."""
        self.rig.look()
        for child, what in list(self._armed):
            if child.is_gone or child.is_frozen:
                self._armed.remove((child, what))
                self.happened[what] += 1
        if self._armed_supervisors:
            dead = self._armed_supervisors - set(self.rig.supervisors())
            self._armed_supervisors -= dead
            self.happened["kill at supervisor place"] += len(dead)
        while len(self._unfrozen()) < (1 if self._armed else CONTROLLERS):
            self.rig.start_controller()

    def _calm_down(self) -> None:
        """Nobody sleeps, nothing is armed, and one fresh controller is there."""
        for child in self.rig.controllers:
            child.send(signal.SIGCONT)
        for child, _ in self._armed:
            child.kill()
        for pid in self._armed_supervisors:
            send(signal.SIGKILL, pid)
        for plan in (self.rig.shims / "plans").iterdir():
            plan.unlink(missing_ok=True)
        self.rig.start_controller()


def environment_of(pid: int) -> list[bytes]:
    """The environment a process was started with, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def later(seconds: float, number: signal.Signals, pid: int) -> None:
    """The process gets the signal after a while, whatever we do meanwhile."""
    timer = threading.Timer(seconds, send, (number, pid))
    timer.daemon = True
    timer.start()


# --- rounds until there were enough ---------------------------------------------------------------------------
Opened = tuple[Rig, Callable[[Random, int], Round]]


class Engine(Protocol):
    """Opens a gateway for one round, and says how a round goes there."""

    def __call__(self, stack: ExitStack, folder: Path, database_url: str, sleep_s: Callable[[], float]) -> Opened: ...


def local_engine(stack: ExitStack, folder: Path, database_url: str, sleep_s: Callable[[], float]) -> Opened:
    """Jobs run on the gateway's own machine."""
    rig = stack.enter_context(Rig(folder, database_url=database_url, cpus=6, open_front=api_front, sleep_s=sleep_s))
    return rig, lambda random, faults: Round(rig, random, faults)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    faults: int
    seed: int
    engine: Engine = local_engine


def run_on(database: str, wanted: Wanted, say: Callable[[str], None], new_url: Callable[[ExitStack], str]) -> Totals:
    """The totals of as many rounds on this database as it took; `new_url` gives each round an empty database."""
    totals = Totals()
    number = 0
    while totals.faults.total() < wanted.faults:
        number += 1
        random = Random(f"{wanted.seed}/{database}/{number}")
        folder = Path(tempfile.mkdtemp(prefix="isthmus-crash-"))
        began = time.monotonic()
        sleep_s = partial(Random(f"{wanted.seed}/{database}/{number}/sleep").uniform, 0.3, 4.0)
        with ExitStack() as stack:
            rig, new_round = wanted.engine(stack, folder, new_url(stack), sleep_s)
            turn = new_round(random, min(30, wanted.faults - totals.faults.total()))
            try:
                verdict = turn.play(random.randint(20, 50))
            except Late as late:
                verdict = Verdict(lost=(str(late),))
        totals.faults += turn.injected
        totals.add(len(rig.asked), verdict)
        say(
            f"{database} round {number}: {len(rig.asked)} jobs, {turn.injected.total()} faults,"
            f" {time.monotonic() - began:.0f} s, {'clean' if verdict.is_clean else 'NOT CLEAN'}"
        )
        if verdict.is_clean:
            shutil.rmtree(folder)
        else:
            say(f"{verdict}\nkept: {folder}")
    return totals


@contextmanager
def databases(name: str) -> Iterator[dict[str, Callable[[ExitStack], str]]]:
    """How each wanted kind of database is made for one round."""
    kinds: dict[str, Callable[[ExitStack], str]] = {}
    with ExitStack() as stack:
        if name in ("sqlite", "both"):
            kinds["sqlite"] = lambda _: ""
        if name in ("postgresql", "both"):
            server: PostgresServer = stack.enter_context(running_postgres())
            kinds["postgresql"] = lambda round_: round_.enter_context(server.database())
        yield kinds


def engine_called(name: str) -> Engine:
    """The engine of that name; its module is read only when it is wanted."""
    if name == "mesos":
        from tests.crash.mesos_campaign import mesos_engine

        return mesos_engine
    return local_engine


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="campaign crash", description="Injects faults at random and counts broken promises."
    )
    parser.add_argument("--engine", choices=["local", "mesos"], default="local")
    parser.add_argument("--faults", type=int, default=300, help="how many, on each database")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--report", type=Path, help="file for the final table")
    arguments = parser.parse_args()
    wanted = Wanted(arguments.faults, arguments.seed, engine_called(arguments.engine))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)

    began = time.monotonic()
    with databases(arguments.database) as kinds:
        totals = {name: run_on(name, wanted, say, new_url) for name, new_url in kinds.items()}
    for name, found in totals.items():
        say(f"\n{name}, seed {arguments.seed}\n{found.table()}")
    say(
        json.dumps(
            {"seed": arguments.seed, "engine": arguments.engine, "seconds": round(time.monotonic() - began)}
            | {name: found.summary() for name, found in totals.items()}
        )
    )
    if arguments.report:
        arguments.report.write_text("\n".join(said) + "\n")
    return 0 if all(found.is_clean for found in totals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
