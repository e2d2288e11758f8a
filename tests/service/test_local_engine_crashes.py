"""The local engine when something dies, freezes, restarts or runs full: nothing is lost and nothing runs twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.cluster.attempts import claim_of
from isthmus.cluster.supervisor.processes import kill_until_none
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.errors import NoAnswer
from isthmus.facts import (
    Accepted,
    Claimed,
    Indeterminate,
    Listed,
    NeverSubmitted,
    Rejected,
    StagingFailed,
    Unclaimed,
    Voided,
)
from isthmus.job import Cause, SchedulerState
from tests.service.local_lab import SMALL, Lab, commands_before, is_there, local_lab, play, real, until

SETTINGS = LocalSettings(cpus=2, memory_mib=4096, grace_s=0.3)
WAIT_FOR_GO = "echo ready\nwhile [ ! -e ../go ]; do sleep 0.02; done\n"


@pytest.fixture
def boot_id(tmp_path: Path) -> Path:
    """A boot id that the test can change, as a restart of the machine does."""
    file = tmp_path / "boot_id"
    file.write_text("11111111-1111-1111-1111-111111111111\n")
    return file


@pytest.fixture
def lab(tmp_path: Path, boot_id: Path) -> Iterator[Lab]:
    with local_lab(tmp_path, replace(SETTINGS, boot_id_path=str(boot_id))) as made:
        yield made


def go(lab: Lab, tag: str) -> None:
    (lab.directory(tag) / "go").touch()


# --- the supervisor dies ----------------------------------------------------------------------------------------
def test_programs_go_on_when_the_supervisor_is_killed_and_the_next_one_watches_them(lab: Lab) -> None:
    async def story() -> None:
        tags = ["gone", "gtwo"]
        await lab.start(*(lab.order(tag, lab.noting(tag, f"{WAIT_FOR_GO} exit 4")) for tag in tags))
        for tag in tags:
            await lab.running(tag)
        lab.kill_supervisor()
        go(lab, "gone")
        until((lab.directory("gone") / "exit.1.json").exists, "the record of a job nobody watches")
        facts = await lab.observe("gtwo")
        assert isinstance(facts.listing, Listed) and facts.listing.state is SchedulerState.RUNNING
        assert (await lab.cluster.status()).nodes[0].cpus_used == 1
        go(lab, "gtwo")
        assert [(await lab.end(tag)).code for tag in tags] == [4, 4]
        await lab.listed_as_ended("gtwo")
        assert [lab.ran(tag) for tag in tags] == [1, 1]
        assert lab.accounting("adopt", "gtwo") == 1

    play(story)


def test_a_job_that_waited_when_the_supervisor_was_killed_still_runs_and_once(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gblock", WAIT_FOR_GO, resources=replace(SMALL, cpus=2)))
        await lab.start(lab.order("gnext", lab.noting("gnext", "true")))
        await lab.running("gblock")
        lab.kill_supervisor()
        await lab.cluster.status()
        go(lab, "gblock")
        assert (await lab.end("gnext")).native_id == "1.2"
        assert lab.ran("gnext") == 1

    play(story)


def test_a_native_id_is_never_given_again_by_a_later_supervisor(lab: Lab) -> None:
    async def story() -> None:
        await lab.run(lab.order("gfirst", "true"))
        lab.kill_supervisor()
        await lab.run(lab.order("gsecond", "true"))
        assert (await lab.end("gsecond")).native_id == "2.1"

    play(story)


@pytest.mark.parametrize(
    "place",
    [
        "supervisor.after_marker",
        "supervisor.before_answer",
        "supervisor.after_accounting",
        "supervisor.after_fork",
        "supervisor.after_end",
    ],
)
def test_a_supervisor_that_dies_at_any_of_its_places_loses_nothing_and_runs_nothing_twice(
    lab: Lab, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        monkeypatch.setenv("ISTHMUS_FAILPOINTS", f"{place}=kill")
        await lab.cluster.open()
        first = lab.supervisor_pid()
        monkeypatch.delenv("ISTHMUS_FAILPOINTS")
        await lab.stage(lab.order("gplace", lab.noting("gplace", "true")))
        assert await lab.submit("gplace") == Accepted("1.1")
        assert (await lab.end("gplace")).code == 0
        await lab.listed_as_ended("gplace")
        until(lambda: not is_there(first), f"the end of the first supervisor at {place}")
        await lab.observe("gplace")
        assert lab.ran("gplace") == 1

    play(story)


def test_a_stop_that_the_supervisor_began_is_finished_by_the_next_one(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gdeaf", "trap '' TERM\necho deaf\nwhile :; do sleep 0.05; done"))
        await lab.running("gdeaf")
        (lab.directory("gdeaf") / "stop").write_text("cancel\n")
        lab.kill_supervisor()
        await lab.cluster.status()
        record = await lab.end("gdeaf")
        assert (record.code, record.stopped_by) == (137, "cancel")

    play(story)


def test_walltime_counts_from_the_start_of_the_program_whoever_watches(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gwall", "echo; exec sleep 600", resources=replace(SMALL, walltime_s=2)))
        await lab.running("gwall")
        lab.kill_supervisor()
        until(lambda: time.time() - (lab.directory("gwall") / "stdout").stat().st_mtime > 1, "the first second")
        record = await lab.end("gwall")
        assert record.stopped_by == "walltime"
        assert record.started_at is not None and record.ended_at is not None
        assert record.ended_at - record.started_at < 2.9

    play(story)


def test_a_clock_that_jumped_takes_no_walltime_from_a_program_that_is_watched_anew(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gjump", WAIT_FOR_GO))
        await lab.running("gjump")
        os.utime(lab.directory("gjump") / "claim", (1.0, 1.0), follow_symlinks=False)
        lab.kill_supervisor()
        await lab.cluster.status()
        await lab.cluster.status()
        go(lab, "gjump")
        assert (await lab.end("gjump")).stopped_by == ""

    play(story)


def test_a_second_supervisor_ends_at_once_and_leaves_the_first_alone(lab: Lab) -> None:
    async def story() -> None:
        await lab.cluster.open()
        first = lab.supervisor_pid()
        argv = [sys.executable, "-m", "isthmus.cluster.supervisor", str(lab.root), lab.settings.to_json()]
        done = await asyncio.to_thread(subprocess.run, argv, timeout=20, check=False)
        assert done.returncode == 0
        assert (await lab.cluster.status()) and lab.supervisor_pid() == first

    play(story)


def test_a_supervisor_with_nothing_to_do_ends_by_itself_and_one_with_a_job_does_not(tmp_path: Path) -> None:
    with local_lab(tmp_path, replace(SETTINGS, idle_s=0.4)) as lab:

        async def story() -> None:
            await lab.start(lab.order("gidle", WAIT_FOR_GO))
            await lab.running("gidle")
            pid, since = lab.supervisor_pid(), time.monotonic()
            until(lambda: time.monotonic() - since > 1, "a second without questions")
            assert is_there(pid)
            go(lab, "gidle")
            until(lambda: not is_there(pid), "the end of a supervisor with nothing to do")
            assert (await lab.end("gidle")).code == 0

        play(story)


# --- the supervisor does not answer ------------------------------------------------------------------------------
def test_a_frozen_supervisor_is_no_answer_but_files_still_tell_of_claims_and_ends(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.cluster.supervisor.client.ANSWER_S", 0.3)

    async def story() -> None:
        await lab.start(lab.order("gfrozen", WAIT_FOR_GO))
        await lab.running("gfrozen")
        await lab.stage(lab.order("gnew", lab.noting("gnew", "true")))
        lab.signal_supervisor(signal.SIGSTOP)
        with pytest.raises(NoAnswer):
            await lab.cluster.status()
        with pytest.raises(NoAnswer):
            await lab.cluster.cancel([lab.handle("gfrozen")])
        with pytest.raises(NoAnswer):
            await lab.cluster.observe([lab.handle("gnowhere")])
        assert isinstance(await lab.submit("gnew"), Indeterminate)
        go(lab, "gfrozen")
        facts = await lab.wait("gfrozen", lambda facts: facts.end is not None)
        assert isinstance(facts.claim, Claimed) and facts.listing is None
        assert (await lab.cluster.settle([lab.handle("gnew")]))["gnew"] == NeverSubmitted()
        lab.signal_supervisor(signal.SIGCONT)
        await lab.listed_as_ended("gfrozen")
        assert isinstance(await lab.submit("gnew"), Indeterminate)  # the question that slept found its try closed
        assert lab.ran("gnew") == 0

    play(story)


def test_settings_that_cannot_be_met_are_no_answer_that_says_why(tmp_path: Path) -> None:
    with local_lab(tmp_path, replace(SETTINGS, isolation="impossible")) as lab:

        async def story() -> None:
            with pytest.raises(NoAnswer, match="isolation does not work"):
                await lab.cluster.open()

        play(story)


def test_a_supervisor_that_cannot_even_be_started_is_no_answer(lab: Lab) -> None:
    async def story() -> None:
        (lab.root / "supervisor.log").mkdir(parents=True)
        with pytest.raises(NoAnswer, match="can't be started"):
            await lab.cluster.status()

    play(story)


# --- wrappers that come late, twice, or die ----------------------------------------------------------------------
def test_a_wrapper_that_comes_late_finds_the_claim_taken_and_starts_nothing(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor dies after the fork, while its wrapper hangs before the claim; the next one starts another."""
    hang = f": >{tmp_path}/first; while [ ! -e {tmp_path}/wake ]; do sleep 0.02; done"
    slow = f"if [ ! -e {tmp_path}/first ]; then {hang}; fi"
    monkeypatch.setenv("PATH", commands_before(tmp_path / "bin", ln=f'{slow}\nexec {real("ln")} "$@"'))
    monkeypatch.setenv("ISTHMUS_FAILPOINTS", "supervisor.after_fork=kill")

    async def story() -> None:
        await lab.stage(lab.order("glate", lab.noting("glate", WAIT_FOR_GO)))
        await lab.cluster.open()
        monkeypatch.delenv("ISTHMUS_FAILPOINTS")
        await lab.submit("glate")
        until((tmp_path / "first").exists, "the first wrapper at its claim")
        until(lambda: not is_there(lab.supervisor_pid()), "the death of the first supervisor")
        await lab.observe("glate")
        await lab.running("glate")
        (tmp_path / "wake").touch()
        until((lab.directory("glate") / "suppressed").exists, "the late wrapper's note")
        go(lab, "glate")
        await lab.end("glate")
        assert lab.ran("glate") == 1

    play(story)


def test_the_supervisor_adopts_the_wrapper_that_was_faster_than_its_own(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wrapper hangs before its claim, and the first, of a supervisor long dead, gets there before it."""
    wait = f"while [ ! -e {tmp_path}/wake.$n ]; do sleep 0.02; done"
    count = f"n=1; [ ! -e {tmp_path}/at.1 ] || n=2; : >{tmp_path}/at.$n"
    monkeypatch.setenv("PATH", commands_before(tmp_path / "bin", ln=f'{count}; {wait}\nexec {real("ln")} "$@"'))
    monkeypatch.setenv("ISTHMUS_FAILPOINTS", "supervisor.after_fork=kill")

    async def story() -> None:
        await lab.stage(lab.order("gfast", lab.noting("gfast", WAIT_FOR_GO)))
        await lab.cluster.open()
        monkeypatch.delenv("ISTHMUS_FAILPOINTS")
        await lab.submit("gfast")
        until((tmp_path / "at.1").exists, "the first wrapper at its claim")
        until(lambda: not is_there(lab.supervisor_pid()), "the death of the first supervisor")
        await lab.observe("gfast")
        until((tmp_path / "at.2").exists, "the second wrapper at its claim")
        (tmp_path / "wake.1").touch()
        await lab.running("gfast")
        (tmp_path / "wake.2").touch()
        until((lab.directory("gfast") / "suppressed").exists, "the second wrapper's note")
        until(lambda: lab.accounting("adopt", "gfast") == 1, "the adoption of the first wrapper")
        go(lab, "gfast")
        await lab.end("gfast")
        await lab.listed_as_ended("gfast")
        assert lab.ran("gfast") == 1

    play(story)


def test_a_wrapper_that_dies_before_its_claim_is_replaced(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = f'[ -e {tmp_path}/died ] && exec {real("ln")} "$@"\n: >{tmp_path}/died; kill -KILL $PPID'
    monkeypatch.setenv("PATH", commands_before(tmp_path / "bin", ln=deadly))

    async def story() -> None:
        await lab.run(lab.order("gclaim", lab.noting("gclaim", "true")))
        assert (tmp_path / "died").exists()
        assert (lab.ran("gclaim"), lab.accounting("start", "gclaim")) == (1, 2)

    play(story)


def test_a_wrapper_that_dies_right_after_its_claim_is_never_replaced(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = f'{real("ln")} "$@"; kill -KILL $PPID'
    monkeypatch.setenv("PATH", commands_before(tmp_path / "bin", ln=deadly))

    async def story() -> None:
        await lab.start(lab.order("gclaim", lab.noting("gclaim", "true")))
        listed = await lab.listed_as_ended("gclaim")
        assert (listed.word, listed.cause, listed.proved_ended) == ("killed", Cause.SIGNAL, True)
        lab.kill_supervisor()  # the next one can't know how another's child ended
        listed = await lab.listed_as_ended("gclaim")
        assert (listed.word, listed.cause, listed.proved_ended) == ("ended without a record", None, True)
        assert lab.ran("gclaim") == 0

    play(story)


def test_a_record_that_is_cut_short_is_passed_over_without_an_error(lab: Lab) -> None:
    async def story() -> None:
        await lab.run(lab.order("gcut", "true"))
        await lab.listed_as_ended("gcut")
        record = lab.directory("gcut") / "exit.1.json"
        record.write_text(record.read_text()[:60])
        facts = await lab.observe("gcut")
        assert facts.end is None and isinstance(facts.claim, Claimed)

    play(story)


def test_an_attempt_whose_files_cannot_be_read_keeps_no_other_from_starting(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gblock", WAIT_FOR_GO, resources=replace(SMALL, cpus=2)))
        await lab.running("gblock")
        await lab.start(*(lab.order(tag, lab.noting(tag, "true")) for tag in ("gbefore", "gbad", "gafter")))
        (lab.directory("gbad") / "claim").touch()  # no link: reading it is an error, and no absence
        go(lab, "gblock")
        for tag in ("gbefore", "gafter"):
            await lab.end(tag)
        facts = await lab.cluster.observe([lab.handle("gbad"), lab.handle("gafter")])
        listing = facts["gbad"].listing
        assert facts["gbad"].claim is None and isinstance(listing, Listed)
        assert listing.state is SchedulerState.UNKNOWN
        (lab.directory("gbad") / "claim").unlink()
        assert (await lab.end("gbad")).code == 0
        assert lab.ran("gbad") == 1

    play(story)


# --- the machine restarts ------------------------------------------------------------------------------------------
def restart_machine(lab: Lab, boot_id: Path) -> None:
    lab.kill_everything()
    boot_id.write_text("22222222-2222-2222-2222-222222222222\n")


def test_after_a_restart_of_the_machine_what_ran_is_proved_ended_and_what_waited_runs(lab: Lab, boot_id: Path) -> None:
    async def story() -> None:
        await lab.start(lab.order("gran", lab.noting("gran", WAIT_FOR_GO), resources=replace(SMALL, cpus=2)))
        await lab.start(lab.order("gwaited", lab.noting("gwaited", "true")))
        await lab.running("gran")
        restart_machine(lab, boot_id)
        listed = await lab.listed_as_ended("gran")
        assert (listed.word, listed.cause, listed.proved_ended) == ("machine restarted", Cause.NODE_FAILURE, True)
        assert (await lab.end("gwaited")).code == 0
        assert (lab.ran("gran"), lab.ran("gwaited")) == (1, 1)

    play(story)


def test_after_a_restart_an_attempt_with_a_start_line_and_no_claim_is_never_started_again(
    lab: Lab, boot_id: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim may have been lost with the disk's cache, and then its program may have run."""
    monkeypatch.setenv("ISTHMUS_FAILPOINTS", "supervisor.after_accounting=kill")

    async def story() -> None:
        await lab.stage(lab.order("gmaybe", lab.noting("gmaybe", "true")))
        await lab.cluster.open()
        monkeypatch.delenv("ISTHMUS_FAILPOINTS")
        await lab.submit("gmaybe")
        until(lambda: not is_there(lab.supervisor_pid()), "the death of the supervisor")
        restart_machine(lab, boot_id)
        listed = await lab.listed_as_ended("gmaybe")
        assert (listed.cause, listed.proved_ended) == (Cause.NODE_FAILURE, True)
        assert isinstance((await lab.observe("gmaybe")).claim, Unclaimed)
        lab.kill_supervisor()
        await lab.listed_as_ended("gmaybe")
        assert lab.ran("gmaybe") == 0

    play(story)


def test_after_a_restart_another_process_with_the_same_pid_is_neither_adopted_nor_killed(
    lab: Lab, boot_id: Path
) -> None:
    async def story() -> None:
        await lab.start(lab.order("gpid", WAIT_FOR_GO))
        await lab.running("gpid")
        restart_machine(lab, boot_id)
        bystander = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
        claim = lab.directory("gpid") / "claim"
        claim.unlink()
        claim.symlink_to(f"1.1:1:{bystander.pid}.1.11111111-1111-1111-1111-111111111111")
        assert (await lab.listed_as_ended("gpid")).cause is Cause.NODE_FAILURE
        assert bystander.returncode is None and is_there(bystander.pid)
        bystander.kill()
        await bystander.wait()

    play(story)


# --- a full disk -----------------------------------------------------------------------------------------------------
@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB. Only root can mount one; the suite's images run as root."""
    assert os.geteuid() == 0, "mounting a small file system needs root"
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def small_lab(tmp_path: Path, small_disk: Path) -> Iterator[Lab]:
    """A cluster on a small disk, with its file store elsewhere."""
    with local_lab(small_disk, SETTINGS) as lab:
        yield lab


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            try:
                ballast.write(b"x" * 4096)
            except OSError:
                return


def test_staging_onto_a_full_disk_fails_for_now_and_leaves_nothing_half_done(small_lab: Lab) -> None:
    async def story() -> None:
        lab = small_lab
        await lab.cluster.open()
        order = lab.order("gfull", "true", inputs={"some": "text"})
        fill(lab.home)
        answer = (await lab.cluster.stage_in([order]))["gfull"]
        assert isinstance(answer, StagingFailed) and not answer.permanent and "full" in answer.words
        assert await lab.cluster.tags() == frozenset()
        (lab.home / "ballast").unlink()
        await lab.stage(order)

    play(story)


def test_an_end_record_that_finds_the_disk_full_is_written_when_there_is_room(small_lab: Lab) -> None:
    async def story() -> None:
        lab = small_lab
        await lab.start(lab.order("gfull", WAIT_FOR_GO + "exit 6"))
        await lab.running("gfull")
        fill(lab.home)
        go(lab, "gfull")
        wrapper = lab.wrapper_pid("gfull")
        until(lambda: b"sleep" in _children(wrapper), "the wrapper's wait for room")
        facts = await lab.observe("gfull")
        assert facts.end is None and isinstance(facts.listing, Listed)
        assert facts.listing.state is SchedulerState.RUNNING
        (lab.home / "ballast").unlink()
        assert (await lab.end("gfull")).code == 6

    play(story)


def test_a_program_whose_record_can_never_be_written_is_listed_as_ended_and_why(
    small_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", commands_before(tmp_path / "bin", sleep="exit 0"))

    async def story() -> None:
        lab = small_lab
        await lab.start(lab.order("gnever", WAIT_FOR_GO.replace("sleep", real("sleep"))))
        await lab.running("gnever")
        fill(lab.home)
        go(lab, "gnever")
        listed = await lab.listed_as_ended("gnever")
        assert (listed.word, listed.cause) == ("ended, but its end record could not be written", None)
        assert listed.proved_ended

    play(story)


def test_a_start_that_cannot_be_recorded_does_not_happen_before_there_is_room(small_lab: Lab) -> None:
    async def story() -> None:
        lab = small_lab
        await lab.cluster.open()
        await lab.stage(lab.order("groom", "exit 3"))
        fill(lab.home)
        await lab.submit("groom")
        assert claim_of(lab.directory("groom")) is None
        facts = await lab.observe("groom")
        assert isinstance(facts.listing, Listed) and facts.listing.state is SchedulerState.QUEUED
        assert "could not be recorded" in facts.listing.reason
        (lab.home / "ballast").unlink()
        assert (await lab.end("groom")).code == 3

    play(story)


def _children(pid: int) -> bytes:
    names = b""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        names += Path(f"/proc/{child}/comm").read_bytes()
    return names


# --- what is over stays over ------------------------------------------------------------------------------------------
def test_an_attempt_that_was_discarded_can_be_neither_staged_nor_submitted_again(lab: Lab) -> None:
    async def story() -> None:
        order = lab.order("gover", lab.noting("gover", "true"))
        await lab.run(order)
        await lab.listed_as_ended("gover")
        assert await lab.cluster.tags() == {"gover"}
        await lab.cluster.discard(["gover"])
        assert await lab.cluster.tags() == frozenset()
        answer = (await lab.cluster.stage_in([order]))["gover"]
        assert isinstance(answer, StagingFailed) and answer.permanent and "over" in answer.words
        assert "over" in getattr(await lab.submit("gover"), "words", "")
        assert lab.ran("gover") == 1

    play(story)


def test_an_attempt_whose_program_runs_is_not_discarded(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gruns", WAIT_FOR_GO))
        await lab.running("gruns")
        await lab.cluster.discard(["gruns"])
        assert await lab.cluster.tags() == {"gruns"}
        go(lab, "gruns")
        assert (await lab.end("gruns")).code == 0

    play(story)


def lose(lab: Lab, tag: str) -> None:
    """The attempt's directory is gone, and nobody meant it to be."""
    shutil.rmtree(lab.directory(tag))


def test_an_attempt_whose_directory_was_lost_is_voided_by_its_tombstone_and_never_starts(lab: Lab) -> None:
    async def story() -> None:
        order = lab.order("glost", lab.noting("glost", "true"))
        await lab.stage(order)
        await lab.cluster.open()
        lose(lab, "glost")
        assert (await lab.observe("glost")).claim == Unclaimed()
        assert await lab.cluster.void([lab.handle("glost")], 7) == {"glost": Voided(7)}
        assert isinstance((await lab.observe("glost")).claim, Voided)
        answer = (await lab.cluster.stage_in([order]))["glost"]
        assert isinstance(answer, StagingFailed) and answer.permanent
        assert isinstance(await lab.submit("glost"), Rejected)

    play(story)


def test_where_no_attempts_are_to_be_seen_at_all_nothing_is_known_of_any(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gaway", "true"))
        await lab.cluster.open()
        (lab.root / "attempts").rename(lab.root / "elsewhere")
        assert (await lab.observe("gaway")).claim is None
        assert await lab.cluster.void([lab.handle("gaway")], 7) == {}

    play(story)


def test_half_an_attempt_that_a_killed_staging_left_is_swept_when_it_is_old(lab: Lab) -> None:
    async def story() -> None:
        await lab.cluster.open()
        old, new = lab.root / "attempts" / ".gtag.00000000", lab.root / "attempts" / ".gtag.11111111"
        for left in (old, new):
            (left / "inputs").mkdir(parents=True)
        os.utime(old, (1.0, 1.0))
        await lab.cluster.open()
        assert not old.exists() and new.exists()

    play(story)


def test_what_cannot_be_killed_is_said_so_and_not_taken_for_gone() -> None:
    """Each look finds another one, as if the one before had not died."""
    sleepers: list[subprocess.Popen[bytes]] = []

    def find() -> list[int]:
        sleepers.append(subprocess.Popen(["sleep", "60"]))
        return [sleepers[-1].pid]

    assert not kill_until_none(find)
    assert {sleeper.wait() for sleeper in sleepers} == {-signal.SIGKILL}
    assert kill_until_none(lambda: [sleeper.pid for sleeper in sleepers])


def test_thousands_of_attempts_are_read_back_in_seconds(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gmodel", "true"))
        text = (lab.directory("gmodel") / "order.json").read_text()
        for n in range(3_000):
            directory = lab.directory(f"gold{n}")
            directory.mkdir()
            (directory / "order.json").write_text(text.replace("gmodel", f"gold{n}"))
            (directory / "submit.1").symlink_to(f"1.{n + 1}")
            (directory / "claim").symlink_to("void:3")
        lab.kill_supervisor()
        before = time.monotonic()
        await lab.cluster.open()
        assert time.monotonic() - before < 5  # 0.1 ms each and the start of a Python, on a machine left alone
        facts = await lab.cluster.observe([lab.handle(f"gold{n}") for n in range(0, 3_000, 30)])
        assert {type(fact.claim) for fact in facts.values()} == {Voided}

    play(story)
