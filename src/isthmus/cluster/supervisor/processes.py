"""Processes by name, not by number: who is alive, who descends from whom, and what a dead wrapper left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from isthmus.cluster.attempts import ProcessName

_PROC = Path("/proc")
_DEAD = ("Z", "X")


def open_process(name: ProcessName, boot_id: str) -> int | None:
    """A pidfd of that very process, None if it is gone. The file descriptor becomes readable when it ends."""
    if name.boot_id != boot_id or name.pid <= 0:
        return None
    try:
        pidfd = os.pidfd_open(name.pid)
    except ProcessLookupError:
        return None
    # In this order the pid can't be given to another between the two looks.
    stat = _stat(name.pid)
    if stat and stat.started_ticks == name.started_ticks and stat.state not in _DEAD:
        return pidfd
    os.close(pidfd)
    return None


def is_running(pid: int) -> bool:
    """The process is there and no zombie."""
    stat = _stat(pid)
    return stat is not None and stat.state not in _DEAD


def is_alive(name: ProcessName, boot_id: str) -> bool:
    """That very process still runs."""
    pidfd = open_process(name, boot_id)
    if pidfd is None:
        return False
    os.close(pidfd)
    return True


class _Stat(NamedTuple):
    state: str
    started_ticks: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold spaces and brackets
    return _Stat(fields[0].decode(), int(fields[19]))


def children_of(pid: int) -> list[int]:
    """The direct children of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text().split())
    return found


def tree_below(pid: int) -> list[int]:
    """Every descendant of a process, nearest first."""
    found = children_of(pid)
    for child in found:  # grows while it is walked
        found += children_of(child)
    return found


def name_of(pid: int) -> str:
    """The name the kernel shows for a process, empty if it is gone."""
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def marked(marks: Iterable[str]) -> Iterator[int]:
    """Every process whose environment holds one of the marks `NAME=value`.

    It finds programs that made a session of their own, but not one that replaced its environment as well. (Sessions
    would not do: the number of one that has ended may be another's by now.)
    """
    wanted = {mark.encode() for mark in marks}
    for pid in _all():
        if not wanted.isdisjoint(_environment(pid)):
            yield pid


def kill_until_none(find: Callable[[], Iterable[int]]) -> bool:
    """Everything that `find` names got SIGKILL, and what it names anew too, until it names nobody that still runs.

    False: after a hundred looks, about a second, it still names somebody.
    """
    for look in range(100):  # a bound for processes that can't die now, because a disk does not answer
        found = [pid for pid in find() if pid != os.getpid() and is_running(pid)]
        if not found:
            return True
        send(signal.SIGKILL, found)
        time.sleep(0.0005 * min(look, 20))  # dying takes a moment
    return False


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Each process that was still there got the signal."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _all() -> Iterator[int]:
    return (int(entry) for entry in os.listdir(_PROC) if entry.isdecimal())  # noqa: PTH208 (no Path each)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
