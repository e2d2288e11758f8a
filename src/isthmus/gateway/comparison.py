"""What two jobs have in common and what not, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from isthmus.application import Json
from isthmus.gateway.submission import files_by_input
from isthmus.store.views import JobView


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two jobs differ, named as in a submission; None where one of them has nothing."""

    field: str
    a: Json
    b: Json


def differences(a: JobView, b: JobView) -> tuple[Difference, ...]:
    """Every field in which the jobs were asked for something else; files are the same if their bytes and names are."""
    return tuple(found for found in _compared(a, b) if found.a != found.b)


def _compared(a: JobView, b: JobView) -> Iterator[Difference]:
    yield Difference("application", a.application, b.application)
    yield Difference("version", a.version, b.version)
    yield Difference("definition", a.digest, b.digest)
    yield Difference("cluster", a.cluster, b.cluster)
    yield from _fields("inputs", a.inputs, b.inputs)
    yield from _fields("files", _files(a), _files(b))
    yield from _fields("resources", asdict(a.resources), asdict(b.resources))


def _fields(part: str, a: Mapping[str, Json], b: Mapping[str, Json]) -> Iterator[Difference]:
    for name in dict.fromkeys([*a, *b]):
        yield Difference(f"{part}.{name}", a.get(name), b.get(name))


def _files(job: JobView) -> dict[str, Json]:
    return {
        name: [{"name": file.file_name, "sha256": file.sha256, "size": file.size} for file in found]
        for name, found in files_by_input(job).items()
    }
