"""The differences of two jobs as people read them: labels, units, and both values in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from isthmus.application import Application, Json
from isthmus.gateway.comparison import Difference, differences
from isthmus.portal.amounts import LABELS, amount_words
from isthmus.portal.jobview import field_labels, value_words
from isthmus.store.views import JobView

_PARTS = {"application": "Application", "version": "Version", "cluster": "Cluster"}


@dataclass(frozen=True, slots=True)
class Change:
    """One field in which a job, or the form of one, differs from another: before and after, with its unit."""

    field: str
    label: str
    before: str
    after: str
    unit: str = ""


def changes_between(a: JobView, b: JobView, application: Application, titles: Mapping[str, str]) -> tuple[Change, ...]:
    """Every field in which they differ; `titles` are those of clusters.

    The definition's digest is left out: people know it by its version.
    """
    return tuple(_changes(differences(a, b), application, titles, same_version=a.version == b.version))


def _changes(
    found: tuple[Difference, ...], application: Application, titles: Mapping[str, str], *, same_version: bool
) -> Iterator[Change]:
    labels = field_labels(application)
    for one in found:
        part, _, name = one.field.partition(".")
        if part == "definition":
            if same_version:
                yield Change(one.field, "Definition", "as it was", "changed under the same version")
            continue
        label, unit = labels.get(one.field, (name or _PARTS.get(part, part), ""))
        if part == "resources":
            label = LABELS.get(name, name)
        before, after = (_words(part, name, value, titles) for value in (one.a, one.b))
        yield Change(one.field, label, before, after, unit)


def _words(part: str, name: str, value: Json, titles: Mapping[str, str]) -> str:
    if part == "files":
        return _file_names(value)
    if part == "cluster":
        return titles.get(str(value), str(value))
    if part == "resources" and isinstance(value, int):
        return amount_words(name, value)
    return value_words(value)


def _file_names(value: Json) -> str:
    if not isinstance(value, list):
        return "no file"
    return ", ".join(str(file.get("name", "")) for file in value if isinstance(file, dict)) or "no file"
