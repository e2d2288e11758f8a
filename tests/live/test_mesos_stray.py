"""Tasks that nobody wants and offers that are taken back, on a real master."""

from __future__ import annotations

from pathlib import Path

from isthmus.cluster.mesos.messages import items, text
from isthmus.job import JobState
from lab.mesos.cluster import Cluster
from tests.live.bare import BareFramework
from tests.live.conftest import running
from tests.live.mesos_gateway import on, until


def test_a_task_of_ours_that_no_attempt_wants_is_ended(mesos_alone: Cluster, tmp_path: Path) -> None:
    with on(mesos_alone, tmp_path / "gateway") as gateway:
        first = gateway.control()
        until(gateway.is_subscribed, "the gateway to be registered")
        first.kill()
        first.wait()
        stranger = BareFramework(mesos_alone.url(), framework_id=gateway.framework_id())
        task_id = stranger.run("sleep 300", task_id="forgotten.1")
        stranger.wait("TASK_RUNNING")
        stranger.leave()
        gateway.control()
        until(lambda: _state(mesos_alone, task_id) == "TASK_KILLED", "the task to be ended")
        job_id = gateway.counting("after", "true")
        gateway.becomes(job_id, JobState.COMPLETED)
        assert gateway.starts("after") == 1


def test_an_offer_that_is_taken_back_is_not_used_and_jobs_go_on(mesos_software: Path, tmp_path: Path) -> None:
    """The master takes back what is held for longer than 0.3 s, as the gateway does after its last job."""
    cluster = Cluster.make(tmp_path / "mesos", agents=2, master_env={"MESOS_OFFER_TIMEOUT": "300ms"})
    for _ in running(cluster):
        with on(cluster, tmp_path / "gateway") as gateway:
            gateway.control()
            gateway.becomes(gateway.submit("true"), JobState.COMPLETED)
            until(lambda: _rescinded(cluster) > 0, "the offer of the other agent to be taken back", 10)
            gateway.becomes(gateway.counting("next", "true"), JobState.COMPLETED)
            assert gateway.starts("next") == 1
            until(lambda: gateway.detail("Offers held") == "0", "no offer to be held")


def _state(cluster: Cluster, task_id: str) -> str:
    told = cluster.read("/master/tasks")
    assert isinstance(told, dict)
    return next((text(one, "state") for one in items(told, "tasks") if text(one, "id") == task_id), "")


def _rescinded(cluster: Cluster) -> float:
    """How many offers the master has taken back from frameworks."""
    told = cluster.read("/metrics/snapshot")
    assert isinstance(told, dict)
    return sum(float(count) for name, count in told.items() if name.endswith("/events/rescind"))
