"""Clusters over HTTP: what is known of them, and where a new job may go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.api.responses.clusters import ClusterList
from isthmus.api.responses.jobs import JobOut
from isthmus.application import Json
from isthmus.store import Lease
from isthmus.store.users import Role
from tests.service.api_rig import ECHO, Person, Rig, serving, until, write_application
from tests.service.test_api_jobs import HELLO, faults, submitted

NODE: dict[str, Json] = {"name": "n1", "cpus": 8, "cpus_used": 2, "memory_mib": 2048, "memory_used_mib": 9, "gpus": 0}
STATUS: dict[str, Json] = {"queued": 3, "running": 2, "nodes": [NODE], "isolation": "bubblewrap", "notes": ["no gpus"]}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A gateway with the clusters `east` and `west`; west sets the variable `tools`."""
    folder = tmp_path / "clusters.d"
    folder.mkdir()
    (folder / "east.toml").write_text('title = "The east"\n')
    (folder / "west.toml").write_text('[variables]\ntools = "/opt/tools"\n')
    (folder / "north.toml").write_text("enabled = false\n")
    with serving(tmp_path) as rig:
        yield rig


def lease(rig: Rig, name: str) -> Lease:
    taken = rig.store.take(f"cluster-{name}", "test", rig.store.lease_row(f"cluster-{name}"))
    assert taken is not None
    return taken


def known(person: Person, name: str) -> dict[str, Json]:
    clusters = ClusterList.model_validate(person.client.get("/clusters").json()).clusters
    return next(one.model_dump() for one in clusters if one.name == name)


def test_a_cluster_is_shown_as_it_last_described_itself(rig: Rig, ada: Person) -> None:
    assert (known(ada, "east")["title"], known(ada, "east")["status"]) == ("The east", None)
    rig.store.report_cluster(lease(rig, "east"), "east", json.dumps({**STATUS, "from_tomorrow": 1}), time.time())
    until(lambda: known(ada, "east")["status"] is not None, "the status is shown")
    east = known(ada, "east")
    assert east["limits"] == {"cpus": 8, "memory_mib": 2048, "gpus": 0, "nodes": 1}
    assert (east["isolation"], east["notes"]) == ("bubblewrap", ["no gpus"])
    assert known(ada, "north")["enabled"] is False


def test_a_cluster_tells_its_own_facts_in_words_of_its_kind(rig: Rig, ada: Person) -> None:
    details: list[Json] = [["Framework id", "f-1"], ["Offers held", "0"], "of another shape"]
    rig.store.report_cluster(lease(rig, "east"), "east", json.dumps({**STATUS, "details": details}), time.time())
    until(lambda: known(ada, "east")["status"] is not None, "the status is shown")
    status = known(ada, "east")["status"]
    assert isinstance(status, dict)
    assert status["details"] == [{"label": "Framework id", "value": "f-1"}, {"label": "Offers held", "value": "0"}]


def test_calls_and_failures_are_shown_as_the_controller_counted_them(rig: Rig, ada: Person) -> None:
    counted: dict[str, Json] = {"calls_per_minute": {"observe": 12.0, "submit": 1}, "recent_failures": []}
    failures: list[Json] = [{"at": 1.5, "words": "observe: no supervisor"}, {"at": "soon"}, 7]
    rig.store.report_cluster(lease(rig, "east"), "east", json.dumps({**STATUS, **counted}), time.time())
    until(lambda: known(ada, "east")["status"] is not None, "the status is shown")
    status = known(ada, "east")["status"]
    assert isinstance(status, dict)
    assert (status["calls_per_minute"], status["recent_failures"]) == ({"observe": 12.0, "submit": 1.0}, [])
    before = known(ada, "east")["seen_at"]
    rig.store.report_calls(lease(rig, "east"), "east", {**counted, "recent_failures": failures})

    def told() -> list[Json]:
        status = known(ada, "east")["status"]
        assert isinstance(status, dict) and status["queued"] == 3, "its last description stays"
        found = status["recent_failures"]
        return found if isinstance(found, list) else []

    until(told, "the failure is shown")
    assert told() == [{"at": "1970-01-01T00:00:01.500Z", "words": "observe: no supervisor"}]
    assert known(ada, "east")["seen_at"] == before, "nothing was heard of it"


def test_an_administrator_closes_a_cluster_for_new_jobs_and_opens_it(rig: Rig, ada: Person) -> None:
    root = rig.person("root", Role.ADMIN).client
    closed = root.patch("/clusters/east", json={"closed": True, "reason": "maintenance"}).json()
    assert (closed["name"], closed["closed_reason"]) == ("east", "maintenance")
    refused = ada.client.post("/jobs", json={**HELLO, "cluster": "east"})
    assert faults(refused) == {"cluster": "cluster_closed"}
    assert "maintenance" in refused.json()["detail"]
    assert root.patch("/clusters/east", json={"closed": False}).json()["closed_reason"] is None
    assert submitted(ada, cluster="east")


@pytest.mark.parametrize(("body", "field"), [({"closed": True}, "reason"), ({"closed": True, "reason": " "}, "reason")])
def test_a_cluster_is_closed_for_a_reason(rig: Rig, body: dict[str, object], field: str) -> None:
    refused = rig.person("root", Role.ADMIN).client.patch("/clusters/east", json=body)
    assert (refused.status_code, list(faults(refused))) == (422, [field])


def test_a_cluster_that_is_not_there_is_not_closed(rig: Rig) -> None:
    body = {"closed": True, "reason": "x"}
    assert rig.person("root", Role.ADMIN).client.patch("/clusters/south", json=body).status_code == 404


def test_a_job_larger_than_any_node_is_refused(rig: Rig, ada: Person) -> None:
    rig.store.report_cluster(lease(rig, "east"), "east", json.dumps(STATUS), time.time())
    large = {**HELLO, "cluster": "east", "resources": {"cpus": 9, "memory_mib": "3G"}}
    until(lambda: ada.client.post("/jobs", json=large).status_code == 422, "the limits are known")
    assert faults(ada.client.post("/jobs", json=large)) == {
        "resources.cpus": "exceeds_cluster",
        "resources.memory_mib": "exceeds_cluster",
    }
    assert ada.client.post("/jobs", json={**large, "cluster": "west"}).status_code == 201


def test_a_job_goes_to_a_cluster_that_answers_before_one_that_does_not(rig: Rig, ada: Person) -> None:
    assert ada.client.post("/jobs", json=HELLO).json()["cluster"] == "east"
    since = time.time() - 600
    rig.store.mark_contact(lease(rig, "east"), "east", since)
    until(lambda: ada.client.post("/jobs", json=HELLO).json()["cluster"] == "west", "the other is chosen")
    job_id = submitted(ada, cluster="east")
    job = JobOut.model_validate(ada.client.get(f"/jobs/{job_id}").json())
    assert (job.cluster, job.contact_lost_since is not None) == ("east", True)
    assert any("has not answered for 10 min" in s for s in ada.client.get(f"/jobs/{job_id}/why").json()["sentences"])


def test_a_closed_or_disabled_cluster_takes_no_new_jobs_and_says_why(rig: Rig, ada: Person) -> None:
    rig.store.close_cluster("east", "maintenance until noon")
    asked = {**HELLO, "cluster": "east"}
    until(lambda: ada.client.post("/jobs", json=asked).status_code == 422, "it is closed")
    closed = ada.client.post("/jobs", json=asked)
    assert faults(closed) == {"cluster": "cluster_closed"}
    assert "maintenance until noon" in closed.json()["detail"]
    assert faults(ada.client.post("/jobs", json={**HELLO, "cluster": "north"})) == {"cluster": "cluster_disabled"}
    assert ada.client.post("/jobs", json=HELLO).json()["cluster"] == "west"


def test_a_program_that_needs_isolation_is_refused_where_there_is_none(rig: Rig, ada: Person) -> None:
    write_application(rig.configuration.home, ECHO.replace("isolation: preferred", "isolation: required"))
    for name in ("east", "west"):
        status = {**STATUS, "isolation": "none" if name == "east" else "uid"}
        rig.store.report_cluster(lease(rig, name), name, json.dumps(status), time.time())
    until(lambda: ada.client.post("/jobs", json=HELLO).status_code == 422, "both clusters and the file are read")
    assert faults(ada.client.post("/jobs", json={**HELLO, "cluster": "east"})) == {"cluster": "not_isolated"}
    assert faults(ada.client.post("/jobs", json=HELLO)) == {"cluster": "no_cluster"}
    assert ada.client.get("/applications/echo").json()["clusters"] == []


def test_a_deployment_whose_variable_a_cluster_does_not_set_is_none_there(rig: Rig, ada: Person) -> None:
    deployed = ECHO.replace('"*": {}', '"*": {path: ["{site.tools}/bin"]}').replace("1.0.0", "1.0.1")
    write_application(rig.configuration.home, deployed)
    until(lambda: ada.client.get("/applications/echo").json()["version"] == "1.0.1", "the file is read")
    assert ada.client.get("/applications/echo").json()["clusters"] == ["west"]
    refused = ada.client.post("/jobs", json={**HELLO, "cluster": "east"})
    assert faults(refused) == {"cluster": "not_deployed"}
    assert "tools" in refused.json()["detail"]
    job_id = submitted(ada)
    assert "'/opt/tools/bin'" in ada.client.get(f"/jobs/{job_id}/script").text


def test_an_administrator_registers_the_gateway_anew_where_it_was_removed(rig: Rig, ada: Person) -> None:
    root = rig.person("root", Role.ADMIN)
    rig.store.mesos.registered(lease(rig, "east"), "east", "F-1", 1.0)
    path = "/clusters/east/registration"
    assert ada.client.post(path).status_code == 403
    assert root.client.post("/clusters/nowhere/registration").status_code == 404
    refused = root.client.post(path)
    assert (refused.status_code, "only a framework that its master has removed" in refused.text) == (409, True)
    rig.store.mesos.removed(lease(rig, "east"), "east", "Framework has been removed", 2.0)
    assert root.client.post(path).status_code == 200
    row = rig.store.mesos.framework("east")
    assert row is not None
    assert row.framework_id == ""
