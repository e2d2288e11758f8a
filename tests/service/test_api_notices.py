"""What people are told of, over HTTP: their own choice, a job's, and what administrators see of waiting mails."""

from __future__ import annotations

import httpx
import pytest

from isthmus.api import health
from isthmus.api.jobs import SUBMIT, key_of
from isthmus.api.requests import SubmitBody
from isthmus.api.responses.people import Me
from isthmus.gateway import Gateway, Key
from isthmus.job import JobState
from isthmus.store import NoticeKind
from isthmus.store.users import Scope
from tests.service.api_rig import Person, Rig
from tests.service.test_api_jobs import HELLO, faults, submitted


@pytest.fixture(scope="module")
def rig(rig_on_each_database: Rig) -> Rig:
    return rig_on_each_database


def told(rig: Rig, person: Person) -> list[NoticeKind]:
    return [notice.kind for notice in reversed(rig.store.notices(person.user_id))]


def test_one_is_told_of_nothing_until_one_asks_for_it(rig: Rig) -> None:
    new = rig.person("new")
    me = Me.model_validate(new.client.get("/me").json())
    assert (me.email, me.notices) == (None, "")


def test_a_choice_is_kept_and_what_is_left_out_stays(rig: Rig) -> None:
    eve = rig.person("eve")
    answer = eve.client.patch("/me", json={"email": "eve@example.org", "notices": "ae"})
    assert answer.status_code == 200
    assert eve.client.patch("/me", json={"notices": "b"}).json()["email"] == "eve@example.org"
    assert eve.client.patch("/me", json={}).json() == eve.client.get("/me").json()
    assert eve.client.patch("/me", json={"email": ""}).json()["email"] is None
    assert Me.model_validate(eve.client.get("/me").json()).notices == "b"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "eve"}, "email"),
        ({"email": "eve@example.org\r\nBcc: all@example.org"}, "email"),
        ({"email": 7}, "body.email"),
        ({"notices": "x"}, "body.notices"),
        ({"notices": "beab"}, "body.notices"),
        ({"mail": "eve@example.org"}, "body.mail"),
    ],
)
def test_a_wrong_choice_is_refused_at_its_field_and_changes_nothing(
    rig: Rig, ada: Person, body: dict[str, object], field: str
) -> None:
    before = ada.client.get("/me").json()
    answer = ada.client.patch("/me", json=body)
    assert answer.status_code == 422
    assert {name.removeprefix("body.") for name in faults(answer)} == {field.removeprefix("body.")}
    assert ada.client.get("/me").json() == before


def test_a_token_that_may_only_read_can_not_send_the_mails_elsewhere(rig: Rig) -> None:
    reader = rig.person("reader", scopes=(Scope.READ,))
    assert reader.client.patch("/me", json={"email": "thief@example.org"}).status_code == 403
    assert reader.client.get("/me").json()["email"] is None


def test_a_job_tells_of_itself_as_was_asked_for_it(rig: Rig) -> None:
    eve = rig.person("eve")
    eve.client.patch("/me", json={"email": "eve@example.org", "notices": "b"})
    job_id = submitted(eve, notices="ae")
    assert eve.client.get(f"/jobs/{job_id}").json()["notices"] == "ea"
    rig.run_to_end(job_id, {})
    assert told(rig, eve) == [NoticeKind.ENDED]
    usual = submitted(eve)
    assert eve.client.get(f"/jobs/{usual}").json()["notices"] is None
    rig.run_to_end(usual, {})
    assert told(rig, eve) == [NoticeKind.ENDED, NoticeKind.BEGAN]


def test_a_job_run_again_tells_as_its_owner_chose_unless_asked_otherwise(rig: Rig, ada: Person) -> None:
    parent = submitted(ada, notices="bea")
    again = [ada.client.post(f"/jobs/{parent}/resubmit", json=body).json() for body in ({}, {"notices": "a"})]
    assert [job["notices"] for job in again] == [None, "a"]


@pytest.mark.parametrize("letters", ["x", "be,a", "bbbb", 1])
def test_other_letters_are_refused_at_their_field(ada: Person, letters: object) -> None:
    answer = ada.client.post("/jobs", json={**HELLO, "notices": letters})
    assert answer.status_code == 422
    assert list(faults(answer)) == ["body.notices"] or list(faults(answer)) == ["notices"]


def test_a_key_means_what_it_meant_before_there_were_notices(rig: Rig, ada: Person) -> None:
    """What was sent to an older gateway and is repeated to this one is still the same request."""
    recorded = "81cdd59f61861221692865fbc2b79afc809e91d18fa4aedcc6a5ba320f50875b"
    gateway = Gateway(rig.configuration, rig.store, rig.files)
    key = key_of("k", SUBMIT, SubmitBody.model_validate(HELLO), gateway, ada.viewer)
    assert key == Key("k", recorded)


def test_of_what_one_is_told_is_part_of_what_a_key_names(ada: Person) -> None:
    key = {"Idempotency-Key": "told or not"}
    bodies = (HELLO, {**HELLO, "notices": None}, {**HELLO, "notices": "e"})
    answers = [ada.client.post("/jobs", json=body, headers=key) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 200, 422]
    assert answers[2].json()["code"] == "idempotency_mismatch"


def test_mails_that_wait_too_long_are_noted_without_making_the_gateway_unready(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert httpx.get(rig.address + "/readyz").json()["notes"] == []
    eve = rig.person("eve")
    eve.client.patch("/me", json={"email": "eve@example.org", "notices": "b"})
    job_id = submitted(eve)
    rig.start(job_id)
    assert httpx.get(rig.address + "/readyz").json()["notes"] == []

    monkeypatch.setattr(health, "LATE_S", 0.0)
    answer = httpx.get(rig.address + "/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert "mails about jobs wait, the oldest for 0 min" in answer.json()["notes"][0]
    figures = httpx.get(rig.address + "/metrics").text
    assert f"isthmus_mails_waiting {float(rig.store.outbox().waiting)}" in figures
    rig.move(job_id, JobState.STAGING_OUT)
