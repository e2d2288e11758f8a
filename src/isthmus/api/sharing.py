"""Routes of shares: showing a job to others, ending that, and what others show to the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from isthmus.api.access import actor_of
from isthmus.api.authentication import Reader, Submitter
from isthmus.api.documents import answer, job_summary, share_document
from isthmus.api.requests import Id, IdInPath, ShareBody
from isthmus.api.responses.sharing import NewShareOut, SharedList, ShareList
from isthmus.api.services import Shared, TheGateway
from isthmus.application import Json
from isthmus.errors import InputFault, InvalidInput
from isthmus.store.shares import ShareKind, ShareWith

router = APIRouter(tags=["sharing"])


@router.post("/jobs/{job_id}/shares", response_model=NewShareOut, status_code=201)
def share_job(request: Request, job_id: IdInPath, body: ShareBody, gateway: TheGateway, caller: Submitter) -> Response:
    """The job is shown to a user, to a project that the caller is in, or to whoever has the link, for reading only."""
    made = gateway.store.share(caller.viewer, job_id, _wanted(body), actor_of(request, caller))
    return answer({**share_document(made.share), "link": made.link}, 201)


def _wanted(body: ShareBody) -> ShareWith:
    """Whom the body names. InvalidInput: nobody, or several."""
    named = [
        ShareWith(kind, name, body.days)
        for kind, name in ((ShareKind.USER, body.user), (ShareKind.PROJECT, body.project))
        if name is not None
    ]
    named += [ShareWith(ShareKind.LINK, "", body.days)] if body.link else []
    if len(named) != 1:
        message = "say whom to share it with: one of user, project, and link: true"
        raise InvalidInput(message, (InputFault("user", "one_of", message),))
    return named[0]


@router.get("/jobs/{job_id}/shares", response_model=ShareList)
def list_job_shares(job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """Whom the caller's job is shown to now."""
    return answer({"shares": [share_document(share) for share in gateway.store.shares_of(caller.viewer, job_id)]})


@router.delete("/jobs/{job_id}/shares/{share_id}", status_code=204)
def end_share(request: Request, job_id: IdInPath, share_id: IdInPath, services: Shared, caller: Submitter) -> Response:
    """The share shows the job to nobody any more; streams that were open because of it end."""
    services.gateway.store.end_share(caller.viewer, job_id, share_id, actor_of(request, caller))
    services.tail.nudge()
    return Response(status_code=204)


@router.get("/shares", response_model=SharedList)
def list_shared_jobs(
    gateway: TheGateway,
    caller: Reader,
    before: Annotated[Id | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Jobs that others show to the caller, the newest share first, each once."""
    found = gateway.store.shared_with(caller.viewer, limit, before)
    next_before = found[-1].share.id if len(found) == limit else None
    shared: list[Json] = [{"share": share_document(one.share), "job": job_summary(one.job)} for one in found]
    return answer({"shared": shared, "next_before": next_before})
