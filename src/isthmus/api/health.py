"""Routes for those who run the gateway: does it live, can it work, and its figures."""

from __future__ import annotations

import ipaddress
import shutil
import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from isthmus.api.authentication import bearer_token
from isthmus.api.documents import answer
from isthmus.api.metrics import MEDIA_TYPE
from isthmus.api.openapi import errors
from isthmus.api.responses.clusters import Health
from isthmus.api.services import Services, Shared
from isthmus.application import Json
from isthmus.errors import NotAllowed, NotSignedIn

router = APIRouter(tags=["operation"])

LATE_S = 300.0

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Below this a gateway may fail to write down what it promised, so it says that it is not ready."""


@router.get("/healthz", response_model=Health)
async def is_alive() -> Response:
    """The process lives; nothing is said of what it needs."""
    return answer({"status": "ok", "reasons": [], "notes": []})


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
def is_ready(services: Shared) -> Response:
    """The database answers and is at this version's schema, and the disk has room; else 503 with the reasons.

    `notes` tell of what does not keep the gateway from working: mails that wait.
    """
    reasons = [*_database_reasons(services), *_disk_reasons(services)]
    status = "not ready" if reasons else "ok"
    notes: list[Json] = [] if reasons else [*_mail_notes(services)]
    return answer({"status": status, "reasons": list(reasons), "notes": notes}, 503 if reasons else 200)


def _database_reasons(services: Services) -> list[str]:
    try:
        at_head = services.gateway.store.is_at_head()
    except Exception as fault:  # whatever a database's driver says, it is a reason
        return [f"the database does not answer: {type(fault).__name__}"]
    return [] if at_head else ["the database's schema is of another version of Isthmus"]


def _disk_reasons(services: Services) -> list[str]:
    free = shutil.disk_usage(services.gateway.files.root).free
    return [] if free >= MIN_FREE_BYTES else [f"the disk that holds the files has only {free // 1024 // 1024} MiB left"]


def _mail_notes(services: Services) -> list[str]:
    """Whether mails wait for longer than a server that works would let them; why, is for administrators."""
    outbox = services.gateway.store.outbox()
    waiting_s = 0.0 if outbox.oldest_at is None else time.time() - outbox.oldest_at
    if waiting_s < LATE_S:
        return []
    return [f"{outbox.waiting} mails about jobs wait, the oldest for {waiting_s / 60:.0f} min"]


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **errors(_401="not from this machine, and without a token", _403="not an administrator's token"),
    },
)
def show_metrics(request: Request, services: Shared) -> Response:
    """The process's figures, for administrators and for this machine."""
    token = bearer_token(request.headers.raw)
    may_see = token is not None and services.tokens.caller(token).is_administrator
    if not may_see and not _is_local(request):
        if token is None:
            raise NotSignedIn("send an administrator's token")
        raise NotAllowed("only administrators may see the figures from another machine")
    return Response(services.figures.text(), 200, media_type=MEDIA_TYPE)


def _is_local(request: Request) -> bool:
    """From this machine itself: a proxy on it says for whom it asks, and then it is not."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
