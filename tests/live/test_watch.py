"""The demonstration's watcher, on real agents: it must see what runs on, and must not see what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.mesos.cluster import PROJECT, Cluster
from lab.processes import wait_for
from tests.live.bare import BareFramework

WATCHER = PROJECT / "scripts" / "mesos_watch.py"
BUSY = "while :; do :; done"


@pytest.fixture
def framework(mesos: Cluster) -> Iterator[BareFramework]:
    with BareFramework(mesos.url()) as subscribed:
        yield subscribed


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger"
    path.touch()
    return path


def watched(mesos: Cluster, ledger: Path) -> dict[str, int]:
    """What the watcher's last line says, one second between its looks."""
    words = [sys.executable, "-I", str(WATCHER), "--home", str(ledger.parent), "--ledger", str(ledger)]
    words += ["--seconds", "1", *map(mesos.url, mesos.agents)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    told: dict[str, int] = json.loads(said[-1])
    return told


def runs(framework: BareFramework, ledger: Path, tag: str, command: str) -> None:
    """A task of that tag has begun, and told the ledger so."""
    framework.run(f"echo start {tag} u >>{ledger}; {command}", task_id=f"{tag}.1")
    framework.wait("TASK_RUNNING")
    wait_for(lambda: f"start {tag}" in ledger.read_text(encoding="utf-8"), f"{tag} to start", 10)


def test_a_task_that_works_on_is_seen(mesos: Cluster, framework: BareFramework, ledger: Path) -> None:
    runs(framework, ledger, "ga", BUSY)
    told = watched(mesos, ledger)
    assert told.pop("seconds") >= 1
    assert told == {"controllers_alive": 0, "tasks_seen_running": 1, "ended_meanwhile": 0}


@pytest.mark.parametrize(
    "command",
    ["sleep 30", "echo end gb u 0 >>{ledger}; " + BUSY],
    ids=["one that does nothing", "one whose ledger says that it ended"],
)
def test_it_is_not_enough_that_the_agent_calls_a_task_running(
    mesos: Cluster, framework: BareFramework, ledger: Path, command: str
) -> None:
    runs(framework, ledger, "gb", command.format(ledger=ledger))
    wait_for(lambda: "sleep" in command or "end gb" in ledger.read_text(encoding="utf-8"), "the end to be told", 10)
    assert watched(mesos, ledger)["tasks_seen_running"] == 0


def test_a_task_without_a_line_in_the_ledger_is_not_seen(
    mesos: Cluster, framework: BareFramework, ledger: Path
) -> None:
    framework.run(BUSY, task_id="gc.1")
    framework.wait("TASK_RUNNING")
    assert watched(mesos, ledger)["tasks_seen_running"] == 0


def test_nothing_is_seen_while_a_controller_lives(mesos: Cluster, framework: BareFramework, ledger: Path) -> None:
    runs(framework, ledger, "gd", BUSY)
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "isthmus.controller", str(ledger.parent)]
    ) as controller:
        told = watched(mesos, ledger)
        controller.kill()
    assert (told["controllers_alive"], told["tasks_seen_running"]) == (2, 0)


def test_the_watcher_imports_nothing_of_isthmus() -> None:
    imports = [line for line in WATCHER.read_text(encoding="utf-8").splitlines() if line.startswith(("import", "from"))]
    assert imports
    assert not [line for line in imports if line.split()[1].split(".")[0] not in sys.stdlib_module_names]
