"""Jobs on a real Mesos cluster, as their users meet them. The tests share a cluster and do it no harm."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.cluster.mesos.connection import Access, Master
from isthmus.cluster.mesos.sandbox import AgentSandbox
from isthmus.errors import NotFound
from isthmus.job import Cause, JobState, Resources
from lab.mesos.cluster import Cluster
from tests.live.mesos_gateway import MesosGateway, on, until

S = JobState
WAIT = "while [ ! -e {} ]; do sleep 0.1; done"


@pytest.fixture(scope="module")
def gateway(mesos: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MesosGateway]:
    with on(mesos, tmp_path_factory.mktemp("gateway")) as gateway:
        gateway.control()
        yield gateway


def test_a_job_runs_and_its_output_and_log_are_collected(gateway: MesosGateway) -> None:
    job = gateway.becomes(gateway.submit("echo said; echo made > made.txt"), S.COMPLETED)
    assert job.cause is Cause.EXIT_ZERO
    assert {output.name for output in job.outputs} >= {"made", "stdout"}


def test_exit_code_3_is_the_jobs_own(gateway: MesosGateway) -> None:
    job = gateway.becomes(gateway.submit("exit 3"), S.FAILED)
    assert (job.cause, job.exit_code) == (Cause.EXIT_NONZERO, 3)


def test_a_running_job_is_cancelled(gateway: MesosGateway, tmp_path: Path) -> None:
    job_id = gateway.counting("cancelled", "sleep 300")
    until(lambda: gateway.starts("cancelled"), "the program to start")
    gateway.cancel(job_id)
    job = gateway.becomes(job_id, S.CANCELLED)
    assert job.cause is Cause.CANCELLED_BY_USER


def test_a_job_cancelled_before_it_starts_never_runs(gateway: MesosGateway) -> None:
    job_id = gateway.counting("early", "sleep 300")
    gateway.becomes(job_id, S.STAGING_IN, S.SUBMITTING, S.QUEUED, S.RUNNING)
    gateway.cancel(job_id)
    job = gateway.becomes(job_id, S.CANCELLED)
    assert gateway.starts("early") <= (job.started_at is not None)


def test_a_job_that_no_agent_can_hold_waits_and_says_why(gateway: MesosGateway) -> None:
    job_id = gateway.submit("true", Resources(cpus=64, memory_mib=64))
    until(lambda: "largest agent has 4" in gateway.job(job_id).waiting_reason, "a reason")
    job = gateway.job(job_id)
    assert (job.state, job.waiting_reason) == (S.QUEUED, "asks for 64 cpus; the largest agent has 4")
    gateway.cancel(job_id)
    gateway.becomes(job_id, S.CANCELLED)


def test_an_idle_gateway_holds_no_offers_and_makes_no_calls(gateway: MesosGateway) -> None:
    gateway.becomes(gateway.submit("true"), S.COMPLETED)
    until(lambda: gateway.offers_held() == 0, "all offers to be given back")
    assert gateway.is_subscribed()
    calls: list[tuple[float, str]] = []  # when the controller told of it, and how many there had been

    def is_quiet() -> bool:
        told = (gateway.told_at(), gateway.detail("Calls made"))
        if told not in calls:
            calls.append(told)
        return len(calls) > 2 and len({number for _, number in calls[-3:]}) == 1

    until(is_quiet, "three reports without a call between them")
    assert gateway.offers_held() == 0


def test_a_task_killed_while_it_is_set_up_never_runs_its_program(gateway: MesosGateway) -> None:
    job_id = gateway.counting("setup", "sleep 300")
    until(lambda: any(one.sent_at > 0 and not one.ended for one in gateway.launches()), "the launch")
    gateway.cancel(job_id)
    job = gateway.becomes(job_id, S.CANCELLED)
    assert gateway.starts("setup") <= (job.started_at is not None)
    until(lambda: all(launch.ended for launch in gateway.launches()), "the task to be ended")


def test_the_log_of_a_running_job_is_read_from_its_agent(gateway: MesosGateway) -> None:
    job_id = gateway.counting("log", f"printf 'caf\\351 '; {WAIT.format(gateway.folder / 'log.open')}")
    gateway.becomes(job_id, S.RUNNING)
    path = gateway.home / "logs" / job_id / "1" / "stdout"

    def followed() -> bytes:
        gateway.store.follow(gateway.viewer, job_id, time.time() + 5)
        return path.read_bytes() if path.exists() else b""

    until(lambda: followed() == b"caf\xe9 ", "the log, byte for byte")
    (gateway.folder / "log.open").touch()
    gateway.becomes(job_id, S.COMPLETED)


def test_a_job_knows_its_node_and_its_task(gateway: MesosGateway) -> None:
    job = gateway.becomes(gateway.submit("true"), S.COMPLETED)
    attempt = job.attempts[-1]
    assert attempt.node.startswith("agent")
    assert attempt.claimed_by == f"{attempt.tag}.1"


def test_an_agent_still_has_the_files_of_a_job_that_has_ended(gateway: MesosGateway) -> None:
    job = gateway.becomes(gateway.submit("printf 'caf\\351' > made.txt; mkdir -p deep; echo > deep/x"), S.COMPLETED)
    launch = next(one for one in gateway.launches() if one.tag == job.attempts[-1].tag)

    async def read() -> tuple[dict[str, bool], bytes, bytes]:
        master = Master(Access(gateway.cluster.masters))
        sandbox = AgentSandbox(master, launch, asyncio.get_running_loop())
        try:
            entries = await asyncio.to_thread(sandbox.list, "isthmus/work")
            whole = await asyncio.to_thread(sandbox.read, "isthmus/work/made.txt", 0, 1000)
            end = await asyncio.to_thread(sandbox.read, "isthmus/work/made.txt", 4, 1000)
            with pytest.raises(NotFound):
                await asyncio.to_thread(sandbox.list, "isthmus/nothing")
        finally:
            await master.close()
        return {entry.name: stat.S_ISDIR(entry.mode) for entry in entries}, whole, end

    assert asyncio.run(read()) == ({"made.txt": False, "deep": True}, b"caf\xe9", b"")
