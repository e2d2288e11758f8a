"""A job's page, its parts, and what its owner does there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.application import Application
from isthmus.errors import InputFault
from isthmus.gateway import Stream
from isthmus.portal import history, logpage, outputs
from isthmus.portal.familytree import tree_of
from isthmus.portal.jobview import context_of, script_of
from isthmus.portal.naming import label_faults, name_faults, read_labels
from isthmus.portal.opened import Opened, may_change, open_job
from isthmus.portal.rendering import fault_sentence, page, wants_part
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import visitor_of
from isthmus.store.audit import Actor
from isthmus.store.wishes import ChangedMeanwhile, JobChanges

Handler = Callable[[Request], Response]


def show(request: Request) -> Response:
    """The whole page."""
    job = open_job(request)
    return page(request, "job/show.html", **context_of(job, _asked_stream(request), with_log=True))


def show_body(request: Request) -> Response:
    """The part that changes as the job does; the log, which changes by itself, is left out."""
    return _body(request, open_job(request))


def _body(request: Request, job: Opened, **more: object) -> Response:
    return page(request, "job/body.html", **{**context_of(job), **more})


def _asked_stream(request: Request) -> Stream | None:
    name = request.query_params.get("log")
    return Stream(name) if name in tuple(Stream) else None


def show_script(request: Request) -> Response:
    """What the job runs, as a part of its page."""
    job = open_job(request)
    view = job.job()
    text, why_not = script_of(job, view)
    application = Application.from_json(view.definition)
    return page(request, "job/script.html", job=view, script=text, why_not=why_not, application=application)


def show_family(request: Request) -> Response:
    """Who was made of whom, as a part of the page."""
    job = open_job(request)
    tree = tree_of(job.gateway, job.access.viewer, job.id)
    return page(request, "job/family.html", job=job.job(), tree=tree, hears_all=job.is_mine)


# --- what its owner does ----------------------------------------------------------------------------------------------
def cancel(request: Request) -> Response:
    """Cancelling is asked for; the page says so until the job is proved not to run."""
    job = may_change(request)
    job.gateway.store.request_cancel(job.access.viewer, [job.id], time.time(), visitor_of(request).actor)
    return _done(request, job)


@with_form
def change(request: Request, form: Form) -> Response:
    """The job's name and labels are as given, or the form says what is wrong, or what somebody else made of them."""
    job = may_change(request)
    name, labels = form.get("name").strip(), read_labels(form.get("labels"))
    faults = {fault.field: fault_sentence(fault) for fault in (*_name_faults(name), *label_faults(labels))}
    if faults:
        return _refused(request, job, form, 422, faults=faults)
    if not _changed(job, form, name, labels, visitor_of(request).actor):
        return _refused(request, job, form, 409, collides=True)
    return _done(request, job)


def _name_faults(name: str) -> Iterator[InputFault]:
    yield from name_faults(name)
    if not name:
        yield InputFault("name", "missing", "Give the job a name.")


def _changed(job: Opened, form: Form, name: str, labels: tuple[str, ...], by: Actor) -> bool:
    """Whether the job is as the form says. No: since the form was filled in, somebody changed the very same otherwise.

    What was not edited in the form stays as somebody else made it meanwhile.
    """
    while True:
        now = job.job()
        had_name = form.get("had_name", now.name)
        had_labels = {*(read_labels(form.get("had_labels")) if "had_labels" in form else now.labels)}
        new_name = None if name == had_name else name
        new_labels = None if {*labels} == had_labels else labels
        if new_name is not None and now.name not in (had_name, name):
            return False
        if new_labels is not None and {*now.labels} not in (had_labels, {*labels}):
            return False
        if new_name is None and new_labels is None:
            return True
        with suppress(ChangedMeanwhile):  # by its own progress, most likely
            changes = JobChanges(new_name, new_labels)
            job.gateway.store.change(job.access.viewer, job.id, changes, time.time(), expected_seq=now.seq, by=by)
            return True


def _refused(
    request: Request,
    job: Opened,
    form: Form,
    status: int,
    *,
    faults: Mapping[str, str] = MappingProxyType({}),
    collides: bool = False,
) -> Response:
    """The page with what was typed still in its form, and why it was not taken."""
    given = {"name": form.get("name"), "labels": form.get("labels")}
    more = {"faults": faults, "given": given, "collides": collides}
    if wants_part(request):
        return _body(request, job, **more)
    return page(request, "job/show.html", status, **{**context_of(job, with_log=True), **more})


def archive(request: Request) -> Response:
    """The job is out of the usual list, or back in it."""
    job = may_change(request)
    archived = job.job().archived_at is None
    changes, by = JobChanges(archived=archived), visitor_of(request).actor
    job.gateway.store.change(job.access.viewer, job.id, changes, time.time(), by=by)
    return _done(request, job)


def delete(request: Request) -> Response:
    """The job and its files are gone; the browser goes on to the list."""
    job, visitor = may_change(request), visitor_of(request)
    job.gateway.delete(job.access.viewer, job.id, by=visitor.actor)
    return RedirectResponse("/jobs", 303)


def _done(request: Request, job: Opened) -> Response:
    if wants_part(request):
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
        ("/events/file", history.download),
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
