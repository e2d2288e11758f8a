"""Fixtures that every tier of the tests may ask for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, running_postgres

# A shell starts what it puts into the background without SIGINT, and what the tests start would lack it as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same with nohup and SIGHUP; handled here, it is ignored by the run itself, and by nothing that the run starts.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run, started for the first test that asks."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """The maintenance database of the run's PostgreSQL; tests that write use `postgres_database`."""
    return postgres_server.url("postgres")


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of this test's own: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'isthmus.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url
