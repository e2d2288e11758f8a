"""(c) How long after a program's end somebody who watches knows of it, beside a waiting shell and Parsl."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from bench import peers
from bench.connection import EventReader, submission
from bench.figures import Figure, Peer, Target, percentile
from bench.gateway import Gateway, House, database_url, gateway
from bench.options import Options
from bench.waiting import wait_until

WORKERS = 2
EVERY_S = 0.25
SHARES = {"p50": 0.50, "p95": 0.95}
TARGETS = {"p50": None, "p95": Target(1000.0)}
BODY = submission("bench-clock", "says when it ended")


def measure(options: Options) -> Iterator[Figure]:
    """The program's last act is to print its clock; the reader notes its own when the event STAGING_OUT is there."""
    count = options.samples(120, 20)
    shell = peers.shell_latencies(count // 4, EVERY_S / 5)
    parsl = peers.parsl_latencies(count // 4, WORKERS, EVERY_S / 5)
    for label, share in SHARES.items():
        beside = Peer(f"waiting shell {label}", 1000 * percentile(shell, share))
        yield Figure(f"latency.parsl.{label}", 1000 * percentile(parsl, share), "ms", beside, note="future done")
    for kind in options.on("sqlite"):
        with database_url(kind) as url, gateway(House(url, cpus=WORKERS)) as ours:
            found = _latencies(ours, count)
        note = f"{count} jobs, one every {EVERY_S} s"
        for label, share in SHARES.items():
            beside = Peer(f"waiting shell {label}", 1000 * percentile(shell, share))
            value = 1000 * percentile(found, share)
            yield Figure(f"latency.{kind}.{label}", value, "ms", beside, TARGETS[label], note)


def _latencies(ours: Gateway, count: int) -> list[float]:
    """Seconds from each program's last clock to the reader having the event."""
    ours.start_api()
    ours.start_controller()
    known_at: dict[str, float] = {}
    final: set[str] = set()

    def seen(event: Mapping[str, object], read_at: float) -> None:
        state = event.get("state")
        if state == "STAGING_OUT":
            known_at.setdefault(str(event["job"]), read_at)
        elif state in ("COMPLETED", "FAILED", "CANCELLED"):
            final.add(str(event["job"]))

    EventReader(ours.port, ours.token, seen).start()
    warm = _submit(ours, WORKERS, "warm", 0)
    wait_until(lambda: final >= warm, "the first jobs", 60)
    jobs = _submit(ours, count, "counted", EVERY_S)
    wait_until(lambda: final >= jobs, "the last jobs' ends", 60)
    return [known_at[job] - _ended_at(ours, job) for job in jobs]


def _submit(ours: Gateway, count: int, key: str, every_s: float) -> set[str]:
    with ours.connect() as connection:
        begin, found = time.monotonic(), set()
        for number in range(count):
            time.sleep(max(0.0, begin + number * every_s - time.monotonic()))
            found.add(str(json.loads(connection.post("/jobs", BODY, f"{key}-{number}"))["id"]))
    return found


def _ended_at(ours: Gateway, job: str) -> float:
    """The clock the program printed, epoch seconds."""
    with ours.connect() as connection:
        return int(connection.get(f"/jobs/{job}/outputs/stdout")) / 1e9
