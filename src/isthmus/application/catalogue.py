"""All applications of a site, each in its versions; a broken file disables its own application only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isthmus.application.definition import Application
from isthmus.application.faults import BrokenApplication, Fault, did_you_mean
from isthmus.application.reading import read_application
from isthmus.errors import NotFound


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`applications` has each name's versions, the newest first."""

    applications: Mapping[str, tuple[Application, ...]]
    broken: tuple[BrokenApplication, ...] = ()

    def find(self, name: str, version: str | None = None) -> Application:
        """That version, or the newest. NotFound: there is none."""
        versions = self.applications.get(name)
        if versions is None:
            raise NotFound(f"there is no application '{name}'{did_you_mean(name, self.applications)}")
        found = next((one for one in versions if version in (None, one.version)), None)
        if found is None:
            there = ", ".join(one.version for one in versions)
            raise NotFound(f"{name} has no version '{version}'; there is {there}")
        return found


def read_catalogue(files: Iterable[tuple[str, str]]) -> Catalogue:
    """The catalogue of these (file name, text) pairs. Two files with one name and version disable both."""
    broken: list[BrokenApplication] = []
    claims: defaultdict[tuple[str, str], list[tuple[str, Application]]] = defaultdict(list)
    for source, text in files:
        try:
            application = read_application(text, source)
        except BrokenApplication as fault:
            broken.append(fault)
        else:
            claims[application.name, application.version].append((source, application))
    by_name: defaultdict[str, list[Application]] = defaultdict(list)
    for claimed in claims.values():
        if len(claimed) == 1:
            by_name[claimed[0][1].name].append(claimed[0][1])
        else:
            broken += _doubled(claimed)
    ordered = {
        name: tuple(sorted(versions, key=lambda one: precedence(one.version), reverse=True))
        for name, versions in sorted(by_name.items())
    }
    return Catalogue(ordered, tuple(broken))


def _doubled(claimed: list[tuple[str, Application]]) -> Iterable[BrokenApplication]:
    for source, application in claimed:
        others = ", ".join(other for other, _ in claimed if other != source)
        said = f"{application.name} {application.version} is claimed by {others} too; both are disabled"
        yield BrokenApplication(source, [Fault(1, "version", said)])


def precedence(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """Orders versions as Semantic Versioning 2.0.0 does (section 11): `1.0.0-rc.2 < 1.0.0-rc.10 < 1.0.0 < 1.10.0`."""
    numbers, _, pre = version.partition("-")
    parts = tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in pre.split(".")) if pre else ()
    return tuple(int(number) for number in re.findall(r"\d+", numbers)), not pre, parts
