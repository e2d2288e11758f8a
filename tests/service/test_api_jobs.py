"""Jobs over HTTP: taking in, showing, listing, changing, cancelling, deleting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from isthmus.api.responses.applications import ApplicationList, ApplicationOut
from isthmus.api.responses.clusters import ClusterList
from isthmus.api.responses.jobs import BulkCancelOut, CancelOut, Counts, Events, JobOut, JobPage, Outputs, Why
from isthmus.job import JobState
from isthmus.store.users import Role
from tests.service.api_rig import Person, Rig

HELLO = {"application": "echo", "inputs": {"words": "hello"}}


@pytest.fixture(scope="module")
def rig(rig_on_each_database: Rig) -> Rig:
    return rig_on_each_database


def submitted(person: Person, **body: object) -> str:
    answer = person.client.post("/jobs", json={**HELLO, **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def faults(answer: httpx.Response) -> dict[str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return {fault["field"]: fault["code"] for fault in body.get("errors", [])}


def test_a_submitted_job_is_answered_whole(ada: Person) -> None:
    answer = ada.client.post("/jobs", json={**HELLO, "name": "first", "labels": ["b", "a"], "resources": {"cpus": 2}})
    assert answer.status_code == 201
    job = JobOut.model_validate(answer.json())
    assert answer.headers["location"] == f"/api/v1/jobs/{job.id}"
    assert (job.name, job.labels, job.state, job.owner) == ("first", ["a", "b"], "ACCEPTED", ada.name)
    assert job.inputs == {"words": "hello", "times": 1}
    assert (job.resources.cpus, job.resources.memory_mib, job.resources.walltime_s) == (2, 100, 70)
    assert ada.client.get(f"/jobs/{job.id}").json() == answer.json()


def test_every_answer_is_as_the_description_says(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {"said.txt": b"hello\n", "stdout": b"out", "stderr": b""})
    for path, model in (
        ("/jobs", JobPage),
        ("/jobs/counts", Counts),
        (f"/jobs/{job_id}", JobOut),
        (f"/jobs/{job_id}/why", Why),
        (f"/jobs/{job_id}/events", Events),
        (f"/jobs/{job_id}/outputs", Outputs),
        ("/applications", ApplicationList),
        ("/applications/echo", ApplicationOut),
        ("/clusters", ClusterList),
    ):
        model.model_validate(ada.client.get(path).json())


def test_invalid_input_is_named_field_by_field(ada: Person) -> None:
    body = {
        "application": "echo",
        "inputs": {"times": 11, "wrds": "x", "words": "a\nb"},
        "resources": {"cpus": 65},
    }
    answer = ada.client.post("/jobs", json=body)
    assert answer.status_code == 422
    assert faults(answer) == {
        "inputs.times": "out_of_range",
        "inputs.wrds": "unknown_input",
        "inputs.words": "control_character",
    }
    assert "words" in next(one["message"] for one in answer.json()["errors"] if one["field"] == "inputs.wrds")
    too_many = ada.client.post("/jobs", json={**HELLO, "resources": {"cpus": 65, "walltime_s": 0}})
    assert faults(too_many) == {"resources.cpus": "out_of_range", "resources.walltime_s": "out_of_range"}
    assert ada.client.get("/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**HELLO, "colour": "red"}, "colour"),
        ({"inputs": {}}, "application"),
        ({**HELLO, "labels": ["x"] * 21}, "labels"),
        ({**HELLO, "name": "a\x00b"}, "body"),
        ({**HELLO, "name": "\ud800"}, "body"),
        ({**HELLO, "inputs": {"\ud800": 1}}, "body"),
        ({**HELLO, "name": "two\nlines"}, "name"),
        ({**HELLO, "cluster": 7}, "cluster"),
        ({**HELLO, "cluster": "moon"}, "cluster"),
        ({**HELLO, "resources": {"cpus": True}}, "resources.cpus.bool"),
    ],
)
def test_a_bad_request_is_refused_with_the_fields_name(ada: Person, body: dict[str, object], field: str) -> None:
    answer = ada.client.post("/jobs", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert any(name.startswith(field.partition(".bool")[0]) for name in faults(answer)), answer.text


def test_a_body_that_is_not_json_is_refused(ada: Person) -> None:
    assert ada.client.post("/jobs", content=b"application=echo").status_code == 415
    assert sent(ada, b"").status_code == 422
    for broken in (b"{", b'{"application": "echo",}', b'{"application": "\xff"}', b"[1, 2", b"{'application': 'echo'}"):
        answer = sent(ada, broken)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json"), broken
    digits = b'{"application": "echo", "inputs": {"times": ' + b"9" * 5000 + b"}}"
    assert (sent(ada, digits).status_code, sent(ada, digits).json()["code"]) == (400, "malformed_json")
    deep = b'{"application": "echo", "inputs": {"words": ' + b"[" * 5000 + b"]" * 5000 + b"}}"
    assert sent(ada, deep).status_code in (400, 422)


def test_where_a_body_stops_being_json_is_told(ada: Person) -> None:
    assert sent(ada, b'{"application": echo}').json()["detail"].endswith("at character 16")


def sent(person: Person, body: bytes) -> httpx.Response:
    return person.client.post("/jobs", content=body, headers={"Content-Type": "application/json"})


def test_a_large_body_is_refused_whether_it_says_so_or_not(ada: Person) -> None:
    large = b'{"application": "' + b"x" * 2_000_000 + b'"}'

    def unannounced() -> Iterator[bytes]:
        yield large

    for content in (large, unannounced()):
        answer = ada.client.post("/jobs", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_an_application_that_is_not_there_is_named_with_a_near_one(ada: Person) -> None:
    answer = ada.client.post("/jobs", json={"application": "ecko"})
    assert answer.status_code == 404
    assert "echo" in answer.json()["detail"]


def test_a_value_that_looks_like_a_scheduler_directive_is_refused(ada: Person) -> None:
    answer = ada.client.post("/jobs", json={**HELLO, "inputs": {"words": "x\n#SBATCH --uid=0"}})
    assert faults(answer) == {"inputs.words": "control_character"}


# --- idempotency ------------------------------------------------------------
def test_the_same_key_and_body_give_the_same_job(ada: Person) -> None:
    key = {"Idempotency-Key": "once, and only once"}
    first = ada.client.post("/jobs", json=HELLO, headers=key)
    again = ada.client.post("/jobs", json={"inputs": {"words": "hello"}, "application": "echo"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


def test_the_same_key_with_another_body_is_refused(ada: Person) -> None:
    key = {"Idempotency-Key": "k"}
    ada.client.post("/jobs", json=HELLO, headers=key)
    other = ada.client.post("/jobs", json={**HELLO, "name": "another"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_keys_of_two_users_are_apart(rig: Rig, ada: Person) -> None:
    bob = rig.person("bob")
    key = {"Idempotency-Key": "k"}
    ids = {person.client.post("/jobs", json=HELLO, headers=key).json()["id"] for person in (ada, bob)}
    assert len(ids) == 2


def test_a_key_that_cannot_be_one_is_refused(ada: Person) -> None:
    answer = ada.client.post("/jobs", json=HELLO, headers={"Idempotency-Key": "k" * 256})
    assert faults(answer) == {"header.Idempotency-Key": "string_pattern_mismatch"}


def test_eight_equal_requests_at_once_make_one_job(ada: Person) -> None:
    start = threading.Barrier(8)

    def submit(_: int) -> tuple[int, str]:
        start.wait()
        answer = ada.client.post("/jobs", json=HELLO, headers={"Idempotency-Key": "together"})
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(submit, range(8)))
    assert len({job_id for _, job_id in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 7 + [201]
    assert len(ada.client.get("/jobs").json()["jobs"]) == 1


# --- one job ----------------------------------------------------------------
def test_an_unchanged_job_is_not_sent_again(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    etag = ada.client.get(f"/jobs/{job_id}").headers["etag"]
    unchanged = ada.client.get(f"/jobs/{job_id}", headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    rig.move(job_id, JobState.STAGING_IN)
    changed = ada.client.get(f"/jobs/{job_id}", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["state"]) == (200, "STAGING_IN")


def test_the_etag_of_a_job_tells_of_changes_that_have_no_seq(ada: Person) -> None:
    job_id = submitted(ada)
    before = ada.client.get(f"/jobs/{job_id}")
    child = ada.client.post(f"/jobs/{job_id}/resubmit", json={}).json()["id"]
    after = ada.client.get(f"/jobs/{job_id}", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["children"]) == (200, [child])
    assert after.json()["seq"] == before.json()["seq"]


def test_a_job_is_renamed_labelled_and_archived(ada: Person) -> None:
    job_id = submitted(ada)
    change = {"name": "newer", "labels": ["x"], "archived": True}
    changed = ada.client.patch(f"/jobs/{job_id}", json=change)
    assert changed.status_code == 200
    job = JobOut.model_validate(changed.json())
    assert (job.name, job.labels) == ("newer", ["x"])
    assert job.archived_at is not None
    assert ada.client.get("/jobs").json()["jobs"] == []
    assert [one["id"] for one in ada.client.get("/jobs?archived=true").json()["jobs"]] == [job_id]


def test_a_change_of_an_older_state_is_refused(ada: Person) -> None:
    job_id = submitted(ada)
    etag = ada.client.get(f"/jobs/{job_id}").headers["etag"]
    change = {"json": {"name": "n"}, "headers": {"If-Match": etag}}
    assert ada.client.patch(f"/jobs/{job_id}", **change).status_code == 200  # type: ignore[arg-type]
    refused = ada.client.patch(f"/jobs/{job_id}", **change)  # type: ignore[arg-type]
    assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
    odd = ada.client.patch(f"/jobs/{job_id}", json={"name": "m"}, headers={"If-Match": '"nonsense"'})
    assert odd.status_code == 412


def test_cancelling_is_a_wish_that_may_be_repeated(ada: Person) -> None:
    job_id = submitted(ada)
    first = CancelOut.model_validate(ada.client.post(f"/jobs/{job_id}/cancel").json())
    again = CancelOut.model_validate(ada.client.post(f"/jobs/{job_id}/cancel").json())
    assert (first.outcome, again.outcome) == ("requested", "requested_before")
    job = ada.client.get(f"/jobs/{job_id}").json()
    assert job["state"] == "ACCEPTED"
    assert job["cancel_requested_at"] is not None


def test_many_jobs_are_cancelled_at_once_each_with_its_answer(rig: Rig, ada: Person) -> None:
    ended, waiting = submitted(ada), submitted(ada)
    others = submitted(rig.person("bob"))
    rig.run_to_end(ended, {})
    answer = ada.client.post("/jobs/cancel", json={"jobs": [waiting, ended, others]})
    outcomes = [one.outcome for one in BulkCancelOut.model_validate(answer.json()).results]
    assert outcomes == ["requested", "already_ended", "not_found"]


def test_only_an_ended_job_can_be_deleted(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    refused = ada.client.delete(f"/jobs/{job_id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    rig.run_to_end(job_id, {"said.txt": b"x"})
    assert ada.client.delete(f"/jobs/{job_id}").status_code == 204
    assert ada.client.get("/jobs").json()["jobs"] == []


def test_a_deleted_job_says_when_it_was_deleted(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.withdraw(job_id)
    assert ada.client.get(f"/jobs/{job_id}").json()["deleted_at"] is None
    ada.client.delete(f"/jobs/{job_id}")
    assert JobOut.model_validate(ada.client.get(f"/jobs/{job_id}").json()).deleted_at is not None


def test_a_name_is_refused_in_words(rig: Rig, ada: Person) -> None:
    def told(person: Person, path: str, body: object) -> str:
        answer = person.client.post(path, json=body)
        assert answer.status_code == 422
        return str(answer.json()["detail"])

    assert told(ada, "/jobs", {**HELLO, "name": "a\nb"}) == "name: must be one line, without control characters"
    assert told(ada, "/jobs", []) == "body: must be a JSON object"
    user = {"name": "Ada", "password": "correct horse battery"}
    said = told(rig.person("root", Role.ADMIN), "/users", user)
    assert said == "name: must be 1 to 64 lower-case letters, digits, . _ @ and -, a letter or digit first"


def test_a_number_that_is_none_is_named_by_its_place(ada: Person) -> None:
    answer = sent(ada, b'{"application": "echo", "inputs": {"words": "a", "levels": [1, NaN]}}')
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "body: inputs.levels.1 is a number that is not finite",
    )


def test_a_jobs_history_is_told_in_order(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {})
    events = Events.model_validate(ada.client.get(f"/jobs/{job_id}/events").json()).events
    assert [event.state for event in events] == [
        None,
        *("STAGING_IN", "SUBMITTING", "QUEUED", "RUNNING", "STAGING_OUT", "COMPLETED"),
    ]
    assert len({event.id for event in events}) == 7


def test_why_says_what_a_failed_job_rests_on_and_what_to_do(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    assert "waits in the gateway" in ada.client.get(f"/jobs/{job_id}/why").json()["sentences"][0]
    rig.run_to_end(job_id, {"stderr": b"Oops"}, code=3)
    why = Why.model_validate(ada.client.get(f"/jobs/{job_id}/why").json())
    assert (why.state, why.cause) == ("FAILED", "exit_nonzero")
    assert any("stderr" in sentence for sentence in why.sentences)
    assert any("exit code 3" in sentence for sentence in why.sentences)


@pytest.mark.parametrize("written", [{}, {"stderr": b""}, {"stdout": b"Oops"}])
def test_why_promises_no_words_in_a_stderr_that_has_none(rig: Rig, ada: Person, written: dict[str, bytes]) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, written, code=3)
    why = Why.model_validate(ada.client.get(f"/jobs/{job_id}/why").json())
    assert "The program ended with an error." in why.sentences
    assert not any("stderr" in sentence for sentence in why.sentences)


def test_the_script_is_shown_with_every_value_quoted(ada: Person) -> None:
    job_id = submitted(ada, inputs={"words": "a'b $(rm -rf /)"})
    script = ada.client.get(f"/jobs/{job_id}/script")
    assert script.headers["content-type"].startswith("text/plain")
    assert "'a'\\''b $(rm -rf /)'" in script.text


# --- the list ---------------------------------------------------------------
def test_the_list_is_filtered_sorted_and_paged(rig: Rig, ada: Person) -> None:
    ids = [submitted(ada, name=f"run {n}", labels=["even"] if n % 2 == 0 else []) for n in range(5)]
    rig.withdraw(ids[0])

    def listed(query: str) -> list[str]:
        return [
            job["id"] for job in JobPage.model_validate(ada.client.get(f"/jobs{query}").json()).model_dump()["jobs"]
        ]

    assert listed("") == ids[::-1]
    assert listed("?descending=false") == ids
    assert listed("?state=CANCELLED") == [ids[0]]
    assert listed("?state=CANCELLED&state=ACCEPTED&sort=name&descending=false") == ids
    assert listed("?label=even&application=echo&cluster=local") == [ids[4], ids[2], ids[0]]
    assert listed("?text=run+3") == [ids[3]]
    created = ada.client.get(f"/jobs/{ids[2]}").json()["created_at"]
    assert set(listed(f"?created_before={created}")) <= {ids[0], ids[1], ids[2]}
    first = ada.client.get("/jobs?limit=3").json()
    second = ada.client.get("/jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in (*first["jobs"], *second["jobs"])] == ids[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=99999999999999999999999",
        "limit=x",
        "cursor=nonsense",
        "cursor=%00",
        "cursor=" + "a" * 3000,
        "state=SLEEPING",
        "created_after=yesterday",
        "created_after=0000-00-00T00:00:00Z",
        "created_after=9999-12-31T23:59:60Z",
        "text=%00",
        "sort=price",
        "aplication=echo",
        "archived=maybe",
    ],
)
def test_a_bad_query_is_refused_and_names_the_parameter(ada: Person, query: str) -> None:
    answer = ada.client.get(f"/jobs?{query}")
    assert answer.status_code == 422, answer.text
    name = query.partition("=")[0]
    assert any(name in field for field in faults(answer)) or name in answer.json()["detail"], answer.text


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("0001-01-01T00:00:00Z", 200),
        ("9999-12-31T23:59:58.999Z", 200),
        ("9999-12-31T23:59:59.999999999Z", 422),
        ("2026-01-01 00:00:00z", 200),
        ("0001-01-01T00:00:00%2B23:59", 422),
        ("9999-12-31T23:59:59-23:59", 422),
    ],
)
def test_any_time_that_utc_has_can_be_asked_for(ada: Person, time: str, status: int) -> None:
    assert ada.client.get(f"/jobs?created_after={time}").status_code == status


def test_counts_tell_how_many_are_in_each_state(rig: Rig, ada: Person) -> None:
    ids = [submitted(ada) for _ in range(3)]
    rig.withdraw(ids[0])
    counts = Counts.model_validate(ada.client.get("/jobs/counts").json()).states
    assert (counts["ACCEPTED"].n, counts["CANCELLED"].n, counts["RUNNING"].n) == (2, 1, 0)
    assert counts["ACCEPTED"].exact


def test_an_administrator_lists_their_own_jobs_and_asked_for_them_everybodys(rig: Rig, ada: Person) -> None:
    mine = submitted(ada)
    root = rig.person("root", Role.ADMIN)
    own = submitted(root)
    assert [job["id"] for job in root.client.get("/jobs").json()["jobs"]] == [own]
    assert [job["id"] for job in root.client.get("/jobs?everybody=true").json()["jobs"]][:2] == [own, mine]
    assert root.client.get("/jobs/counts").json()["states"]["ACCEPTED"]["n"] == 1
    assert root.client.get("/jobs/counts?everybody=true").json()["states"]["ACCEPTED"]["n"] >= 2
    assert [job["id"] for job in ada.client.get("/jobs?everybody=true").json()["jobs"]] == [mine]
    assert [job["id"] for job in root.client.get(f"/jobs?owner={ada.name}").json()["jobs"]] == [mine]
    assert ada.client.get(f"/jobs?owner={root.name}").json()["jobs"] == []


def test_a_repeated_request_is_answered_though_it_would_be_refused_by_now(ada: Person) -> None:
    upload = ada.client.post("/files", files={"file": ("a.txt", b"words")}).json()["id"]
    body, key = {**HELLO, "files": {"paper": upload}}, {"Idempotency-Key": "k"}
    first = ada.client.post("/jobs", json=body, headers=key)
    assert ada.client.delete(f"/files/{upload}").status_code == 204
    again = ada.client.post("/jobs", json=body, headers=key)
    assert (first.status_code, again.status_code, again.json()["id"]) == (201, 200, first.json()["id"])
    other = ada.client.post("/jobs", json={**body, "name": "another"}, headers=key)
    assert other.json()["code"] == "idempotency_mismatch"
    assert ada.client.post("/jobs", json=body, headers={"Idempotency-Key": "new"}).status_code == 404


def test_a_file_sent_again_makes_the_same_request_and_another_file_another(ada: Person) -> None:
    def submit(content: bytes, name: str = "a.txt") -> httpx.Response:
        upload = ada.client.post("/files", files={"file": (name, content)}).json()["id"]
        body = {**HELLO, "files": {"paper": upload}}
        return ada.client.post("/jobs", json=body, headers={"Idempotency-Key": "k"})

    first = submit(b"words")
    assert (first.status_code, submit(b"words").json()["id"]) == (201, first.json()["id"])
    assert submit(b"other").json()["code"] == submit(b"words", "b.txt").json()["code"] == "idempotency_mismatch"


# --- bodies that no request needs ---------------------------------------------
NESTED = "[" * 950 + "]" * 950


@pytest.mark.parametrize("value", ["NaN", "1e400", "-Infinity", NESTED, '{"a":' * 101 + "1" + "}" * 101])
def test_what_cannot_be_stored_is_refused(ada: Person, value: str) -> None:
    content = f'{{"application":"echo","inputs":{{"words":{value}}}}}'
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = ada.client.post("/jobs", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    "body",
    [
        {str(n): 1 for n in range(90_000)},
        {"application": "echo", "files": {str(n): 1 for n in range(90_000)}},
        {"application": "echo", "files": {"paper": [1] * 200_000}},
        {"application": "echo", "inputs": {str(n): 1 for n in range(900)}},
        {"application": "echo", "files": {"paper": [{str(n): 1 for n in range(30)}] * 1000}},
        {"application": "echo", "labels": [1] * 10_000},
    ],
    ids=["fields", "files", "one input's files", "inputs", "references", "labels"],
)
def test_the_answer_to_a_huge_body_is_small_and_soon(ada: Person, body: dict[str, object]) -> None:
    began = time.process_time()
    answer = ada.client.post("/jobs", json=body)
    assert answer.status_code == 422
    assert len(answer.content) < 30_000
    assert 1 <= len(answer.json()["errors"]) <= 100
    assert time.process_time() - began < 2
