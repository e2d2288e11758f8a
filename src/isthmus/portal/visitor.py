"""The signed-in user as a page meets them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from isthmus.api.access import address_of
from isthmus.api.authentication import Caller
from isthmus.api.services import Services
from isthmus.errors import NotAllowed, NotSignedIn
from isthmus.gateway import By, Gateway
from isthmus.gateway.sharing import Access
from isthmus.store import Viewer
from isthmus.store.audit import Actor


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks for a page. Own pages see only what is theirs, also an administrator's."""

    caller: Caller
    services: Services
    csrf: str
    request: Request

    @property
    def gateway(self) -> Gateway:
        return self.services.gateway

    @property
    def name(self) -> str:
        return self.caller.identity.name

    @property
    def user_id(self) -> str:
        return self.caller.identity.user_id

    @property
    def viewer(self) -> Viewer:
        """The user as themselves, never as an administrator."""
        return Viewer(self.user_id)

    @property
    def by(self) -> By:
        return By(self.viewer, self.name)

    @property
    def is_administrator(self) -> bool:
        return self.caller.is_administrator

    @property
    def admin_viewer(self) -> Viewer:
        """The user as an administrator. NotAllowed."""
        if not self.is_administrator:
            raise NotAllowed("only administrators see this page")
        return self.caller.viewer

    @property
    def actor(self) -> Actor:
        """The user as the audit names them."""
        return Actor(self.user_id, self.name, self.address)

    @property
    def admin_actor(self) -> Actor:
        """The same, where only an administrator may act. NotAllowed."""
        _ = self.admin_viewer
        return self.actor

    @property
    def address(self) -> str:
        return address_of(self.request)

    def access(self, job_id: str) -> Access:
        """How this one job may be read: as its owner, by a share, or as an administrator. NotFound."""
        return self.gateway.access(self.caller.viewer, job_id, by=self.name, address=self.address)


def visitor_of(request: Request) -> Visitor:
    """The request's visitor. NotSignedIn: a page that strangers may open was asked by one."""
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    if visitor is None:
        raise NotSignedIn("sign in first")
    return visitor
