"""Applications over HTTP: what forms are made of, and files that change while the gateway runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.api.responses.applications import ApplicationOut
from isthmus.store.users import Role
from tests.service.api_rig import ECHO, Person, Rig, serving, until, write_application


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with serving(tmp_path) as rig:
        yield rig


def test_a_changed_application_file_is_used_within_a_second(rig: Rig, ada: Person) -> None:
    assert ada.client.get("/applications/echo").json()["version"] == "1.0.0"
    write_application(rig.configuration.home, ECHO.replace("1.0.0", "1.1.0"))
    until(lambda: ada.client.get("/applications/echo").json()["version"] == "1.1.0", "the new version is there", 1.5)


def test_a_broken_file_disables_its_application_only_and_is_shown_to_administrators(rig: Rig, ada: Person) -> None:

    write_application(rig.configuration.home, "name: broken\nversion: one\n", name="broken")
    root = rig.person("root", Role.ADMIN)

    def shown() -> bool:
        return any(b["file"].endswith("broken.yaml") for b in root.client.get("/applications/broken").json()["broken"])

    until(shown, "the broken file is listed")
    assert ada.client.get("/applications/broken").status_code == 403
    assert ada.client.get("/applications/echo").status_code == 200


def test_an_application_that_is_not_enabled_is_shown_so_and_refused(ada: Person) -> None:
    listed = {one["name"]: one["enabled"] for one in ada.client.get("/applications").json()["applications"]}
    assert (listed["echo"], listed["python-script"]) == (True, False)
    answer = ada.client.post("/jobs", json={"application": "python-script"})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_only_an_administrator_is_told_how_an_application_is_enabled(rig: Rig, ada: Person) -> None:
    def told(person: Person) -> str:
        return str(person.client.post("/jobs", json={"application": "python-script"}).json()["detail"])

    assert told(ada) == "python-script is not enabled for you on this gateway"
    assert 'enable = ["python-script"] under [applications] in isthmus.toml' in told(rig.person("root", Role.ADMIN))


def test_an_application_that_needs_a_variable_is_refused_with_its_file_and_section(rig: Rig, ada: Person) -> None:
    radar = ada.client.post("/files", files={"file": ("a.bz2", b"x")}).json()["id"]
    answer = ada.client.post("/jobs", json={"application": "storm-clustering", "files": {"radar": radar}})
    assert answer.status_code == 422
    said = "sets no variable programs, which storm-clustering needs there: set it under [variables] in clusters.d/local"
    assert said in answer.json()["detail"]


def test_an_application_says_all_that_a_form_needs(ada: Person) -> None:
    echo = ApplicationOut.model_validate(ada.client.get("/applications/echo?version=1.0.0").json())
    assert [(one.name, one.type, one.required) for one in echo.inputs] == [
        ("words", "string", True),
        ("times", "integer", False),
        ("paper", "file", False),
        ("notes", "file", False),
    ]
    assert (echo.clusters, echo.versions) == (["local"], ["1.0.0"])
    assert ada.client.get("/applications/echo?version=9.9.9").status_code == 404
