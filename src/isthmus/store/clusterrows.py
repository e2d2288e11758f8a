"""What controllers tell of their clusters, for pages to read: no page makes anybody ask a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from isthmus.application.encoding import Json
from isthmus.store.conflicts import insert_or_replace
from isthmus.store.leases import Lease, hold
from isthmus.store.schema import clusters


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster as its controller last described it; `closed_reason` is set while it takes no new jobs."""

    name: str
    status: Json
    seen_at: float | None
    contact_lost_since: float | None
    closed_reason: str | None


def report_cluster(connection: Connection, lease: Lease, name: str, status_json: str, now: float) -> None:
    """The cluster's description is as told. LeaseLost: by somebody who may not any more."""
    hold(connection, lease)
    insert_or_replace(connection, clusters, {"name": name, "status": json.loads(status_json), "seen_at": now})


def report_calls(connection: Connection, lease: Lease, name: str, calls: Mapping[str, Json]) -> None:
    """The calls made on the cluster are as told, beside its last description of itself. LeaseLost."""
    hold(connection, lease)
    known = connection.execute(select(clusters.c.status).where(clusters.c.name == name)).scalar_one_or_none()
    status = {**(known if isinstance(known, dict) else {}), **calls}
    insert_or_replace(connection, clusters, {"name": name, "status": status})


def mark_contact(connection: Connection, lease: Lease, name: str, lost_since: float | None) -> None:
    """The cluster has not answered since then (None: it answers). LeaseLost."""
    hold(connection, lease)
    insert_or_replace(connection, clusters, {"name": name, "contact_lost_since": lost_since})


def close_cluster(connection: Connection, name: str, reason: str | None) -> None:
    """The cluster takes no new jobs, for this reason (None: it does)."""
    insert_or_replace(connection, clusters, {"name": name, "closed_reason": reason})


def list_clusters(connection: Connection) -> list[ClusterRow]:
    """Every cluster a controller ever told of, by name."""
    columns = (
        *(clusters.c.name, clusters.c.status, clusters.c.seen_at),
        *(clusters.c.contact_lost_since, clusters.c.closed_reason),
    )
    return [ClusterRow(*row) for row in connection.execute(select(*columns).order_by(clusters.c.name))]
