"""How a running program is ended: the reason first, then TERM, then KILL, and the wrapper is left to tell of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from isthmus.cluster.supervisor.cgroup import MemoryGroups
from isthmus.cluster.supervisor.processes import children_of, marked, name_of, send, tree_below


class Stop(StrEnum):
    """Why the supervisor ends a program; the word in the attempt's `stop` file and in its end record."""

    WALLTIME = "walltime"
    CANCEL = "cancel"


_LOOK_S = 0.05
_PROGRAM_S = 5.0
_KILL_AGAIN_S = 0.2


def stop_word(directory: Path) -> Stop | None:
    """Why the attempt was stopped, None if it was not."""
    try:
        return Stop((directory / "stop").read_text().strip())
    except (OSError, ValueError):
        return None


def write_stop(directory: Path, why: Stop) -> None:
    """The reason is on disk, whole, before any signal; the first reason stays."""
    if stop_word(directory) is not None:
        return
    new = directory / ".stop"
    with suppress(OSError):  # on a full disk the record will call it a signal, which is true too
        new.write_text(f"{why}\n")
        new.replace(directory / "stop")


async def stop_program(directory: Path, tag: str, wrapper: int, grace_s: float, groups: MemoryGroups | None) -> None:
    """The program got TERM and, `grace_s` later, KILL until it was gone. Never returns; cancelled at the wrapper's end.

    The wrapper and its own commands (sync, mv) are spared, so that a program which ends just now keeps its record.
    """
    program = await _program(directory, wrapper)
    until = time.monotonic() + grace_s
    while not _terminate(program, tag, wrapper, groups) and time.monotonic() < until:
        await asyncio.sleep(_LOOK_S)  # the sandbox is there, and its program not yet
    await asyncio.sleep(max(until - time.monotonic(), 0))
    while True:
        send(signal.SIGKILL, set(_targets(program, tag, wrapper, groups)))
        send(signal.SIGKILL, (pid for pid in marked([f"ISTHMUS_TAG={tag}"]) if not _is_wrappers(pid, program, wrapper)))
        await asyncio.sleep(_KILL_AGAIN_S)


def _terminate(program: int | None, tag: str, wrapper: int, groups: MemoryGroups | None) -> bool:
    """TERM went to the program, if there is one; bubblewrap passes none on, and would only die of it."""
    found = [pid for pid in _targets(program, tag, wrapper, groups) if name_of(pid) != "bwrap"]
    send(signal.SIGTERM, found)
    return bool(found)


async def _program(directory: Path, wrapper: int) -> int | None:
    """The program's pid, once the wrapper has started it; None if it can't be told from the wrapper's own commands."""
    for _ in range(int(_PROGRAM_S / _LOOK_S)):
        with suppress(OSError, ValueError):
            return int((directory / "program").read_text())
        await asyncio.sleep(_LOOK_S)
    return None


def _targets(program: int | None, tag: str, wrapper: int, groups: MemoryGroups | None) -> Iterator[int]:
    children = children_of(wrapper)
    for child in children if program is None else [pid for pid in children if pid == program]:
        yield child
        yield from tree_below(child)
    for pid in groups.members(tag) if groups else ():
        if not _is_wrappers(pid, program, wrapper):
            yield pid


def _is_wrappers(pid: int, program: int | None, wrapper: int) -> bool:
    """The process is the wrapper or one of its own commands."""
    return pid in (wrapper, os.getpid()) or (pid in children_of(wrapper) and pid != program)
