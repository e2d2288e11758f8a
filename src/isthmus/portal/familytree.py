"""Who was made of whom, with what each job has otherwise than the one it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.application import Application
from isthmus.errors import NotFound
from isthmus.gateway import Gateway
from isthmus.portal.changes import Change, changes_between
from isthmus.portal.rendering import cluster_titles
from isthmus.store import Viewer
from isthmus.store.listing import JobSummary
from isthmus.store.views import JobView

MAX_COMPARED = 25
"""Members whose differences from their parents are looked up: those nearest to the job."""
MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Member:
    """One job of the family, how deep it stands below the first, and what it changed of its parent.

    `changes` is None where that was not looked up.
    """

    job: JobSummary
    depth: int
    changes: tuple[Change, ...] | None


@dataclass(frozen=True, slots=True)
class Tree:
    """The family in the order of a tree, each member before what was made of it; `left_out` are too many to show."""

    members: tuple[Member, ...]
    left_out: int


def tree_of(gateway: Gateway, viewer: Viewer, job_id: str) -> Tree:
    """The family of the job. NotFound."""
    family = gateway.store.family(viewer, job_id)
    ordered = _ordered(family)
    at = next(place for place, (job, _) in enumerate(ordered) if job.id == job_id)
    start = max(min(at - MAX_SHOWN // 2, len(ordered) - MAX_SHOWN), 0)
    shown = ordered[start : start + MAX_SHOWN]
    nearest = sorted(shown, key=lambda one: abs(ordered.index(one) - at))[:MAX_COMPARED]
    known = _known(gateway, viewer, {name for one, _ in nearest for name in (one.id, one.parent_id) if name})
    titles = cluster_titles(gateway.configuration)
    members = tuple(Member(job, depth, _changes(job, known, titles)) for job, depth in shown)
    return Tree(members, len(ordered) - len(shown))


def _ordered(family: Sequence[JobSummary]) -> list[tuple[JobSummary, int]]:
    """Each job with its depth, parents first; without recursion, as a chain of resubmissions may be long."""
    ids = {one.id for one in family}
    children: dict[str | None, list[JobSummary]] = {}
    for one in family:
        children.setdefault(one.parent_id if one.parent_id in ids else None, []).append(one)
    found: list[tuple[JobSummary, int]] = []
    left = [(one, 0) for one in reversed(children.get(None, []))]
    while left:
        one, depth = left.pop()
        found.append((one, depth))
        left += [(child, depth + 1) for child in reversed(children.get(one.id, []))]
    return found


def _known(gateway: Gateway, viewer: Viewer, ids: set[str]) -> Mapping[str, JobView]:
    found = {}
    for job_id in ids:
        try:
            found[job_id] = gateway.store.job(viewer, job_id)
        except NotFound:
            continue  # made of a job that was shared then
    return found


def _changes(job: JobSummary, known: Mapping[str, JobView], titles: Mapping[str, str]) -> tuple[Change, ...] | None:
    parent, child = known.get(job.parent_id or ""), known.get(job.id)
    if parent is None or child is None:
        return None
    return changes_between(parent, child, Application.from_json(child.definition), titles)
