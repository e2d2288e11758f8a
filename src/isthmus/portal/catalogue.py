"""The catalogue: every application that can be run here, found by its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.application import EnabledFor
from isthmus.gateway.catalogue import Entry
from isthmus.gateway.clusters import KnownCluster, runs_on
from isthmus.portal.rendering import page
from isthmus.portal.visitor import visitor_of


@dataclass(frozen=True, slots=True)
class Offer:
    """One application as the catalogue shows it; with `closed` it can't be run, and why."""

    name: str
    version: str
    title: str
    summary: str
    keywords: tuple[str, ...]
    clusters: tuple[str, ...]
    closed: str

    def matches(self, words: list[str]) -> bool:
        """Whether each of the words is somewhere in what is shown."""
        text = " ".join((self.name, self.title, self.summary, *self.keywords)).casefold()
        return all(word in text for word in words)


def show(request: Request) -> Response:
    """The applications that have the words searched for, open ones first."""
    visitor, text = visitor_of(request), request.query_params.get("text", "").strip()[:200]
    listing, clusters = visitor.gateway.catalogue(), visitor.gateway.clusters()
    offers = [offer_of(found[0], clusters, visitor.is_administrator) for found in listing.entries.values()]
    words = text.casefold().split()
    found = sorted((one for one in offers if one.matches(words)), key=lambda one: (one.closed != "", one.title))
    broken = listing.broken if visitor.is_administrator else ()
    return page(request, "applications/list.html", offers=found, total=len(offers), text=text, broken=broken)


def offer_of(entry: Entry, clusters: Mapping[str, KnownCluster], is_administrator: bool) -> Offer:
    """The application as it stands to such a visitor."""
    application = entry.application
    fit = runs_on(application, clusters.values())
    closed = closed_words(entry, is_administrator)
    if not closed and not fit:
        reasons = [refusal[1] for one in clusters.values() if (refusal := one.refusal(application))]
        closed = f"No cluster takes it now: {'; '.join(reasons) or 'none is configured'}."
    return Offer(
        application.name,
        application.version,
        application.title,
        application.summary,
        application.keywords,
        tuple(clusters[name].title for name in fit),
        closed,
    )


def closed_words(entry: Entry, is_administrator: bool) -> str:
    """Why the visitor can't run the application, and what to do; empty if they can."""
    if entry.is_open_to(administrator=is_administrator):
        return ""
    if is_administrator:
        name = entry.application.name
        return (
            "It is switched off on this gateway. To switch it on, name it in isthmus.toml under [applications], "
            f'enable = ["{name}"], take it out of disable there, and restart the gateway.'
        )
    only = entry.enabled_for is EnabledFor.ADMINISTRATORS
    said = "Only administrators may run it." if only else "It is switched off for now."
    return f"{said} Ask the administrators of this gateway if you need it."


routes = [Route("/applications", show, methods=["GET"])]
