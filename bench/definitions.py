"""The measurements' own applications, known to a store without the web process."""

from __future__ import annotations

from bench.gateway import APPLICATIONS
from isthmus.application import read_application
from isthmus.store import Store


def remember(store: Store, name: str) -> tuple[str, str]:
    """Jobs may name this application: its definition's digest, its version."""
    path = APPLICATIONS / f"{name}.yaml"
    application = read_application(path.read_text(encoding="utf-8"), path.name)
    store.remember_definition(application.digest, application.name, application.version, application.to_json())
    return application.digest, application.version
