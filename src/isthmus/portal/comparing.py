"""Two jobs side by side: what was asked of each, how each went, and what each wrote."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.application import Application, Json
from isthmus.gateway import Gateway
from isthmus.gateway.sharing import Right
from isthmus.job import JobState
from isthmus.portal.changes import changes_between
from isthmus.portal.history import history_of
from isthmus.portal.jobview import InputRow, input_rows
from isthmus.portal.outputs import Drawing, ShownFile, groups_of
from isthmus.portal.rendering import cluster_titles, page
from isthmus.portal.timeline import timeline_of
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store import Viewer
from isthmus.store.listing import ListQuery
from isthmus.store.views import JobView

MAX_JSON_BYTES = 1024 * 1024
MAX_NUMBERS = 200
MOST_READ = 5000
MOST_PATH = 300  # characters; deeper members and those under longer names are left out
OFFERED = 30
MAPS = 2
_PLACE = re.compile(r"(^|\.)\d+(\.|$)")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two jobs; `spent` is how long it was in each kind of state, in seconds."""

    job: JobView
    application: Application
    inputs: tuple[InputRow, ...]
    spent: Mapping[str, float]
    files: Mapping[tuple[str, str], ShownFile]


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One number of a JSON output in both jobs; None where one has none."""

    path: str
    a: float | None
    b: float | None

    @property
    def change(self) -> str:
        """How it changed, and by how much of the first."""
        if self.a is None or self.b is None or self.a == self.b:
            return ""
        by = self.b - self.a
        part = f" ({by / abs(self.a):+.1%})" if self.a else ""
        return f"{by:+.6g}{part}"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one JSON output of both jobs; `more` were left out."""

    label: str
    differing: tuple[NumberRow, ...]
    same: tuple[NumberRow, ...]
    more: int

    @property
    def by_place(self) -> bool:
        """Whether numbers of lists are among them, which have no name but their place."""
        return any(_PLACE.search(row.path) for row in (*self.differing, *self.same))


@dataclass(frozen=True, slots=True)
class Pair:
    """The same picture or map of both jobs, where each has it."""

    label: str
    a: ShownFile | None
    b: ShownFile | None


def show(request: Request) -> Response:
    """The comparison, or a choice of the second job where only one was named."""
    visitor = visitor_of(request)
    a, b = request.query_params.get("a", ""), request.query_params.get("b", "")
    if not a or not b:
        return _choice(request, visitor, a or b)
    left, right = _side(visitor, a), _side(visitor, b)
    changes = changes_between(left.job, right.job, right.application, cluster_titles(visitor.gateway.configuration))
    differing = {change.field.partition(".")[2] for change in changes if change.field.startswith(("inputs.", "files."))}
    return page(
        request,
        "compare/show.html",
        a=left,
        b=right,
        changes=changes,
        same=[row for row in right.inputs if row.name not in differing],
        states=("Waiting", "Running", "Copying files"),
        pictures=tuple(_pairs(left, right, Drawing.PICTURE)),
        maps=tuple(islice(_maps(left, right), MAPS)),
        numbers=tuple(_numbers(visitor.gateway, left, right)),
    )


def _choice(request: Request, visitor: Visitor, job_id: str) -> Response:
    first = _side(visitor, job_id).job if job_id else None
    query = ListQuery(applications=(first.application,) if first else (), limit=OFFERED)
    found = visitor.gateway.store.page(visitor.viewer, query).jobs
    return page(request, "compare/choose.html", first=first, jobs=[job for job in found if job.id != job_id])


def _side(visitor: Visitor, job_id: str) -> Side:
    access = visitor.access(job_id)
    viewer = visitor.viewer if access.via is Right.OWNER else access.viewer
    job = visitor.gateway.store.job(viewer, job_id)
    application = Application.from_json(job.definition)
    files = {(one.name, one.path): one for group in groups_of(job, application) for one in group.files}
    spent = _spent(visitor.gateway, viewer, job)
    return Side(job, application, tuple(input_rows(job, application)), spent, files)


_KINDS = {
    JobState.ACCEPTED: "Waiting",
    JobState.SUBMITTING: "Waiting",
    JobState.QUEUED: "Waiting",
    JobState.RUNNING: "Running",
    JobState.STAGING_IN: "Copying files",
    JobState.STAGING_OUT: "Copying files",
}


def _spent(gateway: Gateway, viewer: Viewer, job: JobView) -> dict[str, float]:
    spent = dict.fromkeys(("Waiting", "Running", "Copying files"), 0.0)
    for stretch in timeline_of(job.created_at, history_of(gateway, viewer, job.id).states, job.state_at).stretches:
        if stretch.state in _KINDS:
            spent[_KINDS[stretch.state]] += stretch.lasted_s(job.state_at) or 0.0
    return spent


def _pairs(a: Side, b: Side, drawing: Drawing) -> Iterator[Pair]:
    for key in dict.fromkeys([*a.files, *b.files]):
        one, other = a.files.get(key), b.files.get(key)
        if drawing in (one and one.drawing, other and other.drawing):
            found = one or other
            assert found is not None  # noqa: S101  (the key is of one of them)
            yield Pair(found.label, one, other)


def _maps(a: Side, b: Side) -> Iterator[Pair]:
    """Those that the jobs' own pages draw at once."""
    return (pair for pair in _pairs(a, b, Drawing.MAP) if any(one and one.at_once for one in (pair.a, pair.b)))


def _numbers(gateway: Gateway, a: Side, b: Side) -> Iterator[Numbers]:
    for key, one in a.files.items():
        other = b.files.get(key)
        if other is None or one.drawing is not Drawing.JSON or other.drawing is not Drawing.JSON:
            continue
        left, right = _flat(gateway, a, one), _flat(gateway, b, other)
        rows = [NumberRow(path, left.get(path), right.get(path)) for path in dict.fromkeys([*left, *right])]
        if rows:
            yield _sorted_out(one.label, rows)


def _sorted_out(label: str, rows: Sequence[NumberRow]) -> Numbers:
    """What differs comes first, so that it is what a long list keeps."""
    differing = tuple(row for row in rows if row.a != row.b)[:MAX_NUMBERS]
    same = tuple(row for row in rows if row.a == row.b)[: MAX_NUMBERS - len(differing)]
    return Numbers(label, differing, same, len(rows) - len(differing) - len(same))


def _flat(gateway: Gateway, side: Side, file: ShownFile) -> dict[str, float]:
    """Every number in the file under its path; nothing where the file is large or broken."""
    if file.size > MAX_JSON_BYTES:
        return {}
    sha256 = next(one.sha256 for one in side.job.outputs if one.id == file.id)
    try:
        with gateway.files.open(sha256) as source:
            return dict(islice(numbers_in(json.load(source)), MOST_READ))
    except (ValueError, RecursionError):
        return {}


def numbers_in(form: Json) -> Iterator[tuple[str, float]]:
    """Each finite number of a JSON value with the way to it, `storms.2.area`, in order. Walks without recursion."""
    ways: list[Iterator[tuple[str, Json]]] = [iter([("", form)])]
    while ways:
        path, value = next(ways[-1], (None, None))
        if path is None:
            ways.pop()
            continue
        if isinstance(value, bool) or value is None or isinstance(value, str) or len(path) > MOST_PATH:
            continue
        if isinstance(value, int | float):
            number = float(value) if abs(value) < 1e300 else math.inf
            if math.isfinite(number):
                yield path or "value", number
            continue
        ways.append(_members(path, value))


def _members(path: str, value: dict[str, Json] | list[Json]) -> Iterator[tuple[str, Json]]:
    """One by one: a long path is not copied for members that nobody comes to."""
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        yield (f"{path}.{key}" if path else str(key)), one


routes = [Route("/compare", show, methods=["GET"])]
