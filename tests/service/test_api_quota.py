"""How much a user may hold: told before anything is taken in, and never in the way of what runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from isthmus.api.responses.people import UsageOut
from isthmus.application import Json
from isthmus.gateway import Gateway
from isthmus.store.users import Role
from tests.service.api_rig import Person, Rig, serving
from tests.service.test_api_files import uploaded
from tests.service.test_api_jobs import HELLO, submitted

KIB = 1024
LIMIT = 64 * KIB
FULL = b"x" * LIMIT


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway where each user may hold 64 KiB, `first-2` twice that, and `free-3` any amount."""
    limits: dict[str, Json] = {"storage_gib": LIMIT / 1024**3, "users": {"first-2": 2 * LIMIT / 1024**3, "free-3": 0}}
    with serving(tmp_path_factory.mktemp("home"), settings={"limits": limits}) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


@pytest.fixture(scope="module")
def privileged(rig: Rig) -> tuple[Person, Person]:
    """Those that the configuration names, made before all other users."""
    return rig.person("first"), rig.person("free")


@pytest.fixture
def ada(rig: Rig, privileged: tuple[Person, Person]) -> Person:
    return rig.person("ada")


def usage(person: Person) -> UsageOut:
    return UsageOut.model_validate(person.client.get("/me/usage").json())


def refused(answer: httpx.Response) -> str:
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded"), answer.text
    return str(answer.json()["detail"])


def send(person: Person, content: bytes) -> httpx.Response:
    return person.client.post("/files", params={"name": "x"}, content=content)


def test_what_is_held_and_what_runs_can_be_asked(rig: Rig, ada: Person) -> None:
    assert usage(ada) == UsageOut(
        held_bytes=0, limit_bytes=LIMIT, upload_bytes=0, output_bytes=0, jobs_waiting=0, jobs_running=0
    )
    uploaded(ada, b"12345")
    rig.run_to_end(submitted(ada), {"said.txt": b"123"})
    rig.start(submitted(ada))
    submitted(ada)
    found = usage(ada)
    assert (found.held_bytes, found.upload_bytes, found.output_bytes) == (8, 5, 3)
    assert (found.jobs_waiting, found.jobs_running) == (1, 1)


def test_a_limit_may_be_another_for_some(privileged: tuple[Person, Person]) -> None:
    assert [usage(person).limit_bytes for person in privileged] == [2 * LIMIT, None]
    more, free = privileged
    assert send(more, FULL + b"y").status_code == 201
    assert send(free, FULL * 3).status_code == 201


def test_a_file_that_is_too_large_is_refused_and_nothing_is_kept_of_it(rig: Rig, ada: Person) -> None:
    words = refused(send(ada, FULL + b"y"))
    assert "no room for this file" in words
    assert usage(ada).held_bytes == 0
    assert send(ada, FULL).status_code == 201


def test_of_files_sent_at_once_only_those_are_kept_that_fit_together(ada: Person) -> None:
    half = LIMIT // 2 + 1
    together = threading.Barrier(4, timeout=10)

    def slowly(content: bytes) -> Iterator[bytes]:
        yield content[:1]
        together.wait()
        yield content[1:]

    def send_slowly(letter: str) -> httpx.Response:
        content = slowly(letter.encode() * half)
        return ada.client.post("/files", params={"name": letter}, content=content)

    with ThreadPoolExecutor(4) as senders:
        answers = list(senders.map(send_slowly, "abcd"))
    assert sorted(answer.status_code for answer in answers) == [201, 413, 413, 413]
    assert usage(ada).held_bytes == half


def test_with_a_full_quota_nothing_new_is_taken_in(rig: Rig, ada: Person) -> None:
    parent = submitted(ada)
    upload_id = uploaded(ada, FULL)
    rig.run_to_end(parent, {"said.txt": b"123"})
    assert usage(ada).held_bytes == LIMIT + 3, "what runs is collected all the same"
    for answer in (
        send(ada, b"1"),
        ada.client.post("/jobs", json=HELLO),
        ada.client.post("/jobs", json={**HELLO, "files": {"paper": upload_id}}),
        ada.client.post(f"/jobs/{parent}/resubmit", json={}),
    ):
        words = refused(answer)
        assert "you hold 0.06 MiB and may hold 0.06 MiB" in words
        assert "delete" in words
    bulk = ada.client.post("/jobs/resubmit", json={"jobs": [parent]}).json()["results"]
    assert bulk[0]["problem"]["code"] == "quota_exceeded"


def test_room_is_made_by_deleting_uploads_or_jobs(rig: Rig, ada: Person) -> None:
    upload_id = uploaded(ada, FULL)
    refused(ada.client.post("/jobs", json=HELLO))
    assert ada.client.delete(f"/files/{upload_id}").status_code == 204
    job_id = submitted(ada)
    rig.run_to_end(job_id, {"said.txt": FULL})
    refused(send(ada, b"1"))
    assert ada.client.delete(f"/jobs/{job_id}").status_code == 204
    assert send(ada, b"1").status_code == 201


def test_a_repeated_request_is_answered_although_the_quota_is_full_by_now(ada: Person) -> None:
    key = {"Idempotency-Key": f"{ada.name}-1"}
    first = ada.client.post("/jobs", json=HELLO, headers=key)
    uploaded(ada, FULL)
    again = ada.client.post("/jobs", json=HELLO, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


def test_the_store_is_not_asked_for_each_submission(rig: Rig, ada: Person) -> None:
    """Its answer is relied on for a while; here one from before the quota was full."""
    gateway = Gateway(rig.configuration, rig.store, rig.files)
    assert not gateway.quota.has_room(ada.user_id, ada.name), "nothing is known yet"
    gateway.quota.check(ada.user_id, ada.name)
    uploaded(ada, FULL)
    assert gateway.quota.has_room(ada.user_id, ada.name)
    gateway.quota.forget()
    assert not gateway.quota.has_room(ada.user_id, ada.name)
