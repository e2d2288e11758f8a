"""What one local cluster may use of its machine, and how it treats its jobs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of one local cluster; None for cpus or memory_mib means what the machine has.

    `isolation` is auto, bubblewrap, uid or none. `readable` are paths that isolated programs may read beside the
    system's own. `grace_s` is the time between TERM and KILL; `idle_s` how long a supervisor stays with no job and no
    question. `first_uid` is the first of the user ids that programs get when the supervisor is root's.
    """

    cpus: int | None = None
    memory_mib: int | None = None
    gpus: int = 0
    isolation: str = "auto"
    readable: tuple[str, ...] = ()
    grace_s: float = 10.0
    max_output_mib: int = 10240
    max_log_mib: int = 64
    boot_id_path: str = "/proc/sys/kernel/random/boot_id"
    idle_s: float = 60.0
    first_uid: int = 61000

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LocalSettings:
        """The settings that `to_json` wrote. TypeError: it has a name that is none of ours."""
        settings = cls(**json.loads(text))
        return replace(settings, readable=tuple(settings.readable))


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the slots of one machine add up to."""

    cpus: int
    memory_mib: int
    gpus: int


def capacity_of(settings: LocalSettings) -> Capacity:
    """What the settings grant, filled in from what this process may use of the machine."""
    cpus = settings.cpus if settings.cpus is not None else len(os.sched_getaffinity(0))
    memory_mib = settings.memory_mib if settings.memory_mib is not None else _memory_mib()
    return Capacity(cpus, memory_mib, settings.gpus)


def _memory_mib() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    raise RuntimeError("/proc/meminfo has no MemTotal")
