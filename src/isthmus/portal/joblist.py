"""Lists of jobs: one's own, those that others show, and everybody's for administrators. All are the same page.

/jobs                the page: filters, counts, the first rows       /jobs/shared   what others show the visitor
/jobs/part/list      the same without its frame, as filters change
/jobs/part/rows      the rows after a cursor
/jobs/part/head      counts, and how many jobs came since
/jobs/part/row       one row, as its job changes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.errors import InvalidInput
from isthmus.portal.jobfilter import GROUPS, WITHIN, Filter, read_filter, total
from isthmus.portal.rendering import page
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.listing import Sort
from isthmus.store.records import Viewer
from isthmus.store.views import JobView

NEW_MOST = 100
"""How many new jobs are counted at most."""

SHARED_PAGE = 50


@dataclass(frozen=True, slots=True)
class Board:
    """Whose jobs a list shows: `path` is its address, `viewer` reads them."""

    path: str
    viewer: Viewer
    everybody: bool = False


def own_board(visitor: Visitor) -> Board:
    return Board("/jobs", visitor.viewer)


def everybodys_board(visitor: Visitor) -> Board:
    """NotAllowed: the visitor is no administrator."""
    return Board("/admin/jobs", visitor.admin_viewer, everybody=True)


BoardOf = Callable[[Visitor], Board]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for a list or a part of it."""

    request: Request
    visitor: Visitor
    board: Board
    filter: Filter

    @property
    def known(self) -> dict[str, object]:
        """What every template of a list knows."""
        return {"board": self.board, "filter": self.filter, "here": self.filter.address(self.board.path)}


def routes_of(path: str, board_of: BoardOf) -> list[Route]:
    """The list's page and its parts below this path."""

    def asked_of(request: Request) -> _Asked:
        visitor = visitor_of(request)
        board = board_of(visitor)
        return _Asked(request, visitor, board, read_filter(request.query_params, everybody=board.everybody))

    def show(request: Request) -> Response:
        """The page."""
        return page(request, "jobs/list.html", **_list(asked_of(request)))

    def show_list(request: Request) -> Response:
        """The list as other filters have it; the browser's address follows."""
        asked = asked_of(request)
        headers = {"HX-Replace-Url": asked.filter.address(asked.board.path)}
        return page(request, "jobs/list_part.html", 200, headers, **_list(asked))

    def show_rows(request: Request) -> Response:
        """The next rows."""
        return page(request, "jobs/rows.html", **_rows(asked_of(request)))

    def show_head(request: Request) -> Response:
        """How many jobs there are, and how many came since the page was made."""
        return page(request, "jobs/head.html", **_head(asked_of(request)))

    def show_row(request: Request) -> Response:
        """One row as its job is now; none if the job is not in this list any more."""
        asked = asked_of(request)
        job = asked.visitor.gateway.store.job(asked.board.viewer, request.query_params.get("job", ""))
        if not is_listed(job, asked.filter):
            return Response(headers={"HX-Reswap": "delete"}, media_type="text/html")
        return page(request, "jobs/row.html", job=job, **asked.known)

    return [
        Route(path, show, methods=["GET"]),
        Route(f"{path}/part/list", show_list, methods=["GET"]),
        Route(f"{path}/part/rows", show_rows, methods=["GET"]),
        Route(f"{path}/part/head", show_head, methods=["GET"]),
        Route(f"{path}/part/row", show_row, methods=["GET"]),
    ]


def is_listed(job: JobView, asked: Filter) -> bool:
    """Whether the job stands in a list of this kind. One that fits the filters no more stays until they change."""
    return job.deleted_at is None and (job.archived_at is not None) == asked.archived


def _list(asked: _Asked) -> Mapping[str, object]:
    gateway, chosen = asked.visitor.gateway, asked.filter
    return {
        **_rows(asked),
        **_head(asked),
        "applications": sorted({*gateway.catalogue().entries, chosen.application} - {""}),
        "clusters": sorted({*gateway.clusters(), chosen.cluster} - {""}),
        "within": WITHIN,
        "sorts": Sort,
    }


def _rows(asked: _Asked) -> Mapping[str, object]:
    cursor = asked.request.query_params.get("cursor") or None
    found = asked.visitor.gateway.store.page(asked.board.viewer, asked.filter.query(cursor))
    return {**asked.known, "jobs": found.jobs, "next_cursor": found.next_cursor, "continued": cursor is not None}


def _head(asked: _Asked) -> Mapping[str, object]:
    counts = asked.visitor.gateway.store.counts(asked.board.viewer)
    since = _since(asked.request)
    return {
        **asked.known,
        "groups": {group: total(counts, states) for group, states in GROUPS.items()},
        "any_jobs": any(count.n for count in counts.values()),
        "since": _newest_at(asked) if since is None else since,
        "came": "" if since is None else _came(asked, since),
    }


def _since(request: Request) -> float | None:
    """The moment that the page says it shows everything up to."""
    given = request.query_params.get("since")
    if not given:
        return None
    try:
        at = float(given)
    except ValueError:
        at = math.nan
    if not 0 <= at < 1e12:
        raise InvalidInput("this page is out of date: reload it")
    return at


def _newest_at(asked: _Asked) -> float:
    """When the newest job came that such a list could show; a moment before the first where there is none."""
    newest = asked.visitor.gateway.store.page(asked.board.viewer, Filter().query(limit=1)).jobs
    return newest[0].created_at if newest else 1.0


def _came(asked: _Asked, since: float) -> str:
    """How many jobs that the filter lets through came since, in words; nothing for none."""
    query = replace(asked.filter, sort=Sort.CREATED, descending=True).query(limit=NEW_MOST)
    after = max(math.nextafter(since, math.inf), query.created_after or 0)
    n = len(asked.visitor.gateway.store.page(asked.board.viewer, replace(query, created_after=after)).jobs)
    if n == 0:
        return ""
    return "1 new job" if n == 1 else f"{n}{'+' if n == NEW_MOST else ''} new jobs"


def show_shared(request: Request) -> Response:
    """Jobs of others that are shown to the visitor, the newest share first."""
    return page(request, "jobs/shared.html", **_shared(request))


def show_shared_rows(request: Request) -> Response:
    """The next of them."""
    return page(request, "jobs/shared_rows.html", **_shared(request))


def _shared(request: Request) -> Mapping[str, object]:
    visitor, before = visitor_of(request), request.query_params.get("before") or None
    found = visitor.gateway.store.shared_with(visitor.viewer, before=before, limit=SHARED_PAGE + 1)
    more = found[SHARED_PAGE - 1].share.id if len(found) > SHARED_PAGE else None
    return {"shared": found[:SHARED_PAGE], "more": more, "continued": before is not None}


routes = [
    *routes_of("/jobs", own_board),
    Route("/jobs/shared", show_shared, methods=["GET"]),
    Route("/jobs/shared/part/rows", show_shared_rows, methods=["GET"]),
]
