"""What others need for the same programs: bash, xargs and Parsl's HighThroughputExecutor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import ROOT

LIMIT_S = 300.0


def bash_rate(count: int) -> float:
    """Programs a second that a bash loop starts and waits for, one after the other."""
    loop = "for ((i = 0; i < $1; i++)); do /bin/true; done"
    return count / _seconds(["bash", "-c", loop, "bash", str(count)])


# The namespaces and the least of the mounts that an isolated job gets.
_SANDBOX = (
    *("bwrap", "--unshare-all", "--die-with-parent"),
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108 (its own)
    "--",
)


def xargs_rate(count: int, workers: int) -> float:
    """Programs a second with so many at once."""
    return _xargs_rate(count, workers, ["/bin/true"])


def sandboxed_rate(count: int, workers: int) -> float | None:
    """Programs a second, each in a bubblewrap of its own; None where there is none."""
    if shutil.which("bwrap") is None:
        return None
    if subprocess.run([*_SANDBOX, "/bin/true"], check=False, capture_output=True).returncode:
        return None
    return _xargs_rate(count, workers, [*_SANDBOX, "/bin/true"])


def _xargs_rate(count: int, workers: int, command: Sequence[str]) -> float:
    lines = "".join(f"{number}\n" for number in range(count))
    return count / _seconds(["xargs", f"-P{workers}", "-n1", *command], lines)


def shell_latencies(count: int, every_s: float) -> list[float]:
    """Seconds from a program's own last clock to its waiting parent knowing of the end."""
    found = []
    for _ in range(count):
        ended = subprocess.run(["date", "+%s%N"], capture_output=True, text=True, check=True)
        found.append(time.time() - int(ended.stdout) / 1e9)
        time.sleep(every_s)
    return found


def parsl_rate(count: int, workers: int) -> float:
    """Programs a second through a HighThroughputExecutor that is up already."""
    return count / _parsl("rate", str(count), str(workers))[0]


def parsl_latencies(count: int, workers: int, every_s: float) -> Sequence[float]:
    """Seconds from a program's own last clock to its future being done."""
    return _parsl("latency", str(count), str(workers), str(every_s))


def _seconds(command: Sequence[str], lines: str = "") -> float:
    start = time.monotonic()
    subprocess.run(command, input=lines, text=True, check=True, timeout=LIMIT_S)
    return time.monotonic() - start


def _parsl(*words: str) -> Sequence[float]:
    """What `bench.parsl_peer` prints; a process of its own, since Parsl's threads outlive their use."""
    places = {
        # Parsl looks for its worker pool and interchange on PATH.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    }
    with tempfile.TemporaryDirectory(prefix="bench-parsl-") as folder:
        ran = subprocess.run(
            [sys.executable, "-m", "bench.parsl_peer", folder, *words],
            env={**os.environ, **places},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=LIMIT_S,
        )
    numbers: list[float] = json.loads(ran.stdout.splitlines()[-1])
    return numbers
