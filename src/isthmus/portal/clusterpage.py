"""Clusters: what each last said of itself, and for administrators, whether it takes new jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.application import ResourceName
from isthmus.errors import InputFault, InvalidInput
from isthmus.gateway.clusters import KnownCluster
from isthmus.portal.amounts import LABELS, used_words
from isthmus.portal.jobfilter import GROUPS
from isthmus.portal.rendering import page, wants_part
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.listing import ListQuery
from isthmus.store.words import is_storable

MY_JOBS_MOST = 100
OLD_S = 120.0
"""A cluster that was heard of longer ago than this is shown as not heard of."""

REASON_CHARACTERS = 200

ISOLATION = {
    "bubblewrap": "each job sees its own folder and the system's programs, nothing else",
    "uid": "jobs run as another user, and can see each other's folders",
    "none": "jobs are not kept apart; only catalogued applications run",
}

CALLS = {
    "open": "connecting",
    "stage_in": "copying inputs",
    "submit": "submitting",
    "settle": "finding submissions again",
    "observe": "asking how jobs stand",
    "cancel": "cancelling",
    "void": "making sure that nothing can start",
    "stage_out": "collecting outputs",
    "read_log": "reading logs",
    "discard": "clearing up",
    "tags": "listing jobs",
    "status": "asking how it stands itself",
}
"""The controller's kinds of calls, in words."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a resource all nodes of a cluster have, and how much of it is used."""

    resource: ResourceName
    used: int
    total: int

    @property
    def label(self) -> str:
        return LABELS[self.resource]

    @property
    def words(self) -> str:
        return f"{used_words(self.resource, self.used)} of {used_words(self.resource, self.total)}"


@dataclass(frozen=True, slots=True)
class ClusterCard:
    """A cluster as the page shows it; `mine` is how many jobs the visitor has there by group, as words."""

    known: KnownCluster
    condition: str
    words: str
    amounts: tuple[Amount, ...]
    mine: Mapping[str, str]

    @property
    def calls(self) -> Mapping[str, float]:
        """What the gateway asks of the cluster, in words, and how often a minute."""
        status = self.known.status
        return {} if status is None else {CALLS.get(kind, kind): n for kind, n in status.calls_per_minute.items()}

    @property
    def isolation(self) -> str:
        status = self.known.status
        return "" if status is None else ISOLATION.get(status.isolation, status.isolation)


def show_clusters(request: Request) -> Response:
    """Every configured cluster; for administrators also among their own pages."""
    if request.url.path.startswith("/admin"):
        _ = visitor_of(request).admin_viewer
    return page(request, "clusters/list.html", **_cards(visitor_of(request)))


def show_cards(request: Request) -> Response:
    """The part of the page that changes by itself: what controllers stored, never a question to a cluster."""
    return page(request, "clusters/cards.html", **_cards(visitor_of(request)))


def _cards(visitor: Visitor) -> Mapping[str, object]:
    cards = [_card(visitor, known) for known in visitor.gateway.clusters().values()]
    broken = visitor.gateway.configuration.broken if visitor.is_administrator else ()
    return {"cards": cards, "broken": broken, "groups": GROUPS, "now": time.time()}


def _card(visitor: Visitor, known: KnownCluster) -> ClusterCard:
    condition, words = _condition(known)
    mine = {group: _mine(visitor, known.name, group) for group in ("Running", "Waiting")}
    return ClusterCard(known, condition, words, _amounts(known), mine)


def _condition(known: KnownCluster) -> tuple[str, str]:
    """One word for the sign beside the name, and what is true in a sentence."""
    if not known.config.enabled:
        return "failed", "Disabled by the operator: it takes no new jobs."
    if known.contact_lost_since is not None:
        return "lost", "It does not answer. Its jobs may still run; nothing is known of them until it is back."
    if known.closed_reason:
        return "wait", f"Closed: it takes no new jobs. {known.closed_reason}"
    if known.status is None or known.seen_at is None:
        return "lost", "Nothing is known of it yet: no controller has told of it."
    if time.time() - known.seen_at > OLD_S:
        return "lost", "No controller has told of it for a while: what you see may be old."
    return "completed", "It takes jobs."


def _amounts(known: KnownCluster) -> tuple[Amount, ...]:
    if known.status is None:
        return ()
    nodes = known.status.nodes
    found = (
        Amount(ResourceName.CPUS, sum(n.cpus_used for n in nodes), sum(n.cpus for n in nodes)),
        Amount(ResourceName.MEMORY_MIB, sum(n.memory_used_mib for n in nodes), sum(n.memory_mib for n in nodes)),
        Amount(ResourceName.GPUS, sum(n.gpus_used for n in nodes), sum(n.gpus for n in nodes)),
    )
    return tuple(amount for amount in found if amount.total)


def _mine(visitor: Visitor, cluster: str, group: str) -> str:
    query = ListQuery(states=GROUPS[group], clusters=(cluster,), limit=MY_JOBS_MOST)
    found = visitor.gateway.store.page(visitor.viewer, query)
    return f"{len(found.jobs)}{'+' if found.next_cursor else ''}"


@with_form
def change_cluster(request: Request, form: Form) -> Response:
    """The cluster takes no new jobs, for the reason given, or takes them again. NotAllowed: users."""
    visitor = visitor_of(request)
    _ = visitor.admin_viewer
    name = request.path_params["name"]
    reason = _reason(form) if form.get("do") == "close" else None
    title = visitor.gateway.close_cluster(name, reason, visitor.actor).title
    if not wants_part(request):
        return RedirectResponse("/clusters", 303)
    said = f"{title} takes no new jobs now." if reason else f"{title} takes jobs again."
    return page(request, "clusters/changed.html", said=said, reason=reason, **_cards(visitor))


def _reason(form: Form) -> str:
    words = " ".join(form.get("reason").split())
    if not words or len(words) > REASON_CHARACTERS or not is_storable(words):
        message = f"Write why it is closed, in up to {REASON_CHARACTERS} characters: everybody reads it."
        raise InvalidInput(message, (InputFault("reason", "length", message),))
    return words


def refusals(clusters: Sequence[KnownCluster]) -> list[str]:
    """What is wrong with clusters, for administrators, in sentences."""
    conditions = ((known.title, *_condition(known)) for known in clusters)
    return [f"{title}: {words}" for title, condition, words in conditions if condition != "completed"]


routes = [
    Route("/clusters", show_clusters, methods=["GET"]),
    Route("/admin/clusters", show_clusters, methods=["GET"]),
    Route("/clusters/part/cards", show_cards, methods=["GET"]),
    Route("/clusters/{name}", change_cluster, methods=["POST"]),
]
