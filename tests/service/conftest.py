"""Fixtures that the tests of the API share, and below them those of the command line.

A module that needs another gateway overrides `rig` or `gateway`, and keeps the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from isthmus.portal import make_site
from isthmus.store.users import Role
from tests.service.api_rig import DATABASES, Person, Rig, serving, serving_on
from tests.service.gateway_process import PASSWORD, GatewayProcess
from tests.service.gateway_process import serving as serving_process


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway for all tests of a module; like any other it has an administrator before it has users."""
    with serving(tmp_path_factory.mktemp("home")) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


@pytest.fixture(scope="module", params=DATABASES)
def rig_on_each_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway as a module's `rig` that is on SQLite and then on PostgreSQL: its tests run once on each."""
    with serving_on(request, tmp_path_factory.mktemp("home")) as rig:
        yield rig


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway as a module's `rig`, with the pages beside the API; `portal_rig.signed_in` opens a browser on it."""
    with serving(tmp_path_factory.mktemp("home"), make=make_site) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


@pytest.fixture
def ada(rig: Rig) -> Person:
    """A user of this test's own."""
    return rig.person("ada")


# --- a whole gateway, for commands --------------------------------------------------------------------------
@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """`isthmus serve` for all tests of a module."""
    with serving_process(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def completed(gateway: GatewayProcess) -> str:
    """The id of a job that has completed: two numbers counted."""
    ended = gateway.run("submit", "counting", "--upto", "2", "--name", "first", "--label", "kept", "--json", "--wait")
    assert ended.code == 0, ended.err
    return str(json.loads(ended.lines[-1])["id"])


@pytest.fixture(scope="module")
def stranger(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What makes a command another user's, who is no administrator."""
    assert gateway.run("users", "add", "bob", given=f"{PASSWORD}\n").code == 0
    environment = {"HOME": str(tmp_path_factory.mktemp("bob")), "ISTHMUS_HOME": "/nonexistent"}
    signed_in = gateway.run("login", "--name", "bob", gateway.url, given=f"{PASSWORD}\n", environment=environment)
    assert signed_in.code == 0, signed_in.err
    return environment
