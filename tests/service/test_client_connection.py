"""What the client makes of a network, or of a gateway, that misbehaves; `httpx.MockTransport` is the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from isthmus.client import Client, NoConnection
from isthmus.errors import Conflict, InvalidInput, IsthmusError, NotAllowed, StorageFault, TooLarge
from isthmus.job import JobState

JOB = "06h0868s04arvqxb4evn"
AT = "2026-11-22T12:00:00.000Z"
Answers = Callable[[httpx.Request], httpx.Response]


def job_document(state: str, seq: int) -> dict[str, object]:
    return {
        "id": JOB,
        "application": "counting",
        "version": "1",
        "cluster": "local",
        "state": state,
        "state_at": AT,
        "created_at": AT,
        "seq": seq,
    }


def client(answers: Answers) -> Client:
    return Client("http://gateway.example", "isthmus_token", transport=httpx.MockTransport(answers))


def problem(status: int, **members: object) -> Answers:
    headers = {"content-type": "application/problem+json"}
    return lambda _: httpx.Response(status, headers=headers, content=json.dumps({"status": status, **members}))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "not_allowed", NotAllowed),
        (412, "changed_meanwhile", Conflict),
        (413, "too_large", TooLarge),
        (422, "idempotency_mismatch", Conflict),
        (429, "too_many_attempts", IsthmusError),
        (507, "storage", StorageFault),
    ],
)
def test_a_problem_becomes_the_error_of_its_kind_with_its_code(
    status: int, code: str, kind: type[IsthmusError]
) -> None:
    with client(problem(status, code=code, detail="so it is")) as gateway, pytest.raises(IsthmusError) as refused:
        gateway.job(JOB)
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.message) == (code, "so it is")


def test_faults_of_fields_are_kept() -> None:
    fault = {"field": "inputs.upto", "code": "out_of_range", "message": "at most 9"}
    with (
        client(problem(422, code="invalid_input", detail="no", errors=[fault])) as gateway,
        pytest.raises(InvalidInput) as refused,
    ):
        gateway.job(JOB)
    assert [(one.field, one.code, one.message) for one in refused.value.faults] == [tuple(fault.values())]


def test_a_gateway_that_cannot_be_reached_is_tried_again_and_then_told() -> None:
    tries: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ConnectError("refused", request=request)

    with client(refuse) as gateway, pytest.raises(NoConnection, match="is it running") as fault:
        gateway.job(JOB)
    assert len(tries) == 4
    assert not fault.value.was_sent


def test_a_gateway_that_starts_meanwhile_is_waited_for() -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, json=job_document("QUEUED", 3))])
    with client(lambda _: next(answers)) as gateway:
        assert gateway.job(JOB).state is JobState.QUEUED


def test_what_is_no_gateway_is_told_as_such() -> None:
    with (
        client(lambda _: httpx.Response(404, html="<h1>Not here</h1>")) as gateway,
        pytest.raises(IsthmusError, match="is that an Isthmus gateway"),
    ):
        gateway.job(JOB)


def test_an_answer_that_is_not_understood_is_told_as_such() -> None:
    with (
        client(lambda _: httpx.Response(200, json={"state": "HOVERING"})) as gateway,
        pytest.raises(IsthmusError, match="not understood"),
    ):
        gateway.job(JOB)


@pytest.mark.parametrize("url", ["gateway.example", "ftp://gateway.example", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="address"):
        Client(url, "token")


def test_a_request_that_changes_something_is_not_sent_twice_once_it_may_have_arrived(tmp_path: Path) -> None:
    tries: list[str] = []

    def lose(request: httpx.Request) -> httpx.Response:
        tries.append(request.method)
        raise httpx.ReadTimeout("no answer", request=request)

    (tmp_path / "file").write_bytes(b"x")
    with client(lose) as gateway, pytest.raises(NoConnection):
        gateway.upload(tmp_path / "file")
    assert tries == ["POST"]


class _Breaks(httpx.SyncByteStream):
    """A stream that says one event and breaks off."""

    def __init__(self, event_id: str) -> None:
        self._event_id = event_id

    def __iter__(self) -> Iterator[bytes]:
        yield f"id: {self._event_id}\nevent: job\ndata: {{}}\n\n".encode()
        raise httpx.ReadError("connection reset")


def test_a_wait_goes_on_after_a_broken_stream_from_the_last_event_it_heard() -> None:
    asked: list[str | None] = []
    states = iter(["ACCEPTED", "ACCEPTED", "QUEUED", "QUEUED", "RUNNING", "RUNNING", "RUNNING", "COMPLETED"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/stream"):
            asked.append(request.headers.get("Last-Event-ID"))
            return httpx.Response(200, stream=_Breaks(f"0-{len(asked)}"))
        return httpx.Response(200, json=job_document(next(states, "COMPLETED"), len(asked)))

    with client(answer) as gateway:
        assert gateway.job(JOB).wait().state is JobState.COMPLETED
    assert asked == [None, "0-1"]


def test_a_wait_without_events_still_ends_since_the_job_is_read_again() -> None:
    states = iter(["RUNNING", "RUNNING", "RUNNING"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/stream"):
            return httpx.Response(200, content=b"")
        return httpx.Response(200, json=job_document(next(states, "FAILED"), 1))

    with client(answer) as gateway:
        assert gateway.job(JOB).wait().state is JobState.FAILED


def _one_output(path: str, content: bytes, sha256: str) -> Answers:
    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[-1]
        if name == "outputs":
            output = {"name": "out", "path": path, "size": len(content), "sha256": sha256}
            return httpx.Response(200, json={"outputs": [output]})
        return httpx.Response(200, content=content if name == "out" else json.dumps(job_document("COMPLETED", 9)))

    return answer


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "not_finite"),
        ([1.0, float("-inf")], "not_finite"),
        (object(), "wrong_type"),
        ("\udcff", "wrong_type"),
    ],
)
def test_a_value_that_json_has_no_form_for_is_refused_by_its_field_before_anything_is_sent(
    value: object, code: str, tmp_path: Path
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(500)

    with client(answer) as gateway, pytest.raises(InvalidInput) as refused:
        gateway.submit("counting", upto=1, extra=tmp_path, factor=value)
    assert [(fault.field, fault.code) for fault in refused.value.faults] == [("inputs.factor", code)]
    assert asked == []


def test_certificates_are_read_only_for_an_address_that_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    Client("http://gateway.example", "isthmus_token").close()
    with pytest.raises(FileNotFoundError):
        Client("https://gateway.example", "isthmus_token")


def test_a_file_of_other_content_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("other")
    new = hashlib.sha256(b"new").hexdigest()
    with client(_one_output("file.txt", b"new", new)) as gateway:
        with pytest.raises(Conflict, match=r"file\.txt would be overwritten"):
            gateway.job(JOB).download(tmp_path)
        assert (tmp_path / "file.txt").read_text() == "other"
        gateway.job(JOB).download(tmp_path, overwrite=True)
        assert gateway.job(JOB).download(tmp_path) == (tmp_path / "file.txt",), "the same content is no harm"
    assert (tmp_path / "file.txt").read_text() == "new"


def test_a_damaged_download_leaves_nothing(tmp_path: Path) -> None:
    with client(_one_output("file.txt", b"damaged", "0" * 64)) as gateway, pytest.raises(StorageFault, match="damaged"):
        gateway.job(JOB).download(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt"])
def test_an_output_s_path_cannot_leave_the_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "folder"
    with client(_one_output(path, b"x", "0" * 64)) as gateway, pytest.raises(InvalidInput, match="outside the folder"):
        gateway.job(JOB).download(folder)
    assert not folder.exists()
    assert not (tmp_path / "outside.txt").exists()
