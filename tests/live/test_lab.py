"""The lab itself: real Mesos daemons that are started, harmed one by one, and ended with all they started."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from lab.__main__ import main
from lab.mesos.cluster import PROJECT, Cluster, LabError
from lab.processes import Condition, marked, wait_for
from tests.live.bare import BareFramework


def conditions(cluster: Cluster) -> dict[str, Condition]:
    return {part.name: part.condition for part in cluster.status()}


def status_of(address: str, patience_s: float = 5.0) -> int:
    """The code that an address answers with, no redirect followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        with urllib.request.build_opener(Stay).open(address, timeout=patience_s) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code


def test_everything_runs_after_up(mesos: Cluster) -> None:
    assert set(conditions(mesos)) == {"master", "follower", "agent0", "agent1"}
    assert set(conditions(mesos).values()) == {Condition.RUNNING}


def test_up_leaves_what_runs_as_it_is(mesos: Cluster) -> None:
    before = mesos.status()
    mesos.up()
    assert mesos.status() == before


def test_the_follower_redirects(mesos: Cluster) -> None:
    assert status_of(mesos.url("master") + "/master/state") == 200
    assert status_of(mesos.url("follower") + "/master/state") == 307


def test_a_task_runs_and_its_sandbox_is_below_the_folder(mesos: Cluster) -> None:
    with BareFramework(mesos.url()) as framework:
        task = framework.run("echo told; echo of an error >&2")
        assert framework.wait("TASK_FINISHED", "TASK_FAILED")["state"] == "TASK_FINISHED"
        told = list(mesos.folder.glob(f"work/agent*/**/executors/{task}/runs/*/stdout"))
    assert any("told" in path.read_text(encoding="utf-8") for path in told)


def test_a_killed_agent_comes_back_as_the_same_with_its_task_running_on(mesos_alone: Cluster, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with BareFramework(mesos_alone.url()) as framework:
        framework.run(f"while :; do echo tick >>{ledger}; sleep 0.05; done")
        wait_for(ledger.exists, "the task to write", 10)
        mesos_alone.kill("agent0")
        assert conditions(mesos_alone)["agent0"] is Condition.GONE
        size = ledger.stat().st_size
        wait_for(lambda: ledger.stat().st_size > size, "the task to write on", 5)
        mesos_alone.start("agent0")
        mesos_alone.wait_for_agents(1)
    assert len(mesos_alone.agents) == 1


def test_a_frozen_part_answers_nobody_until_it_is_thawed(mesos_alone: Cluster) -> None:
    mesos_alone.freeze("agent0")
    assert conditions(mesos_alone)["agent0"] is Condition.FROZEN
    with pytest.raises(TimeoutError):
        status_of(mesos_alone.url("agent0") + "/health", 0.3)
    mesos_alone.thaw("agent0")
    assert status_of(mesos_alone.url("agent0") + "/health") == 200


def test_up_starts_only_the_part_that_was_killed(mesos_alone: Cluster) -> None:
    before = {part.name: part.pid for part in mesos_alone.status()}
    mesos_alone.kill("follower")
    mesos_alone.up()
    after = {part.name: part.pid for part in mesos_alone.status()}
    assert {name for name, pid in after.items() if pid != before[name]} == {"follower"}
    assert conditions(mesos_alone)["follower"] is Condition.RUNNING


def test_agents_come_and_go_and_the_others_stay(mesos_alone: Cluster) -> None:
    first = mesos_alone.status()[2]
    mesos_alone.resize(3)
    mesos_alone.up()
    assert mesos_alone.agents == ("agent0", "agent1", "agent2")
    assert mesos_alone.status()[2] == first
    mesos_alone.resize(1)
    mesos_alone.up()
    assert mesos_alone.status()[2:] == (first,)
    assert len({process.pid for process in marked(mesos_alone.folder)}) == 3


def test_down_ends_tasks_too_and_nothing_else(mesos_alone: Cluster, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=mesos_alone.folder) as bystander:
        framework = BareFramework(mesos_alone.url())
        framework.run(f"env -i setsid sleep 61 & echo here >{tmp_path}/ledger; sleep 62")
        wait_for((tmp_path / "ledger").exists, "the task to write", 10)
        mesos_alone.kill("agent0")  # executors and tasks outlive their agent
        ran = marked(mesos_alone.folder)
        assert len(ran) > 2
        mesos_alone.down()
        assert marked(mesos_alone.folder) == ()
        assert {process.condition() for process in ran} == {Condition.GONE}
        assert bystander.poll() is None
        bystander.kill()
    with pytest.raises(OSError):
        framework.__exit__(None, None, None)
        framework.call("TEARDOWN")


def test_a_number_that_another_process_has_by_now_is_not_killed(mesos_software: Path, tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path / "mesos", software=mesos_software)
    (cluster.folder / "pids").mkdir()
    (cluster.folder / "pids" / "master").write_text(f"{os.getpid()} 1\n", encoding="utf-8")
    assert conditions(cluster)["master"] is Condition.GONE
    cluster.down()  # would end this test


def test_the_command_starts_shows_and_ends_a_lab(
    mesos_software: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_LAB", str(tmp_path))
    try:
        assert main(["up", "mesos", "--agents", "1"]) == 0
        assert "masters = [" in capsys.readouterr().out
        assert main(["kill", "mesos", "agent0"]) == 0
        assert "agent0: gone" in capsys.readouterr().out
        assert main(["status", "mesos", "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert [part["condition"] for part in told] == ["running", "running", "gone"]
    finally:
        assert main(["down", "mesos"]) == 0
    assert marked(tmp_path / "mesos") == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["kill", "mesos", "agent9"], "there is no lab in"),
        (["status", "mesos"], "make one with: scripts/lab up mesos"),
    ],
)
def test_what_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["--folder", str(tmp_path), *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_part_that_does_not_exist_is_said_with_those_that_do(mesos: Cluster) -> None:
    with pytest.raises(LabError, match="its parts are master, follower, agent0, agent1"):
        mesos.kill("agent9")


def test_a_lab_without_mesos_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="scripts/setup --test"):
        Cluster.make(tmp_path / "mesos", software=tmp_path).up()


def test_a_part_that_cannot_start_is_said_at_once(mesos_software: Path, tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path / "mesos", master_env={"MESOS_REGISTRY": "nonsense"})
    before = time.monotonic()
    try:
        with pytest.raises(LabError, match="master has ended by itself"):
            cluster.up()
    finally:
        cluster.down()
    assert time.monotonic() - before < 20


def test_the_script_hands_everything_on() -> None:
    asked = subprocess.run([PROJECT / "scripts" / "lab", "--help"], capture_output=True, text=True, check=True)
    assert "usage: scripts/lab" in asked.stdout
