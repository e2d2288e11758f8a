"""What a measurement says: figures, beside what they are compared with, and where and from what they were taken."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Peer:
    """What a figure is compared with: something else that did the same work in the same run, in the figure's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for: the figure (or its ratio to the peer) below `bound`, or with `at_least`, not below it."""

    bound: float
    at_least: bool = False
    of_ratio: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value < self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `note` says what a reader would otherwise have to guess."""

    name: str
    value: float
    unit: str
    peer: Peer | None = None
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The figure over its peer's."""
        return self.value / self.peer.value if self.peer and self.peer.value else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met, None where there is none."""
        if self.target is None:
            return None
        measured = self.ratio if self.target.of_ratio else self.value
        return measured is not None and self.target.is_met(measured)


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least this share (0 to 1) of them don't exceed; nothing is interpolated."""
    return sorted(samples)[max(0, ceil(share * len(samples)) - 1)]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the figures come from: the command, the source and the machine, and how busy it was before."""

    command: str
    commit: str
    cores: int
    memory_mib: int
    cpu: str
    load_before: float

    @classmethod
    def here(cls, command: str) -> Setting:
        """This machine and this tree, now."""
        memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        return cls(command, _commit(), len(os.sched_getaffinity(0)), memory_mib, _cpu(), os.getloadavg()[0])

    @property
    def words(self) -> str:
        return (
            f"{self.command} at {self.commit}; {self.cores} cores, {self.memory_mib} MiB, {self.cpu}; "
            f"load {self.load_before:.1f} before"
        )


def _commit() -> str:
    """The short hash; marked when the tree holds changes, since then nobody can take the same figures."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return f"{commit}+changes" if _git("status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return "not from a clone"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned lines for people."""
    rows = [("figure", "measured", "target", "", "beside it", "ratio")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"  {figure.name}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *(["notes:", *notes] if notes else [])])


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    target = figure.target
    asked = "" if target is None else f"{'>=' if target.at_least else '<'} {target.bound:g}"
    if target is not None:
        asked += " x" if target.of_ratio else f" {figure.unit}"
    beside = f"{figure.peer.name}: {_short(figure.peer.value)}" if figure.peer else ""
    ratio = "" if figure.ratio is None else f"{_short(figure.ratio)} x"
    verdict = {True: "met", False: "MISSED", None: ""}[figure.is_met]
    return figure.name, f"{_short(figure.value)} {figure.unit}", asked, verdict, beside, ratio


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def json_line(figure: Figure, setting: Setting) -> str:
    """The figure as one line of JSON, with everything that is needed to take it again."""
    document = {
        "figure": figure.name,
        "value": round(figure.value, 6),
        "unit": figure.unit,
        "ratio": None if figure.ratio is None else round(figure.ratio, 6),
        "peer": figure.peer and {"name": figure.peer.name, "value": round(figure.peer.value, 6)},
        "target": figure.target
        and {"bound": figure.target.bound, "at_least": figure.target.at_least, "of_ratio": figure.target.of_ratio},
        "met": figure.is_met,
        "note": figure.note,
        "command": setting.command,
        "commit": setting.commit,
        "machine": {
            "cores": setting.cores,
            "memory_mib": setting.memory_mib,
            "cpu": setting.cpu,
            "load_before": round(setting.load_before, 2),
        },
    }
    return json.dumps(document)
