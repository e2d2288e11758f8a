"""An attempt on a node that does not see the gateway's files: the real scripts, curl and web process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from isthmus.cluster import Order, OutputRule
from isthmus.facts import Claimed, StagedOut, StagingFailed, Voided
from tests.service.remote_rig import SHELLS, RemoteRig, remote_rig, until, with_settings
from tests.unit.test_sandbox_reading import FolderReader

each_shell = pytest.mark.parametrize("shell", list(SHELLS))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteRig]:
    """A gateway that nobody does harm to; each test has attempts of its own."""
    with remote_rig(tmp_path_factory.mktemp("remote")) as made:
        made.start()
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RemoteRig]:
    """A gateway of the test's own, whose web process it starts."""
    with remote_rig(tmp_path) as made:
        yield made


def rule(glob: str, *, required: bool = True) -> OutputRule:
    return OutputRule("result", glob, "text/csv", required)


@each_shell
def test_a_program_gets_its_inputs_runs_once_and_its_files_come_back(rig: RemoteRig, shell: str) -> None:
    script = "cat ../inputs/some/file >out.txt; echo said; echo wrong >&2; exit 3"
    order = rig.order(script, rule("*.txt"), inputs={"some/file": b"given"})
    node = rig.node(order, shell=shell)
    assert node.ended() == 3, node.said
    facts = rig.staging.observe([order.tag])[order.tag]
    assert isinstance(facts.claim, Claimed) and facts.claim.native_id == f"{order.tag}.1" and facts.claim.run == 1
    assert facts.end is not None and facts.end.code == 3 and facts.end.stopped_by == "" and facts.sent
    assert rig.contents(order) == {"out.txt": "given", "stdout": "said\n", "stderr": "wrong\n"}
    assert rig.runs(order) == 1


@each_shell
def test_a_cancelled_program_ends_by_term_and_the_record_says_that_it_was_cancelled(rig: RemoteRig, shell: str) -> None:
    order = rig.order("trap 'echo told; exit 9' TERM; touch up; while :; do sleep 0.1; done")
    node = rig.node(order, shell=shell)
    until((node.folder / "work" / "up").exists, "the program runs")
    node.process.terminate()
    assert node.ended() == 9, node.said
    end = rig.staging.observe([order.tag])[order.tag].end
    assert end is not None and (end.code, end.stopped_by) == (9, "cancel") and "TERM" in end.signals
    assert rig.contents(order)["stdout"] == "told\n"


@each_shell
def test_a_program_that_ignores_term_is_killed_at_its_walltime_with_all_its_children(
    rig: RemoteRig, shell: str
) -> None:
    child = "(trap '' TERM; while :; do sleep 0.1; date +%N >pulse; done) &"
    order = rig.order(f"trap '' TERM; {child} while :; do sleep 0.1; done", walltime_s=1)
    node = rig.node(order, shell=shell)
    assert node.ended() == 137, node.said
    end = rig.staging.observe([order.tag])[order.tag].end
    assert end is not None and (end.code, end.stopped_by) == (137, "walltime")
    pulse = node.folder / "work" / "pulse"
    assert_still(pulse)


def test_of_two_copies_in_two_sandboxes_one_starts(rig: RemoteRig) -> None:
    order = rig.order("sleep 0.5")
    nodes = [rig.node(order, f"sandbox{n}", native_id=f"{order.tag}.{n}") for n in range(4)]
    assert sorted(node.ended() for node in nodes) == [0, 75, 75, 75]
    assert rig.runs(order) == 1


def test_of_two_copies_in_one_sandbox_one_starts(rig: RemoteRig) -> None:
    order = rig.order("sleep 0.5")
    nodes = [rig.node(order) for _ in range(3)]
    assert sorted(node.ended() for node in nodes) == [0, 75, 75]
    assert rig.runs(order) == 1


def test_after_a_void_none_starts(rig: RemoteRig) -> None:
    order = rig.order("true")
    assert rig.staging.void([order.tag], 7) == {order.tag: Voided(7)}
    assert rig.node(order).ended() == 75
    assert rig.runs(order) == 0


def test_a_void_after_the_claim_says_who_has_started(rig: RemoteRig) -> None:
    order = rig.order("true")
    assert rig.node(order, native_id="n.4").ended() == 0
    claim = rig.staging.void([order.tag], 7)[order.tag]
    assert isinstance(claim, Claimed) and claim.native_id == "n.4"


@pytest.mark.parametrize("place", ["api.before_claim", "api.after_claim", "api.after_end", "api.file_stored"])
def test_a_web_process_killed_at_a_request_costs_nothing_but_time(own: RemoteRig, place: str) -> None:
    order = own.order("echo out >out.csv; exit 4", rule("*.csv"))
    own.start(f"{place}=kill")
    node = own.node(order)
    own.until_dead()
    own.start()
    assert node.ended() == 4, node.said
    assert own.runs(order) == 1
    assert own.contents(order)["out.csv"] == "out\n"


def test_an_upload_that_is_cut_goes_on_where_it_broke_off(own: RemoteRig) -> None:
    order = own.order("head -c 3500000 /dev/urandom >big.bin; sha256sum <big.bin", rule("*.bin"))
    own.start("api.part_written=kill:2")
    node = own.node(order)
    own.until_dead()
    here = [path.stat().st_size for path in (own.home / "files/tmp").glob("part.*")]
    assert here and max(here) >= 1 << 20
    own.start()
    assert node.ended() == 0, node.said
    found = own.collected(order)
    assert isinstance(found, StagedOut)
    digests = {file.name: file.sha256 for file in found.files}
    stdout = own.files.path(digests["stdout"]).read_text()
    assert stdout.split()[0] == digests["result"]
    assert not list((own.home / "files/tmp").glob("part.*"))


@pytest.mark.parametrize("pause_s", [0.05, 0.15, 0.3, 0.6, 1.0])
def test_a_script_killed_at_any_moment_and_started_again_starts_the_program_once(
    rig: RemoteRig, pause_s: float
) -> None:
    """Where the first copy had started the program, it can't be started again: then the end is a suppressed one."""
    order = rig.order("sleep 0.2")
    first = rig.node(order)
    with suppress(subprocess.TimeoutExpired):
        first.process.wait(pause_s)
    first.process.kill()
    first.process.wait()
    second = rig.node(order)
    assert second.ended() in (0, 75, 143, 137)
    assert rig.runs(order) <= 1
    if second.ended() == 0:
        assert rig.staging.observe([order.tag])[order.tag].sent


def test_a_killed_script_leaves_no_program(rig: RemoteRig) -> None:
    order = rig.order("touch up; while :; do sleep 0.1; date +%N >pulse; done")
    node = rig.node(order)
    pulse = node.folder / "work" / "pulse"
    until(pulse.exists, "the program runs")
    node.process.kill()
    node.process.wait()
    until((node.folder / "exit.1.json").exists, "its program has ended")
    assert_still(pulse)


def test_a_script_killed_after_the_programs_end_reports_when_started_again(rig: RemoteRig) -> None:
    order = rig.order("exit 6")
    node = rig.node(order)
    until((node.folder / "exit.1.json").exists, "the program has ended")
    node.process.kill()
    node.process.wait()
    assert rig.node(order).ended() == 6
    end = rig.staging.observe([order.tag])[order.tag].end
    assert end is not None and end.code == 6 and rig.runs(order) == 1


def test_without_an_answer_nothing_is_started(own: RemoteRig) -> None:
    with_settings(own, claim_wait_s=1)
    order = own.order("true")
    with socket.create_server(("127.0.0.1", 0)) as other:
        nobody = f"http://127.0.0.1:{other.getsockname()[1]}"
    node = own.node(order, ISTHMUS_URL=f"{nobody}/api/v1/attempts/{order.tag}")
    assert node.ended() == 73
    assert "does not answer" in node.said and own.runs(order) == 0


def test_a_wrong_ticket_starts_nothing(rig: RemoteRig) -> None:
    order = rig.order("true")
    node = rig.node(order, ISTHMUS_TICKET="0" * 64)
    assert node.ended() == 73
    assert "refuses this task (404)" in node.said and rig.runs(order) == 0


def test_a_program_does_not_find_the_ticket(rig: RemoteRig) -> None:
    order = rig.order("env; ps -eo args")
    node = rig.node(order)
    assert node.ended() == 0, node.said
    ticket = node_ticket(rig, order)
    assert ticket not in rig.contents(order)["stdout"]
    assert [path for path in node.folder.rglob("*") if path.is_file() and ticket in path.read_text()] == []


def test_a_sandbox_whose_path_can_not_stand_in_a_script_is_refused(rig: RemoteRig) -> None:
    order = rig.order("true")
    node = rig.node(order, "sand box")
    assert node.ended() == 73
    assert "letters" in node.said and rig.runs(order) == 0


@pytest.mark.parametrize("tool", ["curl", "stat"])
def test_a_node_that_lacks_a_tool_says_which(rig: RemoteRig, tool: str, tmp_path: Path) -> None:
    names = {entry.name for entry in Path("/usr/bin").iterdir()}
    for name in names - {tool}:
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    order = rig.order("true")
    node = rig.node(order, PATH=str(tmp_path))
    assert node.ended() == 73
    assert f"this node lacks {tool}" in node.said.replace("find, stat", "stat") and rig.runs(order) == 0


# --- which files ----------------------------------------------------------------------------------------------------
def test_the_rules_that_hold_for_files_at_hand_hold_for_those_of_a_node(rig: RemoteRig) -> None:
    script = """
        mkdir -p a/b other; echo 1 >a/b/one.csv; echo 2 >"a/two
lines.csv"; echo 3 >.hidden.csv; ln -s a/b linked; ln -s b/one.csv a/alias.csv; ln -s nothing broken.csv
        mkdir folder.csv; echo 5 >other/five.txt
    """
    order = rig.order(script, rule("*.csv"), rule("a/*.csv"), rule("linked/*.csv"), rule("**/five.txt"))
    node = rig.node(order)
    assert node.ended() == 0, node.said
    found = rig.contents(order)
    del found["stdout"], found["stderr"]
    assert found == {
        ".hidden.csv": "3\n",
        "a/two\nlines.csv": "2\n",
        "a/alias.csv": "1\n",
        "linked/one.csv": "1\n",
        "other/five.txt": "5\n",
    }


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("ln -s /etc/passwd out.csv", "a link that leaves the work directory"),
        ("ln -s ../stdout out.csv", "a link that leaves the work directory"),
        ("mkfifo out.csv", "no regular file"),
        (r"touch $(printf 'x\377.csv')", "not UTF-8"),
        ("truncate -s 5M out.csv", "its outputs have 5 MiB; a job may leave 4 MiB"),
        ("for n in 1 2 3; do truncate -s 2M $n.csv; done", "its outputs have 6 MiB; a job may leave 4 MiB"),
    ],
)
def test_files_that_must_not_be_collected_are_refused_in_the_same_words(
    rig: RemoteRig, script: str, words: str
) -> None:
    order = rig.order(script, rule("*.csv"))
    node = rig.node(order)
    assert node.ended() == 0, node.said
    found = rig.collected(order)
    assert isinstance(found, StagingFailed) and found.permanent and words in found.words


def test_a_promised_file_that_is_not_there_is_named(rig: RemoteRig) -> None:
    order = rig.order("true", rule("*.csv"))
    assert rig.node(order).ended() == 0
    found = rig.collected(order)
    assert isinstance(found, StagedOut) and found.missing == ("result",)


def test_a_long_log_comes_with_its_beginning_and_its_end(rig: RemoteRig) -> None:
    order = rig.order("echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last")
    assert rig.node(order).ended() == 0
    log = rig.contents(order)["stdout"]
    assert log.startswith("first\n") and log.endswith("last\n") and len(log) < (1 << 20) + 100
    assert "\n[... 1951435 bytes left out ...]\n" in log


def test_while_files_are_on_their_way_staging_out_waits(rig: RemoteRig) -> None:
    order = rig.order("true")
    found = rig.collected(order)
    assert isinstance(found, StagingFailed) and not found.permanent


def test_what_an_attempt_left_on_its_way_goes_with_it(rig: RemoteRig) -> None:
    order = rig.order("true", rule("*", required=False))
    assert rig.node(order).ended() == 0
    with rig.files.resumed(f"{order.tag}.ab", 0) as part:
        part.write(b"some")
    rig.staging.discard([order.tag])
    assert order.tag not in rig.staging.tags() and rig.files.held(f"{order.tag}.ab") == 0
    assert rig.node(order, "late").ended() == 75


def node_ticket(rig: RemoteRig, order: Order) -> str:
    return rig.command(order, "n").environment["ISTHMUS_TICKET"]


def assert_still(pulse: Path) -> None:
    """Nothing writes to the file any more."""
    before = pulse.read_text()
    assert all(pulse.read_text() == before for _ in after(0.5))


def after(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
        yield


def test_term_for_everybody_at_once_is_a_cancel(rig: RemoteRig) -> None:
    """As Mesos' executor sends it: to every process of the task."""
    order = rig.order("touch up; while :; do sleep 0.1; done")
    node = rig.node(order)
    until((node.folder / "work" / "up").exists, "the program runs")
    for pid in reversed(family(node.process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    assert node.ended() > 128, node.said
    end = rig.staging.observe([order.tag])[order.tag].end
    assert end is not None and end.stopped_by == "cancel"


def test_a_program_knows_its_job_and_its_attempt_and_when_it_ran(rig: RemoteRig) -> None:
    order = rig.order('echo "$ISTHMUS_JOB_ID $ISTHMUS_TAG $HOME $TMPDIR $LC_ALL $OMP_NUM_THREADS"; sleep 0.3')
    before = time.time()
    node = rig.node(order)
    assert node.ended() == 0
    work = node.folder / "work"
    assert rig.contents(order)["stdout"] == f"{order.job_id} {order.tag} {work} {work} C.UTF-8 1\n"
    end = rig.staging.observe([order.tag])[order.tag].end
    assert end is not None and end.started_at is not None and end.ended_at is not None
    assert before - 0.1 < end.started_at < end.ended_at - 0.25 and end.ended_at < time.time() + 0.1


def family(pid: int) -> list[int]:
    """The process and all that came of it, parents first."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def test_where_the_script_can_not_report_what_is_missing_can_be_read_from_the_sandbox(own: RemoteRig) -> None:
    own.start("api.after_end=kill")
    order = own.order("echo out >out.csv", rule("*.csv"))
    node = own.node(order)
    own.until_dead()
    node.process.kill()
    node.process.wait()
    gone = own.staging.stage_out_rest(order, None)
    assert isinstance(gone, StagingFailed) and gone.permanent and "went away" in gone.words
    gone = own.staging.stage_out_rest(order, FolderReader(node.sandbox / "nowhere"))
    assert isinstance(gone, StagingFailed) and gone.permanent and "folder on the node is gone" in gone.words
    found = own.staging.stage_out_rest(order, FolderReader(node.sandbox))
    assert isinstance(found, StagedOut)
    assert {file.path for file in found.files} == {"out.csv", "stdout", "stderr"}


@each_shell
def test_a_program_ends_with_its_executor_where_that_is_asked_for(own: RemoteRig, shell: str) -> None:
    own.start()
    with_settings(own, ends_with_parent=True)
    order = own.order("touch up; while :; do sleep 0.1; date +%N >pulse; done")
    executor = own.node(order, shell=shell, under=("/usr/bin/dash", "-c", '"$@" & wait', "executor"))
    pulse = executor.folder / "work" / "pulse"
    until(pulse.exists, "the program runs")
    executor.process.kill()
    executor.process.wait()
    until((executor.folder / "exit.1.json").exists, "the program has ended")
    assert_still(pulse)
    until(lambda: own.staging.observe([order.tag])[order.tag].sent, "its end is told all the same")
