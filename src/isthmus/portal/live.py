"""One stream of events a page: what happens to the visitor's jobs, or to one job with its log.

`/live` follows all of the visitor's own jobs, `/live?job=ID` one that they may read, with their other
jobs if it is their own, whose page names them, `&log=stdout&from=N` its log from byte N. `after` (or
Last-Event-ID) names the last event that was seen, so nothing is missed after a lost connection.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.api.documents import event_document
from isthmus.api.services import Services
from isthmus.api.streams import EventStream, position_of
from isthmus.errors import InvalidInput, IsthmusError, NotFound, NotSignedIn
from isthmus.gateway import Gateway, Stream
from isthmus.gateway.logs import LogPiece
from isthmus.gateway.sharing import Right
from isthmus.portal.logpage import decoded
from isthmus.portal.notices import MOST_DIGITS
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.history import EventRow, Position
from isthmus.store.records import Viewer
from isthmus.store.views import JobView

PULSE_S = 15.0
"""How often a silent stream says that it lives, and whether its reader may still read is looked up."""
CHECK_S = 2.0
"""How soon a reader of a log who may read no more gets none of it; others are told at once."""
LOOK_S = 0.4
"""How often a followed log is looked at."""
PIECE = 64 * 1024
MOST_AT_ONCE = 16
"""Pieces of a log that are sent before events get their turn."""


@dataclass(slots=True)
class _Log:
    """The log that a page follows, and how far it was sent.

    `job` is as of the last event or check: where its log is changes with an event only, so a look at the log costs
    the store nothing.
    """

    job_id: str
    stream: Stream
    offset: int
    complete: bool = False
    job: JobView | None = None


async def stream(request: Request) -> Response:
    """Events until the page goes away. NotFound: no such job for the visitor; InvalidInput."""
    visitor = visitor_of(request)
    job_id = request.query_params.get("job")
    viewer, is_own = visitor.viewer, True
    if job_id is not None:
        access = await anyio.to_thread.run_sync(visitor.access, job_id)
        is_own = access.via is Right.OWNER
        viewer = visitor.viewer if is_own else access.viewer
    may_go_on = partial(_may_go_on, visitor, job_id)
    return await streamed(request, visitor.services, viewer, job_id, may_go_on, with_others=is_own)


async def streamed(
    request: Request,
    services: Services,
    viewer: Viewer,
    job_id: str | None,
    may_go_on: Callable[[], bool],
    *,
    with_others: bool = False,
) -> Response:
    """Events for this viewer while `may_go_on`, asked every now and then, says so; the request says from where.

    They are the job's, and `with_others` those of all that the viewer sees.
    """
    after = await anyio.to_thread.run_sync(_after, request, services)
    log = _log(request, job_id)
    only = None if with_others else job_id
    return EventStream(_lines(services, viewer, after, only, log, may_go_on), _place(request, services))


def _place(request: Request, services: Services) -> AbstractContextManager[None]:
    """What the stream counts against: the link that it was asked by, or its visitor."""
    link = request.path_params.get("link")
    return services.streams.of_user(visitor_of(request).user_id) if link is None else services.streams.of_link(link)


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
    if name not in tuple(Stream) or not start.isdecimal() or len(start) > MOST_DIGITS:
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
                _look_up(log)
            elif log is None or time.monotonic() - checked_at >= CHECK_S:
                checked_at = time.monotonic()
                if not await anyio.to_thread.run_sync(may_go_on):
                    return
                _look_up(log)
                yield _event("pulse", {})  # no comment: scripts never see those, and must hear that the stream lives
            async for line in _log_lines(services.gateway, viewer, log):
                yield line


def _look_up(log: _Log | None) -> None:
    """Where the log is will be asked of the store before it is read again."""
    if log is not None:
        log.job = None


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
        text, used = decoded(piece.content, whole=piece.complete)
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
    log.job = log.job or gateway.with_files(viewer, log.job_id)
    return gateway.logs.read(viewer, log.job, log.stream, log.offset, PIECE)


def _job_event(row: EventRow) -> str:
    return f"id: {row.position}\n{_event('job', event_document(row))}"


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


routes = [Route("/live", stream, methods=["GET"])]
