"""Routes that relate jobs to each other: resubmitting, comparing, and the family tree."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from isthmus.api.access import opened_own
from isthmus.api.authentication import Caller, Reader, Submitter
from isthmus.api.documents import Document, answer, moment
from isthmus.api.jobs import key_of, references, submitted
from isthmus.api.problem import document, status_of
from isthmus.api.requests import BulkResubmitBody, ChangesBody, IdempotencyKey, IdInPath
from isthmus.api.responses.families import BulkResubmitOut, Diff, Family
from isthmus.api.responses.jobs import JobOut
from isthmus.api.services import TheGateway
from isthmus.application import Json
from isthmus.errors import InvalidInput, IsthmusError
from isthmus.gateway import Changes, Gateway, Key
from isthmus.store.listing import JobSummary

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("/resubmit", response_model=BulkResubmitOut)
def resubmit_jobs(
    request: Request, body: BulkResubmitBody, gateway: TheGateway, caller: Submitter, key: IdempotencyKey = None
) -> Response:
    """Each of these jobs is made anew with the same changes; one answer a job, in order.

    With an Idempotency-Key each job's request has a key of its own, made of it.
    """
    whole = key_of(key, "resubmit", body, gateway, caller.viewer)
    changes = _changes(body)
    return answer(
        {
            "results": [
                _attempted(request, gateway, caller, job_id, changes, _numbered(whole, number))
                for number, job_id in enumerate(body.jobs)
            ]
        }
    )


def _attempted(
    request: Request, gateway: Gateway, caller: Caller, job_id: str, changes: Changes, key: Key | None
) -> Document:
    try:
        opened_own(request, gateway, caller, job_id)
        made = gateway.resubmit(caller.by, job_id, changes, key)
    except IsthmusError as error:
        faults = error.faults if isinstance(error, InvalidInput) else ()
        return {
            "job": job_id,
            "new_job": None,
            "problem": document(status_of(error), error.code, error.message, faults),
        }
    return {"job": job_id, "new_job": made.job.id, "problem": None}


def _numbered(key: Key | None, number: int) -> Key | None:
    return key and Key(f"{key.key}#{number}", key.body_sha256)


@router.post("/{job_id}/resubmit", response_model=JobOut, status_code=201, responses={200: {"model": JobOut}})
def resubmit_job(
    request: Request,
    job_id: IdInPath,
    body: ChangesBody,
    gateway: TheGateway,
    caller: Submitter,
    key: IdempotencyKey = None,
) -> Response:
    """A new job with this one's inputs, version, cluster and resources, but for the changes; this one is its parent."""
    opened_own(request, gateway, caller, job_id)
    named = key_of(key, f"resubmit {job_id}", body, gateway, caller.viewer)
    return submitted(gateway.resubmit(caller.by, job_id, _changes(body), named))


def _changes(body: ChangesBody) -> Changes:
    return Changes(
        inputs=body.inputs,
        unset=tuple(body.unset),
        files=references(body.files),
        resources=body.resources,
        cluster=body.cluster,
        version=body.version,
        name=body.name,
        labels=None if body.labels is None else tuple(body.labels),
        notices=body.notices,
    )


@router.get("/{job_id}/diff/{other_id}", response_model=Diff)
def compare_jobs(
    request: Request, job_id: IdInPath, other_id: IdInPath, gateway: TheGateway, caller: Reader
) -> Response:
    """In what the two jobs' requests differ: inputs, files, version, cluster, resources, definition."""
    for one in (job_id, other_id):
        opened_own(request, gateway, caller, one)
    found = gateway.diff(caller.viewer, job_id, other_id)
    rows: list[Json] = [{"field": one.field, "a": one.a, "b": one.b} for one in found]
    return answer({"a": job_id, "b": other_id, "differences": rows})


@router.get("/{job_id}/family", response_model=Family)
def show_family(request: Request, job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """The tree of resubmissions that the job belongs to."""
    opened_own(request, gateway, caller, job_id)
    return answer({"tree": _tree(gateway.store.family(caller.viewer, job_id))})


def _tree(members: Sequence[JobSummary]) -> list[Json]:
    """The members below their parents; one whose parent isn't there stands at the top. Built without recursion:
    a chain of resubmissions may be long."""
    documents: dict[str, Document] = {one.id: _member(one) for one in members}
    tops: list[Json] = []
    for one in members:
        parent = documents.get(one.parent_id or "")
        siblings = tops if parent is None else parent["children"]
        assert isinstance(siblings, list)  # noqa: S101  (made so by _member)
        siblings.append(documents[one.id])
    return tops


def _member(one: JobSummary) -> Document:
    return {
        "id": one.id,
        "name": one.name,
        "application": one.application,
        "version": one.version,
        "state": one.state.value,
        "created_at": moment(one.created_at),
        "children": [],
    }
