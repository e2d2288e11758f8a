"""The catalogue's page: what can be run, found by its words, and why something can't."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isthmus.portal import make_site
from isthmus.store.users import Role
from tests.service.api_rig import ECHO, Rig, serving, until, write_application
from tests.service.portal_rig import Browser, signed_in, text_of


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("home")
    write_application(home)
    write_application(home, "name: torn\nversion: 1\n", "torn")
    only = ECHO.replace("name: echo", "name: inner").replace("title: Echo", "title: Inner")
    write_application(home, f"{only}enabled_for: administrators\n", "inner")
    elsewhere = ECHO.replace("name: echo", "name: far").replace("title: Echo", "title: Far").replace('"*"', "moon")
    write_application(home, elsewhere, "far")
    with serving(home, make=make_site) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def test_every_application_is_shown_with_what_it_does_and_where_it_runs(ada: Browser) -> None:
    page = text_of(ada.get("/applications").text)
    assert "Echo Says what it is told. Runs on This machine test" in page
    assert "5 applications" in page


@pytest.mark.parametrize("text", ["echo", "ECHO", "is told echo"])
def test_a_search_finds_applications_by_any_of_their_words(ada: Browser, text: str) -> None:
    page = text_of(ada.get(f"/applications?text={text}").text)
    assert "1 of 5 applications" in page
    assert "Storm clustering" not in page


def test_a_search_that_finds_nothing_says_what_to_do(ada: Browser) -> None:
    page = ada.get("/applications?text=%3Cb%3Enothing").text
    assert "No application fits “<b>nothing” Try fewer or other words. Show all applications" in text_of(page)
    assert "<b>nothing" not in page


def test_a_program_that_can_not_be_run_says_why(ada: Browser) -> None:
    page = text_of(ada.get("/applications").text)
    assert "Only administrators may run it. Ask the administrators of this gateway if you need it." in page
    assert "It is switched off for now." in page
    assert "No cluster takes it now: far 1.0.0 is not deployed on cluster local." in page


def test_programs_for_administrators_are_run_by_them(portal: Rig, ada: Browser) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    assert root.post("/applications/inner", {"inputs.words": "hello"}).status_code == 303
    refused = ada.post("/applications/inner", {"inputs.words": "hello"})
    assert refused.status_code == 403


def test_broken_files_are_shown_to_administrators_only(portal: Rig, ada: Browser) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    page = text_of(root.get("/applications").text)
    assert "Broken application files" in page
    assert "torn.yaml" in page
    assert "torn.yaml" not in ada.get("/applications").text


def test_a_program_that_is_added_is_there_without_a_restart(portal: Rig, ada: Browser) -> None:
    path = write_application(portal.configuration.home, ECHO.replace("name: echo", "name: fresh"), "fresh")
    until(lambda: "/applications/fresh" in ada.get("/applications").text, "it is in the catalogue")
    path.unlink()
