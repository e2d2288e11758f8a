"""Gateways to do harm to. Most tests share one, with controllers of their own, and must leave it whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.front import store_front
from tests.crash.rig import Rig


@dataclass(slots=True)
class Sharing:
    """The gateway that is handed on from test to test as long as nothing is wrong with it."""

    folders: Iterator[Path]
    new: Callable[[Path], Rig] = lambda folder: Rig(folder, open_front=store_front)
    current: Rig | None = None

    def rig(self) -> Rig:
        """A gateway without controllers, whose jobs have all ended well."""
        if self.current is None:
            self.current = self.new(next(self.folders)).__enter__()
        return self.current

    def give_back(self) -> None:
        """The gateway is handed on, or ended if it is spoilt."""
        if self.current is not None:
            self.current.end_controllers()
            if not (self.current.all_final() and self.current.verdict().is_clean):
                self.end()

    def end(self) -> None:
        if self.current is not None:
            self.current.__exit__(None, None, None)
            self.current = None


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharing]:
    sharing = Sharing(iter(lambda: tmp_path_factory.mktemp("crash") / "rig", Path()))
    yield sharing
    sharing.end()


@pytest.fixture
def shared_rig(sharing: Sharing) -> Iterator[Rig]:
    """The gateway on SQLite that the tests of a module share."""
    yield sharing.rig()
    sharing.give_back()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A gateway on SQLite of the test's own."""
    with Rig(tmp_path / "rig", open_front=store_front) as rig:
        yield rig


@pytest.fixture
def postgres_rig(tmp_path: Path, postgres_database: str) -> Iterator[Rig]:
    """A gateway on PostgreSQL of the test's own."""
    with Rig(tmp_path / "rig", database_url=postgres_database, open_front=store_front) as rig:
        yield rig
