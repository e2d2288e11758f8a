"""Every request the client makes: one function each, which says the route once for both clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

import httpx

from isthmus.client.call import Call
from isthmus.client.records import (
    ApplicationRecord,
    ApplicationSummary,
    CancelRecord,
    Change,
    JobRecord,
    OutputRecord,
    ShareRecord,
    UploadRecord,
    parsed,
    record,
    records,
)

T = TypeVar("T")
API = "/api/v1"
UPLOAD_S = 600.0

Params = Mapping[str, str | int | list[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of jobs; `next_cursor` is None on the last."""

    jobs: tuple[JobRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A part of a log. `complete`: the program has ended, and this reaches the log's end."""

    content: bytes
    next_offset: int
    complete: bool


def path_of(*parts: str) -> str:
    """The API's path made of these parts, each quoted."""
    return "/".join([API, *(quote(part, safe="") for part in parts)])


def _nothing(_: httpx.Response) -> None:
    return None


def document(response: httpx.Response) -> dict[str, object]:
    return parsed(dict[str, object], response.json())


def _list_in(key: str, kind: type[T]) -> Callable[[httpx.Response], tuple[T, ...]]:
    return lambda response: records(kind, document(response).get(key))


def get(*parts: str, params: Params | None = None) -> Call[dict[str, object]]:
    """A GET of a document that this client hands on as it is."""
    return Call("GET", path_of(*parts), document, params=params or {}, repeatable=True)


def send(method: str, *parts: str, json: object = None) -> Call[dict[str, object]]:
    """A request that changes something and answers with a document, empty when the gateway sends none."""
    return Call(method, path_of(*parts), lambda r: document(r) if r.content else {}, json=json)


# --- jobs ---------------------------------------------------------------------------------------------------
def _job(response: httpx.Response) -> JobRecord:
    return record(JobRecord, response.json())


def job(job_id: str) -> Call[JobRecord]:
    return Call("GET", path_of("jobs", job_id), _job, repeatable=True)


def submit(body: Mapping[str, object], key: str) -> Call[JobRecord]:
    """The key makes it repeatable: the gateway answers a second one with the same job."""
    return Call("POST", path_of("jobs"), _job, headers={"Idempotency-Key": key}, json=body, repeatable=True)


def resubmit(job_id: str, body: Mapping[str, object], key: str) -> Call[JobRecord]:
    path = path_of("jobs", job_id, "resubmit")
    return Call("POST", path, _job, headers={"Idempotency-Key": key}, json=body, repeatable=True)


def page(params: Params) -> Call[Page]:
    def read(response: httpx.Response) -> Page:
        answer = document(response)
        cursor = answer.get("next_cursor")
        return Page(records(JobRecord, answer.get("jobs")), None if cursor is None else str(cursor))

    return Call("GET", path_of("jobs"), read, params=params, repeatable=True)


def cancel(job_id: str) -> Call[CancelRecord]:
    """Repeatable: a wish that is there already stays as it is."""

    def read(response: httpx.Response) -> CancelRecord:
        return record(CancelRecord, response.json())

    return Call("POST", path_of("jobs", job_id, "cancel"), read, repeatable=True)


def change(job_id: str, body: Mapping[str, object]) -> Call[None]:
    return Call("PATCH", path_of("jobs", job_id), _nothing, json=body, repeatable=True)


def delete(job_id: str) -> Call[None]:
    return Call("DELETE", path_of("jobs", job_id), _nothing)


def why(job_id: str) -> Call[tuple[str, ...]]:
    return Call("GET", path_of("jobs", job_id, "why"), _list_in("sentences", str), repeatable=True)


def diff(a: str, b: str) -> Call[tuple[Change, ...]]:
    return Call("GET", path_of("jobs", a, "diff", b), _list_in("differences", Change), repeatable=True)


def outputs(job_id: str) -> Call[tuple[OutputRecord, ...]]:
    return Call("GET", path_of("jobs", job_id, "outputs"), _list_in("outputs", OutputRecord), repeatable=True)


def output_content(job_id: str, output: OutputRecord) -> Call[None]:
    path = path_of("jobs", job_id, "outputs", output.name)
    return Call("GET", path, _nothing, params={"path": output.path}, repeatable=True)


def script(job_id: str) -> Call[str]:
    return Call("GET", path_of("jobs", job_id, "script"), lambda r: r.text, repeatable=True)


def log(job_id: str, stream: str, offset: int, limit: int) -> Call[LogPiece]:
    def read(response: httpx.Response) -> LogPiece:
        end = int(response.headers.get("Log-Next-Offset", offset + len(response.content)))
        return LogPiece(response.content, end, response.headers.get("Log-Complete") == "true")

    params = {"offset": offset, "limit": limit}
    return Call("GET", path_of("jobs", job_id, "log", stream), read, params=params, repeatable=True)


def event_stream(job_id: str, last_id: str, timeout_s: float) -> Call[None]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    path = path_of("jobs", job_id, "events", "stream")
    return Call("GET", path, _nothing, headers=headers, timeout_s=timeout_s, repeatable=True)


# --- shares -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SharedPage:
    """Others' jobs, and for each the share that shows it; `next_before` is None on the last page."""

    jobs: tuple[JobRecord, ...]
    shares: tuple[ShareRecord, ...]
    next_before: str | None


def share(job_id: str, body: Mapping[str, object]) -> Call[ShareRecord]:
    return Call("POST", path_of("jobs", job_id, "shares"), lambda r: record(ShareRecord, r.json()), json=body)


def shares(job_id: str) -> Call[tuple[ShareRecord, ...]]:
    return Call("GET", path_of("jobs", job_id, "shares"), _list_in("shares", ShareRecord), repeatable=True)


def unshare(job_id: str, share_id: str) -> Call[None]:
    return Call("DELETE", path_of("jobs", job_id, "shares", share_id), _nothing)


def shared(before: str | None = None, limit: int = 100) -> Call[SharedPage]:
    """A page of what others show to the caller."""

    def read(response: httpx.Response) -> SharedPage:
        answer = document(response)
        members = parsed(list[dict[str, object]], answer.get("shared"))
        after = answer.get("next_before")
        return SharedPage(
            records(JobRecord, [one.get("job") for one in members]),
            records(ShareRecord, [one.get("share") for one in members]),
            None if after is None else str(after),
        )

    params: Params = {"limit": limit} | ({"before": before} if before else {})
    return Call("GET", path_of("shares"), read, params=params, repeatable=True)


# --- files, applications, tokens ----------------------------------------------------------------------------
def upload(name: str, body: Path | BinaryIO) -> Call[UploadRecord]:
    return Call(
        "POST",
        path_of("files"),
        lambda response: record(UploadRecord, response.json()),
        params={"name": name},
        headers={"Content-Type": "application/octet-stream"},
        body=body,
        timeout_s=UPLOAD_S,
    )


def uploads(before: str | None, limit: int) -> Call[tuple[tuple[UploadRecord, ...], str | None]]:
    """The caller's uploads before this one, the newest first, and the id to go on before."""

    def read(response: httpx.Response) -> tuple[tuple[UploadRecord, ...], str | None]:
        body = response.json()
        return records(UploadRecord, body["files"]), body["next_before"]

    params: Params = {"limit": limit} | ({"before": before} if before else {})
    return Call("GET", path_of("files"), read, params=params, repeatable=True)


def delete_upload(upload_id: str) -> Call[None]:
    return Call("DELETE", path_of("files", upload_id), _nothing)


def applications() -> Call[tuple[ApplicationSummary, ...]]:
    return Call("GET", path_of("applications"), _list_in("applications", ApplicationSummary), repeatable=True)


def application(name: str, version: str | None) -> Call[ApplicationRecord]:
    def read(response: httpx.Response) -> ApplicationRecord:
        return record(ApplicationRecord, response.json())

    params = {"version": version} if version else {}
    return Call("GET", path_of("applications", name), read, params=params, repeatable=True)


def change_password(old: str, new: str) -> Call[None]:
    return Call("POST", path_of("me", "password"), _nothing, json={"old": old, "new": new})


def make_token(name: str, password: str, token_name: str, scopes: Sequence[str]) -> Call[dict[str, object]]:
    """A token for the user who knows the password; the only request that is not signed with one."""
    body = {"name": token_name} | ({"scopes": list(scopes)} if scopes else {})
    return Call("POST", path_of("tokens"), document, json=body, password=(name, password))
