"""(b) How many jobs a second go from accept to COMPLETED, beside bash, xargs and Parsl running the same program."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from bench import peers
from bench.connection import submission
from bench.figures import Figure, Peer, Target
from bench.gateway import Gateway, House, database_url, gateway
from bench.options import Options
from bench.waiting import wait_until

WORKERS = 2
CLIENTS = 8
LIMIT_S = 300.0
BODY = submission("bench-true", "one of many")


def measure(options: Options) -> Iterator[Figure]:
    """Rates with the isolation the engine chooses and with none; the peers' rates are taken just before."""
    count = options.samples(1000, 200)
    bash, xargs = peers.bash_rate(count), peers.xargs_rate(count, WORKERS)
    parsl = peers.parsl_rate(count, WORKERS)
    one_by_one = Peer("bash, one by one", bash)
    yield Figure("jobs.xargs", xargs, "1/s", one_by_one, note=f"xargs -P{WORKERS}")
    yield Figure("jobs.parsl", parsl, "1/s", one_by_one, note=f"{WORKERS} workers, up already; keeps nothing durable")
    if (sandboxed := peers.sandboxed_rate(count, WORKERS)) is not None:
        words = f"xargs -P{WORKERS}, each program in bubblewrap, with nothing around it"
        yield Figure("jobs.xargs_bubblewrap", sandboxed, "1/s", Peer("Parsl", parsl), note=words)
    for kind in options.on("sqlite"):
        for isolation in ("auto", "none"):
            with database_url(kind) as url, gateway(House(url, isolation, WORKERS)) as ours:
                rate, words = _rate(ours, count)
            target = Target(0.5, at_least=True, of_ratio=True)
            name = f"jobs.{kind}.isolation_{isolation}"
            yield Figure(name, rate, "1/s", Peer("Parsl", parsl), target, words)
            yield Figure(f"{name}.bash", rate, "1/s", one_by_one)


def _rate(ours: Gateway, count: int) -> tuple[float, str]:
    """Jobs a second from the first POST until the last is COMPLETED by the gateway's own record, and how it went."""
    ours.start_api()
    ours.start_controller()
    _run(ours, WORKERS, "warm")
    start, before_s = time.time(), ours.cpu_s()
    submit(ours, BODY, count, "counted")
    accepted_s = time.time() - start
    wait_until(lambda: _all_completed(ours), f"{count} jobs", LIMIT_S, every_s=0.25)
    taken_s = _last_end(ours) - start
    cpu_ms = 1000 * (ours.cpu_s() - before_s) / count
    words = f"{count} jobs, {WORKERS} slots, {CLIENTS} clients; all accepted after {accepted_s:.1f} of {taken_s:.1f} s"
    words += f"; {cpu_ms:.0f} ms CPU each, wrapper and program included"
    return count / taken_s, f"{words}; {_isolation(ours)}"


def _run(ours: Gateway, count: int, key: str) -> None:
    """So many jobs are COMPLETED: the supervisor is up, definitions are read."""
    submit(ours, BODY, count, key)
    wait_until(lambda: _all_completed(ours), "the first jobs", 60)


def submit(ours: Gateway, body: bytes, count: int, key: str) -> list[str]:
    """So many jobs are accepted, by clients that each keep one connection; their ids."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        found = clients.map(lambda first: _submit_every(ours, body, range(first, count, CLIENTS), key), range(CLIENTS))
        return [job for jobs in found for job in jobs]


def _submit_every(ours: Gateway, body: bytes, numbers: range, key: str) -> list[str]:
    with ours.connect() as connection:
        return [str(json.loads(connection.post("/jobs", body, f"{key}-{number}"))["id"]) for number in numbers]


def _all_completed(ours: Gateway) -> bool:
    """Whether every job is COMPLETED; one that ended otherwise is an error, since its time would count for nothing."""
    with ours.connect() as connection:
        states = json.loads(connection.get("/jobs/counts"))["states"]
    there = {state for state, found in states.items() if found["n"]}
    if lost := there & {"FAILED", "CANCELLED"}:
        raise RuntimeError(f"jobs of `true` ended otherwise: {', '.join(sorted(lost))}")
    return there == {"COMPLETED"}


def _last_end(ours: Gateway) -> float:
    with ours.connect() as connection:
        job = json.loads(connection.get("/jobs?state=COMPLETED&sort=state_at&descending=true&limit=1"))["jobs"][0]
    return datetime.fromisoformat(job["state_at"]).timestamp()


def _isolation(ours: Gateway) -> str:
    with ours.connect() as connection:
        clusters = json.loads(connection.get("/clusters"))["clusters"]
    return f"isolation {(clusters[0].get('status') or {}).get('isolation', 'not reported')}"
