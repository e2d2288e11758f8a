"""An open store on each database, with two users who must not meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from isthmus.store import Lease, Role, Store, Viewer
from isthmus.store.schema import metadata
from tests.postgres import PostgresServer
from tests.store.making import held, person


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def shared_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for the tests that only need an empty one: making one takes far longer than emptying it."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database; the test runs once on each."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'isthmus.db'}"
        return
    shared: str = request.getfixturevalue("shared_postgres")
    yield shared
    engine = create_engine(shared)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    with Store.open(url, clock=clock) as store:
        store.remember_definition("digest", "app", "1", {"title": "An application"})
        yield store


@pytest.fixture
def ann(store: Store) -> Viewer:
    return person(store, "ann")


@pytest.fixture
def bob(store: Store) -> Viewer:
    return person(store, "bob")


@pytest.fixture
def admin(store: Store) -> Viewer:
    return person(store, "root", Role.ADMIN)


@pytest.fixture
def lease(store: Store) -> Lease:
    return held(store)
