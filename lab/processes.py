"""Processes that outlive whoever starts them, and are found again by anyone who knows the lab's folder."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MARK = "ISTHMUS_LAB_FOLDER"  # in the environment of each process of a lab: whose it is
END_WAIT_S = 10.0
_PROC = Path("/proc")


class Condition(StrEnum):
    """What can be seen of a process from outside."""

    RUNNING = "running"
    FROZEN = "frozen"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Process:
    """A process and not its successor: the kernel gives a number again, but not with the same start."""

    pid: int
    started_ticks: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has the number now; started_ticks is -1 where there is none."""
        fields = _stat(pid)
        return cls(pid, int(fields[19]) if fields else -1)

    def condition(self) -> Condition:
        """What it does now; one that has ended and waits for its parent's look is gone."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # ours, when this process started it
        fields = _stat(self.pid)
        if not fields or int(fields[19]) != self.started_ticks or fields[0] in "ZX":
            return Condition.GONE
        return Condition.FROZEN if fields[0] in "Tt" else Condition.RUNNING

    def send(self, number: signal.Signals) -> None:
        """The signal is sent, if it is still there."""
        if self.condition() is not Condition.GONE:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """It is gone."""
        self.send(signal.SIGKILL)
        wait_for(lambda: self.condition() is Condition.GONE, f"process {self.pid} to end", END_WAIT_S)


def spawn(arguments: list[str], environment: Mapping[str, str], log: Path) -> Process:
    """The program runs in a session of its own, and adds what it says to the log."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return Process.of(os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True))


def marked(folder: Path) -> tuple[Process, ...]:
    """Every process that carries the folder's mark or runs in a sandbox below it, its descendants and its sessions."""
    marks = (f"{MARK}={folder}".encode(), f"MESOS_SANDBOX={folder}/".encode())
    table = {pid: fields for pid in _pids() if (fields := _stat(pid))}
    found = {pid for pid in table if _has(pid, marks)}
    while more := {pid for pid, fields in table.items() if pid not in found and _belongs(fields, found)}:
        found |= more
    found.discard(os.getpid())
    return tuple(Process(pid, int(table[pid][19])) for pid in sorted(found) if table[pid][0] not in "ZX")


def wait_for(true: Callable[[], bool], what: str, patience_s: float) -> None:
    """The condition has come true. TimeoutError: it has not within the time."""
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:g} s for {what}")
        time.sleep(0.02)


def _stat(pid: int) -> list[str]:
    """The words of /proc/PID/stat from the state on; none when the process is not there."""
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _belongs(fields: Sequence[str], found: set[int]) -> bool:
    """A child of a found one, or in a session that a found one leads."""
    parent, session = int(fields[1]), int(fields[3])
    return parent in found or session in found


def _has(pid: int, marks: Sequence[bytes]) -> bool:
    try:
        words = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # ended, or another user's
        return False
    return any(word == marks[0] or word.startswith(marks[1]) for word in words)
