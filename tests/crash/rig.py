"""One gateway under test, as a user and the machine see it: a home, real processes, requests, and the evidence.

    folder/  home/          the gateway's, with one cluster, local unless another engine's rig says so
             program.sh     what every job runs; it writes to `ledger`
             shims/         ln, sync and mv, first on the supervisor's PATH; see shim.sh
             struck         who was hit from outside, and how

Processes are found by `folder` in their command line or working directory, so that none outlives the rig.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from tests.crash.guard import Guard
from tests.crash.witness import (
    FINAL,
    Asked,
    Entry,
    Evidence,
    Kind,
    Verdict,
    judge,
    read_accounting,
    read_ledger,
    read_shown,
    read_states,
    read_struck,
    runs_still,
)

if TYPE_CHECKING:
    from tests.crash.api_front import Address

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
CLUSTER = "local"
SHIMMED = ("ln", "sync", "mv")
STARTED = FINAL | {"RUNNING", "STAGING_OUT"}
PAUSE_S = 0.03
PATIENCE_S = 60.0

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
resources: {{cpus: 1, walltime_s: 600}}
command: [/bin/sh, {program}, {ledger}, "{{inputs.kind}}", "{{inputs.seconds}}"]
"""

CLUSTER_FILE = """\
settle_s = 0.5
lost_s = 20
check_s = 1
[local]
cpus = {cpus}
isolation = "none"
grace_s = 8
"""


Answer = TypeVar("Answer")


class Late(AssertionError):
    """Something that had to happen did not, within its time."""


class NoSupervisor(Exception):
    """The supervisor that was started died before it answered."""


class FrontGone(Exception):
    """The process that takes requests died before it answered."""


class NotNow(Exception):
    """The request was refused for now: nothing of it was stored."""


class Front(Protocol):
    """Where users send requests; any of them may raise FrontGone or NotNow, and then be sent again."""

    @property
    def pid(self) -> int: ...

    def submit(self, name: str, kind: Kind, seconds: float, *, restartable: bool) -> str: ...

    def cancel(self, job_id: str) -> None: ...

    def close(self) -> None: ...


def until(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """The condition holds. Late: it did not come to."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise Late(f"not within {within_s:g} s: {what}")
        time.sleep(PAUSE_S)


@dataclass(frozen=True, slots=True)
class Child:
    """A process the rig started."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def is_gone(self) -> bool:
        return self.popen.poll() is not None

    @property
    def is_frozen(self) -> bool:
        return process_state(self.popen.pid) == "T"

    def send(self, number: signal.Signals) -> None:
        """The process got the signal, unless it was gone."""
        if not self.is_gone:
            self.popen.send_signal(number)

    def kill(self) -> None:
        """The process is gone."""
        self.send(signal.SIGKILL)
        self.popen.wait()


@dataclass(frozen=True, slots=True)
class Plan:
    """When a user cancels a job: once it is shown in `state`, and the job named `after` was cancelled."""

    state: str
    after: str = ""


@dataclass(slots=True)
class Rig:
    """A gateway with real processes below `folder`; a context manager that leaves nothing running."""

    folder: Path
    source: Path = SOURCE
    cluster: str = CLUSTER
    database_url: str = ""
    cpus: int = 2
    lease_timeout_s: float = 1.0
    open_front: Callable[[Rig, str], Front] | None = None  # its second argument arms failpoints
    sleep_s: Callable[[], float] = lambda: inf  # how long a frozen controller sleeps if nobody wakes it
    letters: Callable[[str], str | None] = lambda name: None  # by a job's name: what its user is to be told of
    asked: dict[str, Asked] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    to_come: list[tuple[tuple[str, ...], Callable[[], None]]] = field(default_factory=list)
    controllers: list[Child] = field(default_factory=list)
    address: Address | None = None
    _numbers: int = 0
    _guard: Guard | None = None
    _front: Front | None = None

    def __enter__(self) -> Self:
        self.database_url = self.database_url or f"sqlite:///{self.home / 'isthmus.db'}"
        for folder in (
            self.home / "clusters.d",
            self.home / "applications",
            self.shims / "plans",
            self.shims / "taken",
        ):
            folder.mkdir(parents=True)
        shutil.copy(HERE / "program.sh", self.folder)
        for name in SHIMMED:
            shutil.copy(HERE / "shim.sh", self.shims / name)
            (self.shims / name).chmod(0o755)
        (self.shims / "busybox").symlink_to("/bin/false")  # it would make links and renames without our shims
        (self.home / "clusters.d" / f"{self.cluster}.toml").write_text(self.cluster_file())
        sqlite = str(self.home / "isthmus.db") if self.is_on_sqlite else None
        self._guard = Guard(lambda: list(self.controllers), sqlite, self.sleep_s)
        self._guard.start()
        for name, restartable in (("ledger", "false"), ("ledger-again", "true")):
            (self.home / "applications" / f"{name}.yaml").write_text(self.application(name, restartable))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._guard is not None:
            self._guard.stop()
        if self._front is not None:
            self._front.close()
        self.end_everything()
        self.end_controllers()

    @property
    def is_on_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    # --- the cluster: what another engine's rig says differently ---------------------------------------------
    def cluster_file(self) -> str:
        """What the home's cluster file says."""
        return CLUSTER_FILE.format(cpus=self.cpus)

    def accounting(self) -> list[Entry]:
        """The scheduler's own record."""
        return read_accounting(self.home / "clusters" / self.cluster / "accounting")

    # --- places ---------------------------------------------------------------------------------------------
    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def shims(self) -> Path:
        return self.folder / "shims"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def struck(self) -> Path:
        return self.shims / "struck"

    def application(self, name: str, restartable: str) -> str:
        program = self.folder / "program.sh"
        return APPLICATION.format(name=name, restartable=restartable, program=program, ledger=self.ledger)

    # --- processes ------------------------------------------------------------------------------------------
    def start_controller(self, failpoints: str = "") -> Child:
        """One more controller runs."""
        words = ["-m", "isthmus.controller", str(self.home), "--lease-timeout", str(self.lease_timeout_s)]
        child = self.start("controller", words, failpoints)
        self.controllers.append(child)
        return child

    def end_controllers(self) -> None:
        """No controller lives."""
        for controller in self.controllers:
            controller.kill()
        self.controllers.clear()

    def start_supervisor(self, failpoints: str = "") -> None:
        """A supervisor answers, with places armed that those after it have not."""
        child = self.start("opener", [str(HERE / "open_cluster.py"), str(self.home), self.cluster], failpoints)
        if child.popen.wait(PATIENCE_S) != 0:
            raise NoSupervisor(child.log.read_text())

    def start(self, name: str, words: list[str], failpoints: str = "", *, talks: bool = False) -> Child:
        """A Python process runs `words`; what it says goes to a log, unless it `talks` to us over pipes."""
        log = self.folder / f"{name}-{self.next_number()}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, *words],
                env=self.environment(failpoints),
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                bufsize=0,
                start_new_session=True,
            )
        return Child(popen, log)

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def environment(self, failpoints: str = "") -> dict[str, str]:
        return {
            "PATH": f"{self.shims}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join([str(self.source), str(HERE.parents[1])]),
            "ISTHMUS_DATABASE_URL": self.database_url,
            "ISTHMUS_FAILPOINTS": failpoints,
        }

    def supervisors(self) -> list[int]:
        return [p.pid for p in self.processes() if b"isthmus.cluster.supervisor" in p.words]

    def wrappers(self) -> list[Process]:
        return [p for p in self.processes() if any(word.endswith(b"/wrapper.sh") for word in p.words)]

    def processes(self) -> Iterator[Process]:
        """Every process of this rig that lives."""
        mine = str(self.folder).encode()
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):  # noqa: PTH208 (hundreds, often)
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                place = os.readlink(f"/proc/{pid}/cwd").encode()  # noqa: PTH115 (its target may be gone)
                if (place.startswith(mine) or any(mine in word for word in words)) and process_state(pid) not in "ZX":
                    yield Process(pid, tuple(words))

    def end_everything(self) -> None:
        """No process of this rig lives."""

        def none_is_left() -> bool:
            found = list(self.processes())
            for process in found:
                send(signal.SIGKILL, process.pid)
            return not found

        until(none_is_left, f"the processes of {self.folder} end")

    # --- users ----------------------------------------------------------------------------------------------
    def ask(self, kind: Kind, seconds: float = 0.0, *, cancel: Plan | None = None, restartable: bool = False) -> str:
        """A job is accepted; its name. The request is repeated, under the same key, until it is answered."""
        name = f"{kind}-{len(self.asked)}"
        self.asked[name] = Asked(name, kind, restartable=restartable)
        if cancel:
            self.plans[name] = cancel
        self.ask_again(name, seconds)
        return name

    def once_started(self, names: tuple[str, ...], act: Callable[[], None]) -> None:
        """Users do something as soon as they see that these jobs have started."""
        self.to_come.append((names, act))

    def ask_again(self, name: str, seconds: float) -> None:
        """The request was sent (again) and answered."""
        request = self.asked[name]
        job_id = self._answered(
            lambda front: front.submit(name, request.kind, seconds, restartable=request.restartable)
        )
        self.asked[name] = replace(request, answers=(*request.answers, job_id))

    def cancel(self, name: str) -> None:
        """The cancel was asked for and answered."""
        self.asked[name] = replace(self.asked[name], cancelled=True)
        self._answered(lambda front: front.cancel(self.asked[name].answers[0]))

    def _answered(self, request: Callable[[Front], Answer]) -> Answer:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return request(self.front)
            except FrontGone as fault:
                if time.monotonic() > deadline:
                    raise Late("no request is answered any more") from fault
                self.replace_front()
            except NotNow as fault:
                if time.monotonic() > deadline:
                    raise Late("requests are refused all the time") from fault
                time.sleep(PAUSE_S)

    @property
    def front(self) -> Front:
        if self._front is None:
            assert self.open_front is not None
            self._front = self.open_front(self, "")
        return self._front

    def replace_front(self, failpoints: str | None = None) -> None:
        """Requests go to a new front: one that is opened for the next request, or one that is armed."""
        if self._front is not None:
            self._front.close()
        self._front = None
        if failpoints is not None and self.open_front is not None:
            self._front = self.open_front(self, failpoints)

    # --- what is shown --------------------------------------------------------------------------------------
    def states(self) -> dict[str, str]:
        """Each job's state as it is shown now, by its name."""
        return read_states(self.database_url)

    def look(self) -> dict[str, str]:
        """The states, after users have done what they planned to do on seeing them."""
        states = self.states()
        for names, act in list(self.to_come):
            if all(states.get(name) in STARTED for name in names):
                self.to_come.remove((names, act))
                act()
        for name, plan in list(self.plans.items()):
            if states.get(name) in FINAL:
                del self.plans[name]
            elif states.get(name) == plan.state and (not plan.after or plan.after not in self.plans):
                del self.plans[name]
                self.cancel(name)
        return states

    def all_final(self) -> bool:
        states = self.look()
        return not self.plans and not self.to_come and all(states.get(name) in FINAL for name in self.asked)

    def finish(self, within_s: float = PATIENCE_S) -> Verdict:
        """The verdict, once every job has ended or had time to."""
        with suppress(Late):
            until(self.all_final, "every job ends", within_s)
        return self.verdict()

    def verdict(self) -> Verdict:
        """What the witness says now."""
        return judge(
            Evidence(
                asked=tuple(self.asked.values()),
                shown=read_shown(self.database_url),
                ledger=read_ledger(self.ledger),
                accounting=self.accounting(),
                struck=read_struck(self.struck),
                alive=runs_still(self.ledger),
            )
        )


@dataclass(frozen=True, slots=True)
class Process:
    """A living process and its command line."""

    pid: int
    words: tuple[bytes, ...]


def process_state(pid: int) -> str:
    """The kernel's letter for it: R, S, D, T (stopped), Z (dead, not yet waited for); X when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X"
    return text[text.rindex(")") + 2]


def send(number: signal.Signals, pid: int, *, group: bool = False) -> None:
    """The process, or its whole group, got the signal, unless it was gone."""
    with suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, number)


@contextmanager
def awake_again(child: Child) -> Iterator[None]:
    """The process runs on after the block, whatever stopped it."""
    try:
        yield
    finally:
        child.send(signal.SIGCONT)
