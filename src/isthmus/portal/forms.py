"""The form of an application: shown, looked at while it is filled in, kept as a draft, and sent.

`routes_at` makes the routes of any form; what differs between a new job and one submitted again is how it is opened
and how it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.problem import status_of
from isthmus.application import Application, EnabledFor, Example, Json
from isthmus.errors import InputFault, InvalidInput, IsthmusError, NotFound
from isthmus.gateway import By, Key
from isthmus.gateway import Request as JobRequest
from isthmus.gateway.catalogue import Entry
from isthmus.portal.catalogue import closed_words
from isthmus.portal.checking import Look
from isthmus.portal.chosen import references
from isthmus.portal.fields import fault_words
from isthmus.portal.filling import (
    Filling,
    blank,
    drawn,
    gets,
    permits,
    texts_of_draft,
    texts_of_example,
    texts_of_form,
    usual_notices,
)
from isthmus.portal.formtexts import Texts
from isthmus.portal.rendering import page
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store import CopiedFrom, Upload
from isthmus.store.drafts import Draft

RECENT_UPLOADS = 200

Open = Callable[[Request], Filling]
Send = Callable[[Filling, Texts, Key | None], str]
"""Sends what a form holds; the id of the job that it made, or had made before."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How forms of one kind are opened and sent."""

    open: Open
    send: Send


def routes_at(path: str, kind: Kind) -> list[Route]:
    """The form at `path` and what belongs to it."""

    def show(request: Request) -> Response:
        """The form: the draft of earlier, or as it is at first."""
        filling = kind.open(request)
        draft = None if "example" in request.query_params else _draft_of(filling)
        if draft is None:
            return _drawn(request, filling, dict(filling.start))
        texts = {**filling.start, **texts_of_draft(draft.body)}
        found = filling.look(texts)
        marks = [fault for fault in found.faults if fault.code != "missing"]  # what was not come to yet is no fault
        return _drawn(request, filling, texts, marks, draft_at=draft.updated_at, found=found)

    def send(request: Request, form: Form) -> Response:
        """The job is there and shown, or the form is shown again with what is wrong."""
        filling, texts = kind.open(request), texts_of_form(form)
        found = filling.look(texts)
        if found.faults:
            _keep(filling, texts)
            return _drawn(request, filling, texts, found.faults, form.get("key"), status=422, found=found)
        try:
            job_id = kind.send(filling, texts, filling.key(form.get("key"), texts))
        except IsthmusError as error:
            faults = error.faults if isinstance(error, InvalidInput) else ()
            refusal = "" if faults else error.message
            _keep(filling, texts)
            return _drawn(request, filling, texts, faults, form.get("key"), status=status_of(error), refusal=refusal)
        filling.visitor.gateway.store.drop_draft(filling.visitor.viewer, filling.draft_key)
        return RedirectResponse(f"/jobs/{job_id}", 303)

    def look(request: Request, form: Form) -> Response:
        """What the form comes to as it is now: faults, resources, script, and what differs from the earlier job."""
        filling, texts = kind.open(request), texts_of_form(form)
        found = filling.look(texts)
        return JSONResponse(
            {
                "faults": {fault.field: fault_words(filling.application, fault) for fault in found.faults},
                "gets": gets(found.resources),
                "permits": permits(filling, texts),
                "script": found.script,
                "script_words": found.script_words,
                "changes": [
                    {"field": one.field, "label": one.label, "was": one.before, "now": one.after}
                    for one in filling.changes(texts)
                ],
            }
        )

    def save(request: Request, form: Form) -> Response:
        """The draft is kept."""
        filling, texts = kind.open(request), texts_of_form(form)
        try:
            _put_draft(filling, texts)
        except InvalidInput as refused:
            return JSONResponse({"message": refused.message}, 422)
        return JSONResponse({"saved_at": time.time()})

    def start_afresh(request: Request) -> Response:
        """There is no draft, and the form is as it is at first."""
        filling = kind.open(request)
        filling.visitor.gateway.store.drop_draft(filling.visitor.viewer, filling.draft_key)
        return RedirectResponse(filling.path, 303)

    return [
        Route(path, show, methods=["GET"]),
        Route(path, with_form(send), methods=["POST"]),
        Route(f"{path}/part/look", with_form(look), methods=["POST"]),
        Route(f"{path}/part/draft", with_form(save), methods=["POST"]),
        Route(f"{path}/afresh", start_afresh, methods=["POST"]),
    ]


def _draft_of(filling: Filling) -> Draft | None:
    return filling.visitor.gateway.store.draft(filling.visitor.viewer, filling.draft_key)


def _put_draft(filling: Filling, texts: Texts) -> None:
    body: Json = {"texts": {name: list(given) for name, given in texts.items()}}
    filling.visitor.gateway.store.put_draft(filling.visitor.viewer, filling.draft_key, body)


def _keep(filling: Filling, texts: Texts) -> None:
    """What was sent and refused is the draft, so that reloading the page loses none of it; unless the store is away."""
    with suppress(IsthmusError):
        _put_draft(filling, texts)


def _drawn(
    request: Request,
    filling: Filling,
    texts: Texts,
    faults: Iterable[InputFault] = (),
    key: str = "",
    *,
    status: int = 200,
    refusal: str = "",
    draft_at: float | None = None,
    found: Look | None = None,
) -> Response:
    context = drawn(filling, texts, found or filling.look(texts), tuple(faults), key)
    return page(request, filling.template, status, refusal=refusal, draft_at=draft_at, **context)


# --- a new job --------------------------------------------------------------------------------------------------------
def open_new(request: Request) -> Filling:
    """The form of the application in the address. NotFound: there is none; NotAllowed: it is closed."""
    visitor, name = visitor_of(request), request.path_params["name"]
    version = request.query_params.get("version")
    listing = visitor.gateway.catalogue()
    entry = listing.find(name, version)
    notices = usual_notices(visitor)
    example = _example(entry.application, request.query_params.get("example"))
    start, missing = blank(entry.application, notices), list[str]()
    if example is not None:
        uploads = visitor.gateway.store.uploads(visitor.viewer, RECENT_UPLOADS)
        start |= texts_of_example(entry.application, example, uploads)
        missing = _missing_files(example, uploads)
    return Filling(
        visitor=visitor,
        entry=entry,
        path=f"/applications/{name}",
        query="" if version is None else f"?{urlencode({'version': version})}",
        draft_key=f"application {name}",
        template="applications/show.html",
        start=start,
        clusters=visitor.gateway.clusters(),
        more={
            "versions": listing.entries[name],
            "example": example,
            "missing_files": missing,
            "closed": closed_words(entry, visitor.is_administrator),
        },
    )


def _example(application: Application, name: str | None) -> Example | None:
    found = next((one for one in application.examples if one.name == name), None)
    if name is not None and found is None:
        raise NotFound(f"{application.title} has no example of that name")
    return found


def _missing_files(example: Example, uploads: Sequence[Upload]) -> list[str]:
    """The files of the example that were not sent before."""
    sent = {upload.name for upload in uploads}
    return [one for names in example.files.values() for one in names if one not in sent]


def acting(visitor: Visitor, entry: Entry) -> By:
    """The visitor as who they may run this: as an administrator only where it is open to nobody else."""
    as_administrator = entry.enabled_for is EnabledFor.ADMINISTRATORS and visitor.is_administrator
    return visitor.caller.by if as_administrator else visitor.by


def send_new(filling: Filling, texts: Texts, key: Key | None) -> str:
    """A new job of what the form says; one that was filled in from somebody else's job tells so."""
    said, parent = filling.said(texts), filling.parent
    chosen = {name: references(filling.chooser, files, filling.visitor.viewer) for name, files in said.files.items()}
    request = JobRequest(
        application=filling.application.name,
        version=filling.application.version,
        cluster=said.cluster,
        name=said.name,
        labels=said.labels,
        inputs=said.inputs,
        files=chosen,
        resources=said.resources,
        notices=said.notices,
        project=said.project,
        copied_from=None if parent is None else CopiedFrom(parent.job.owner, parent.job.id),
    )
    return filling.visitor.gateway.submit(acting(filling.visitor, filling.entry), request, key).job.id


routes = routes_at("/applications/{name}", Kind(open_new, send_new))
