"""Pages of administrators: how the gateway stands, applications, everybody's jobs, the audit, mail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.application import EnabledFor
from isthmus.errors import InputFault, InvalidInput
from isthmus.gateway import Gateway
from isthmus.gateway.catalogue import Entry, unknown_names
from isthmus.portal.bulk import bulk_route
from isthmus.portal.clusterpage import refusals
from isthmus.portal.jobfilter import GROUPS, total
from isthmus.portal.joblist import everybodys_board, routes_of
from isthmus.portal.notices import MOST_DIGITS
from isthmus.portal.rendering import page
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.audit import AuditKind, AuditQuery
from isthmus.store.words import is_storable

AUDIT_PAGE = 50

ENABLED_WORDS: Mapping[EnabledFor, str] = MappingProxyType(
    {EnabledFor.EVERYONE: "everyone", EnabledFor.ADMINISTRATORS: "administrators", EnabledFor.NOBODY: "nobody"}
)


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application as administrators see it: who may run it and by whose word, and where it can't run and why."""

    entry: Entry
    versions: int
    enabled_for: str
    by: str
    open_clusters: tuple[str, ...]
    refusals: tuple[str, ...]


# --- how it stands ------------------------------------------------------------------------------------------
def show_index(request: Request) -> Response:
    """What an administrator should know at a glance, with the way to it."""
    visitor = visitor_of(request)
    gateway, viewer = visitor.gateway, visitor.admin_viewer
    users = gateway.store.users()
    counts = gateway.store.counts(viewer)
    return page(
        request,
        "admin/index.html",
        worries=list(_worries(gateway)),
        users=len(users),
        disabled=sum(user.disabled_at is not None for user in users),
        projects=len(gateway.store.projects(viewer)),
        applications=len(gateway.catalogue().entries),
        clusters=len(gateway.clusters()),
        groups={group: total(counts, states) for group, states in GROUPS.items()},
        outbox=gateway.store.outbox(),
        mail=gateway.configuration.house.mail,
    )


def _worries(gateway: Gateway) -> Iterator[tuple[str, str]]:
    """What should be looked at, and where."""
    listing = gateway.catalogue()
    for broken in listing.broken:
        yield f"The application file {broken.source} is broken: its jobs can't be submitted.", "/admin/applications"
    for words in unknown_names(listing, gateway.configuration.house.applications):
        yield words, "/admin/applications"
    for fault in gateway.configuration.broken:
        yield f"A cluster's file can't be read: {fault.message}", "/admin/clusters"
    for words in refusals(list(gateway.clusters().values())):
        yield words, "/admin/clusters"
    if fault_of_mail := gateway.store.outbox().fault:
        yield f"Mail does not go out: {fault_of_mail}", "/admin/mail"


# --- applications -------------------------------------------------------------------------------------------
def show_applications(request: Request) -> Response:
    """Every application: who may run it by whose word, and where; the broken files with what is wrong in which line."""
    visitor = visitor_of(request)
    _ = visitor.admin_viewer
    listing = visitor.gateway.catalogue()
    settings = visitor.gateway.configuration.house.applications
    rows = [_application(visitor, versions) for versions in listing.entries.values()]
    return page(
        request,
        "admin/applications.html",
        rows=rows,
        broken=listing.broken,
        unknown=list(unknown_names(listing, settings)),
        folders=[str(folder) for folder in visitor.gateway.configuration.application_folders],
    )


def _application(visitor: Visitor, versions: tuple[Entry, ...]) -> ApplicationRow:
    entry, application = versions[0], versions[0].application
    settings = visitor.gateway.configuration.house.applications
    named = application.name in settings.disable or application.name in settings.enable
    clusters = visitor.gateway.clusters().values()
    refused = [(cluster.title, cluster.refusal(application)) for cluster in clusters]
    return ApplicationRow(
        entry=entry,
        versions=len(versions),
        enabled_for=ENABLED_WORDS[entry.enabled_for],
        by="isthmus.toml" if named else "its own file",
        open_clusters=tuple(title for title, refusal in refused if refusal is None),
        refusals=tuple(refusal[1] for _, refusal in refused if refusal is not None),
    )


# --- audit --------------------------------------------------------------------------------------------------
def show_audit(request: Request) -> Response:
    """Who did what, the newest first."""
    known = _audit(request)
    return page(request, "admin/audit.html", 422 if known["fault"] else 200, **known)


def show_audit_rows(request: Request) -> Response:
    """The lines before one."""
    return page(request, "admin/audit_rows.html", **_audit(request))


def _audit(request: Request) -> Mapping[str, object]:
    visitor = visitor_of(request)
    _ = visitor.admin_viewer
    asked, fault = request.query_params, ""
    try:
        found = visitor.gateway.store.audit(_query(request))
    except InvalidInput as invalid:
        found, fault = [], "; ".join(f"{one.field.rpartition('.')[2]}: {one.message}" for one in invalid.faults)
    return {
        "lines": found[:AUDIT_PAGE],
        "more": found[AUDIT_PAGE - 1].id if len(found) > AUDIT_PAGE else None,
        "asked": {name: asked.get(name, "").strip() for name in ("user", "kind", "job")},
        "kinds": list(AuditKind),
        "fault": fault,
    }


def _query(request: Request) -> AuditQuery:
    asked = request.query_params
    kind, before = asked.get("kind", ""), asked.get("before", "")
    if kind and kind not in tuple(AuditKind):
        raise InvalidInput("no such kind", (InputFault("kind", "choice", "choose one of the list"),))
    if before and not (before.isascii() and before.isdigit() and len(before) <= MOST_DIGITS):
        raise InvalidInput("no such line", (InputFault("before", "choice", "reload the page"),))
    user = asked.get("user", "").strip()
    if not is_storable(user):
        raise InvalidInput("no such name", (InputFault("user", "form", "is not a user's name"),))
    return AuditQuery(
        user=user[:64] or None,
        kind=AuditKind(kind) if kind else None,
        job_id=asked.get("job", "").strip() or None,
        before=int(before) if before else None,
        limit=AUDIT_PAGE + 1,
    )


# --- mail ---------------------------------------------------------------------------------------------------
def show_mail(request: Request) -> Response:
    """Whether mail goes out, and what waits."""
    visitor = visitor_of(request)
    _ = visitor.admin_viewer
    gateway = visitor.gateway
    here = f"{request.url.scheme}://{request.url.netloc}"
    return page(
        request, "admin/mail.html", mail=gateway.configuration.house.mail, outbox=gateway.store.outbox(), here=here
    )


routes = [
    Route("/admin", show_index, methods=["GET"]),
    Route("/admin/applications", show_applications, methods=["GET"]),
    Route("/admin/audit", show_audit, methods=["GET"]),
    Route("/admin/audit/part/rows", show_audit_rows, methods=["GET"]),
    Route("/admin/mail", show_mail, methods=["GET"]),
    *routes_of("/admin/jobs", everybodys_board),
    bulk_route("/admin/jobs", everybodys_board),
]
