"""What the controller reports of a cluster, also of one that does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.cluster.local import LocalCluster
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.controller.counting import Calls, CountedCluster
from isthmus.controller.housekeeping import ClusterKeeping
from isthmus.errors import NoAnswer
from isthmus.files import FileStore
from isthmus.gateway.status import Status, read_status
from isthmus.store import ClusterRow, Store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with Store.open(database_url) as store:
        yield store


def keeping(store: Store, root: Path) -> ClusterKeeping:
    """The keeping of a local cluster in that folder."""
    lease = store.take("cluster-local", "test", store.lease_row("cluster-local"))
    assert lease is not None
    calls = Calls()
    settings = LocalSettings(isolation="none", idle_s=0.5)
    cluster = LocalCluster("local", root, FileStore(root.parent / "files"), settings)
    return ClusterKeeping(store, CountedCluster(cluster, calls), lease, calls)


def told(store: Store) -> tuple[ClusterRow, Status]:
    (row,) = store.clusters()
    status = read_status(row.status)
    assert status is not None
    return row, status


def test_a_report_tells_the_calls_of_the_last_minute(store: Store, tmp_path: Path) -> None:
    kept = keeping(store, tmp_path / "cluster")
    for _ in range(2):
        asyncio.run(kept.report())
    row, status = told(store)
    assert status.calls_per_minute == {"status": 2.0}
    assert status.recent_failures == ()
    assert row.seen_at is not None


def test_the_failures_of_a_cluster_that_does_not_answer_are_told_beside_its_last_words(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "cluster" / "supervisor.log").mkdir(parents=True)  # so that no supervisor can be started
    kept = keeping(store, tmp_path / "cluster")
    store.report_cluster(kept.lease, "local", '{"queued": 3}', 7.0)
    before = time.time()
    with pytest.raises(NoAnswer) as fault:
        asyncio.run(kept.report())
    row, status = told(store)
    assert (status.queued, row.seen_at) == (3, 7.0)
    assert status.calls_per_minute == {"status": 1.0}
    (failure,) = status.recent_failures
    assert failure.words == f"status: {fault.value.message}"
    assert before <= failure.at <= time.time()


def test_the_calls_on_a_cluster_that_never_answered_are_told_too(store: Store, tmp_path: Path) -> None:
    (tmp_path / "cluster" / "supervisor.log").mkdir(parents=True)
    kept = keeping(store, tmp_path / "cluster")
    with pytest.raises(NoAnswer):
        asyncio.run(kept.report())
    row, status = told(store)
    assert (row.seen_at, status.calls_per_minute) == (None, {"status": 1.0})
