"""Reading a job that may be another's: every route that permits it goes through here, so that it is audited."""

from __future__ import annotations

from fastapi import Request

from isthmus.api.authentication import Caller
from isthmus.errors import NotFound
from isthmus.gateway import Gateway
from isthmus.gateway.sharing import Access
from isthmus.store.audit import Actor


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else ""


def actor_of(request: Request, caller: Caller) -> Actor:
    """Who asks, as the audit tells of it."""
    return Actor(caller.identity.user_id, caller.identity.name, address_of(request))


def opened(request: Request, gateway: Gateway, caller: Caller, job_id: str, download: str | None = None) -> Access:
    """How the caller may read the job: their own, one they were shown, or as an administrator. NotFound.

    `download` names the file that is about to be sent.
    """
    name, address = caller.identity.name, address_of(request)
    return gateway.access(caller.viewer, job_id, by=name, address=address, download=download)


def opened_own(request: Request, gateway: Gateway, caller: Caller, job_id: str) -> Access:
    """As `opened`, but a job that the caller was only shown is NotFound."""
    access = opened(request, gateway, caller, job_id)
    if not access.may_change:
        raise NotFound("there is no such job")
    return access
