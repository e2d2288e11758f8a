"""What dies, freezes and comes back around running jobs: a real master and agents, each hit by itself."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from isthmus.cluster.mesos.states import CLOCKS_S
from isthmus.job import Cause, JobState, Resources
from lab.mesos.cluster import Agent, Cluster
from tests.live.bare import BareFramework
from tests.live.conftest import running
from tests.live.mesos_gateway import NAME, MesosGateway, on, until

S = JobState


@pytest.fixture
def gateway(mesos_alone: Cluster, tmp_path: Path) -> Iterator[MesosGateway]:
    """A gateway on a cluster of its own with one agent."""
    with on(mesos_alone, tmp_path / "gateway") as gateway:
        yield gateway


def gate(gateway: MesosGateway, name: str) -> str:
    """A job that runs until `open_gate`."""
    return gateway.counting(
        name, f"while [ ! -e {gateway.folder / name}.open ]; do sleep 0.1; done; echo end > made.txt"
    )


def open_gate(gateway: MesosGateway, name: str) -> None:
    (gateway.folder / f"{name}.open").touch()


def started(gateway: MesosGateway, name: str) -> str:
    job_id = gate(gateway, name)
    until(lambda: gateway.starts(name), f"{name} to start")
    gateway.becomes(job_id, S.RUNNING)
    return job_id


# --- the controller ---------------------------------------------------------------------------------------------------
def test_a_killed_controllers_task_runs_on_and_another_controller_takes_it_over(gateway: MesosGateway) -> None:
    first = gateway.control()
    job_id = started(gateway, "one")
    framework_id = gateway.framework_id()
    first.kill()
    first.wait()
    until(lambda: not gateway.is_subscribed(), "the master to see that the controller is gone")
    open_gate(gateway, "one")
    until(lambda: (gateway.job(job_id).exit_code or 0) == 0 and _has_ended(gateway, job_id), "the task to end alone")
    gateway.control()
    job = gateway.becomes(job_id, S.COMPLETED)
    assert (gateway.starts("one"), gateway.framework_id(), job.exit_code) == (1, framework_id, 0)


def _has_ended(gateway: MesosGateway, job_id: str) -> bool:
    tag = next(launch.tag for launch in gateway.launches())
    return gateway.store.observe_remote([tag])[tag].sent_at is not None


def test_a_controller_that_wakes_up_after_another_took_over_does_not_act(gateway: MesosGateway) -> None:
    first = gateway.control()
    job_id = started(gateway, "frozen")
    first.send_signal(signal.SIGSTOP)
    second = gateway.control()
    row = gateway.store.lease_row(f"cluster-{NAME}")
    assert row is not None
    until(lambda: gateway.lease_epoch() > row.epoch, "the second to take over")
    until(gateway.is_subscribed, "the second to subscribe")
    first.send_signal(signal.SIGCONT)
    open_gate(gateway, "frozen")
    gateway.becomes(job_id, S.COMPLETED)
    assert second.poll() is None
    assert gateway.starts("frozen") == 1


# --- agents -----------------------------------------------------------------------------------------------------------
def test_a_task_survives_its_agents_death_and_return(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "agent")
    gateway.cluster.kill("agent0")
    gateway.cluster.start("agent0")
    open_gate(gateway, "agent")
    gateway.becomes(job_id, S.COMPLETED)
    assert gateway.starts("agent") == 1


def test_a_job_on_a_frozen_agent_is_not_given_up_and_goes_on_when_it_is_back(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "cold")
    gateway.cluster.freeze("agent0")
    until(lambda: "not answering since" in gateway.job(job_id).waiting_reason, "the user to be told")
    assert gateway.job(job_id).state is S.RUNNING
    gateway.cluster.thaw("agent0")
    until(lambda: gateway.job(job_id).waiting_reason == "", "the agent to be seen again")
    open_gate(gateway, "cold")
    gateway.becomes(job_id, S.COMPLETED)
    assert gateway.starts("cold") == 1


def test_a_program_on_an_agent_that_is_gone_for_good_has_failed_by_the_nodes_fault(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "gone")
    since = time.time()
    until(lambda: time.time() - since > CLOCKS_S + 1, "the start to be before that, by any clock")
    _mark_gone(gateway)
    job = gateway.becomes(job_id, S.FAILED)
    assert job.cause is Cause.NODE_FAILURE
    assert "TASK_GONE_BY_OPERATOR" in job.evidence


def test_a_killed_executor_is_the_clusters_fault_and_is_counted_as_such(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "executor")
    _kill_executor(gateway)
    job = gateway.becomes(job_id, S.FAILED)
    assert job.cause is Cause.NODE_FAILURE
    until(lambda: gateway.detail("Launches that failed by the cluster's fault") == "1", "the fault to be counted")


# --- masters ----------------------------------------------------------------------------------------------------------
def test_a_task_survives_its_masters_death_and_return(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "master")
    framework_id = gateway.framework_id()
    gateway.cluster.kill("master")
    until(lambda: gateway.job(job_id).contact_lost_since, "the loss of contact to be told")
    gateway.cluster.start("master")
    until(gateway.is_subscribed, "the subscription")
    open_gate(gateway, "master")
    gateway.becomes(job_id, S.COMPLETED)
    assert (gateway.starts("master"), gateway.framework_id()) == (1, framework_id)
    assert gateway.job(job_id).contact_lost_since is None


def test_a_job_is_launched_after_the_master_was_away_when_it_came(gateway: MesosGateway) -> None:
    gateway.control()
    until(gateway.is_subscribed, "the subscription")
    gateway.cluster.kill("master")
    job_id = gateway.counting("late", "true")
    gateway.becomes(job_id, S.QUEUED)
    gateway.cluster.start("master")
    gateway.becomes(job_id, S.COMPLETED)
    assert gateway.starts("late") == 1


def test_a_frozen_master_is_noticed_by_its_silence_and_heard_again_when_it_is_back(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "silent")
    framework_id = gateway.framework_id()
    gateway.cluster.freeze("master")
    until(lambda: gateway.job(job_id).contact_lost_since, "the loss of contact to be told")
    assert gateway.job(job_id).state is S.RUNNING
    gateway.cluster.thaw("master")
    until(lambda: gateway.job(job_id).contact_lost_since is None, "the master to be heard again")
    open_gate(gateway, "silent")
    gateway.becomes(job_id, S.COMPLETED)
    assert (gateway.starts("silent"), gateway.framework_id()) == (1, framework_id)


def test_a_follower_leads_to_the_leader(mesos_alone: Cluster, tmp_path: Path) -> None:
    follower = mesos_alone.masters[0]
    with on(mesos_alone, tmp_path / "gateway", masters=f'["{follower}"]', redirect_hosts='["localhost"]') as gateway:
        gateway.control()
        gateway.becomes(gateway.submit("true"), S.COMPLETED)


def test_a_framework_whose_time_ran_out_is_registered_again_only_by_an_operator(
    mesos_alone: Cluster, tmp_path: Path
) -> None:
    with on(mesos_alone, tmp_path / "gateway", failover_timeout_s="1") as gateway:
        first = gateway.control()
        job_id = started(gateway, "lost")
        framework_id = gateway.framework_id()
        first.kill()
        first.wait()
        until(lambda: gateway.framework() is None, "the master to remove the framework")
        gateway.control()
        until(gateway.is_removed, "the removal to be seen")
        waiting = gateway.counting("after", "true")
        until(lambda: "administrator" in gateway.job(waiting).waiting_reason, "the user to be told")
        assert all(launch.ended for launch in gateway.launches())
        gateway.store.register_cluster(NAME)
        gateway.becomes(waiting, S.COMPLETED)
        assert gateway.framework_id() != framework_id
        assert gateway.job(job_id).state is not S.COMPLETED


def test_wrong_credentials_are_said_and_right_ones_work(mesos_software: Path, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        json.dumps({"credentials": [{"principal": "isthmus", "secret": "right"}]}), encoding="utf-8"
    )
    flags = {
        "MESOS_AUTHENTICATE_HTTP_FRAMEWORKS": "true",
        "MESOS_HTTP_FRAMEWORK_AUTHENTICATORS": "basic",
        "MESOS_CREDENTIALS": f"file://{tmp_path}/credentials",
    }
    secret = tmp_path / "secret"
    secret.write_text("wrong\n", encoding="utf-8")
    told = {"principal": '"isthmus"', "secret_file": f'"{secret}"'}
    for cluster in running(Cluster.make(tmp_path / "mesos", master_env=flags)):
        with on(cluster, tmp_path / "gateway", **told) as gateway:
            first = gateway.control()
            job_id = gateway.submit("true")
            until(lambda: "principal and secret (401)" in json.dumps(gateway.status()), "the refusal to be told")
            assert gateway.job(job_id).contact_lost_since
            secret.write_text("right\n", encoding="utf-8")
            first.kill()
            first.wait()
            gateway.control()
            gateway.becomes(job_id, S.COMPLETED)


# --- offers -----------------------------------------------------------------------------------------------------------
def test_an_offer_that_died_costs_a_job_nothing_but_another_launch(gateway: MesosGateway) -> None:
    gateway.control()
    until(gateway.is_subscribed, "the subscription")
    job_id = gateway.submit("true", Resources(cpus=4, memory_mib=64))
    gateway.cluster.restart("agent0")
    gateway.becomes(job_id, S.COMPLETED)


def test_another_framework_gets_what_ours_does_not_need_and_ours_what_it_leaves(gateway: MesosGateway) -> None:
    gateway.control()
    job_id = started(gateway, "mine")
    with BareFramework(gateway.cluster.url()) as other:
        other.run("exit 0", cpus=3.0)
        assert other.wait("TASK_FINISHED", "TASK_FAILED")["state"] == "TASK_FINISHED"
        other.next("OFFERS")  # which it keeps, so that nothing is left
        waiting = gateway.submit("true", Resources(cpus=3, memory_mib=64))
        until(lambda: "waits until 3 cpus" in gateway.job(waiting).waiting_reason, "the user to be told")
    gateway.becomes(waiting, S.COMPLETED)
    open_gate(gateway, "mine")
    gateway.becomes(job_id, S.COMPLETED)


def test_a_job_goes_only_to_agents_with_the_wanted_attributes(mesos_alone: Cluster, tmp_path: Path) -> None:
    chosen = mesos_alone.add_agent(Agent(attributes="rack:far"))
    assert chosen == "agent1"
    with on(mesos_alone, tmp_path / "gateway", attributes='{rack = "fa.*"}') as gateway:
        gateway.control()
        jobs = [gateway.submit("true", Resources(cpus=3, memory_mib=64)) for _ in range(3)]
        for job_id in jobs:
            gateway.becomes(job_id, S.COMPLETED)
        assert len({launch.agent_id for launch in gateway.launches()}) == 1


# --- by hand ----------------------------------------------------------------------------------------------------------
def _mark_gone(gateway: MesosGateway) -> None:
    agent_id = gateway.launches()[0].agent_id
    call = {"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": agent_id}}}
    httpx.post(f"{gateway.cluster.url()}/api/v1", json=call).raise_for_status()


def _kill_executor(gateway: MesosGateway) -> None:
    """The whole container of the newest task is killed, as a kernel short of memory might."""
    task_id = gateway.launches()[-1].task_id
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"MESOS_EXECUTOR_ID={task_id}".encode() in environment.split(b"\0"):
            os.kill(int(entry.name), signal.SIGKILL)
