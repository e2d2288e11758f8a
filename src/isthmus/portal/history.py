"""A job's history: the newest events for its page, every change of state for its timeline, and all of it as a file."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from isthmus.api.downloads import SAFE, attachment
from isthmus.gateway import Gateway
from isthmus.gateway.explanation import administrator_words
from isthmus.job import JobState
from isthmus.portal.opened import open_job
from isthmus.portal.rendering import STATE_WORDS, iso
from isthmus.portal.timeline import event_words
from isthmus.store import Viewer
from isthmus.store.history import EventRow, Position
from isthmus.store.views import JobView

MOST_SHOWN = 500
_MOST_STATES = 2000
_AT_ONCE = 1000

_EVENTS = {
    "accepted": "Accepted",
    "state": "New state",
    "waiting": "Waits",
    "cancel_requested": "Cancelling asked for",
    "changed": "Changed",
    "deleted": "Deleted",
}


@dataclass(frozen=True, slots=True)
class History:
    """A job's `newest` events and its changes of state, oldest first; `count` is how many events there are in all."""

    newest: tuple[EventRow, ...]
    states: tuple[EventRow, ...]
    count: int

    @property
    def left_out(self) -> int:
        return self.count - len(self.newest)

    @property
    def told(self) -> tuple[EventRow, ...]:
        """What a timeline is made of: every change of state, and of the other events the newest."""
        if not self.left_out:
            return self.newest
        first = self.newest[0].position
        return (*(row for row in self.states if row.position < first), *self.newest)


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of the history; `by` is who did it, empty for the gateway itself."""

    at: float
    title: str
    words: tuple[str, ...]
    by: str


def history_of(gateway: Gateway, viewer: Viewer, job_id: str) -> History:
    """The history of a job that the viewer may read.

    All of it goes by, some milliseconds for each thousand events, and little of it is kept: a job with very many, such
    as one that waited for months, has a slow page, and the gateway's memory never pays for it.
    """
    newest: deque[EventRow] = deque(maxlen=MOST_SHOWN)
    states: deque[EventRow] = deque(maxlen=_MOST_STATES)
    count = 0
    for row in _events(gateway, viewer, job_id):
        newest.append(row)
        count += 1
        if row.kind == "state":
            states.append(row)
    return History(tuple(newest), tuple(states), count)


def _events(gateway: Gateway, viewer: Viewer, job_id: str) -> Iterator[EventRow]:
    position = Position()
    while rows := gateway.store.events_after(viewer, position, _AT_ONCE, job_id):
        yield from rows
        position = rows[-1].position
        if len(rows) < _AT_ONCE:
            return


def event_line(row: EventRow, job: JobView) -> EventLine:
    """The event as people read it."""
    title = STATE_WORDS[JobState(str(row.body["to"]))] if row.kind == "state" else _EVENTS.get(row.kind, row.kind)
    by = row.body.get("by")
    who = (
        ""
        if by is None
        else job.owner
        if by == job.owner_id
        else administrator_words(str(row.body.get("administrator", "")))
    )
    return EventLine(row.at, title, event_words(row), who)


def download(request: Request) -> Response:
    """The whole history as CSV, oldest first."""
    opened = open_job(request)
    job = opened.job()
    headers = {**SAFE, "Content-Disposition": attachment(f"{job.id}.events.csv")}
    rows = _events(opened.gateway, opened.access.viewer, job.id)
    return StreamingResponse(_csv(rows, job), 200, headers, "text/csv; charset=utf-8")


def _csv(rows: Iterator[EventRow], job: JobView) -> Iterator[str]:
    yield _csv_line("when", "what", "evidence", "by")
    for line in (event_line(row, job) for row in rows):
        yield _csv_line(iso(line.at), line.title, "; ".join(line.words), line.by or "the gateway")


def _csv_line(*cells: str) -> str:
    """The cells as a line; none of them is a formula to a spreadsheet."""
    line = io.StringIO()
    csv.writer(line).writerow(
        f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells
    )
    return line.getvalue()
