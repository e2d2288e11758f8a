"""The differences of two jobs as people read them: labels, units, and both values in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.application import Application, Json
from isthmus.gateway.comparison import Difference, differences
from isthmus.portal.jobview import labels_of, mebibytes, value_words
from isthmus.portal.rendering import duration
from isthmus.store.views import JobView

_RESOURCES = {
    "cpus": "Processors",
    "memory_mib": "Memory",
    "gpus": "GPUs",
    "walltime_s": "Time",
    "nodes": "Nodes",
    "processes_per_node": "Processes a node",
    "queue": "Queue",
    "account": "Account",
}
_PARTS = {"application": "Program", "version": "Version", "cluster": "Cluster"}


@dataclass(frozen=True, slots=True)
class Change:
    """One field in which a job differs from another, before and after, with its unit."""

    field: str
    label: str
    before: str
    after: str
    unit: str = ""


def changes_between(a: JobView, b: JobView, application: Application) -> tuple[Change, ...]:
    """Every field in which they differ. The definition's digest is left out: people know it by its version."""
    return tuple(_changes(differences(a, b), application, same_version=a.version == b.version))


def _changes(found: tuple[Difference, ...], application: Application, *, same_version: bool) -> Iterator[Change]:
    labels = labels_of(application)
    for one in found:
        part, _, name = one.field.partition(".")
        if part == "definition":
            if same_version:
                yield Change(one.field, "Definition", "as it was", "changed under the same version")
            continue
        label, unit = labels.get(one.field, (name or _PARTS.get(part, part), ""))
        if part == "resources":
            label = _RESOURCES.get(name, name)
        yield Change(one.field, label, _words(part, name, one.a), _words(part, name, one.b), unit)


def _words(part: str, name: str, value: Json) -> str:
    if part == "files":
        return _file_names(value)
    if part == "resources" and isinstance(value, int) and name == "walltime_s":
        return duration(value)
    if part == "resources" and isinstance(value, int) and name == "memory_mib":
        return mebibytes(value)
    return value_words(value)


def _file_names(value: Json) -> str:
    if not isinstance(value, list):
        return "no file"
    return ", ".join(str(file.get("name", "")) for file in value if isinstance(file, dict)) or "no file"
