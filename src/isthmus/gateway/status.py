"""What a cluster last said of itself, as the controller left it in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.application.encoding import Json


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a cluster; memory in MiB."""

    name: str = ""
    cpus: int = 0
    cpus_used: int = 0
    memory_mib: int = 0
    memory_used_mib: int = 0
    gpus: int = 0
    gpus_used: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A time at which a cluster did not answer, and what was known of it."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One more of a cluster's own facts, in words of its kind: of Mesos, the framework's id."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Status:
    """Lengths of a cluster's queue, its nodes, how it keeps jobs apart, and what it can't do, in sentences.

    `calls_per_minute` are those its controller made on it, by kind; `recent_failures` the last calls it did not answer,
    the newest first.
    """

    queued: int = 0
    running: int = 0
    nodes: tuple[Node, ...] = ()
    isolation: str = ""
    notes: tuple[str, ...] = ()
    calls_per_minute: Mapping[str, float] = field(default_factory=dict)
    recent_failures: tuple[Failure, ...] = ()
    details: tuple[Detail, ...] = ()


def read_status(form: Json) -> Status | None:
    """The status that the stored JSON holds; unknown keys, of a newer controller, are left aside."""
    if not isinstance(form, dict):
        return None
    nodes, notes = form.get("nodes"), form.get("notes")
    return Status(
        queued=_whole(form, "queued"),
        running=_whole(form, "running"),
        nodes=tuple(_node(node) for node in nodes if isinstance(node, dict)) if isinstance(nodes, list) else (),
        isolation=_text(form, "isolation"),
        notes=tuple(str(note) for note in notes) if isinstance(notes, list) else (),
        calls_per_minute=_numbers(form.get("calls_per_minute")),
        recent_failures=_failures(form.get("recent_failures")),
        details=_details(form.get("details")),
    )


def _numbers(form: Json) -> dict[str, float]:
    members = form.items() if isinstance(form, dict) else ()
    return {name: float(value) for name, value in members if isinstance(value, int | float)}


def _failures(form: Json) -> tuple[Failure, ...]:
    members = form if isinstance(form, list) else []
    return tuple(
        Failure(float(at), _text(one, "words"))
        for one in members
        if isinstance(one, dict) and isinstance(at := one.get("at"), int | float)
    )


def _details(form: Json) -> tuple[Detail, ...]:
    """Pairs, as the controller stores them."""
    members = form if isinstance(form, list) else []
    return tuple(Detail(str(one[0]), str(one[1])) for one in members if isinstance(one, list) and len(one) == 2)


def _node(form: Mapping[str, Json]) -> Node:
    return Node(
        name=_text(form, "name"),
        cpus=_whole(form, "cpus"),
        cpus_used=_whole(form, "cpus_used"),
        memory_mib=_whole(form, "memory_mib"),
        memory_used_mib=_whole(form, "memory_used_mib"),
        gpus=_whole(form, "gpus"),
        gpus_used=_whole(form, "gpus_used"),
    )


def _whole(form: Mapping[str, Json], key: str) -> int:
    value = form.get(key)
    return value if isinstance(value, int) else 0


def _text(form: Mapping[str, Json], key: str) -> str:
    value = form.get(key)
    return value if isinstance(value, str) else ""
