"""Resubmitting over HTTP: what a new job takes from an earlier one, and how the two compare."""

from __future__ import annotations

from pathlib import Path

from isthmus.api.responses.families import BulkResubmitOut, Diff, Family
from isthmus.api.responses.jobs import JobOut
from isthmus.store import Role
from tests.service.api_rig import ECHO, Person, Rig, serving, until, write_application
from tests.service.test_api_files import uploaded
from tests.service.test_api_jobs import faults, submitted


def resubmitted(person: Person, job_id: str, **changes: object) -> JobOut:
    answer = person.client.post(f"/jobs/{job_id}/resubmit", json=changes)
    assert answer.status_code == 201, answer.text
    return JobOut.model_validate(answer.json())


def differing(person: Person, a: str, b: str) -> dict[str, tuple[object, object]]:
    diff = Diff.model_validate(person.client.get(f"/jobs/{a}/diff/{b}").json())
    return {one.field: (one.a, one.b) for one in diff.differences}


def test_a_resubmitted_job_is_its_parent_but_for_the_changes(ada: Person) -> None:
    paper = uploaded(ada)
    parent = submitted(ada, name="n", labels=["l"], files={"paper": paper}, resources={"cpus": 3, "memory_mib": "1G"})
    child = resubmitted(ada, parent, inputs={"words": "other"})
    assert child.parent == parent
    assert JobOut.model_validate(ada.client.get(f"/jobs/{child.id}").json()) == child
    assert (child.name, child.labels, child.resources.cpus, child.resources.memory_mib) == ("n", ["l"], 3, 1024)
    assert child.files["paper"][0].upload == paper
    assert differing(ada, parent, child.id) == {"inputs.words": ("hello", "other")}
    assert ada.client.get(f"/jobs/{parent}").json()["children"] == [child.id]


def test_a_resubmission_without_changes_differs_in_nothing(ada: Person) -> None:
    parent = submitted(ada)
    assert differing(ada, parent, resubmitted(ada, parent).id) == {}


def test_inputs_and_files_can_be_unset_and_replaced(ada: Person) -> None:
    parent = submitted(ada, inputs={"words": "x", "times": 5}, files={"paper": uploaded(ada)})
    child = resubmitted(ada, parent, unset=["times", "paper"], files={"notes": [uploaded(ada, b"n", "n.txt")]})
    assert child.inputs == {"words": "x", "times": 1}
    assert set(child.files) == {"notes"}
    unknown = ada.client.post(f"/jobs/{parent}/resubmit", json={"unset": ["tims"]})
    assert (unknown.status_code, faults(unknown)) == (422, {"unset": "unknown_input"})
    assert "times" in unknown.json()["detail"]


def test_computed_resources_follow_the_inputs_unless_they_were_chosen(ada: Person) -> None:
    computed = submitted(ada, inputs={"words": "x", "times": 5})
    assert resubmitted(ada, computed, inputs={"times": 10}).resources.walltime_s == 160
    chosen = submitted(ada, inputs={"words": "x", "times": 5}, resources={"walltime_s": "5m"})
    assert resubmitted(ada, chosen, inputs={"times": 10}).resources.walltime_s == 300


def test_faults_of_a_resubmission_are_named_like_those_of_a_submission(ada: Person) -> None:
    parent = submitted(ada)
    answer = ada.client.post(f"/jobs/{parent}/resubmit", json={"inputs": {"times": 0}, "resources": {}})
    assert (answer.status_code, faults(answer)) == (422, {"inputs.times": "out_of_range"})


def test_a_job_keeps_its_definition_when_the_catalogue_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        ada = rig.person("ada")
        parent = submitted(ada)
        newer = ECHO.replace("1.0.0", "2.0.0").replace("maximum: 10", "maximum: 3").replace("[echo,", "[printf,")
        write_application(tmp_path, newer)
        until(lambda: ada.client.get("/applications/echo").json()["version"] == "2.0.0", "the new version is there")
        same = resubmitted(ada, parent, inputs={"times": 9})
        assert same.version == "1.0.0"
        assert "'echo'" in ada.client.get(f"/jobs/{same.id}/script").text
        latest = resubmitted(ada, parent, version="latest")
        assert latest.version == "2.0.0"
        assert set(differing(ada, parent, latest.id)) == {"version", "definition"}
        refused = ada.client.post(f"/jobs/{parent}/resubmit", json={"version": "latest", "inputs": {"times": 9}})
        assert faults(refused) == {"inputs.times": "out_of_range"}


def test_an_application_taken_out_of_the_catalogue_cannot_be_run_again(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        ada = rig.person("ada")
        parent = submitted(ada)
        (tmp_path / "applications" / "echo.yaml").unlink()
        until(lambda: ada.client.get("/applications/echo").status_code == 404, "it is gone")
        assert ada.client.post(f"/jobs/{parent}/resubmit", json={}).status_code == 404
        assert ada.client.get(f"/jobs/{parent}/script").status_code == 200


def test_a_resubmission_with_a_key_is_made_once(ada: Person) -> None:
    parent = submitted(ada)
    key = {"Idempotency-Key": "again"}
    first = ada.client.post(f"/jobs/{parent}/resubmit", json={}, headers=key)
    again = ada.client.post(f"/jobs/{parent}/resubmit", json={}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = ada.client.post(f"/jobs/{submitted(ada)}/resubmit", json={}, headers=key)
    assert other.json()["code"] == "idempotency_mismatch"


def test_many_jobs_are_resubmitted_at_once_each_with_its_answer(rig: Rig, ada: Person) -> None:
    good, other, theirs = submitted(ada), submitted(ada), submitted(rig.person("bob"))
    body = {"jobs": [good, theirs, other], "inputs": {"words": "again"}}
    key = {"Idempotency-Key": "all"}
    results = BulkResubmitOut.model_validate(ada.client.post("/jobs/resubmit", json=body, headers=key).json()).results
    assert [one.problem and one.problem.code for one in results] == [None, "not_found", None]
    assert differing(ada, good, str(results[0].new_job)) == {"inputs.words": ("hello", "again")}
    repeated = ada.client.post("/jobs/resubmit", json=body, headers=key).json()["results"]
    assert [one["new_job"] for one in repeated] == [one.new_job for one in results]


def test_the_family_is_a_tree(ada: Person) -> None:
    root = submitted(ada)
    left, right = resubmitted(ada, root).id, resubmitted(ada, root).id
    leaf = resubmitted(ada, left).id
    (top,) = Family.model_validate(ada.client.get(f"/jobs/{leaf}/family").json()).tree
    assert top.id == root
    assert [child.id for child in top.children] == [left, right]
    assert [child.id for child in top.children[0].children] == [leaf]


def test_files_are_compared_by_name_and_content(ada: Person) -> None:
    same = uploaded(ada, b"same"), uploaded(ada, b"same")
    a, b = (submitted(ada, files={"paper": one}) for one in same)
    assert differing(ada, a, b) == {}
    c = submitted(ada, files={"paper": uploaded(ada, b"other")})
    assert set(differing(ada, a, c)) == {"files.paper"}


def test_of_a_deleted_job_its_files_are_still_known_and_compared(rig: Rig, ada: Person) -> None:
    first, other = uploaded(ada, b"same"), uploaded(ada, b"other")
    parent = submitted(ada, files={"paper": first})
    like, unlike = resubmitted(ada, parent), resubmitted(ada, parent, files={"paper": other})
    rig.run_to_end(parent, {"said.txt": b"x"})
    before = ada.client.get(f"/jobs/{parent}").json()["files"]
    ada.client.delete(f"/jobs/{parent}")
    assert ada.client.get(f"/jobs/{parent}").json()["files"] == before
    assert differing(ada, parent, like.id) == {}
    assert set(differing(ada, parent, unlike.id)) == {"files.paper"}


def test_an_administrator_s_copy_says_whose_job_it_was_made_from(rig: Rig, ada: Person) -> None:
    parent, root = submitted(ada), rig.person("root", Role.ADMIN)
    made = root.client.post(f"/jobs/{parent}/resubmit", json={}).json()
    assert made["copied_from"] == {"owner": ada.name, "job": parent}
    assert root.client.get(f"/jobs/{made['id']}").json()["copied_from"] == made["copied_from"]
    assert ada.client.get(f"/jobs/{parent}").json()["copied_from"] is None


def test_a_deleted_job_is_resubmitted_only_with_its_files_given_anew_or_unset(rig: Rig, ada: Person) -> None:
    parent = submitted(ada, files={"paper": uploaded(ada)})
    rig.run_to_end(parent, {"said.txt": b"x"})
    ada.client.delete(f"/jobs/{parent}")
    refused = ada.client.post(f"/jobs/{parent}/resubmit", json={})
    assert faults(refused) == {"files.paper": "deleted"}  # it had no notes
    assert "its files were deleted with the job: give them anew, or unset paper" in refused.json()["detail"]
    made = resubmitted(ada, parent, files={"paper": uploaded(ada)}, unset=["notes"])
    assert (made.parent, list(made.files)) == (parent, ["paper"])
    asked = {"application": "echo", "inputs": {"words": "a"}, "files": {"paper": {"job": parent, "output": "said"}}}
    assert "was deleted, and its outputs with it" in ada.client.post("/jobs", json=asked).json()["detail"]
