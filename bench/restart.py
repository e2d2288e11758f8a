"""(d) How long after a crash of controller and supervisor all of 10,000 live jobs are under watch again.

The jobs are real: taken in by the store, staged and submitted by the controller; they stand in the supervisor's queue
behind one program that holds every slot. The signal is the store's: each job's `seq` has grown since the crash, which
happens when the new controller has observed the job and stored what it saw.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from sqlalchemy import Engine, create_engine, text

from bench.definitions import remember
from bench.figures import Figure, Peer
from bench.gateway import CLUSTER, Gateway, House, database_url, gateway
from bench.options import Options
from bench.waiting import wait_until
from isthmus.job import Resources
from isthmus.store import NewJob, Store

CPUS = 2
SUBMIT_LIMIT_S = 900.0
WATCH_LIMIT_S = 300.0


def measure(options: Options) -> Iterator[Figure]:
    """Seconds from the first process started after the crash until every live job was observed and stored."""
    count = options.samples(10_000, 1_000)
    for kind in options.on("sqlite"):
        with database_url(kind) as url, gateway(House(url, "none", CPUS, max_waiting=count + 1)) as ours:
            queued_s = _fill(ours, count)
            ours.kill_controller()
            ours.kill_supervisor()
            raw_s = _raw_scan(ours)
            watched_s = _watched(ours)
            submitted = f"{count / queued_s:.0f}/s accepted, staged and submitted before"
        beside = Peer("find reads each submit marker, s", raw_s)
        note = f"{count} jobs QUEUED behind one RUNNING; {submitted}"
        yield Figure(f"restart.{kind}", watched_s, "s", beside, None, note)


def _fill(ours: Gateway, count: int) -> float:
    """The jobs stand in the supervisor's queue; how many seconds that took."""
    start = time.monotonic()
    with Store.open(ours.url) as store:
        holder = _new(store, "bench-sleep", CPUS)
        store.accept(ours.viewer, holder)
        ours.start_controller()
        engine = create_engine(ours.url)
        wait_until(lambda: _in_state(engine, "RUNNING") == 1, "the program that holds every slot", 60)
        waiting = _new(store, "bench-true", 1)
        for first in range(0, count, 1000):
            store.accept_many(ours.viewer, [waiting] * min(1000, count - first))
        wait_until(lambda: _in_state(engine, "QUEUED") == count, f"{count} jobs in the queue", SUBMIT_LIMIT_S, 0.5)
        engine.dispose()
    return time.monotonic() - start


def _new(store: Store, application: str, cpus: int) -> NewJob:
    digest, version = remember(store, application)
    resources = Resources(cpus=cpus, walltime_s=3600)
    return NewJob(CLUSTER, application, version, digest, "stands by", resources)


def _in_state(engine: Engine, state: str) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM jobs WHERE state = :state")
        return int(connection.execute(query, {"state": state}).scalar_one())


def _seqs(engine: Engine) -> dict[str, int]:
    """How often each live job has been stored."""
    with engine.connect() as connection:
        live = text("SELECT id, seq FROM jobs WHERE state IN ('QUEUED', 'RUNNING')")
        return {row.id: row.seq for row in connection.execute(live)}


def _watched(ours: Gateway) -> float:
    engine = create_engine(ours.url)
    before = _seqs(engine)
    lines = len(ours.log("controller"))
    start = time.monotonic()
    ours.start_controller()
    wait_until(
        lambda: all(seq > before[job] for job, seq in _seqs(engine).items()), "all under watch", WATCH_LIMIT_S, 0.1
    )
    taken_s = time.monotonic() - start
    if len(_seqs(engine)) != len(before):
        raise RuntimeError("a job has left the queue, though nothing made room for it")
    if "lost=True" in ours.log("controller")[lines:]:
        raise RuntimeError("the cluster did not answer after the restart: jobs were stored without being seen")
    engine.dispose()
    return taken_s


def _raw_scan(ours: Gateway) -> float:
    """What reading one link for each job costs at the least: one program, no database."""
    start = time.monotonic()
    folder = ours.cluster_root / "attempts"
    subprocess.run(
        ["find", str(folder), "-name", "submit.*", "-printf", "%l\n"], stdout=subprocess.DEVNULL, check=True, timeout=60
    )
    return time.monotonic() - start
