"""Clusters for tests: a shared one for tests that do it no harm, and one of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.mesos.cluster import SOFTWARE, Cluster


@pytest.fixture(scope="session")
def mesos_software() -> Path:
    """Where Mesos is installed; the test is skipped where it can't be."""
    if not (SOFTWARE / "stamp").exists():
        pytest.skip("Mesos is not installed: scripts/setup --test does it, on x86_64 only")
    return SOFTWARE


@pytest.fixture(scope="module")
def mesos(mesos_software: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two agents that the tests of a module share: they leave it as they found it."""
    yield from running(Cluster.make(tmp_path_factory.mktemp("mesos"), agents=2))


@pytest.fixture
def mesos_alone(mesos_software: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of this test's own, with one agent: its parts may be killed and frozen."""
    yield from running(Cluster.make(tmp_path / "mesos", agents=1))


def running(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster runs while the test does, and nothing of it afterwards."""
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
