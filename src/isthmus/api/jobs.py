"""Routes of jobs: taking in, listing, showing, changing, cancelling, deleting."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response

from isthmus.api.access import actor_of, opened
from isthmus.api.authentication import Caller, Reader, Submitter
from isthmus.api.documents import (
    Document,
    answer,
    cancel_document,
    event_document,
    job_document,
    job_summary,
)
from isthmus.api.openapi import PREFIX, errors
from isthmus.api.requests import (
    BulkCancelBody,
    ChangesBody,
    FileReference,
    Files,
    IdempotencyKey,
    IdInPath,
    JobPatch,
    JobQuery,
    OutputReference,
    SubmitBody,
)
from isthmus.api.responses.jobs import BulkCancelOut, CancelOut, Counts, Events, JobOut, JobPage, Why
from isthmus.api.services import TheGateway
from isthmus.application.encoding import Json, canonical
from isthmus.gateway import Gateway, Key, Request, Submitted, submission
from isthmus.job import JobState
from isthmus.store import Viewer
from isthmus.store.listing import ListQuery, Sort
from isthmus.store.wishes import JobChanges

router = APIRouter(prefix="/jobs", tags=["jobs"])

MAX_EVENTS = 10_000
SUBMIT = "submit"
"""What an Idempotency-Key of this operation is kept apart by from one of another."""

IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=200)]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=2000)]


# --- taking in ------------------------------------------------------------
@router.post("", response_model=JobOut, status_code=201, responses={200: {"model": JobOut}})
def submit_job(body: SubmitBody, gateway: TheGateway, caller: Submitter, key: IdempotencyKey = None) -> Response:
    """The job is durable. 200 and the same job again, if this Idempotency-Key was used for the same body before."""
    named = key_of(key, SUBMIT, body, gateway, caller.viewer)
    return submitted(gateway.submit(caller.by, request_of(body), named))


def request_of(body: SubmitBody) -> Request:
    """What the body asks for."""
    return Request(
        application=body.application,
        version=body.version,
        cluster=body.cluster,
        name=body.name,
        labels=tuple(body.labels),
        inputs=body.inputs,
        files=references(body.files),
        resources=body.resources,
        notices=body.notices,
        project=body.project,
    )


def references(files: Files) -> dict[str, Sequence[submission.FileReference]]:
    """What each file input refers to, always as a list."""
    return {name: [_reference(one) for one in _several(given)] for name, given in files.items()}


def _reference(given: FileReference) -> submission.FileReference:
    if isinstance(given, OutputReference):
        return submission.OutputReference(given.job, given.output, given.path)
    return submission.UploadReference(given)


def key_of(
    key: str | None, operation: str, body: SubmitBody | ChangesBody, gateway: Gateway, viewer: Viewer
) -> Key | None:
    """The request's name, and the digest of what it says: fields left out count as their defaults.

    Of an upload the name and the content count, not the id: who sends a request again may send its files again.
    """
    if key is None:
        return None
    said = body.model_dump(mode="json")
    for name in ("notices", "project"):
        if said.get(name, "") is None:
            del said[name]  # it says what it said before there was such a field
    uploads = {one for given in body.files.values() for one in _several(given) if isinstance(one, str)}
    if uploads:
        known = gateway.store.upload_contents(viewer, uploads)
        said["files"] = {name: [_said(one, known) for one in _several(given)] for name, given in body.files.items()}
    return Key(key, hashlib.sha256(canonical([operation, said]).encode()).hexdigest())


def _said(one: FileReference, known: Mapping[str, tuple[str, str]]) -> Json:
    return one.model_dump(mode="json") if isinstance(one, OutputReference) else list(known.get(one, (one,)))


def _several(given: FileReference | list[FileReference]) -> list[FileReference]:
    return given if isinstance(given, list) else [given]


def submitted(found: Submitted) -> Response:
    """201 with the new job, or 200 with the one an earlier request made."""
    response = _tagged(job_document(found.job), 201 if found.created else 200)
    response.headers["Location"] = f"{PREFIX}/jobs/{found.job.id}"
    return response


def _document(gateway: Gateway, viewer: Viewer, job_id: str) -> Document:
    return job_document(gateway.store.job(viewer, job_id))


def _tagged(document: Document, status: int = 200) -> Response:
    """The job with its ETag: its seq, for If-Match, and the digest of all of it, since some of it has no seq."""
    response = answer(document, status)
    response.headers["ETag"] = f'"{document["seq"]}-{hashlib.sha256(response.body).hexdigest()}"'
    return response


# --- listing ------------------------------------------------------------
@router.get("", response_model=JobPage)
def list_jobs(query: Annotated[JobQuery, Query()], gateway: TheGateway, caller: Reader) -> Response:
    """One page of jobs, the newest first unless asked otherwise; pages stay right while jobs arrive."""
    page = gateway.store.page(
        _lister(caller, wider=query.everybody or query.owner is not None),
        ListQuery(
            states=tuple(JobState(state) for state in query.state),
            applications=tuple(query.application),
            clusters=tuple(query.cluster),
            text=query.text,
            labels=tuple(query.label),
            created_after=query.created_after,
            created_before=query.created_before,
            owner=query.owner,
            archived=query.archived,
            sort=Sort(query.sort),
            descending=query.descending,
            cursor=query.cursor,
            limit=query.limit,
        ),
    )
    return answer({"jobs": [job_summary(job) for job in page.jobs], "next_cursor": page.next_cursor})


def _lister(caller: Caller, *, wider: bool) -> Viewer:
    """Whose jobs are listed: the caller's own, also an administrator's who does not ask for more."""
    return caller.viewer if wider else Viewer(caller.identity.user_id)


@router.get("/counts", response_model=Counts)
def count_jobs(gateway: TheGateway, caller: Reader, everybody: bool = False) -> Response:
    """How many of the caller's jobs are in each state, exactly up to a bound; of an administrator's, or of all."""
    counts = gateway.store.counts(_lister(caller, wider=everybody))
    return answer({"states": {state.value: {"n": found.n, "exact": found.exact} for state, found in counts.items()}})


# --- several at once ------------------------------------------------------------
@router.post("/cancel", response_model=BulkCancelOut)
def cancel_jobs(request: HttpRequest, body: BulkCancelBody, gateway: TheGateway, caller: Submitter) -> Response:
    """Cancelling each of these jobs is asked for; one answer a job, in order."""
    answers = gateway.store.request_cancel(caller.viewer, body.jobs, time.time(), actor_of(request, caller))
    return answer({"results": [cancel_document(found) for found in answers]})


# --- one job ------------------------------------------------------------
@router.get("/{job_id}", response_model=JobOut, responses={304: {"description": "not changed since"}})
def show_job(
    request: HttpRequest, job_id: IdInPath, gateway: TheGateway, caller: Reader, if_none_match: IfNoneMatch = None
) -> Response:
    """Everything about one job; its ETag changes with everything that happens to it."""
    access = opened(request, gateway, caller, job_id)
    response = _tagged(_document(gateway, access.viewer, job_id))
    etag = response.headers["ETag"]
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers={"ETag": etag})
    return response


@router.patch("/{job_id}", response_model=JobOut, responses=errors(_412="the job has changed since If-Match"))
def change_job(
    request: HttpRequest,
    job_id: IdInPath,
    body: JobPatch,
    gateway: TheGateway,
    caller: Submitter,
    if_match: IfMatch = None,
) -> Response:
    """The job's name, labels and place are as asked; what is null or left out stays."""
    labels = None if body.labels is None else tuple(body.labels)
    changes, expected, by = JobChanges(body.name, labels, body.archived), _expected(if_match), actor_of(request, caller)
    gateway.store.change(caller.viewer, job_id, changes, time.time(), expected_seq=expected, by=by)
    return _tagged(_document(gateway, caller.viewer, job_id))


def _expected(if_match: str | None) -> int | None:
    """The seq that If-Match names, alone or in an ETag; one that no job ever has where it names nothing of ours."""
    if if_match is None or if_match.strip() == "*":
        return None
    words = if_match.strip().removeprefix("W/").strip('"').partition("-")[0]
    return int(words) if words.isascii() and words.isdigit() and len(words) < 10 else -1


@router.delete("/{job_id}", status_code=204, responses=errors(_409="the job has not ended"))
def delete_job(request: HttpRequest, job_id: IdInPath, gateway: TheGateway, caller: Submitter) -> Response:
    """The job is out of every list, and its files are freed once nothing else refers to them."""
    gateway.delete(caller.viewer, job_id, actor_of(request, caller))
    return Response(status_code=204)


@router.post("/{job_id}/cancel", response_model=CancelOut)
def cancel_job(request: HttpRequest, job_id: IdInPath, gateway: TheGateway, caller: Submitter) -> Response:
    """Cancelling is asked for. The job is CANCELLED once it is proved not to run; asking again does no harm."""
    gateway.store.job(caller.viewer, job_id)
    (found,) = gateway.store.request_cancel(caller.viewer, [job_id], time.time(), actor_of(request, caller))
    return answer(cancel_document(found))


@router.get("/{job_id}/why", response_model=Why)
def explain_job(request: HttpRequest, job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """Why the job waits, or how it ended, in sentences."""
    job = gateway.store.job(opened(request, gateway, caller, job_id).viewer, job_id)
    return answer(
        {
            "state": job.state.value,
            "cause": job.cause and job.cause.value,
            "evidence": job.evidence,
            "waiting_reason": job.waiting_reason,
            "sentences": list(gateway.why(job)),
        }
    )


@router.get("/{job_id}/events", response_model=Events)
def list_job_events(request: HttpRequest, job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """What happened to the job, oldest first."""
    viewer = opened(request, gateway, caller, job_id).viewer
    return answer({"events": [event_document(row) for row in gateway.store.events_of(viewer, job_id, MAX_EVENTS)]})


@router.get(
    "/{job_id}/script", response_class=PlainTextResponse, responses=errors(_409="it can't be rendered any more")
)
def show_script(request: HttpRequest, job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """What the job runs, as POSIX sh; its folders are shown as /job/inputs and /job/work."""
    viewer = opened(request, gateway, caller, job_id).viewer
    return PlainTextResponse(gateway.script(gateway.store.job(viewer, job_id)))
