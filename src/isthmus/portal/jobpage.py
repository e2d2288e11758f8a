"""A job's page, its parts, and what its owner does there."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.requests import JobPatch
from isthmus.application import Application
from isthmus.gateway import Stream
from isthmus.portal import logpage, outputs
from isthmus.portal.familytree import tree_of
from isthmus.portal.jobview import context_of, script_of
from isthmus.portal.opened import Opened, may_change, opened
from isthmus.portal.reading import Form, with_form
from isthmus.portal.rendering import page
from isthmus.portal.visitor import visitor_of
from isthmus.store.audit import Actor
from isthmus.store.wishes import JobChanges

Handler = Callable[[Request], Response]


def show(request: Request) -> Response:
    """The whole page."""
    job = opened(request)
    return page(request, "job/show.html", **context_of(job, _asked_stream(request), with_log=True))


def show_body(request: Request) -> Response:
    """The part that changes as the job does; the log, which changes by itself, is left out."""
    return _body(request, opened(request))


def _body(request: Request, job: Opened, **more: object) -> Response:
    return page(request, "job/body.html", **{**context_of(job), **more})


def _asked_stream(request: Request) -> Stream | None:
    name = request.query_params.get("log")
    return Stream(name) if name in tuple(Stream) else None


def show_script(request: Request) -> Response:
    """What the job runs, as a part of its page."""
    job = opened(request)
    view = job.job()
    text, why_not = script_of(job, view)
    application = Application.from_json(view.definition)
    return page(request, "job/script.html", job=view, script=text, why_not=why_not, application=application)


def show_family(request: Request) -> Response:
    """Who was made of whom, as a part of the page."""
    job = opened(request)
    tree = tree_of(job.gateway, job.access.viewer, job.id)
    return page(request, "job/family.html", job=job.job(), tree=tree)


# --- what its owner does ----------------------------------------------------------------------------------------------
def cancel(request: Request) -> Response:
    """Cancelling is asked for; the page says so until the job is proved not to run."""
    job = may_change(request)
    job.gateway.store.request_cancel(job.access.viewer, [job.id], time.time())
    return _done(request, job)


@with_form
def change(request: Request, form: Form) -> Response:
    """The job's name and labels are as given, or the form says what is wrong with them."""
    job = may_change(request)
    name = form.get("name").strip()
    labels = [label for line in form.get("labels").split("\n") if (label := line.strip())]
    faults = _faults(name, labels)
    if faults:
        given = {"name": name, "labels": form.get("labels")}
        if "hx-request" in request.headers:
            return _body(request, job, faults=faults, given=given)
        return page(
            request, "job/show.html", 422, **{**context_of(job, with_log=True), "faults": faults, "given": given}
        )
    changes = JobChanges(name, tuple(labels))
    job.gateway.store.change(job.access.viewer, job.id, changes, time.time())
    return _done(request, job)


_FIELDS = {
    "name": "Give a name of 1 to 255 characters on one line.",
    "labels": "Give at most 20 labels of 1 to 64 characters, each on a line of its own.",
}


def _faults(name: str, labels: list[str]) -> dict[str, str]:
    try:
        JobPatch(name=name, labels=labels)
    except ValidationError as wrong:
        return {str(one["loc"][0]): _FIELDS[str(one["loc"][0])] for one in wrong.errors() if one["loc"]}
    return {}


def archive(request: Request) -> Response:
    """The job is out of the usual list, or back in it."""
    job = may_change(request)
    changes = JobChanges(archived=job.job().archived_at is None)
    job.gateway.store.change(job.access.viewer, job.id, changes, time.time())
    return _done(request, job)


def delete(request: Request) -> Response:
    """The job and its files are gone; the browser goes on to the list."""
    job, visitor = may_change(request), visitor_of(request)
    actor = Actor(visitor.user_id, visitor.name, visitor.address)
    job.gateway.delete(job.access.viewer, job.id, by=actor)
    return RedirectResponse("/jobs", 303)


def _done(request: Request, job: Opened) -> Response:
    if "hx-request" in request.headers:
        return _body(request, job)
    return RedirectResponse(job.base, 303)


def reading_routes(base: str) -> list[Route]:
    """What every reader of a job may ask for, below its page's path."""
    found: list[tuple[str, Handler]] = [
        ("/part/body", show_body),
        ("/part/script", show_script),
        ("/outputs.zip", outputs.send_all),
        ("/outputs/{name}/file", outputs.send_file),
        ("/outputs/{name}/part/view", outputs.show_file),
        ("/inputs/{name}/file", outputs.send_input),
        ("/log/{stream}", logpage.show_piece),
        ("/log/{stream}/file", logpage.download),
    ]
    return [Route(base + path, handler, methods=["GET"]) for path, handler in found]


JOB = "/jobs/{job_id}"
routes = [
    Route(JOB, show, methods=["GET"]),
    *reading_routes(JOB),
    Route(f"{JOB}/part/family", show_family, methods=["GET"]),
    Route(f"{JOB}/cancel", cancel, methods=["POST"]),
    Route(f"{JOB}/change", change, methods=["POST"]),
    Route(f"{JOB}/archive", archive, methods=["POST"]),
    Route(f"{JOB}/delete", delete, methods=["POST"]),
]
