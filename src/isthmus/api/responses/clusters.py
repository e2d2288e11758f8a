"""What answers hold about clusters, and about the gateway itself."""

from __future__ import annotations

from typing import Literal

from isthmus.api.responses.answer import Answer, Moment


class NodeOut(Answer):
    name: str
    cpus: int
    cpus_used: int
    memory_mib: int
    memory_used_mib: int
    gpus: int
    gpus_used: int


class FailureOut(Answer):
    """A time at which the cluster did not answer, and what was known of it."""

    at: Moment
    words: str


class DetailOut(Answer):
    """One more of a cluster's own facts, in words of its kind."""

    label: str
    value: str


class StatusOut(Answer):
    queued: int
    running: int
    nodes: list[NodeOut]
    isolation: str
    notes: list[str]
    calls_per_minute: dict[str, float]
    recent_failures: list[FailureOut]
    details: list[DetailOut]


class LimitsOut(Answer):
    """The largest node; null where it is not known."""

    cpus: int | None
    memory_mib: int | None
    gpus: int | None
    nodes: int | None


class ClusterOut(Answer):
    name: str
    title: str
    kind: str
    enabled: bool
    status: StatusOut | None
    seen_at: Moment | None
    contact_lost_since: Moment | None
    closed_reason: str | None
    limits: LimitsOut
    isolation: str
    notes: list[str]


class ClusterList(Answer):
    clusters: list[ClusterOut]


class Health(Answer):
    """`notes` are for whoever runs the gateway: something is wrong, and it works all the same."""

    status: Literal["ok", "not ready"]
    reasons: list[str]
    notes: list[str]
