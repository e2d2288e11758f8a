"""Files for a form: sent from the browser, taken from the outputs of earlier jobs, or from what was sent before."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from isthmus.api.files import upload_file
from isthmus.api.problem import status_of
from isthmus.errors import IsthmusError
from isthmus.gateway.submission import OutputReference, UploadReference
from isthmus.job import JobState
from isthmus.portal.chosen import Chooser, ChosenFile
from isthmus.portal.formtexts import text_of_file
from isthmus.portal.rendering import page
from isthmus.portal.session import UPLOADS
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store import JobSummary, ListQuery

MANY = 200
JOBS_AT_ONCE = 12
"""How many jobs are looked through for fitting outputs at a time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What fits an input: endings of names and media types, any if there is none; and words to search for."""

    endings: tuple[str, ...]
    media_types: tuple[str, ...]
    text: str

    @classmethod
    def by(cls, request: Request) -> Wanted:
        given = request.query_params
        endings = tuple(one.lower() for one in given.get("endings", "").split(",") if one)
        media_types = tuple(one for one in given.get("types", "").split(",") if one)
        return cls(endings, media_types, given.get("text", "").strip()[:200])

    def fits(self, name: str, media_type: str) -> bool:
        is_named_so = not self.endings or name.lower().endswith(self.endings)
        is_known = media_type not in ("", "application/octet-stream")
        of_kind = (
            not self.media_types or not is_known or any(fnmatch.fnmatchcase(media_type, t) for t in self.media_types)
        )
        return is_named_so and of_kind


@dataclass(frozen=True, slots=True)
class Offer:
    """A job with those of its outputs that fit."""

    job: JobSummary
    files: tuple[ChosenFile, ...]


async def upload(request: Request) -> Response:
    """The file is the visitor's, and drawn as a form shows it; else why not, as JSON with a `message`."""
    visitor = visitor_of(request)
    try:
        answer = await upload_file(request, visitor.gateway, visitor.caller, request.query_params.get("name"))
    except IsthmusError as error:
        return JSONResponse({"message": error.message}, status_of(error))
    upload_id = json.loads(bytes(answer.body))["id"]
    chosen = await anyio.to_thread.run_sync(_chosen, visitor, text_of_file(UploadReference(upload_id)))
    return _chip(request, chosen, 201)


def show_chip(request: Request) -> Response:
    """A chosen file as a form shows it."""
    return _chip(request, _chosen(visitor_of(request), request.query_params.get("file", "")))


def _chosen(visitor: Visitor, text: str) -> ChosenFile:
    return Chooser(visitor.gateway.store, visitor.viewer).one(text)


def _chip(request: Request, chosen: ChosenFile, status: int = 200) -> Response:
    name = request.query_params.get("field", "")
    return page(request, "forms/chip.html", status, name=name, file=chosen)


def show_mine(request: Request) -> Response:
    """The files that the visitor sent before and that fit."""
    visitor, wanted = visitor_of(request), Wanted.by(request)
    words = wanted.text.casefold().split()
    sent = visitor.gateway.store.uploads(visitor.viewer, MANY)
    found = [
        one for one in sent if wanted.fits(one.name, one.media_type) and all(w in one.name.casefold() for w in words)
    ]
    return page(request, "forms/sent_before.html", uploads=found, sent=len(sent), many=MANY)


def show_outputs(request: Request) -> Response:
    """The visitor's ended jobs that have outputs which fit, the newest first."""
    visitor, wanted = visitor_of(request), Wanted.by(request)
    query = ListQuery(
        states=(JobState.COMPLETED, JobState.FAILED),
        text=wanted.text,
        cursor=request.query_params.get("cursor") or None,
        limit=JOBS_AT_ONCE,
    )
    found = visitor.gateway.store.page(visitor.viewer, query)
    offers = [offer for job in found.jobs if (offer := _offer(visitor, job, wanted)).files]
    return page(
        request,
        "forms/from_jobs.html",
        offers=offers,
        looked_through=len(found.jobs),
        next_cursor=found.next_cursor,
        wanted=wanted,
        params=request.query_params,
    )


def _offer(visitor: Visitor, job: JobSummary, wanted: Wanted) -> Offer:
    return Offer(job, tuple(_files(visitor, job, wanted)))


def _files(visitor: Visitor, job: JobSummary, wanted: Wanted) -> Iterator[ChosenFile]:
    for one in visitor.gateway.store.job(visitor.viewer, job.id).outputs:
        name = one.path.rpartition("/")[2]
        if one.size and wanted.fits(name, one.media_type):
            text = text_of_file(OutputReference(job.id, one.name, one.path))
            yield ChosenFile(text, one.path, one.size, one.name, media_type=one.media_type)


routes = [
    Route(UPLOADS, upload, methods=["POST"]),
    Route("/uploads/part/chip", show_chip, methods=["GET"]),
    Route("/uploads/part/mine", show_mine, methods=["GET"]),
    Route("/uploads/part/outputs", show_outputs, methods=["GET"]),
]
