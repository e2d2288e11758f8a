"""The wrapper alone: what it claims, reports and records, with nobody to watch it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from isthmus.scheduler import WRAPPER

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SH = ["/bin/sh"]
SHELLS = {"sh": SH, "busybox": ["busybox", "sh"]}
only_sh = pytest.mark.parametrize("shell", [SH], indirect=True, ids=["sh"])  # busybox asks no command on PATH


@pytest.fixture(autouse=True, params=SHELLS.values(), ids=list(SHELLS))
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with the shell of every system, and with the one that the local engine prefers."""
    monkeypatch.setitem(SHELLS, "used", request.param)


def started(
    attempt: Path, script: str, *, native_id: str = "1.1", group: str = "", clock: str = "", path: str | None = None
) -> subprocess.Popen[bytes]:
    """The wrapper on an attempt's directory, which is made if it is not there."""
    (attempt / "work").mkdir(parents=True, exist_ok=True)
    places = [str(attempt.parent / "events"), str(BOOT_ID), clock, group, "/usr/bin:/bin"]
    argv = [*SHELLS["used"], str(WRAPPER), str(attempt), "gtag", native_id, "1", *places, "/bin/sh", "-c", script]
    return subprocess.Popen(argv, env={"PATH": path or os.environ["PATH"]}, cwd="/")


def ended(attempt: Path, script: str, *, native_id: str = "1.1", group: str = "", path: str | None = None) -> int:
    """The wrapper's exit code."""
    return started(attempt, script, native_id=native_id, group=group, path=path).wait(20)


def record(attempt: Path) -> dict[str, object]:
    body: dict[str, object] = json.loads((attempt / "exit.1.json").read_text())
    return body


def until_there(path: Path) -> None:
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.01)


def test_it_claims_starts_the_program_once_and_records_its_end(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    assert ended(attempt, "echo out; echo err >&2; pwd; exit 7") == 7
    assert (attempt / "stdout").read_text() == f"out\n{attempt}/work\n"
    assert (attempt / "stderr").read_text() == "err\n"
    assert (tmp_path / "events").read_text() == "start gtag 1.1\nend gtag 1.1\n"
    found = record(attempt)
    assert (found["tag"], found["native_id"], found["run"], found["code"]) == ("gtag", "1.1", 1, 7)
    assert (found["peak_memory_mib"], found["oom_kills"]) == (None, None)


def test_its_claim_names_its_process_for_good(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    wrapper = started(attempt, "while [ ! -e ../go ]; do sleep 0.01; done")
    until_there(attempt / "program")
    stat = Path(f"/proc/{wrapper.pid}/stat").read_text().rpartition(") ")[2].split()
    assert str((attempt / "claim").readlink()) == f"1.1:1:{wrapper.pid}.{stat[19]}.{BOOT_ID.read_text().strip()}"
    (attempt / "go").touch()
    assert wrapper.wait(10) == 0


@pytest.mark.parametrize("holder", ["1.1:1:1.1.another-boot", "void:3", "2.5:1:77.88.x"])
def test_it_starts_nothing_where_somebody_else_holds_the_claim(tmp_path: Path, holder: str) -> None:
    attempt = tmp_path / "gtag"
    attempt.mkdir()
    (attempt / "claim").symlink_to(holder)
    assert ended(attempt, "touch ran") == 75
    assert not (attempt / "work" / "ran").exists()
    assert (attempt / "suppressed").read_text().split()[-1] == holder
    assert not (attempt / "exit.1.json").exists()


def test_a_claim_that_names_a_directory_is_still_somebody_elses(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    (attempt / "1.9:1:x").mkdir(parents=True)
    (attempt / "claim").symlink_to("1.9:1:x")
    assert ended(attempt, "touch ran") == 75
    assert list((attempt / "1.9:1:x").iterdir()) == []


def test_of_many_at_once_exactly_one_starts_the_program(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    wrappers = [started(attempt, "echo x >>../ran", native_id=f"1.{n}") for n in range(8)]
    assert sorted(wrapper.wait(20) for wrapper in wrappers) == [0] + [75] * 7
    assert (attempt / "ran").read_text() == "x\n"


@only_sh
def test_an_answer_of_ln_that_is_wrong_does_not_matter(tmp_path: Path) -> None:
    """As on NFS: the link is made, and the repeated request says that it was there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ln").write_text('#!/bin/sh\n/bin/ln "$@"\nexit 1\n')
    (tmp_path / "bin" / "ln").chmod(0o755)
    assert ended(tmp_path / "gtag", "exit 4", path=f"{tmp_path / 'bin'}:{os.environ['PATH']}") == 4


@only_sh
def test_nothing_starts_where_the_claim_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ln").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "ln").chmod(0o755)
    attempt = tmp_path / "gtag"
    assert ended(attempt, "touch ran", path=f"{tmp_path / 'bin'}:{os.environ['PATH']}") == 73
    assert not (attempt / "work" / "ran").exists()


def test_nothing_starts_where_its_control_group_is_gone(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    assert ended(attempt, "touch ran", group=str(tmp_path / "no-group")) == 73
    assert not (attempt / "work" / "ran").exists() and not (attempt / "claim").is_symlink()


def test_it_reads_peak_and_kills_from_either_version_of_control_groups(tmp_path: Path) -> None:
    for version, peak, kills in (
        ("v1", "memory.max_usage_in_bytes", "memory.oom_control"),
        ("v2", "memory.peak", "memory.events"),
    ):
        group = tmp_path / version
        group.mkdir()
        (group / peak).write_text("1048577\n")
        (group / kills).write_text("low 0\nunder_oom 0\noom_kill 3\n")
        attempt = tmp_path / f"attempt-{version}" / "gtag"
        assert ended(attempt, "true", group=str(group)) == 0
        assert (record(attempt)["peak_memory_mib"], record(attempt)["oom_kills"]) == (2, 3)


def test_a_stop_that_came_before_the_program_keeps_it_from_starting(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    attempt.mkdir()
    (attempt / "stop").write_text("cancel\n")
    assert ended(attempt, "touch ran") == 143
    assert not (attempt / "work" / "ran").exists()
    assert record(attempt)["stopped_by"] == "cancel"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2", "XCPU"])
def test_every_signal_is_passed_on_and_noted_and_the_programs_own_code_stands(tmp_path: Path, name: str) -> None:
    attempt = tmp_path / "gtag"
    # A shell starts its background programs deaf to INT, so this one shows that it is still asked, by ending anyway.
    wait = f"trap 'exit 21' {name}; touch ready; n=0; while [ $n -lt 40 ]; do sleep 0.02; n=$((n+1)); done; exit 22"
    wrapper = started(attempt, wait)
    until_there(attempt / "work" / "ready")
    wrapper.send_signal(signal.Signals[f"SIG{name}"])
    assert wrapper.wait(10) == (22 if name == "INT" else 21)
    assert record(attempt)["signals"] == [name]


def test_a_program_that_ends_well_after_signals_keeps_its_code(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    wrapper = started(attempt, "trap '' TERM USR1; touch ready; while [ ! -e ../go ]; do sleep 0.01; done; exit 6")
    until_there(attempt / "work" / "ready")
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        wrapper.send_signal(number)
    (attempt / "go").touch()
    assert wrapper.wait(10) == 6
    noted = record(attempt)["signals"]
    assert isinstance(noted, list) and set(noted) == {"TERM", "USR1"}


def test_its_clock_may_be_given_so_that_it_asks_nobody_for_the_time(tmp_path: Path) -> None:
    attempt = tmp_path / "gtag"
    assert started(attempt, "true", clock="100").wait(10) == 0
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started_at = record(attempt)["started_at"]
    assert isinstance(started_at, float) and uptime - 9 < started_at <= uptime + 1.02


@only_sh
def test_it_makes_four_processes_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for command in ("ln", "readlink", "date", "sync", "mv", "sleep", "cat", "rm"):
        file = tmp_path / "bin" / command
        file.write_text(f'#!/bin/sh\necho {command} >>{tmp_path}/calls\nexec /bin/{command} "$@"\n')
        file.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    assert started(tmp_path / "gtag", "true", clock="100", path=path).wait(10) == 0
    assert (tmp_path / "calls").read_text().split() == ["ln", "sync", "mv"]
