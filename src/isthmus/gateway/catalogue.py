"""The application folders as they are now: read again when a file changes, so an operator edits and sees the effect."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.application import (
    Application,
    BrokenApplication,
    Catalogue,
    EnabledFor,
    Fault,
    did_you_mean,
    read_catalogue,
)
from isthmus.application.encoding import Json
from isthmus.config import ApplicationsConfig, Configuration

LOOK_EVERY_S = 0.5
"""How old a look at the folders may be; a changed file is in use within this time and one request."""

_Stamps = tuple[tuple[Path, int, int], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of an application, with what every job of it needs: its digest and its stored form.

    `enabled_for` is the operator's word where there is one, else the file's.
    """

    application: Application
    digest: str
    form: dict[str, Json]
    enabled_for: EnabledFor

    @classmethod
    def of(cls, application: Application, enabled_for: EnabledFor) -> Entry:
        return cls(application, application.digest, application.to_json(), enabled_for)

    def is_open_to(self, *, administrator: bool) -> bool:
        return self.enabled_for is EnabledFor.EVERYONE or (
            administrator and self.enabled_for is EnabledFor.ADMINISTRATORS
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """One reading of the folders. `entries` has each name's versions, the newest first."""

    catalogue: Catalogue
    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    @property
    def broken(self) -> tuple[BrokenApplication, ...]:
        return self.catalogue.broken

    def find(self, name: str, version: str | None = None) -> Entry:
        """That version, or the newest. NotFound: there is none, with a near name."""
        wanted = self.catalogue.find(name, version).version
        return next(entry for entry in self.entries[name] if entry.application.version == wanted)


class Shelf:
    """Keeps the last reading of the application folders; used by any number of threads."""

    def __init__(self, configuration: Configuration) -> None:
        self._folders = configuration.application_folders
        self._settings = configuration.house.applications
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._stamps: _Stamps | None = None
        self._listing = Listing(Catalogue({}))

    def listing(self) -> Listing:
        """What the folders hold, at most `LOOK_EVERY_S` ago."""
        kept = self.kept()
        if kept is not None:
            return kept
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._look()
                self._looked_at = time.monotonic()
            return self._listing

    def kept(self) -> Listing | None:
        """What the folders held at the last look; None: it is time for another."""
        return self._listing if time.monotonic() - self._looked_at < LOOK_EVERY_S else None

    def _look(self) -> None:
        stamps = tuple(_stamps(self._folders))
        if stamps == self._stamps:
            return
        self._listing = _read([path for path, _, _ in stamps], self._settings)
        self._stamps = stamps


def _stamps(folders: tuple[Path, ...]) -> Iterator[tuple[Path, int, int]]:
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # removed between the two looks
            yield path, found.st_mtime_ns, found.st_size


def _read(paths: list[Path], settings: ApplicationsConfig) -> Listing:
    texts: list[tuple[str, str]] = []
    unreadable: list[BrokenApplication] = []
    for path in paths:
        try:
            texts.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as fault:
            unreadable.append(BrokenApplication(str(path), [Fault(1, "", f"can't be read: {fault}")]))
    read = read_catalogue(texts)
    catalogue = Catalogue(read.applications, (*read.broken, *unreadable))
    entries = {
        name: tuple(Entry.of(one, _enabled_for(one, settings)) for one in versions)
        for name, versions in read.applications.items()
    }
    return Listing(catalogue, entries)


def _enabled_for(application: Application, settings: ApplicationsConfig) -> EnabledFor:
    """The operator's word goes before the file's; it is no part of the definition that a job keeps."""
    if application.name in settings.disable:
        return EnabledFor.NOBODY
    return EnabledFor.EVERYONE if application.name in settings.enable else application.enabled_for


def unknown_names(listing: Listing, settings: ApplicationsConfig) -> Iterator[str]:
    """What to tell of each name under `enable` and `disable` that no application has."""
    known = listing.entries
    for key, names in (("enable", settings.enable), ("disable", settings.disable)):
        for name in names:
            if name not in known:
                yield f"applications.{key}: there is no application '{name}'{did_you_mean(name, known)}"
