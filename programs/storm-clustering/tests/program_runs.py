"""The program as its users run it, in a process of its own, and the radar files it is tried on."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "src"


@dataclass(frozen=True, slots=True)
class Run:
    """An ended run of the program and where its results are."""

    code: int
    stdout: str
    stderr: str
    out: Path

    def read(self, name: str) -> Any:
        return json.loads((self.out / name).read_text(encoding="utf-8"))


def radar_file(name: str) -> Path:
    """A file of Py-ART's own test data."""
    package = importlib.util.find_spec("pyart")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "testing" / "data" / name


def run(*arguments: str | Path, out: Path, **environment: str) -> Run:
    """The program, started as `python -m storm_clustering` in its own process."""
    ended = subprocess.run(
        [sys.executable, "-m", "storm_clustering", *map(str, arguments), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(SOURCE)} | environment,
    )
    return Run(ended.returncode, ended.stdout, ended.stderr, out)
