"""What is counted of the calls on a cluster."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from isthmus.cluster import Cluster
from isthmus.cluster.local import LocalCluster
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.controller.counting import MAX_FAILURES, WINDOW_S, Calls, CountedCluster
from isthmus.errors import NoAnswer
from isthmus.files import FileStore


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(clock: Clock) -> Calls:
    return Calls(clock, clock)


@pytest.fixture
def away(tmp_path: Path, calls: Calls) -> CountedCluster:
    """A local cluster whose supervisor can't be started."""
    (tmp_path / "supervisor.log").mkdir()
    cluster = LocalCluster("local", tmp_path, FileStore(tmp_path / "files"), LocalSettings())
    return CountedCluster(cluster, calls)


def test_calls_of_the_last_minute_are_counted_by_kind(calls: Calls, clock: Clock) -> None:
    calls.made("submit")
    clock.now += 30
    for _ in range(2):
        calls.made("observe")
    assert calls.per_minute() == {"observe": 2.0, "submit": 1.0}
    clock.now += WINDOW_S - 30
    assert calls.per_minute() == {"observe": 2.0}
    clock.now += 30
    assert calls.per_minute() == {}


def test_the_last_failures_are_kept_the_newest_first(calls: Calls, clock: Clock) -> None:
    for n in range(MAX_FAILURES + 2):
        clock.now += 1
        calls.failed("observe", f"no answer {n}")
    found = calls.failures()
    assert len(found) == MAX_FAILURES
    assert (found[0].at, found[0].words) == (1012.0, f"observe: no answer {MAX_FAILURES + 1}")


def test_a_call_that_is_not_answered_is_counted_and_told(away: CountedCluster, calls: Calls) -> None:
    with pytest.raises(NoAnswer) as fault:
        asyncio.run(away.status())
    assert calls.per_minute() == {"status": 1.0}
    assert [failure.words for failure in calls.failures()] == [f"status: {fault.value.message}"]


def test_what_asks_nobody_is_not_counted(away: CountedCluster, calls: Calls) -> None:
    away.folders("g00000000000000")
    assert asyncio.run(away.changed()) == frozenset()
    assert calls.per_minute() == {}


def test_every_other_call_is_counted_under_its_own_name() -> None:
    asked = {name for name, _ in inspect.getmembers(Cluster, inspect.isfunction) if not name.startswith("_")}
    for name in asked - {"folders", "changed", "close"}:
        assert f'"{name}"' in inspect.getsource(getattr(CountedCluster, name)), name
