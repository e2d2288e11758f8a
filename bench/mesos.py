"""(g) What a task on Mesos costs beside a bare loop on the same master, and how soon a browser has an agent's word."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.connection import EventReader, submission
from bench.figures import ROOT, Figure, Peer, Target, percentile
from bench.gateway import WORK, Gateway, House, database_url, gateway
from bench.options import Options
from bench.throughput import submit
from bench.waiting import wait_until
from isthmus.application.encoding import Json
from isthmus.cluster.mesos.messages import items, number, text
from lab.mesos.cluster import Cluster

AGENTS, AGENT_CPUS = 2, 4
MEMORY_MIB = 64
LIMIT_S = 900.0
NAME = "lab"
TRUE = submission("bench-true", "one of many")
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

CLUSTER = """\
kind = "mesos"
max_waiting = 2000
[mesos]
masters = {masters}
gateway_url = {url}
user = {user}
memory_mib = {memory_mib}
"""


@dataclass(frozen=True, slots=True)
class _Spent:
    """Processor seconds of the gateway's own two processes, and calls to the master."""

    web_s: float
    controller_s: float
    calls: int


@dataclass(slots=True)
class _Heard:
    """When a browser's stream told a job's state first, epoch seconds."""

    at: dict[tuple[str, str], float]

    def note(self, event: Mapping[str, object], read_at: float) -> None:
        if event.get("state"):
            self.at.setdefault((str(event["job"]), str(event["state"])), read_at)

    def final(self) -> int:
        return sum(state in FINAL for _, state in [*self.at])


def measure(options: Options) -> Iterator[Figure]:
    """The loop's tasks first, then as many jobs, then some jobs one after the other."""
    count = options.samples(500, 60)
    with _lab() as lab:
        loop = _loop(lab, count)
        for kind in options.on("sqlite"):
            with database_url(kind) as url, gateway(House(url)) as ours:
                yield from _measured(ours, lab, kind, count, loop, options.samples(40, 10))


def _measured(
    ours: Gateway, lab: Cluster, kind: str, count: int, loop: Mapping[str, float], singles: int
) -> Iterator[Figure]:
    heard = _start(ours, lab)
    _run(ours, heard, AGENTS * AGENT_CPUS, "warm")
    before, start = _spent(ours), time.time()
    jobs = _run(ours, heard, count, "counted")
    taken_s = max(heard.at[job, "COMPLETED"] for job in jobs) - start
    spent = _spent(ours)
    web_ms, controller_ms = (
        1000 * (after - earlier) / count
        for after, earlier in ((spent.web_s, before.web_s), (spent.controller_s, before.controller_s))
    )
    calls, name = (spent.calls - before.calls) / count, f"mesos.{kind}"
    alike = f"{count} tasks, {AGENTS} agents of {AGENT_CPUS} CPUs"
    beside = Peer("bare loop", 1000 * loop["cpu_s"] / count)
    words = f"{alike}; controller {controller_ms:.1f}, web {web_ms:.1f}, the submission over HTTP among it"
    yield Figure(f"{name}.cpu", web_ms + controller_ms, "ms", beside, Target(10.0), words)
    yield Figure(f"{name}.calls", calls, "", Peer("bare loop", loop["calls"] / count), Target(3.0001), alike)
    rate = Peer("bare loop", count / loop["seconds"])
    yield Figure(f"{name}.rate", count / taken_s, "1/s", rate, Target(0.85, at_least=True, of_ratio=True), alike)
    ends = percentile([_end_to_browser(ours, heard, job) for job in jobs], 0.95)
    yield Figure(f"{name}.end_to_browser_busy.p95", 1000 * ends, "ms", note="the program's end, in the same run")
    alone = [_run(ours, heard, 1, f"alone-{turn}")[0] for turn in range(singles)]
    starts = [_start_to_browser(lab, heard, job) for job in alone]
    ends_alone = [_end_to_browser(ours, heard, job) for job in alone]
    for label, share, target in (("p50", 0.5, None), ("p95", 0.95, Target(300.0))):
        words = (
            f"{singles} jobs, one after the other: the agent's stamp on TASK_RUNNING to the stream's RUNNING (or later)"
        )
        yield Figure(f"{name}.start_to_browser.{label}", 1000 * percentile(starts, share), "ms", None, target, words)
        words = "the same jobs: the program's end, by the node's clock, to the stream's STAGING_OUT"
        yield Figure(f"{name}.end_to_browser.{label}", 1000 * percentile(ends_alone, share), "ms", None, target, words)


# --- the lab and the loop ---------------------------------------------------------------------------------------------
@contextmanager
def _lab() -> Iterator[Cluster]:
    """A cluster with more memory than there is: processors are what tasks wait for."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mesos-", dir=WORK) as folder:
        lab = Cluster.make(Path(folder), AGENTS, cpus=AGENT_CPUS, memory_mib=65_536)
        try:
            lab.up()
            yield lab
        finally:
            lab.down()


def _loop(lab: Cluster, count: int) -> Mapping[str, float]:
    words = [lab.url(), str(count), "1", str(MEMORY_MIB)]
    ran = subprocess.run(
        [sys.executable, "-m", "bench.mesos_loop", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    found: Mapping[str, float] = json.loads(ran.stdout)
    return found


# --- the gateway ------------------------------------------------------------------------------------------------------
def _start(ours: Gateway, lab: Cluster) -> _Heard:
    """The gateway runs on the lab alone, and somebody reads its events."""
    clusters = ours.home / "clusters.d"
    (clusters / "local.toml").unlink()
    words = {"masters": [lab.url()], "url": f"http://127.0.0.1:{ours.port}", "user": getpass.getuser()}
    said = {name: json.dumps(value) for name, value in words.items()}
    (clusters / f"{NAME}.toml").write_text(CLUSTER.format(**said, memory_mib=MEMORY_MIB), encoding="utf-8")
    ours.start_api("isthmus.portal")
    ours.start_controller(lease_timeout_s=15)  # as it is without a word, since nobody has to take over here
    heard = _Heard({})
    EventReader(ours.port, ours.token, heard.note).start()
    return heard


def _run(ours: Gateway, heard: _Heard, count: int, key: str) -> list[str]:
    """So many jobs are COMPLETED; their ids."""
    due = heard.final() + count
    jobs = submit(ours, TRUE, count, key)
    wait_until(lambda: heard.final() >= due, f"{count} jobs", LIMIT_S)
    if unlike := [job for job in jobs if (job, "COMPLETED") not in heard.at]:
        raise RuntimeError(f"{len(unlike)} jobs of `true` ended otherwise")
    return jobs


def _spent(ours: Gateway) -> _Spent:
    """What was spent until now; the calls as the next status but one tells them."""
    web_s, controller_s = map(_own_cpu_s, (ours.web_process(), ours.controller_process()))
    asked_at = time.time() + 3  # an update that came last is acknowledged by then
    wait_until(lambda: _told_at(ours) > asked_at, "the cluster's status", 60, every_s=0.5)
    return _Spent(web_s, controller_s, _calls(ours))


def _own_cpu_s(pid: int) -> float:
    """User and system time of the process itself, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _cluster(ours: Gateway) -> Json:
    with ours.connect() as connection:
        found: Json = json.loads(connection.get("/clusters"))
    return next(one for one in items(found, "clusters") if text(one, "name") == NAME)


def _told_at(ours: Gateway) -> float:
    return _epoch(text(_cluster(ours), "seen_at"))


def _calls(ours: Gateway) -> int:
    said = {text(one, "label"): text(one, "value") for one in items(_cluster(ours), "status", "details")}
    return int(said["Calls made"])


# --- the browser ------------------------------------------------------------------------------------------------------
def _end_to_browser(ours: Gateway, heard: _Heard, job: str) -> float:
    """Seconds from the program's end, by the node's clock, to the stream's word of it."""
    with ours.connect() as connection:
        found: Json = json.loads(connection.get(f"/jobs/{job}"))
    return heard.at[job, "STAGING_OUT"] - _epoch(text(found, "ended_at"))


def _start_to_browser(lab: Cluster, heard: _Heard, job: str) -> float:
    """Seconds from the agent's stamp on the task's start to the stream's word that the program runs, or has run."""
    told = lab.read("/master/tasks?limit=100")
    assert isinstance(told, dict)  # noqa: S101  of every master
    for task in items(told, "tasks"):
        if any(text(label, "value") == job for label in items(task, "labels")):
            for status in items(task, "statuses"):
                if text(status, "state") == "TASK_RUNNING":
                    told_at = heard.at.get((job, "RUNNING"), heard.at[job, "STAGING_OUT"])
                    return told_at - number(status, "timestamp")
    raise RuntimeError(f"the master knows no start of {job}")


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
