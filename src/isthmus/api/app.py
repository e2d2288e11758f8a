"""The application: its parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from isthmus.api import (
    applications,
    audit,
    clusters,
    families,
    files,
    health,
    jobs,
    outputs,
    people,
    projects,
    sharing,
    streams,
)
from isthmus.api.attempts import AttemptRoutes
from isthmus.api.authentication import SignInRequired, Tokens
from isthmus.api.limits import MAX_BODY_BYTES, MAX_SIGN_IN_BYTES, BodyLimit, PasswordGate, StreamPlaces
from isthmus.api.metrics import Figures, Timing
from isthmus.api.openapi import PREFIX, describe
from isthmus.api.problem import on_http_exception, on_invalid_request, on_isthmus_error, on_surprise
from isthmus.api.services import Services
from isthmus.api.shortway import ShortWay
from isthmus.config import Configuration
from isthmus.errors import IsthmusError
from isthmus.events import Tail
from isthmus.files import FileStore
from isthmus.gateway import Gateway
from isthmus.job import JobState
from isthmus.store import Store, Viewer
from isthmus.tickets import Tickets

THREADS = 32
API_VERSION = "1"
_COUNT_BOUND = 100_000
_GATEWAY_ITSELF = Viewer("", is_admin=True)


def make_app(configuration: Configuration, store: Store, files: FileStore) -> FastAPI:
    """The application for one process; store and file store stay the caller's to close."""
    services = _services(Gateway(configuration, store, files))
    app = FastAPI(
        title="Isthmus",
        version=API_VERSION,
        summary="A science gateway: catalogued programs as jobs on an institution's clusters.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
    )
    app.state.services = services
    for part in (_api(), health.router):
        app.include_router(part)
    app.add_middleware(ShortWay, gateway=services.gateway)
    app.add_middleware(SignInRequired, tokens=services.tokens, passwords_at=("POST", f"{PREFIX}/tokens"))
    others = {("POST", f"{PREFIX}/files"): None, ("POST", f"{PREFIX}/tokens"): MAX_SIGN_IN_BYTES}
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, others=others)
    app.add_middleware(AttemptRoutes, store=store, files=files, tickets=Tickets.at(configuration.home))
    app.add_middleware(Timing, figures=services.figures)
    app.add_exception_handler(IsthmusError, on_isthmus_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_surprise)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # the way FastAPI documents
    return app


def _services(gateway: Gateway) -> Services:
    tail = Tail(gateway.store)

    def jobs_by_state() -> dict[JobState, int]:
        return {state: found.n for state, found in gateway.store.counts(_GATEWAY_ITSELF, _COUNT_BOUND).items()}

    figures = Figures(jobs_by_state, lambda: tail.followers, gateway.store.outbox)
    streams = StreamPlaces(gateway.configuration.house.limits)
    return Services(gateway, tail, Tokens(gateway.store), PasswordGate(), streams, figures)


def _api() -> APIRouter:
    """Fixed paths come before those with an id in their place."""
    api = APIRouter(prefix=PREFIX)
    for part in (applications, families, jobs, outputs, streams, files, clusters, sharing, projects, audit):
        api.include_router(part.router)
    for router in (people.me, people.tokens, people.users):
        api.include_router(router)
    return api


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield
    app.state.services.tail.close()
