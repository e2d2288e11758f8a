"""Showing a job to others over HTTP: what they can read, what stays hidden, and what is written down of it."""

from __future__ import annotations

import time

import pytest

from isthmus.api.responses.jobs import JobOut
from isthmus.api.responses.sharing import AuditList, NewShareOut, ProjectOut, SharedList, ShareList
from isthmus.errors import NotFound
from isthmus.gateway import Gateway, Stream
from isthmus.gateway.sharing import Right
from isthmus.job import JobState
from isthmus.store.audit import Actor, AuditKind
from isthmus.store.shares import ShareKind, ShareWith
from isthmus.store.users import Role, Scope
from tests.service.api_rig import ADMINISTRATOR, Person, Rig
from tests.service.test_api_access import BULK, OTHERS, Things, ask
from tests.service.test_api_files import uploaded
from tests.service.test_api_jobs import HELLO, faults, submitted


@pytest.fixture(scope="module")
def rig(rig_on_each_database: Rig) -> Rig:
    rig_on_each_database.person("first", Role.ADMIN)
    return rig_on_each_database


@pytest.fixture
def bob(rig: Rig) -> Person:
    return rig.person("bob")


READABLE = {
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/events",
    "GET /jobs/{job_id}/events/stream",
    "GET /jobs/{job_id}/log/{stream}",
    "GET /jobs/{job_id}/outputs",
    "GET /jobs/{job_id}/outputs.zip",
    "GET /jobs/{job_id}/outputs/{name}",
    "GET /jobs/{job_id}/script",
    "GET /jobs/{job_id}/why",
}
"""All that a share opens."""


def finished(rig: Rig, owner: Person, **body: object) -> str:
    job_id = submitted(owner, **body)
    rig.run_to_end(job_id, {"said.txt": b"hello", "stdout": b"out"})
    return job_id


def share(owner: Person, job_id: str, **body: object) -> NewShareOut:
    answer = owner.client.post(f"/jobs/{job_id}/shares", json=body)
    assert answer.status_code == 201, answer.text
    return NewShareOut.model_validate(answer.json())


def things(rig: Rig, owner: Person, job_id: str, share_id: str) -> Things:
    (token,) = owner.client.get("/tokens").json()["tokens"]
    parameters = {"job_id": job_id, "other_id": job_id, "share_id": share_id, "token_id": token["id"]}
    parameters |= {"file_id": uploaded(owner), "name": "said", "stream": "stdout", "user": owner.name}
    return Things(owner, parameters)


def told(owner: Person, job_id: str) -> list[tuple[str, str]]:
    """Who did what with the job, the newest first."""
    lines = AuditList.model_validate(owner.client.get(f"/jobs/{job_id}/audit").json()).lines
    return [(line.user, line.kind.value) for line in lines]


def test_a_share_opens_reading_that_job_and_no_other_route(rig: Rig, ada: Person, bob: Person) -> None:
    job_id = finished(rig, ada)
    shown = things(rig, ada, job_id, share(ada, job_id, user=bob.name).id)
    for route in sorted(OTHERS):
        status, words = ask(bob.client, route, shown)
        assert status == (200 if route in READABLE else 404), (route, words)
    for route in sorted(BULK):
        status, words = ask(bob.client, route, shown)
        assert (status, "not_found" in words) == (200, True), route
    assert rig.store.job(ada.viewer, job_id).deleted_at is None


def test_a_shared_job_s_family_and_files_stay_hidden(rig: Rig, ada: Person, bob: Person) -> None:
    parent = finished(rig, ada, files={"paper": uploaded(ada)})
    taken = {"paper": {"job": parent, "output": "said"}}
    shown = finished(rig, ada, files=taken)
    made = ada.client.post(f"/jobs/{shown}/resubmit", json={}).json()["id"]
    again = ada.client.post(f"/jobs/{parent}/resubmit", json={}).json()["id"]
    rig.run_to_end(again, {"said.txt": b"again"})
    for job_id in (shown, again):
        share(ada, job_id, user=bob.name)
    seen = JobOut.model_validate(bob.client.get(f"/jobs/{again}").json())
    assert (seen.parent, seen.children, seen.owner) == (None, [], ada.name)
    assert bob.client.get(f"/jobs/{shown}").json()["children"] == []
    for other in (parent, made):
        for path in ("", "/outputs/said", "/log/stdout", "/outputs.zip"):
            assert bob.client.get(f"/jobs/{other}{path}").status_code == 404
    upload_id = JobOut.model_validate(ada.client.get(f"/jobs/{parent}").json()).files["paper"][0].upload
    assert bob.client.get(f"/files/{upload_id}/content").status_code == 404
    assert bob.client.get(f"/jobs/{shown}/diff/{again}").status_code == 404
    assert ada.client.get(f"/jobs/{shown}").json()["children"] == [made]


def test_a_shared_job_is_no_input_of_another_s_job(rig: Rig, ada: Person, bob: Person) -> None:
    job_id = finished(rig, ada)
    share(ada, job_id, user=bob.name)
    body = {**HELLO, "files": {"paper": {"job": job_id, "output": "said"}}}
    assert bob.client.post("/jobs", json=body).status_code == 404


def test_jobs_shared_with_me_are_listed_and_not_among_mine(rig: Rig, ada: Person, bob: Person) -> None:
    jobs = [submitted(ada, name=f"job {n}") for n in range(3)]
    for job_id in jobs:
        share(ada, job_id, user=bob.name)
    first = SharedList.model_validate(bob.client.get("/shares", params={"limit": 2}).json())
    assert [one.job.id for one in first.shared] == [jobs[2], jobs[1]]
    assert (first.shared[0].share.by, first.shared[0].job.owner) == (ada.name, ada.name)
    rest = SharedList.model_validate(bob.client.get("/shares", params={"before": first.next_before}).json())
    assert ([one.job.id for one in rest.shared], rest.next_before) == ([jobs[0]], None)
    assert bob.client.get("/jobs").json()["jobs"] == []
    assert ada.client.get("/shares").json()["shared"] == []


def test_a_project_s_members_read_what_is_shared_with_it(rig: Rig, ada: Person, bob: Person) -> None:
    root = rig.person("root", Role.ADMIN).client
    name = f"storms-{bob.name}"
    assert root.post("/projects", json={"name": name}).status_code == 201
    for person in (ada, bob):
        made = ProjectOut.model_validate(root.put(f"/projects/{name}/members/{person.name}").json())
    assert made.members == sorted([ada.name, bob.name])
    job_id = submitted(ada, project=name)
    assert JobOut.model_validate(ada.client.get(f"/jobs/{job_id}").json()).project == name
    assert bob.client.get(f"/jobs/{job_id}").status_code == 404, "to be in a project shows nothing by itself"
    share(ada, job_id, project=name)
    assert bob.client.get(f"/jobs/{job_id}").status_code == 200
    again = JobOut.model_validate(ada.client.post(f"/jobs/{job_id}/resubmit", json={}).json())
    assert again.project == name
    for person in (ada, bob):
        assert root.delete(f"/projects/{name}/members/{person.name}").status_code == 200
    assert bob.client.get(f"/jobs/{job_id}").status_code == 404
    assert ada.client.post(f"/jobs/{job_id}/resubmit", json={}).json()["project"] is None


def test_a_job_goes_into_a_project_of_its_owner_s_only(rig: Rig, ada: Person, bob: Person) -> None:
    root = rig.person("root", Role.ADMIN)
    name = f"floods-{bob.name}"
    root.client.post("/projects", json={"name": name})
    root.client.put(f"/projects/{name}/members/{bob.name}")
    for person in (ada, root):
        refused = person.client.post("/jobs", json={**HELLO, "project": name})
        assert (refused.status_code, faults(refused)) == (422, {"project": "unknown_project"})


def test_projects_are_seen_by_members_and_renamed_by_administrators(rig: Rig, ada: Person) -> None:
    root = rig.person("root", Role.ADMIN).client
    name = f"gales-{ada.name}"
    root.post("/projects", json={"name": name})
    assert root.post("/projects", json={"name": name}).status_code == 409
    assert ada.client.get(f"/projects/{name}").status_code == 404
    root.put(f"/projects/{name}/members/{ada.name}")
    assert root.patch(f"/projects/{name}", json={"name": f"new-{name}"}).status_code == 200
    assert [one["name"] for one in ada.client.get("/projects").json()["projects"]] == [f"new-{name}"]
    assert name not in [one["name"] for one in root.get("/projects").json()["projects"]]
    assert faults(root.post("/projects", json={"name": "No Such"})) == {"name": "string_pattern_mismatch"}
    assert root.put(f"/projects/new-{name}/members/nobody").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user"),
        ({"link": False}, "user"),
        ({"user": "x", "link": True}, "user"),
        ({"user": "nobody-at-all"}, "user"),
        ({"project": "none-such"}, "project"),
        ({"link": True, "days": 91}, "days"),
        ({"link": True, "days": 0}, "days"),
        ({"link": True, "until": 1}, "until"),
    ],
)
def test_a_share_that_can_not_be_is_refused_at_its_field(ada: Person, body: dict[str, object], field: str) -> None:
    answer = ada.client.post(f"/jobs/{submitted(ada)}/shares", json=body)
    assert answer.status_code == 422
    assert list(faults(answer)) == [field]


def test_an_ended_share_shows_nothing_and_is_not_listed(ada: Person, bob: Person) -> None:
    job_id = submitted(ada)
    made = share(ada, job_id, user=bob.name)
    listed = ShareList.model_validate(ada.client.get(f"/jobs/{job_id}/shares").json()).shares
    assert [(one.id, one.kind, one.name) for one in listed] == [(made.id, ShareKind.USER, bob.name)]
    assert ada.client.delete(f"/jobs/{job_id}/shares/{made.id}").status_code == 204
    assert ada.client.delete(f"/jobs/{job_id}/shares/{made.id}").status_code == 404
    assert bob.client.get(f"/jobs/{job_id}").status_code == 404
    assert ada.client.get(f"/jobs/{job_id}/shares").json() == {"shares": []}


def test_an_open_stream_ends_with_its_share(rig: Rig, ada: Person, bob: Person) -> None:
    job_id = submitted(ada)
    made = share(ada, job_id, user=bob.name)
    with bob.client.stream("GET", f"/jobs/{job_id}/events/stream") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("data"))
        rig.start(job_id)
        assert next(line for line in lines if '"to":"RUNNING"' in line)
        assert ada.client.delete(f"/jobs/{job_id}/shares/{made.id}").status_code == 204
        assert not [line for line in lines if line.startswith("data")], "and the stream ends"
    assert bob.client.get(f"/jobs/{job_id}/events/stream").status_code == 404


def test_a_followed_log_is_read_through_a_share(rig: Rig, ada: Person, bob: Person) -> None:
    job_id = submitted(ada)
    share(ada, job_id, user=bob.name)
    rig.start(job_id)
    assert bob.client.get(f"/jobs/{job_id}/log/stdout").headers["Log-Complete"] == "false"
    assert [wish.job_id for wish in rig.store.wishes("local", time.time())] == [job_id]
    rig.move(job_id, JobState.STAGING_OUT)


def test_a_link_opens_nothing_of_the_api(rig: Rig, ada: Person) -> None:
    job_id = finished(rig, ada)
    made = share(ada, job_id, link=True)
    assert made.link is not None
    assert made.link not in ada.client.get(f"/jobs/{job_id}/shares").text
    stranger = rig.client(made.link)
    assert stranger.get(f"/jobs/{job_id}").status_code == 401


# --- what is written down -------------------------------------------------------------------------------------------
def test_reading_by_others_is_told_to_the_owner_once_in_a_while_and_downloads_always(
    rig: Rig, ada: Person, bob: Person
) -> None:
    job_id = finished(rig, ada)
    share(ada, job_id, user=bob.name)
    root = rig.person("root", Role.ADMIN)
    for reader in (bob, root, ada):
        for path in ("", "/why", "/log/stdout"):
            assert reader.client.get(f"/jobs/{job_id}{path}").status_code == 200
    for _ in range(2):
        assert bob.client.get(f"/jobs/{job_id}/outputs/said").status_code == 200
    assert bob.client.get(f"/jobs/{job_id}/outputs.zip").status_code == 200
    assert bob.client.get(f"/jobs/{job_id}/outputs/nothing").status_code == 404
    downloaded = (bob.name, "output_downloaded")
    assert told(ada, job_id) == [
        *[downloaded] * 3,
        (root.name, "job_read_by_administrator"),
        (bob.name, "job_read"),
        (ada.name, "job_shared"),
    ]
    newest = ada.client.get(f"/jobs/{job_id}/audit", params={"limit": 1}).json()
    assert (newest["lines"][0]["words"], newest["lines"][0]["address"]) == ("all outputs", "127.0.0.1")
    older = ada.client.get(f"/jobs/{job_id}/audit", params={"before": newest["next_before"], "limit": 1}).json()
    assert older["lines"][0]["words"] == "said.txt"


def test_an_administrator_who_compares_or_runs_another_s_job_again_is_told(rig: Rig, ada: Person) -> None:
    root = rig.person("root", Role.ADMIN)
    paths = ("/family", "/diff/{0}", "/events", "/script", "/outputs")
    for path in paths:
        job_id = finished(rig, ada)
        assert root.client.get(f"/jobs/{job_id}{path.format(job_id)}").status_code == 200
        assert told(ada, job_id) == [(root.name, "job_read_by_administrator")], path
    for path, body in ((f"/jobs/{job_id}/resubmit", {}), ("/jobs/resubmit", {"jobs": [job_id]})):
        assert root.client.post(path, json=body).is_success


def test_the_audit_is_for_administrators_and_tells_what_people_did(rig: Rig, ada: Person) -> None:
    root = rig.person("root", Role.ADMIN).client
    made = rig.client().post("/tokens", auth=(ada.name, "correct horse battery"), json={"name": "laptop"}).json()
    assert rig.client().post("/tokens", auth=(ada.name, "wrong"), json={}).status_code == 401
    assert rig.client(made["token"]).delete("/tokens/current").status_code == 204
    lines = AuditList.model_validate(root.get("/audit", params={"user": ada.name}).json()).lines
    assert [line.kind.value for line in lines] == ["token_revoked", "sign_in_refused", "token_made", "signed_in"]
    kinds = root.get("/audit", params={"user": ada.name, "kind": "token_made"}).json()["lines"]
    assert [line["words"] for line in kinds] == ["laptop: read submit"]
    assert ada.client.get("/audit").status_code == 403
    assert root.get("/audit", params={"kind": "nonsense"}).status_code == 422
    assert root.get("/audit", params={"since": "2199-01-01T00:00:00Z"}).json()["lines"] == []
    assert root.get("/audit", params={"since": "yesterday"}).status_code == 422
    page = root.get("/audit", params={"limit": 1}).json()
    assert page["lines"][0]["id"] == page["next_before"]


def test_what_administrators_do_to_users_clusters_and_jobs_is_told(rig: Rig, ada: Person) -> None:
    root = rig.person("root", Role.ADMIN)
    other, own = finished(rig, ada), finished(rig, ada)
    new = f"new-{ada.name}"
    client = root.client
    assert client.post("/users", json={"name": new, "password": "correct horse battery"}).status_code == 201
    assert client.patch(f"/users/{new}", json={"disabled": True}).status_code == 200
    assert client.patch("/clusters/local", json={"closed": True, "reason": "being repaired"}).status_code == 200
    assert client.patch("/clusters/local", json={"closed": False}).status_code == 200
    assert client.delete(f"/jobs/{other}").status_code == 204
    assert ada.client.delete(f"/jobs/{own}").status_code == 204
    lines = AuditList.model_validate(client.get("/audit", params={"user": root.name}).json()).lines
    assert [(line.kind.value, line.words) for line in reversed(lines)] == [
        ("user_created", f"{new}, user"),
        ("user_changed", f"{new}: disabled"),
        ("cluster_closed", "local: being repaired"),
        ("cluster_opened", "local"),
        ("job_deleted_by_administrator", "Echo"),
    ]
    assert lines[0].job == other


def test_an_administrator_s_token_without_that_scope_reads_no_other_s_job(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    weak = rig.person("root", Role.ADMIN, scopes=(Scope.READ, Scope.SUBMIT))
    assert weak.client.get(f"/jobs/{job_id}").status_code == 404


# --- the gateway's functions, as the portal calls them --------------------------------------------------------------
@pytest.fixture
def gateway(rig: Rig) -> Gateway:
    return Gateway(rig.configuration, rig.store, rig.files)


def test_an_access_says_by_what_right_and_whether_the_job_may_be_changed(
    rig: Rig, gateway: Gateway, ada: Person, bob: Person
) -> None:
    job_id = finished(rig, ada)
    made = share(ada, job_id, user=bob.name)
    own = gateway.access(ada.viewer, job_id, by=ada.name, address="")
    assert (own.viewer, own.may_change, own.via) == (ada.viewer, True, Right.OWNER)
    other = gateway.access(ADMINISTRATOR, job_id, by="root", address="")
    assert (other.viewer, other.may_change, other.via) == (ADMINISTRATOR, True, Right.ADMINISTRATOR)
    shown = gateway.access(bob.viewer, job_id, by=bob.name, address="")
    assert shown.may_change is False
    assert not isinstance(shown.via, Right) and shown.via.id == made.id
    assert gateway.store.job(shown.viewer, job_id).id == job_id
    assert gateway.log(shown.viewer, job_id, Stream.STDOUT, 0, 100).content == b"out"
    with pytest.raises(NotFound):
        gateway.delete(shown.viewer, job_id)


def test_opening_a_link_is_told_each_time_and_its_parts_are_not(rig: Rig, gateway: Gateway, ada: Person) -> None:
    job_id = finished(rig, ada)
    link = share(ada, job_id, link=True).link or ""
    for _ in range(2):
        access = gateway.access_by_link(link, address="10.1.1.1")
        assert gateway.access_by_link(link, address="10.1.1.1", opening=False) == access
    gateway.access_by_link(link, address="10.1.1.1", download="said.txt", opening=False)
    assert (access.job_id, access.may_change) == (job_id, False)
    assert gateway.output(access.viewer, job_id, "said", None).path == "said.txt"
    who = "somebody with a link"
    kinds = ["output_downloaded", "link_opened", "job_read", "link_opened", "job_shared"]
    assert told(ada, job_id) == [*((who, kind) for kind in kinds[:-1]), (ada.name, kinds[-1])]
    with pytest.raises(NotFound):
        gateway.access_by_link("x" * 43, address="10.1.1.1")


def test_two_processes_write_a_reader_down_once(rig: Rig, ada: Person, bob: Person) -> None:
    job_id = finished(rig, ada)
    rig.store.share(ada.viewer, job_id, ShareWith(ShareKind.USER, bob.name), Actor(ada.user_id, ada.name))
    for _ in range(2):
        process = Gateway(rig.configuration, rig.store, rig.files)
        process.access(bob.viewer, job_id, by=bob.name, address="")
    read = [kind for _, kind in told(ada, job_id) if kind == AuditKind.JOB_READ]
    assert len(read) == 1
