"""One stream of events a page: what happens to the visitor's jobs, or to one job with its log.

`/live` follows all of the visitor's own jobs, `/live?job=ID` one that they may read, `&log=stdout&from=N` its log from
byte N. `after` (or Last-Event-ID) names the last event that was seen, so nothing is missed after a lost connection.
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from isthmus.api.documents import event_document
from isthmus.api.services import Services
from isthmus.api.streams import position_of
from isthmus.errors import InvalidInput, IsthmusError, NotFound, NotSignedIn
from isthmus.gateway import Gateway, Stream
from isthmus.gateway.logs import LogPiece
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.history import EventRow, Position
from isthmus.store.records import Viewer

PULSE_S = 15.0
"""How often a silent stream says that it lives, and whether its reader may still read is looked up."""
CHECK_S = 2.0
"""How soon a reader of a log who may read no more gets none of it; others are told at once."""
LOOK_S = 0.4
"""How often a followed log is looked at."""
PIECE = 64 * 1024
MOST_AT_ONCE = 16
"""Pieces of a log that are sent before events get their turn."""

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(slots=True)
class _Log:
    """The log that a page follows, and how far it was sent."""

    job_id: str
    stream: Stream
    offset: int
    complete: bool = False


async def stream(request: Request) -> Response:
    """Events until the page goes away. NotFound: no such job for the visitor; InvalidInput."""
    visitor = visitor_of(request)
    job_id = request.query_params.get("job")
    viewer = visitor.viewer
    if job_id is not None:
        viewer = (await anyio.to_thread.run_sync(visitor.access, job_id)).viewer
    return await streamed(request, visitor.services, viewer, job_id, partial(_may_go_on, visitor, job_id))


async def streamed(
    request: Request, services: Services, viewer: Viewer, job_id: str | None, may_go_on: Callable[[], bool]
) -> Response:
    """Events for this viewer while `may_go_on`, asked every now and then, says so; the request says from where."""
    after = await anyio.to_thread.run_sync(_after, request, services)
    log = _log(request, job_id)
    return StreamingResponse(
        _lines(services, viewer, after, job_id, log, may_go_on), 200, _HEADERS, "text/event-stream"
    )


def _after(request: Request, services: Services) -> Position | None:
    """The position to go on from; None: from now on."""
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if not given:
        return None
    return services.gateway.store.standing(position_of(given))


def _log(request: Request, job_id: str | None) -> _Log | None:
    name, start = request.query_params.get("log"), request.query_params.get("from", "0")
    if job_id is None or name is None:
        return None
    if name not in tuple(Stream) or not start.isdecimal() or len(start) > 18:
        raise InvalidInput("there is no such log: reload the page")
    return _Log(job_id, Stream(name), int(start))


async def _lines(
    services: Services,
    viewer: Viewer,
    after: Position | None,
    job_id: str | None,
    log: _Log | None,
    may_go_on: Callable[[], bool],
) -> AsyncIterator[str]:
    newest = after or await anyio.to_thread.run_sync(services.gateway.store.newest_position)
    yield _event("open", {"after": str(newest)})
    checked_at = time.monotonic()
    pulse_s = PULSE_S if log is None else LOOK_S
    async with services.tail.follow(viewer, newest, job_id=job_id, pulse_s=pulse_s) as rows:
        async for line in _log_lines(services.gateway, viewer, log):
            yield line
        async for row in rows:
            if row is not None:
                yield _job_event(row)
            elif log is None or time.monotonic() - checked_at >= CHECK_S:
                checked_at = time.monotonic()
                if not await anyio.to_thread.run_sync(may_go_on):
                    return
                yield _event("pulse", {})  # no comment: scripts never see those, and must hear that the stream lives
            async for line in _log_lines(services.gateway, viewer, log):
                yield line


def _may_go_on(visitor: Visitor, job_id: str | None) -> bool:
    """Whether the session still stands and the job may still be read."""
    try:
        known = visitor.services.tokens.caller(visitor.caller.token)
        if job_id is not None:
            visitor.access(job_id)
    except (NotSignedIn, NotFound):
        return False
    return known.viewer == visitor.caller.viewer


async def _log_lines(gateway: Gateway, viewer: Viewer, log: _Log | None) -> AsyncIterator[str]:
    """What the log has beyond what was sent, in pieces that end at the end of a character."""
    if log is None or log.complete:
        return
    for _ in range(MOST_AT_ONCE):
        try:
            piece = await anyio.to_thread.run_sync(_piece, gateway, viewer, log)
        except NotFound:  # deleted meanwhile: the page hears of it by its event
            log.complete = True
            return
        except IsthmusError:  # the store is away: at the next look it may be back
            return
        text, used = decoded(piece)
        if used == 0 and not piece.complete:
            return
        log.offset, log.complete = piece.offset + used, piece.complete
        yield _event(
            "log",
            {
                "stream": log.stream.value,
                "offset": piece.offset,
                "next_offset": log.offset,
                "text": text,
                "complete": log.complete,
            },
        )
        if log.complete or len(piece.content) < PIECE:
            return


def _piece(gateway: Gateway, viewer: Viewer, log: _Log) -> LogPiece:
    return gateway.log(viewer, log.job_id, log.stream, log.offset, PIECE)


def decoded(piece: LogPiece) -> tuple[str, int]:
    """The piece as text, and how many of its bytes that took: a character cut in two waits for its rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(piece.content, final=piece.complete)
    return text, len(piece.content) - len(decoder.getstate()[0])


def _job_event(row: EventRow) -> str:
    return f"id: {row.position}\n{_event('job', event_document(row))}"


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


routes = [Route("/live", stream, methods=["GET"])]
