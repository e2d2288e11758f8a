"""Showing a job to others, and the page of a link: read-only, for whoever has it, without an account."""

from __future__ import annotations

from functools import partial

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.services import Services
from isthmus.errors import InputFault, InvalidInput, NotFound
from isthmus.gateway import Stream
from isthmus.portal.jobpage import reading_routes
from isthmus.portal.jobview import context_of
from isthmus.portal.live import streamed
from isthmus.portal.opened import Opened, may_change, open_job
from isthmus.portal.rendering import page, wants_part
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import visitor_of
from isthmus.store.audit import AuditKind, AuditRow
from isthmus.store.shares import LINK_DAYS, MAX_LINK_DAYS, NewShare, ShareKind, ShareWith
from isthmus.store.words import is_storable

ACCESSES = 50
_SAID = {
    AuditKind.JOB_READ: "looked at it",
    AuditKind.JOB_READ_BY_ADMINISTRATOR: "looked at it as an administrator",
    AuditKind.LINK_OPENED: "opened a link to it",
    AuditKind.OUTPUT_DOWNLOADED: "downloaded",
    AuditKind.INPUT_COPIED: "took, for a job of their own, a copy of",
    AuditKind.JOB_SHARED: "shared it",
    AuditKind.SHARE_ENDED: "ended a share",
    AuditKind.JOB_CHANGED_BY_ADMINISTRATOR: "as an administrator",
    AuditKind.JOB_DELETED_BY_ADMINISTRATOR: "deleted it as an administrator:",
}
_ACTS = (
    AuditKind.JOB_SHARED,
    AuditKind.SHARE_ENDED,
    AuditKind.JOB_CHANGED_BY_ADMINISTRATOR,
    AuditKind.JOB_DELETED_BY_ADMINISTRATOR,
)
_LOOKS = tuple(kind for kind in _SAID if kind not in _ACTS)


# --- the owner's page -------------------------------------------------------------------------------------------------
def show_sharing(request: Request) -> Response:
    """Whom the job is shown to, and who has looked."""
    return _sharing(request, may_change(request))


def _sharing(
    request: Request,
    job: Opened,
    *,
    made: NewShare | None = None,
    invalid: InvalidInput | None = None,
    form: Form | None = None,
) -> Response:
    store, viewer = job.gateway.store, job.access.viewer
    faults = {fault.field: fault.message for fault in invalid.faults} if invalid else {}
    address = f"{request.url.scheme}://{request.url.netloc}/shared/{made.link}" if made and made.link else ""
    part = "job/sharing_panel.html" if wants_part(request) else "job/sharing.html"
    return page(
        request,
        part,
        200 if invalid is None or wants_part(request) else 422,
        job=job.job(),
        shares=store.shares_of(viewer, job.id),
        looks=_lines(job, _LOOKS),
        acts=_lines(job, _ACTS),
        projects=[project.name for project in store.projects(visitor_of(request).viewer)],
        made=made,
        link=address,
        faults=faults,
        general="" if invalid is None or faults else invalid.message,
        given={name: form.get(name) if form else "" for name in ("kind", "user", "project", "days")},
        usual_days=LINK_DAYS,
        most_days=MAX_LINK_DAYS,
    )


def _lines(job: Opened, kinds: tuple[AuditKind, ...]) -> list[tuple[AuditRow, str]]:
    """The newest of what the audit tells of the job in these kinds, with words for each."""
    rows = job.gateway.store.audit_of_job(job.access.viewer, job.id, ACCESSES, kinds=kinds)
    return [(row, _SAID[row.kind]) for row in rows]


@with_form
def make_share(request: Request, form: Form) -> Response:
    """The job is shown to whom the form names; a link's text is in the answer, this one time."""
    job = may_change(request)
    if job.job().deleted_at is not None:
        raise NotFound("the job was deleted: there is nothing left to show")
    try:
        made = job.gateway.store.share(job.access.viewer, job.id, _wanted(form), visitor_of(request).actor)
    except InvalidInput as invalid:
        return _sharing(request, job, invalid=invalid, form=form)
    return _sharing(request, job, made=made)


def _wanted(form: Form) -> ShareWith:
    """Whom the form names. The store says what is wrong with it."""
    kind = ShareKind(form.get("kind")) if form.get("kind") in tuple(ShareKind) else ShareKind.USER
    days = form.get("days").strip()
    number = (int(days) if days.isascii() and days.isdigit() and len(days) < 6 else -1) if days else None
    name = "" if kind is ShareKind.LINK else form.get(kind.value).strip()
    if not is_storable(name):
        raise InvalidInput("there is no such name", (InputFault(kind.value, "unknown", "there is none of that name"),))
    return ShareWith(kind, name, number)


def end_share(request: Request) -> Response:
    """Nobody sees the job by this share any more, and pages that were open because of it end."""
    job = may_change(request)
    job.gateway.store.end_share(job.access.viewer, job.id, request.path_params["share_id"], visitor_of(request).actor)
    services: Services = request.app.state.services
    services.tail.nudge()
    if wants_part(request):
        return _sharing(request, job)
    return RedirectResponse(f"/jobs/{job.id}/sharing", 303)


# --- the page of a link -----------------------------------------------------------------------------------------------
def show_shared(request: Request) -> Response:
    """The job, read-only; a link that shows nothing (any more) is told so, and not whose it was."""
    try:
        job = open_job(request, opening=True)
        name = request.query_params.get("log")
        stream = Stream(name) if name in tuple(Stream) else None
        return page(request, "shared/show.html", **context_of(job, stream, with_log=True))
    except NotFound:
        return page(request, "shared/ended.html", 404)


async def follow_shared(request: Request) -> Response:
    """The events of the job that a link shows, while it does."""
    job = await anyio.to_thread.run_sync(open_job, request)
    services: Services = request.app.state.services
    address = request.client.host if request.client else ""
    may_go_on = partial(_still_shown, services, request.path_params["link"], address)
    return await streamed(request, services, job.access.viewer, job.id, may_go_on)


def _still_shown(services: Services, link: str, address: str) -> bool:
    try:
        services.gateway.access_by_link(link, address=address, opening=False)
    except NotFound:
        return False
    return True


LINK = "/shared/{link}"
JOB = "/jobs/{job_id}"
routes = [
    Route(f"{JOB}/sharing", show_sharing, methods=["GET"]),
    Route(f"{JOB}/shares", make_share, methods=["POST"]),
    Route(f"{JOB}/shares/{{share_id}}/end", end_share, methods=["POST"]),
    Route(f"{LINK}/live", follow_shared, methods=["GET"]),
    Route(LINK, show_shared, methods=["GET"]),
    *reading_routes(LINK),
]
