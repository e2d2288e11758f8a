"""The site: the portal's pages beside the API, answered by one process.

request ─► is it the API's? ─► the API as it is
                  └─ else ─► safe headers ─► figures ─► body limit ─► session, CSRF ─► page
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.api.app import make_app
from isthmus.api.limits import MAX_BODY_BYTES, MAX_SIGN_IN_BYTES, BodyLimit, PasswordGate
from isthmus.api.metrics import Timing
from isthmus.api.server import serve as serve_app
from isthmus.api.services import Services
from isthmus.config import Configuration
from isthmus.files import FileStore
from isthmus.portal import (
    account,
    admin,
    bulk,
    catalogue,
    clusterpage,
    comparing,
    forms,
    home,
    joblist,
    jobpage,
    live,
    notices,
    projects,
    resubmitting,
    sharing,
    signing_in,
    trouble,
    uploads,
    users,
)
from isthmus.portal.rendering import Templates, cluster_titles
from isthmus.portal.session import UPLOADS, SafeHeaders, SessionRequired
from isthmus.portal.static_files import StaticFiles
from isthmus.store import Store

_API = ("/api", "/openapi.json", "/healthz", "/readyz", "/metrics")


class Site:
    """One web process: the API's paths go to the API, everything else is a page."""

    def __init__(self, api: ASGIApp, pages: ASGIApp, state: State) -> None:
        self._api, self._pages, self.state = api, pages, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and not _is_of_api(scope["path"])
        await (self._pages if ours else self._api)(scope, receive, send)


def make_site(configuration: Configuration, store: Store, files: FileStore) -> Site:
    """Portal and API for one process; store and file store stay the caller's to close."""
    api = make_app(configuration, store, files)
    return Site(api, SafeHeaders(_pages(api.state.services)), api.state)


def serve(home: Path, *, host: str | None = None, port: int | None = None, fd: int | None = None) -> None:
    """Serves portal and API of the gateway in `home` until SIGTERM or SIGINT."""
    serve_app(home, host=host, port=port, fd=fd, make=make_site)


def _pages(services: Services) -> Starlette:
    pages = Starlette(
        routes=_routes(),
        middleware=[
            Middleware(Timing, figures=services.figures),
            Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, others=_limits()),
            Middleware(SessionRequired, services=services),
        ],
        exception_handlers=trouble.handlers(),
    )
    pages.router.redirect_slashes = False
    pages.state.services = services
    pages.state.templates = Templates(cluster_titles(services.gateway.configuration))
    pages.state.links = PasswordGate(burst=20)
    return pages


def _limits() -> dict[tuple[str, str], int | None]:
    return {("POST", UPLOADS): None, ("POST", "/sign-in"): MAX_SIGN_IN_BYTES}


def _routes() -> list[BaseRoute]:
    """Fixed paths come before those with an id in their place."""
    parts = (
        signing_in,
        home,
        live,
        catalogue,
        forms,
        resubmitting,
        uploads,
        joblist,
        bulk,
        clusterpage,
        account,
        notices,
        admin,
        users,
        projects,
        comparing,
        sharing,
        jobpage,
    )
    return [*(route for part in parts for route in part.routes), Mount("/static", StaticFiles(), name="static")]


def _is_of_api(path: str) -> bool:
    return any(path == known or path.startswith(known + "/") for known in _API)
