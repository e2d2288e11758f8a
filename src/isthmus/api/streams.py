"""Routes that never end: events as Server-Sent Events, each with its place in the history as its id."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from isthmus.api.access import opened
from isthmus.api.authentication import Caller, Reader
from isthmus.api.documents import event_document
from isthmus.api.requests import IdInPath
from isthmus.api.services import Services, Shared
from isthmus.application.inputs import MAX_INTEGER
from isthmus.errors import InputFault, InvalidInput, NotFound, NotSignedIn
from isthmus.store.history import EventRow, Position
from isthmus.store.records import Viewer

router = APIRouter(tags=["events"])

PULSE_S = 15.0
"""How often a stream says that it lives, and whether its reader still may read is looked up."""
_SLACK_S = 0.05
"""A look this long after a token's end finds it ended, whatever the clocks' grain."""

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "events as they happen: `id`, `event: job`, `data` as in the list of a job's events",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """Lines of Server-Sent Events, holding a place as long as the connection lasts; TooManyStreams if there is none."""

    def __init__(self, lines: AsyncIterator[str], place: AbstractContextManager[None]) -> None:
        super().__init__(lines, 200, _HEADERS, "text/event-stream")
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=r"^\d{1,19}-\d{1,19}$", description="go on after this event"),
]


@router.get("/events", response_class=StreamingResponse, responses=_STREAM)
async def stream_events(services: Shared, caller: Reader, last_event_id: LastEventId = None) -> Response:
    """Everything that happens to the caller's jobs, from now on or from after Last-Event-ID, without a gap."""

    def viewer() -> Viewer:
        return services.tokens.caller(caller.token).viewer

    return await _stream(services, caller, last_event_id, None, viewer)


@router.get("/jobs/{job_id}/events/stream", response_class=StreamingResponse, responses=_STREAM)
async def stream_job_events(
    request: Request, job_id: IdInPath, services: Shared, caller: Reader, last_event_id: LastEventId = None
) -> Response:
    """Everything that happens to one job: from its beginning, or from after Last-Event-ID."""

    def viewer() -> Viewer:
        return opened(request, services.gateway, services.tokens.caller(caller.token), job_id).viewer

    return await _stream(services, caller, last_event_id or str(Position()), job_id, viewer)


async def _stream(
    services: Services, caller: Caller, last_event_id: str | None, job_id: str | None, look_up: Callable[[], Viewer]
) -> Response:
    """`look_up` tells with which viewer the stream may be read, now and again while it is read."""
    viewer = await anyio.to_thread.run_sync(look_up)
    after = None
    if last_event_id is not None:
        after = await anyio.to_thread.run_sync(services.gateway.store.standing, position_of(last_event_id))
    lines = _lines(services, caller, after, job_id, (viewer, look_up))
    return EventStream(lines, services.streams.of_user(caller.identity.user_id))


def position_of(last_event_id: str) -> Position:
    """The place the id names. InvalidInput: one that no database could have counted to."""
    position = Position.parse(last_event_id)
    if max(position.xid, position.id) > MAX_INTEGER:
        message = "is not the id of an event of this gateway"
        raise InvalidInput(message, (InputFault("header.Last-Event-ID", "unknown", message),))
    return position


async def _lines(
    services: Services,
    caller: Caller,
    after: Position | None,
    job_id: str | None,
    reading: tuple[Viewer, Callable[[], Viewer]],
) -> AsyncIterator[str]:
    viewer, look_up = reading
    yield ": the stream is open\n\n"
    expires_at = await anyio.to_thread.run_sync(services.tokens.expires_at, caller)
    left_s = None if expires_at is None else max(expires_at - time.time(), 0) + _SLACK_S
    async with services.tail.follow(viewer, after, job_id=job_id, pulse_s=PULSE_S, nudge_in_s=left_s) as rows:
        async for row in rows:
            if row is not None:
                yield _line(row)
            elif await _still_valid(viewer, look_up):
                yield ":\n\n"
            else:
                return


def _line(row: EventRow) -> str:
    data = json.dumps(event_document(row), separators=(",", ":"))
    return f"id: {row.position}\nevent: job\ndata: {data}\n\n"


async def _still_valid(viewer: Viewer, look_up: Callable[[], Viewer]) -> bool:
    try:
        return await anyio.to_thread.run_sync(look_up) == viewer
    except (NotSignedIn, NotFound):
        return False
