"""The first page: what runs, what waits, what ended lately, and what needs the visitor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.job import JobState
from isthmus.portal.jobfilter import GROUPS, total
from isthmus.portal.rendering import page
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.listing import JobSummary, ListQuery, Sort

RECENT_S = 7 * 24 * 3600.0
FEW = 8

RUNNING, WAITING = GROUPS["Running"], GROUPS["Waiting"]
ENDED = (*GROUPS["Completed"], *GROUPS["Failed"], *GROUPS["Cancelled"])


@dataclass(frozen=True, slots=True)
class Need:
    """Something that goes on only when the visitor does something, and where."""

    words: str
    href: str
    action: str


def show_home(request: Request) -> Response:
    """The visitor's own jobs in three lists."""
    return page(request, "home.html", **_lists(visitor_of(request)))


def show_lists(request: Request) -> Response:
    """The part of the page that changes as jobs do."""
    return page(request, "home_lists.html", **_lists(visitor_of(request)))


def _lists(visitor: Visitor) -> Mapping[str, object]:
    ended = _jobs(visitor, ENDED, Sort.STATE_AT)
    counts = visitor.gateway.store.counts(visitor.viewer)
    return {
        "running": _jobs(visitor, RUNNING, Sort.CREATED),
        "waiting": _jobs(visitor, WAITING, Sort.CREATED),
        "ended": ended,
        "needs": list(_needs(visitor, ended)),
        "counts": {
            "running": total(counts, RUNNING),
            "waiting": total(counts, WAITING),
            "ended": total(counts, ENDED),
        },
        "states": {"running": RUNNING, "waiting": WAITING, "ended": ENDED},
        "now": time.time(),
    }


def _jobs(visitor: Visitor, states: tuple[JobState, ...], sort: Sort) -> tuple[JobSummary, ...]:
    """The newest few. States that few jobs are in are found quickly only in the order of creation."""
    query = ListQuery(states=states, sort=sort, limit=FEW)
    return visitor.gateway.store.page(visitor.viewer, query).jobs


def _needs(visitor: Visitor, ended: tuple[JobSummary, ...]) -> Iterator[Need]:
    for job in ended:
        if job.state is JobState.FAILED and time.time() - job.state_at < RECENT_S:
            yield Need(f"{job.name} failed", f"/jobs/{job.id}", "See why")
    if not visitor.is_administrator:
        return
    for broken in visitor.gateway.catalogue().broken:
        yield Need(f"The application file {broken.source} is broken", "/admin/applications", "See the fault")
    for cluster in visitor.gateway.clusters().values():
        if cluster.closed_reason:
            yield Need(f"Cluster {cluster.title} takes no new jobs: {cluster.closed_reason}", "/clusters", "Look at it")
        elif cluster.contact_lost_since is not None:
            yield Need(f"Cluster {cluster.title} does not answer", "/clusters", "Look at it")


routes = [Route("/", show_home, methods=["GET"]), Route("/part/lists", show_lists, methods=["GET"])]
