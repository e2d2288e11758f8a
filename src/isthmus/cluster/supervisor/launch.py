"""From an attempt whose turn has come to its wrapper's process, and back to it after a restart of the supervisor."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isthmus.cluster.attempts import Holder, StagedOrder
from isthmus.cluster.supervisor.cgroup import MemoryGroups
from isthmus.cluster.supervisor.processes import kill_until_none, marked, open_process
from isthmus.cluster.supervisor.sandbox import PROGRAM_PATH, UID, Sandbox, hand_over
from isthmus.cluster.supervisor.slots import Allotment, Need
from isthmus.scheduler import WRAPPER

_DEFAULTED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""Signals that Python ignores, or nohup, or a shell for what it puts into its background; programs do not expect it."""

_PLACE_FILE = "place"


@dataclass(slots=True)
class Running:
    """A wrapper that was started, by us (`is_child`) or by a supervisor before us, at `since_s` of `uptime_s`."""

    tag: str
    native_id: str
    pid: int
    pidfd: int
    is_child: bool
    since_s: float
    walltime_s: int
    allotment: Allotment


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts wrappers, finds them again, and clears away what a program leaves behind."""

    root: Path
    boot_id_path: Path
    boot_id: str
    sandbox: Sandbox
    groups: MemoryGroups | None
    shell: tuple[str, ...]

    def launch(self, directory: Path, native_id: str, order: StagedOrder, allotment: Allotment) -> Running:
        """The wrapper runs, in a session of its own. OSError: nothing was started."""
        group = self.groups.create(order.tag, order.resources.memory_mib) if self.groups else ""
        if allotment.gpus or self.sandbox.uid_base is not None:
            (directory / _PLACE_FILE).write_text(" ".join(map(str, (allotment.place, *allotment.gpus))))
        hand_over(directory, self.sandbox.uid(allotment))
        booted_cs = round((time.time() - uptime_s()) * 100)
        argv = [*self.shell, str(WRAPPER), str(directory), order.tag, native_id, "1"]
        argv += [str(self.root / "events"), str(self.boot_id_path), str(booted_cs), str(group), PROGRAM_PATH]
        argv += self.sandbox.launcher(directory, order, allotment)
        # The wrapper finds its own commands on our path; the program gets PROGRAM_PATH and the rest of this.
        environment = {**self.sandbox.environment(directory, order, allotment), "PATH": os.environ["PATH"]}
        pid = os.posix_spawn(
            argv[0], argv, environment, setsid=True, setsigmask=(), setsigdef=_DEFAULTED, file_actions=_QUIET
        )
        return Running(order.tag, native_id, pid, _pidfd(pid), True, uptime_s(), order.resources.walltime_s, allotment)

    def adopt(self, directory: Path, holder: Holder, order: StagedOrder, need: Need) -> Running | None:
        """The wrapper that holds the claim, if it still runs."""
        pidfd = open_process(holder.process, self.boot_id)
        if pidfd is None:
            return None
        allotment = Allotment(need, *self.place(directory))
        walltime_s, since_s = order.resources.walltime_s, holder.process.started_ticks / os.sysconf("SC_CLK_TCK")
        return Running(order.tag, holder.native_id, holder.process.pid, pidfd, False, since_s, walltime_s, allotment)

    def place(self, directory: Path) -> tuple[int, tuple[int, ...]]:
        """The place and gpus that the attempt was given last; -1, which is nobody's, where it needs none."""
        try:
            place, *gpus = map(int, (directory / _PLACE_FILE).read_text().split())
        except (OSError, ValueError):
            return -1, ()
        return place, tuple(gpus)

    def reap(self, running: Running) -> int | None:
        """The ended wrapper's pid is free again and its group is empty; returns its exit code, None if not ours."""
        os.close(running.pidfd)
        if not running.is_child:
            return None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)  # before its pid is free, so that it can't be another's group
        _, status = os.waitpid(running.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def clear(self, tag: str) -> bool:
        """Nothing that the program started runs on, as far as its group, its sandbox or its environment tell.

        With another user id its environment is looked at too; the user id alone might be another gateway's.
        False: something can't be killed now.
        """
        groups = self.groups
        gone = groups is None or kill_until_none(lambda: groups.members(tag))
        return gone and (self.sandbox.isolation != UID or kill_until_none(lambda: marked([f"ISTHMUS_TAG={tag}"])))

    def bury(self, tags: list[str]) -> bool:
        """Nothing runs on of attempts whose wrappers died without a word. False: something can't be killed now."""
        if not tags:
            return True
        groups = self.groups
        gone = groups is None or kill_until_none(lambda: [pid for tag in tags for pid in groups.members(tag)])
        return gone and kill_until_none(lambda: marked(f"ISTHMUS_TAG={tag}" for tag in tags))


def uptime_s() -> float:
    """Seconds since the machine booted: unlike the time of day nobody sets it, and /proc counts by it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _pidfd(pid: int) -> int:
    """A descriptor of our child. OSError: there was none to have, and the child is gone with its group."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


_QUIET = (
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    (os.POSIX_SPAWN_DUP2, 1, 2),
)
