"""A real gateway in a home of its own, for one measurement: its processes started, killed and cleaned away."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.connection import Connection
from bench.figures import ROOT
from bench.waiting import wait_until
from isthmus.errors import Conflict
from isthmus.store import Store, Viewer
from isthmus.store.users import Role, Scope
from tests.postgres import running_postgres

WORK = ROOT / "build" / "bench"
APPLICATIONS = Path(__file__).parent / "applications"
START_S = 30.0
CLUSTER = "local"


@dataclass(frozen=True, slots=True)
class House:
    """What differs between the gateways of the measurements. An empty `database_url` is SQLite in the home."""

    database_url: str = ""
    isolation: str = "auto"
    cpus: int = 2
    max_waiting: int = 2000
    user: str = "bench"
    role: Role = Role.USER


@contextmanager
def database_url(kind: str) -> Iterator[str]:
    """The URL of an empty database for one gateway: "" for SQLite, which lies in the home."""
    if kind == "sqlite":
        yield ""
        return
    with running_postgres() as server, server.database() as url:
        yield url


@dataclass(slots=True)
class Gateway:
    """A home with a signed-in user; `start_api` and `start_controller` bring it to life."""

    home: Path
    house: House
    port: int
    token: str
    viewer: Viewer
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.house.database_url or f"sqlite:///{self.home / 'isthmus.db'}"

    @property
    def cluster_root(self) -> Path:
        return self.home / "clusters" / CLUSTER

    def connect(self) -> Connection:
        return Connection(self.port, self.token)

    def start_api(self, module: str = "isthmus.api") -> None:
        """The web process answers: the API alone, or with `isthmus.portal` the pages, too."""
        process = self._start("api", module, str(self.home), "--port", str(self.port))
        wait_until(lambda: self._answers(process), "the API's first answer", START_S)

    def start_controller(self, lease_timeout_s: float = 3) -> None:
        """A controller process runs; what it has done yet is not waited for."""
        self._start("controller", "isthmus.controller", str(self.home), "--lease-timeout", str(lease_timeout_s))

    def web_process(self) -> int:
        """The web process' pid."""
        return self._processes["api"].pid

    def controller_process(self) -> int:
        """The controller's pid."""
        return self._processes["controller"].pid

    def kill_controller(self) -> None:
        """The controller is dead by SIGKILL, without a word."""
        process = self._processes.pop("controller")
        process.kill()
        process.wait()

    def kill_supervisor(self) -> None:
        """The cluster's supervisor is dead by SIGKILL; its jobs go on."""
        for pid in _processes_naming(str(self.cluster_root)):
            if b"isthmus.cluster.supervisor" in _command(pid):
                os.kill(pid, signal.SIGKILL)
                wait_until(partial(_is_gone, pid), "the supervisor's end", 10)

    def cpu_s(self) -> float:
        """Processor seconds that the gateway has used, its supervisor, and the wrappers and programs that ended."""
        pids = {process.pid for process in self._processes.values()} | set(_processes_naming(str(self.cluster_root)))
        return sum(map(cpu_s_of, pids))

    def log(self, name: str) -> str:
        """What the process has said."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        """Nothing of the gateway runs any more: neither its processes, nor its supervisor, nor a job."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        wait_until(self._kill_rest, "the end of the gateway's jobs", 30)

    def _kill_rest(self) -> bool:
        """Whether nothing was left to kill."""
        left = _processes_naming(str(self.home))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def _start(self, name: str, module: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", module, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # What an operator has set for a real gateway (its database, its home) must not reach this one.
                env={name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")},
            )
        self._processes[name] = process
        return process

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the API ended with {process.returncode}: {self.log('api')[-2000:]}")
        try:
            with self.connect() as connection:
                connection.get("/me")
        except OSError:
            return False
        return True


@contextmanager
def gateway(house: House) -> Iterator[Gateway]:
    """A gateway whose home is on the project's own disk; nothing of it runs after the block.

    The home goes with the process: for minutes after many files were deleted, ext4 makes new ones near them slowly, and
    the next measurement would pay for that.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=WORK))
    atexit.register(shutil.rmtree, home)
    made = None
    try:
        made = _make(home, house)
        yield made
    finally:
        if made is not None:
            made.stop()


def _make(home: Path, house: House) -> Gateway:
    (home / "clusters.d").mkdir()
    (home / "isthmus.toml").write_text(
        f"[database]\nurl = {_quoted(house.database_url)}\n[applications]\nfolders = [{_quoted(str(APPLICATIONS))}]\n"
        "[limits]\nstreams_per_user = 0\n",
        encoding="utf-8",
    )
    (home / "clusters.d" / f"{CLUSTER}.toml").write_text(
        f"max_waiting = {house.max_waiting}\n[local]\ncpus = {house.cpus}\nisolation = {_quoted(house.isolation)}\n",
        encoding="utf-8",
    )
    made = Gateway(home, house, _free_port(), "", Viewer(""))
    with Store.open(made.url) as store:
        made.viewer, made.token = sign_in(store, house.user, house.role)
    return made


def sign_in(store: Store, name: str, role: Role) -> tuple[Viewer, str]:
    """There is a user of this name, and a new token of theirs: on whose behalf the store is asked, the token's text."""
    try:
        user = store.create_user(name, "a long enough password", role)
    except Conflict:
        user = store.user(name)
    return Viewer(user.id, role is Role.ADMIN), store.create_token(user.id, "bench", Scope, None).text


def _quoted(words: str) -> str:
    """A TOML string; every text here is ours and free of control characters."""
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _processes_naming(path: str) -> list[int]:
    """Processes, other than this one, that have the path in their command line: jobs and supervisors outlive us."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and path.encode() in _command(int(folder.name)):
            found.append(int(folder.name))
    return found


def _command(pid: int) -> bytes:
    """The command line, its words parted by NUL; empty when the process is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def cpu_s_of(pid: int) -> float:
    """User and system time of the process and of its children that were waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _is_gone(pid: int) -> bool:
    return not _command(pid)
