"""A job that somebody has opened to read: through its page, or by a link that shows it.

The same handlers serve both; `Opened.base` is what their pages' links begin with.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from starlette.requests import Request

from isthmus.api.access import address_of
from isthmus.api.limits import PasswordGate
from isthmus.api.services import Services
from isthmus.errors import NotAllowed, NotFound, NotSignedIn
from isthmus.gateway import Gateway
from isthmus.gateway.sharing import Access, Right
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.views import JobView


@dataclass(frozen=True, slots=True)
class Opened:
    """The job as it may be read; `visitor` is None for whoever has a link and no account."""

    gateway: Gateway
    access: Access
    base: str
    visitor: Visitor | None

    @property
    def id(self) -> str:
        return self.access.job_id

    @property
    def may_change(self) -> bool:
        return self.access.may_change

    @property
    def is_mine(self) -> bool:
        return self.access.via is Right.OWNER

    @property
    def as_administrator(self) -> bool:
        return self.access.via is Right.ADMINISTRATOR

    def job(self) -> JobView:
        """The job as it is now. NotFound: it is not shown any more."""
        return self.gateway.store.job(self.access.viewer, self.id)


def open_job(request: Request, *, download: str | None = None, opening: bool = False) -> Opened:
    """The job that the request's path names. NotFound: there is none for this reader.

    `download` is the file that is about to be sent, `opening` says that a link's page is shown: both are audited.
    """
    if "link" in request.path_params:
        return _by_link(request, download, opening)
    visitor, job_id = visitor_of(request), request.path_params["job_id"]
    access = visitor.gateway.access(
        visitor.caller.viewer, job_id, by=visitor.name, address=visitor.address, download=download
    )
    if access.via is Right.OWNER:  # one's own page is never read as an administrator
        access = replace(access, viewer=visitor.viewer)
    return Opened(visitor.gateway, access, f"/jobs/{job_id}", visitor)


def _by_link(request: Request, download: str | None, opening: bool) -> Opened:
    """Whoever tries wrong links waits; a right one is never refused for what others do."""
    services: Services = request.app.state.services
    gate: PasswordGate = request.app.state.links
    text = request.path_params["link"]
    address = address_of(request)
    try:
        access = services.gateway.access_by_link(text, address=address, download=download, opening=opening)
    except NotFound:
        with suppress(NotSignedIn), gate.attempt(f"link from {address}", address):
            raise NotSignedIn("a wrong link") from None
        raise
    return Opened(services.gateway, access, f"/shared/{text}", None)


def may_change(request: Request) -> Opened:
    """The job, which the visitor may act on. NotFound; NotAllowed: they may only read it."""
    job = open_job(request)
    if not job.may_change:
        raise NotAllowed("this job was shown to you to be read; only its owner can change it")
    return job
