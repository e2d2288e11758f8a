"""What a web process gives to a node with a ticket, and to nobody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

from isthmus.cluster import Order, OutputRule
from isthmus.facts import StagedOut, StagingFailed
from isthmus.store import Scope
from isthmus.store.remote import Listed, RemoteOutput
from tests.service.remote_rig import RemoteRig, remote_rig

RECORD = {
    **{"tag": "g", "native_id": "n.1", "run": 1, "code": 0, "stopped_by": "", "signals": [], "host": "node1"},
    **{"started_at": 10.25, "ended_at": 11.5, "cpu_s": None, "peak_memory_mib": None, "oom_kills": None},
}
CLAIM = {"native_id": "n.1", "run": 1, "nonce": "x"}
CONTENT = b"some bytes of an output"
RULE = OutputRule("result", "*.csv", "text/csv", True)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteRig]:
    with remote_rig(tmp_path_factory.mktemp("remote")) as made:
        made.start()
        yield made


class Asking:
    """A node's requests for one attempt."""

    def __init__(self, rig: RemoteRig, order: Order, ticket: str | None = None) -> None:
        command = rig.staging.command(order.tag, "n.1", 60).environment
        headers = {"Authorization": f"Bearer {command['ISTHMUS_TICKET'] if ticket is None else ticket}"}
        self.client = httpx.Client(base_url=command["ISTHMUS_URL"], headers=headers, timeout=20)

    def claim(self, **other: object) -> int:
        return self.client.post("/claim", json={**CLAIM, **other}).status_code

    def end(self, **other: object) -> int:
        return self.client.post("/end", json={"nonce": "x", "record": {**RECORD, **other}}).status_code

    def files(self, *records: str, following: bytes = b"") -> httpx.Response:
        """The end is told with this list."""
        text = b"".join(record.encode() + b"\0" for record in ("R/box/work", *records, "E"))
        return self.end_with(text + following)

    def end_with(self, text: bytes) -> httpx.Response:
        head = json.dumps({"nonce": "x", "record": RECORD}).encode()
        return self.client.post("/end", content=head + b"\n" + text)

    def put(self, key: str, content: bytes, whole: bytes | None = None, offset: int = 0) -> httpx.Response:
        whole = content if whole is None else whole
        headers = {"Isthmus-Sha256": hashlib.sha256(whole).hexdigest()}
        if offset or whole != content:
            headers["Content-Range"] = f"bytes {offset}-{offset + len(content) - 1}/{len(whole)}"
        return self.client.put(f"/files/{key}", content=content, headers=headers)

    def listed(self, size: int = len(CONTENT)) -> str:
        """The key of the one file that is wanted of the program, which has ended."""
        assert (self.claim(), self.end()) == (200, 200)
        key, kept, path = self.files(f"f8180 {size} ./out.csv").text.split()
        assert (kept, path) == ("0", "work/out.csv")
        return key


@pytest.fixture
def order(rig: RemoteRig) -> Order:
    return rig.order("true", RULE, inputs={"data/in put": CONTENT})


@pytest.fixture
def asking(rig: RemoteRig, order: Order) -> Iterator[Asking]:
    made = Asking(rig, order)
    with made.client:
        yield made


# --- who may ask ----------------------------------------------------------------------------------------------------
def test_a_wrong_ticket_and_an_unknown_attempt_look_the_same(rig: RemoteRig, order: Order) -> None:
    answers = set()
    for tag in (order.tag, "gunknown"):
        for headers in ({}, {"Authorization": "Bearer 00"}, {"Authorization": "Basic eDp5"}):
            answer = httpx.get(f"{rig.url}/api/v1/attempts/{tag}/order", headers=headers, timeout=20)
            answers.add((answer.status_code, answer.text))
    assert len(answers) == 1 and answers.pop()[0] == 404


def test_a_ticket_opens_no_other_attempt(rig: RemoteRig, asking: Asking) -> None:
    other = rig.order("true")
    assert asking.client.get(f"{rig.url}/api/v1/attempts/{other.tag}/order").status_code == 404


def test_a_users_token_opens_no_attempt_and_a_ticket_nothing_else(rig: RemoteRig, order: Order, asking: Asking) -> None:
    token = rig.store.create_token(rig.owner.user_id, "test", tuple(Scope), None).text
    with Asking(rig, order, token).client as user:
        assert user.get("/order").status_code == 404
    assert asking.client.get(f"{rig.url}/api/v1/jobs").status_code == 401


def test_the_api_that_people_use_does_not_tell_of_attempts(rig: RemoteRig) -> None:
    assert not [
        path for path in httpx.get(f"{rig.url}/openapi.json", timeout=20).json()["paths"] if "attempts/{tag}" in path
    ]


def test_an_unknown_way_and_method_are_not_found(asking: Asking) -> None:
    for method, way in (("GET", "/nothing"), ("GET", "/claim"), ("GET", "/inputs/"), ("PUT", "/order"), ("GET", "")):
        assert asking.client.request(method, way).status_code == 404


# --- what is given --------------------------------------------------------------------------------------------------
def test_inputs_come_whole_or_in_ranges_with_their_hash(rig: RemoteRig, order: Order, asking: Asking) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    head = asking.client.get("/order").text.splitlines()[0]
    assert head.split() == ["#", "input", "0", str(len(CONTENT)), sha256, "data/in\\0040put"]
    whole = asking.client.get("/inputs/0")
    assert (whole.content, whole.headers["etag"]) == (CONTENT, f'"{sha256}"')
    part = asking.client.get("/inputs/0", headers={"Range": "bytes=5-"})
    assert (part.status_code, part.content) == (206, CONTENT[5:])
    assert asking.client.get("/inputs/0", headers={"Range": "bytes=99-"}).status_code == 416


@pytest.mark.parametrize("way", ["inputs/1", "inputs/-1", "inputs/x", "inputs/99999999999", "texts/wrapper.sh"])
def test_what_the_order_does_not_name_is_not_given(asking: Asking, way: str) -> None:
    assert asking.client.get(f"/{way}").status_code == 404


# --- the claim and the end ------------------------------------------------------------------------------------------
def test_a_claim_is_its_first_holders_and_no_others(asking: Asking) -> None:
    assert (asking.claim(), asking.claim(nonce="y"), asking.claim(native_id="n.2"), asking.claim()) == (
        *(200, 409, 409),
        200,
    )


@pytest.mark.parametrize("other", [{"native_id": "a:b"}, {"nonce": ""}, {"run": 0}, {"run": "1"}, {"more": 1}])
def test_a_claim_that_says_something_odd_is_refused(asking: Asking, other: dict[str, object]) -> None:
    assert asking.claim(**other) == 422


def test_an_end_is_taken_from_the_holder_of_the_claim(rig: RemoteRig, order: Order, asking: Asking) -> None:
    assert asking.end() == 409
    assert (asking.claim(), asking.end(native_id="n.2"), asking.end(), asking.end(code=9)) == (200, 409, 200, 200)
    end = rig.staging.observe([order.tag])[order.tag].end
    assert end is not None and (end.code, end.host, end.started_at) == (0, "node1", 10.25)


@pytest.mark.parametrize(
    "other",
    [
        {"code": 256},
        {"stopped_by": "me"},
        {"started_at": "x"},
        {"started_at": 1e300},
        {"ended_at": 1e11},
        {"cpu_s": -1.0},
        {"cpu_s": 1e300},
        {"peak_memory_mib": 10**30},
        {"oom_kills": 2**31},
        {"host": "n\0"},
        {"host": "n\n1"},
        {"host": "n" * 256},
        {"signals": ["TERM\0"]},
    ],
)
def test_an_end_that_is_no_record_is_refused(asking: Asking, other: dict[str, object]) -> None:
    assert (asking.claim(), asking.end(**other)) == (200, 422)


def test_a_large_body_is_refused_where_a_small_one_is_due(asking: Asking) -> None:
    assert asking.client.post("/claim", content=b"x" * 70_000).status_code == 413


# --- files ----------------------------------------------------------------------------------------------------------
def test_a_file_comes_in_parts_and_is_here_when_its_hash_fits(rig: RemoteRig, order: Order, asking: Asking) -> None:
    key = asking.listed()
    assert asking.put(key, CONTENT[:10], CONTENT).status_code == 422  # the rest is still to come
    assert asking.client.get(f"/files/{key}").text == "10\n"
    assert asking.put(key, CONTENT[15:], CONTENT, 15).status_code == 409  # some between is missing
    assert asking.put(key, CONTENT[8:], CONTENT, 8).status_code == 201
    found = rig.collected(order)
    assert isinstance(found, StagedOut) and rig.files.path(found.files[0].sha256).read_bytes() == CONTENT


def test_a_file_with_another_hash_is_refused_and_dropped(asking: Asking) -> None:
    key = asking.listed()
    answer = asking.put(key, CONTENT[:-1] + b"!", CONTENT)
    assert (answer.status_code, asking.client.get(f"/files/{key}").text) == (422, "0\n")
    assert "SHA-256" in answer.json()["detail"]
    assert asking.files(f"f8180 {len(CONTENT)} ./out.csv").text.split()[0] == key  # it is still wanted


def test_a_file_that_nobody_asked_for_is_refused(asking: Asking) -> None:
    asking.listed()
    assert asking.put("0" * 32, CONTENT).status_code == 404


def test_nothing_is_taken_before_the_end(asking: Asking) -> None:
    assert asking.claim() == 200
    assert (asking.client.get("/files/0").status_code, asking.put("0" * 32, b"x").status_code) == (422, 422)


def test_nothing_is_taken_after_the_last_file(asking: Asking) -> None:
    key = asking.listed()
    assert asking.put(key, CONTENT).status_code == 201
    answers = [asking.put(key, CONTENT), asking.client.get(f"/files/{key}")]
    assert [answer.status_code for answer in answers] == [410, 410]
    again = asking.files("f8180 5 b.csv")
    assert (again.status_code, again.text) == (200, "")


def test_a_void_attempt_gives_and_takes_nothing(rig: RemoteRig, order: Order, asking: Asking) -> None:
    rig.staging.void([order.tag], 1)
    gets = [asking.client.get(way).status_code for way in ("/order", "/inputs/0")]
    assert {*gets, asking.claim(), asking.end(), asking.files().status_code} == {410}


def test_a_discarded_attempt_is_over(rig: RemoteRig, order: Order, asking: Asking) -> None:
    rig.staging.discard([order.tag])
    assert (asking.claim(), asking.client.get("/order").status_code) == (410, 410)


def test_a_file_that_has_grown_past_the_limit_ends_what_is_taken(rig: RemoteRig, order: Order, asking: Asking) -> None:
    key = asking.listed()
    assert asking.put(key, CONTENT, b"x" * (5 << 20)).status_code == 413
    found = rig.collected(order)
    assert isinstance(found, StagingFailed) and found.permanent and "4 MiB that a job may leave" in found.words


def test_a_body_without_a_length_is_refused(asking: Asking) -> None:
    key = asking.listed()
    headers = {"Isthmus-Sha256": "0" * 64}
    assert asking.client.put(f"/files/{key}", content=iter([b"x"]), headers=headers).status_code == 422


@pytest.mark.parametrize("text", [b"hello", b"hello\0", b"R/box\0E\0more", b"R/box\0i5 stdout\0E\0four"])
def test_a_list_that_is_none_is_refused_and_the_end_kept(
    rig: RemoteRig, order: Order, asking: Asking, text: bytes
) -> None:
    assert asking.claim() == 200
    answer = asking.end_with(text)
    assert answer.status_code == 422 and "no list" in answer.json()["detail"]
    facts = rig.staging.observe([order.tag])[order.tag]
    assert facts.end is not None and not facts.sent


def test_short_logs_come_with_the_end_and_then_all_is_here(rig: RemoteRig, order: Order, asking: Asking) -> None:
    assert asking.claim() == 200
    answer = asking.files("i6 stdout", "i4 stderr", following=b"said\0\nbad\n")
    assert (answer.status_code, answer.text) == (200, "")
    assert rig.contents(order) == {"stdout": "said\0\n", "stderr": "bad\n"}
    assert rig.staging.observe([order.tag])[order.tag].sent


def test_too_much_behind_a_list_is_refused(asking: Asking) -> None:
    assert asking.claim() == 200
    assert asking.files("i70000 stdout", following=b"x" * 70_000).status_code == 422


def test_a_program_that_left_nothing_is_done_with_its_end(rig: RemoteRig, order: Order, asking: Asking) -> None:
    assert (asking.claim(), asking.files("s0 stdout", "s0 stderr").text) == (200, "")
    assert rig.contents(order) == {"stdout": "", "stderr": ""}


def test_an_end_without_a_list_says_nothing_of_files(rig: RemoteRig, order: Order, asking: Asking) -> None:
    assert (asking.claim(), asking.end()) == (200, 200)
    assert not rig.staging.observe([order.tag])[order.tag].sent


# --- a full disk ----------------------------------------------------------------------------------------------------
def test_a_full_disk_is_told_to_the_node_and_its_file_can_come_later(
    rig: RemoteRig, order: Order, asking: Asking
) -> None:
    key = asking.listed()
    part = rig.home / "files/tmp" / f"part.{order.tag}.{key}"
    part.symlink_to("/dev/full")
    answer = asking.put(key, CONTENT)
    assert (answer.status_code, answer.json()["detail"]) == (507, "the disk that holds the gateway's files is full")
    part.unlink()
    assert asking.put(key, CONTENT).status_code == 201


def test_a_full_disk_is_what_the_job_waits_for(rig: RemoteRig, order: Order, asking: Asking) -> None:
    asking.listed()
    huge = RemoteOutput("k", "result", "b.csv", None, 1 << 60, "text/csv")
    rig.store.end_remote(order.tag, "n.1:1:x", "{}", Listed([huge]))
    found = rig.collected(order)
    assert isinstance(found, StagingFailed) and not found.permanent and "disk is full" in found.words


def test_words_say_how_far_the_node_is(rig: RemoteRig, order: Order, asking: Asking) -> None:
    asking.listed()
    asking.files("f8180 23 a.csv", "f8180 23 b.csv", "s0 stdout")
    (key,) = {one.key for one in rig.store.remote_outputs(order.tag) if one.path == "a.csv"}
    assert asking.put(key, CONTENT).status_code == 201
    found = rig.collected(order)
    assert isinstance(found, StagingFailed) and found.words == "the node sends its files: 2 of 3 are here"
