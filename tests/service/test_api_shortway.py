"""The short way of a submission: the same answers as the long one, for less."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Send
from starlette.types import Scope as ASGIScope

from isthmus.api.authentication import Caller
from isthmus.api.shortway import MAX_BYTES, ShortWay
from isthmus.gateway import By, Gateway, Key, Request
from isthmus.store.listing import ListQuery
from isthmus.store.users import Scope
from tests.service.api_rig import Person, Rig
from tests.service.test_api_jobs import HELLO, faults

BODY = json.dumps(HELLO).encode()
PLAIN, NOT_PLAIN = "application/json", "application/json; charset=utf-8"
HELLO_REQUEST = Request("echo", inputs={"words": "hello"})


@pytest.fixture(scope="module")
def rig(rig_on_each_database: Rig) -> Rig:
    return rig_on_each_database


@pytest.fixture
def gateway(rig: Rig) -> Gateway:
    return Gateway(rig.configuration, rig.store, rig.files)


def said(rig: Rig, head: bytes, *pieces: bytes) -> bytes:
    """What the gateway answers to these bytes, sent piece by piece, up to the end of the connection."""
    where = urlsplit(rig.address)
    with socket.create_connection((where.hostname or "", where.port or 0), 20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        try:
            for piece in (head, *pieces):
                connection.sendall(piece)
            while received := connection.recv(65536):
                answer += received
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


def head_of(person: Person, *lines: str) -> bytes:
    common = ("POST /api/v1/jobs HTTP/1.1", "Host: x", "Connection: close", f"Authorization: Bearer {person.token}")
    return "\r\n".join([*common, f"Content-Type: {PLAIN}", *lines, "", ""]).encode()


def test_both_ways_give_the_same_answer(ada: Person) -> None:
    ways = [ada.client.post("/jobs", content=BODY, headers={"Content-Type": way}) for way in (PLAIN, NOT_PLAIN)]
    differing = {"id", "created_at", "state_at"}
    short, long = ({k: v for k, v in way.json().items() if k not in differing} for way in ways)
    assert [way.status_code for way in ways] == [201, 201]
    assert short == long
    assert ways[0].headers.keys() == ways[1].headers.keys()
    assert ada.client.get(f"/jobs/{ways[0].json()['id']}").headers["etag"] == ways[0].headers["etag"]


def test_a_key_that_was_used_on_one_way_is_known_on_the_other(ada: Person) -> None:
    answers = [
        ada.client.post("/jobs", content=BODY, headers={"Content-Type": way, "Idempotency-Key": key})
        for key, ways in (("a", (PLAIN, NOT_PLAIN, PLAIN)), ("b", (NOT_PLAIN, PLAIN)))
        for way in ways
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 201, 200]
    assert len({answer.json()["id"] for answer in answers}) == 2


def test_a_key_without_a_word_is_refused(ada: Person) -> None:
    answer = ada.client.post("/jobs", json=HELLO, headers={"Idempotency-Key": ""})
    assert faults(answer) == {"header.Idempotency-Key": "string_pattern_mismatch"}


def test_who_may_only_read_submits_nothing_on_either_way(rig: Rig) -> None:
    reader = rig.person("reader", scopes=(Scope.READ,))
    answers = [reader.client.post("/jobs", content=BODY, headers={"Content-Type": w}) for w in (PLAIN, NOT_PLAIN)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert reader.client.get("/jobs").json()["jobs"] == []


def test_a_body_that_comes_in_pieces_is_read_whole(rig: Rig, ada: Person) -> None:
    answer = said(rig, head_of(ada, f"Content-Length: {len(BODY)}"), BODY[:7], BODY[7:])
    assert answer.startswith(b"HTTP/1.1 201 ")


def test_a_body_that_does_not_say_its_length_is_read_too(rig: Rig, ada: Person) -> None:
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert said(rig, head_of(ada, "Transfer-Encoding: chunked"), chunk).startswith(b"HTTP/1.1 201 ")


def test_chunks_that_are_more_than_the_length_beside_them_says_are_bounded(rig: Rig, ada: Person) -> None:
    body = json.dumps({**HELLO, "inputs": {"words": "x" * 2_000_000}}).encode()
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    answer = said(rig, head_of(ada, "Content-Length: 9", "Transfer-Encoding: chunked"), chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_outgrows_what_is_plain_goes_the_long_way(gateway: Gateway, ada: Person) -> None:
    assert asyncio.run(way_of(gateway, ada, BODY + b" " * MAX_BYTES, JSON, length=9)) == "long"


def test_a_refusal_after_a_body_in_pieces_names_the_field(rig: Rig, ada: Person) -> None:
    body = json.dumps({**HELLO, "inputs": {"words": 1}}).encode()
    answer = said(rig, head_of(ada, f"Content-Length: {len(body)}"), body[:7], body[7:])
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b'"field": "inputs.words"' in answer


@pytest.mark.parametrize("line", [b"X-Long: " + b"x" * 200_000, b"X-Short: x\r\n" * 20_000])
def test_a_head_without_end_is_refused(rig: Rig, line: bytes) -> None:
    answer = said(rig, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", *[line] * 20)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")  # a client that still sends may miss the words


def test_a_long_body_is_no_long_head(rig: Rig, ada: Person) -> None:
    body = json.dumps({**HELLO, "inputs": {"words": "x" * 500_000}}).encode()
    assert faults(ada.client.post("/jobs", content=body, headers={"Content-Type": PLAIN})) == {
        "inputs.words": "too_long"
    }


def test_a_body_that_was_cut_off_makes_no_job_though_what_came_of_it_is_whole(rig: Rig, ada: Person) -> None:
    before = len(ada.client.get("/jobs").json()["jobs"])
    where = urlsplit(rig.address)
    with socket.create_connection((where.hostname or "", where.port or 0), 20) as connection:
        connection.sendall(head_of(ada, f"Content-Length: {len(BODY) + 9}") + BODY)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert len(ada.client.get("/jobs").json()["jobs"]) == before


# --- which way a request goes ------------------------------------------------------------
async def way_of(
    gateway: Gateway, ada: Person, content: bytes, *headers: tuple[bytes, bytes], length: int | None = None
) -> str:
    """Short or long: which way a submission with this body goes, and nothing of its body is lost on the long one."""
    identity = gateway.store.authenticate(ada.token)
    sent: list[str] = []
    pieces = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> Message:
        return next(pieces)

    async def send(message: Message) -> None:
        sent.append("short")

    async def framework(scope: ASGIScope, receive: Receive, send: Send) -> None:
        sent.append("long" if (await receive())["body"] == content else "body lost")

    said_length = (b"content-length", str(len(content) if length is None else length).encode())
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/jobs",
        "headers": [said_length, *headers],
        "state": {"caller": Caller(identity, ada.token)},
    }
    await ShortWay(framework, gateway=gateway)(scope, receive, send)
    return sent[0]


JSON = (b"content-type", b"application/json")
WAYS = [
    (BODY, [JSON], "short"),
    (BODY, [JSON, (b"idempotency-key", b"way")], "short"),
    (BODY, [(b"content-type", b"application/json; charset=utf-8")], "long"),
    (BODY, [JSON, JSON], "long"),
    (BODY, [JSON, (b"idempotency-key", b"")], "long"),
    (BODY[:-1], [JSON], "long"),
    (b'{"application": "echo", "inputs": {"words": "a"}, "files": {"f": ["upload:x"]}}', [JSON], "long"),
    (b'{"application": "echo", "inputs": {"words": 1}}', [JSON], "long"),
    (b'{"application": "echo", "inputs": {"words": "' + b"x" * 20_000 + b'"}}', [JSON], "long"),
]


@pytest.mark.parametrize(("content", "headers", "way"), WAYS)
def test_only_a_plain_submission_goes_the_short_way(
    gateway: Gateway, ada: Person, content: bytes, headers: list[tuple[bytes, bytes]], way: str
) -> None:
    assert asyncio.run(way_of(gateway, ada, content, *headers)) == way


# --- the gateway's part ------------------------------------------------------------
def test_a_plain_request_is_taken_in_and_shown_as_it_is_stored(gateway: Gateway, ada: Person) -> None:
    found = asyncio.run(gateway.submit_soon(By(ada.viewer, ada.name), HELLO_REQUEST))
    assert found is not None
    assert found.job == gateway.store.job(ada.viewer, found.job.id)


def test_a_request_to_be_refused_and_one_made_before_are_left_to_the_long_way(gateway: Gateway, ada: Person) -> None:
    by, key = By(ada.viewer, ada.name), Key("k", "digest")
    earlier = asyncio.run(gateway.submit_soon(by, HELLO_REQUEST, key))
    assert earlier is not None
    assert asyncio.run(gateway.submit_soon(by, HELLO_REQUEST, key)) is None
    assert asyncio.run(gateway.submit_soon(by, Request("echo"))) is None
    assert [job.id for job in gateway.store.page(ada.viewer, ListQuery()).jobs] == [earlier.job.id]
