"""Memory limits by control groups: version 2 where it is delegated to us or ours by right, else version 1's memory.

One group an attempt, below one for the whole cluster. The wrapper joins it by itself before it claims, so nothing it
starts can escape, and reads peak and kills for its end record. Where neither version can be used there are no limits
and the cluster's status says so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemoryGroups:
    """The groups of one cluster: a directory below which each attempt gets its own, and what limits are called."""

    directory: Path
    limit_files: tuple[tuple[str, int], ...]  # file, and 0 for "no swap" or 1 for "the limit"

    def create(self, tag: str, limit_mib: int | None) -> Path:
        """The attempt's group is there, limited unless `limit_mib` is None. OSError: it could not be made."""
        group = self.directory / tag
        group.mkdir(parents=True, exist_ok=True)
        if limit_mib is not None:
            for name, factor in self.limit_files:
                with suppress(FileNotFoundError):  # kernels without swap accounting lack its file
                    (group / name).write_text(str(limit_mib * _MIB * factor))
        return group

    def members(self, tag: str) -> list[int]:
        """The processes in the attempt's group."""
        try:
            return [int(line) for line in (self.directory / tag / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def remove(self, tag: str) -> bool:
        """The attempt's group is gone, or can't be removed ever; False while processes are still leaving it."""
        try:
            (self.directory / tag).rmdir()
        except OSError as fault:
            return fault.errno != errno.EBUSY
        return True

    def tags(self) -> list[str]:
        """Attempts that have a group."""
        return [entry.name for entry in self.directory.iterdir() if entry.is_dir()]

    def remove_all(self) -> None:
        """Groups without processes are gone, and the cluster's own if none is left."""
        with suppress(OSError):
            for tag in self.tags():
                self.remove(tag)
            self.directory.rmdir()


_V1 = (("memory.limit_in_bytes", 1), ("memory.memsw.limit_in_bytes", 1))
_V2 = (("memory.max", 1), ("memory.swap.max", 0))


def find_memory_groups(root: Path) -> MemoryGroups | None:
    """Groups for the cluster of this root, tried by making one and limiting it; None where neither version works."""
    found = root.stat()
    name = f"isthmus-{found.st_dev:x}-{found.st_ino}"
    for parent, limit_files in _places():
        groups = MemoryGroups(parent / name, limit_files)
        with suppress(OSError):
            _prepare(groups)
            return groups
    return None


def _prepare(groups: MemoryGroups) -> None:
    groups.directory.mkdir(exist_ok=True)
    if groups.limit_files is _V2:
        # In version 2 a group hands the controller on only where it is told to, from the top down.
        for above in (groups.directory.parent, groups.directory):
            (above / "cgroup.subtree_control").write_text("+memory")
    trial = groups.create("trial", 64)
    try:
        if not (trial / groups.limit_files[0][0]).exists():
            raise FileNotFoundError(groups.limit_files[0][0])
    finally:
        groups.remove("trial")


def _places() -> Iterator[tuple[Path, tuple[tuple[str, int], ...]]]:
    """Where groups may be made, best first: below our own group, or at the top when the system is ours."""
    memberships = dict(_memberships())
    for mount_point, kind, options in _mounts():
        if kind == "cgroup2" and "" in memberships:
            yield from ((place, _V2) for place in _own_then_top(mount_point, memberships[""]))
        elif kind == "cgroup" and "memory" in options and "memory" in memberships:
            yield from ((place, _V1) for place in _own_then_top(mount_point, memberships["memory"]))


def _own_then_top(mount_point: Path, membership: str) -> Iterator[Path]:
    own = mount_point / membership.lstrip("/")
    if own.is_dir():
        yield own
    if os.geteuid() == 0:
        yield mount_point


def _memberships() -> Iterator[tuple[str, str]]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        yield from ((controller, path) for controller in controllers.split(","))


def _mounts() -> Iterator[tuple[Path, str, list[str]]]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, options = line.split()[:4]
        if kind in ("cgroup", "cgroup2"):
            yield Path(mount_point), kind, options.split(",")
