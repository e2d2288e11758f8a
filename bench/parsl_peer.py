"""`python -m bench.parsl_peer FOLDER rate COUNT WORKERS`, or `… latency COUNT WORKERS EVERY_S`: Parsl's own figures.

Prints one JSON list: the seconds that COUNT programs took, or each program's latency. The executor is up before, and
has run one program for each worker.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import as_completed
from pathlib import Path

import parsl
from parsl.app.app import bash_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider


def _true() -> str:
    return "true"


def _clock(stdout: str) -> str:
    return "date +%s%N"


true, clock = bash_app(_true), bash_app(_clock)


def main() -> None:
    """Reads the arguments, measures, prints."""
    folder, what, count, workers, *rest = sys.argv[1:]
    with parsl.load(_config(folder, int(workers))):
        for future in [true() for _ in range(int(workers))]:
            future.result()
        numbers = [_rate(int(count))] if what == "rate" else _latencies(int(count), float(rest[0]), Path(folder))
    print(json.dumps(numbers), flush=True)


def _config(folder: str, workers: int) -> Config:
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(
        label="workers", address="127.0.0.1", max_workers_per_node=workers, cores_per_worker=1, provider=provider
    )
    return Config(executors=[executor], run_dir=folder, usage_tracking=0, initialize_logging=False)


def _rate(count: int) -> float:
    start = time.monotonic()
    for future in as_completed([true() for _ in range(count)]):
        future.result()
    return time.monotonic() - start


def _latencies(count: int, every_s: float, folder: Path) -> list[float]:
    found = []
    for number in range(count):
        said = folder / f"said-{number}"
        clock(stdout=str(said)).result()
        known_at = time.time()
        found.append(known_at - int(said.read_text(encoding="ascii").split()[-1]) / 1e9)
        time.sleep(every_s)
    return found


if __name__ == "__main__":
    main()
