"""The local engine as a controller meets it: jobs run, end, are stopped, withdrawn and refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.facts import Accepted, Claimed, Listed, NeverSubmitted, Rejected, Unclaimed, Unlisted, Voided
from isthmus.job import Cause, Resources, SchedulerState
from tests.service.local_lab import SMALL, Lab, is_there, local_lab, play, until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with local_lab(tmp_path, LocalSettings(cpus=2, memory_mib=4096, grace_s=0.3)) as made:
        yield made


# --- ends ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", [0, 3, 75, 99, 137])
def test_the_end_record_has_the_programs_own_exit_code(lab: Lab, code: int) -> None:
    async def story() -> None:
        record = await lab.run(lab.order("gexit", f"exit {code}"))
        assert (record.code, record.stopped_by, record.signals, record.native_id) == (code, "", (), "1.1")

    play(story)


@pytest.mark.parametrize(("name", "code"), [("KILL", 137), ("SEGV", 139), ("TERM", 143)])
def test_a_program_that_dies_by_a_signal_has_128_and_the_signal_as_its_code(lab: Lab, name: str, code: int) -> None:
    async def story() -> None:
        assert (await lab.run(lab.order("gsignal", f"exec sh -c 'kill -{name} $$'"))).code == code

    play(story)


def test_a_program_of_a_gateway_that_was_started_by_nohup_heeds_hup(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gheeds", "kill -s HUP $$; exit 0"))
        assert (await lab.end("gheeds")).code == 129

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        play(story)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_program_that_is_not_there_ends_with_127_and_one_that_cannot_be_executed_with_126(lab: Lab) -> None:
    async def story() -> None:
        assert (await lab.run(lab.order("gmissing", "exec no-such-program"))).code == 127
        assert (await lab.run(lab.order("gnoexec", "exec /etc/passwd"))).code == 126

    play(story)


def test_the_end_record_tells_times_host_and_cpu_seconds(lab: Lab) -> None:
    async def story() -> None:
        before = time.time()
        script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
        record = await lab.run(lab.order("gtimes", script))
        assert record.started_at is not None and record.ended_at is not None and record.cpu_s is not None
        assert before - 0.05 <= record.started_at <= record.ended_at <= time.time() + 0.05
        assert 0.01 < record.cpu_s < 60
        assert record.host == os.uname().nodename

    play(story)


def test_news_names_each_tag_that_started_or_ended_and_nothing_when_nothing_happened(lab: Lab) -> None:
    async def story() -> None:
        await lab.cluster.open()
        assert await lab.cluster.changed() == frozenset()
        await lab.run(lab.order("gnews", "true"))
        await lab.listed_as_ended("gnews")
        assert await lab.cluster.changed() == {"gnews"}
        assert await lab.cluster.changed() == frozenset()
        await lab.cluster.close()

    play(story)


def test_a_log_can_be_read_from_any_offset_while_the_program_runs(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("glog", "echo one two; exec sleep 60"))
        await lab.running("glog")
        assert await lab.cluster.read_log("glog", "stdout", 4, 3) == b"two"
        assert await lab.cluster.read_log("glog", "stderr", 0, 10) == b""
        assert await lab.cluster.read_log("gother", "stdout", 0, 10) == b""

    play(story)


def test_what_a_program_leaves_running_ends_with_it(lab: Lab) -> None:
    async def story() -> None:
        await lab.run(lab.order("gleft", "sleep 600 & echo $!"))
        await lab.listed_as_ended("gleft")
        until(lambda: not is_there(int(lab.stdout("gleft"))), "the end of what was left")

    play(story)


# --- the queue ------------------------------------------------------------------------------------------------
def test_jobs_beyond_the_slots_wait_and_start_in_the_order_of_their_submission(lab: Lab) -> None:
    async def story() -> None:
        tags = [f"gfifo{n}" for n in range(6)]
        wide = replace(SMALL, cpus=2)
        await lab.start(*(lab.order(tag, lab.noting(tag, "true"), resources=wide) for tag in tags))
        for tag in tags:
            await lab.end(tag)
        assert lab.ledger.read_text().split() == tags

    play(story)


def test_a_waiting_job_is_listed_with_what_it_waits_for(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gbusy", "echo; exec sleep 60", resources=replace(SMALL, cpus=2)))
        await lab.start(lab.order("gwait", "true"), lab.order("glast", "true"))
        await lab.running("gbusy")
        facts = await lab.observe("gwait")
        assert facts.listing == Listed("1.2", SchedulerState.QUEUED, "queued", "waiting for 1 cpus; 0 free")
        assert isinstance(facts.claim, Unclaimed)
        last = (await lab.observe("glast")).listing
        assert isinstance(last, Listed) and last.reason == "waiting for its turn"
        status = await lab.cluster.status()
        assert (status.queued, status.running, status.nodes[0].cpus_used) == (2, 1, 2)

    play(story)


def test_a_running_job_is_listed_as_running_and_its_claim_says_since_when(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("grun", "echo; exec sleep 60"))
        await lab.running("grun")
        facts = await lab.observe("grun")
        assert isinstance(facts.claim, Claimed) and (facts.claim.native_id, facts.claim.run) == ("1.1", 1)
        assert facts.claim.started_at is not None and abs(facts.claim.started_at - time.time()) < 30
        assert isinstance(facts.listing, Listed) and facts.listing.state is SchedulerState.RUNNING

    play(story)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(cpus=3), "the job asks for 3 cpus; this machine has 2 for jobs"),
        (Resources(memory_mib=5000), "the job asks for 5000 MiB of memory; this machine has 4096 for jobs"),
        (Resources(gpus=1), "the job asks for 1 gpus; this machine has 0 for jobs"),
    ],
)
def test_a_job_that_asks_for_more_than_the_machine_has_is_rejected_with_the_limit(
    lab: Lab, resources: Resources, words: str
) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gbig", "true", resources=resources))
        assert await lab.submit("gbig") == Rejected(words)

    play(story)


def test_a_job_that_is_not_staged_is_rejected(lab: Lab) -> None:
    async def story() -> None:
        answer = await lab.submit("gnowhere")
        assert isinstance(answer, Rejected) and "not staged" in answer.words

    play(story)


def test_an_attempt_nobody_submitted_is_not_listed(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gstaged", "true"))
        facts = await lab.observe("gstaged")
        assert (facts.claim, facts.listing) == (Unclaimed(), Unlisted())

    play(story)


# --- submitting and settling ------------------------------------------------------------------------------------
def test_submitting_again_answers_with_the_same_native_id_and_runs_once(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gtwice", lab.noting("gtwice", "true")))
        assert await lab.submit("gtwice") == Accepted("1.1")
        await lab.end("gtwice")
        assert await lab.submit("gtwice") == Accepted("1.1")
        assert await lab.submit("gtwice", submit_try=2) == Accepted("1.1")
        assert lab.accounting("start", "gtwice") == 1
        assert lab.ran("gtwice") == 1

    play(story)


def test_five_hundred_jobs_are_submitted_in_one_call(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gblock", "exec sleep 600", resources=replace(SMALL, cpus=2)))
        tags = [f"gmany{n}" for n in range(500)]
        await lab.stage(*(lab.order(tag, "true") for tag in tags))
        answers = await lab.cluster.submit([lab.handle(tag) for tag in tags])
        assert [answers[tag] for tag in tags] == [Accepted(f"1.{n + 2}") for n in range(500)]

    play(story)


def test_settling_closes_an_unused_try_for_good_and_the_next_try_may_go(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gclose", lab.noting("gclose", "true")))
        settled = await lab.cluster.settle([lab.handle("gclose")])
        assert settled == {"gclose": NeverSubmitted()} == await lab.cluster.settle([lab.handle("gclose")])
        late = await lab.submit("gclose")
        assert "closed" in getattr(late, "words", "")
        assert lab.ran("gclose") == 0
        assert await lab.submit("gclose", submit_try=2) == Accepted("1.1")
        await lab.end("gclose")

    play(story)


def test_settling_a_try_that_was_taken_answers_with_its_native_id(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gtaken", "true"))
        assert await lab.cluster.settle([lab.handle("gtaken")]) == {"gtaken": Accepted("1.1")}

    play(story)


def test_a_voided_attempt_never_starts_though_it_is_submitted_later(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gvoid", lab.noting("gvoid", "true")))
        assert await lab.cluster.void([lab.handle("gvoid")], 7) == {"gvoid": Voided(7)}
        await lab.submit("gvoid")
        listed = await lab.listed_as_ended("gvoid")
        assert (listed.cause, listed.proved_ended) == (None, True)
        assert lab.ran("gvoid") == 0

    play(story)


def test_voiding_an_attempt_that_waits_takes_it_out_of_the_queue(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gblock", "echo; read x <work-is-over", resources=replace(SMALL, cpus=2)))
        await lab.start(lab.order("gvoid", lab.noting("gvoid", "true")))
        await lab.cluster.void([lab.handle("gvoid")], 7)
        await lab.listed_as_ended("gvoid")
        await lab.cluster.cancel([lab.handle("gblock")])
        await lab.listed_as_ended("gblock")
        assert lab.accounting("start", "gvoid") == lab.ran("gvoid") == 0

    play(story)


def test_voiding_a_started_attempt_answers_who_started_it(lab: Lab) -> None:
    async def story() -> None:
        await lab.run(lab.order("gheld", "true"))
        answer = (await lab.cluster.void([lab.handle("gheld")], 7))["gheld"]
        assert isinstance(answer, Claimed) and answer.native_id == "1.1"

    play(story)


# --- stopping ---------------------------------------------------------------------------------------------------
def test_a_program_beyond_its_walltime_gets_term_and_may_end_by_itself(lab: Lab) -> None:
    async def story() -> None:
        script = "trap 'echo asked; exit 5' TERM\nwhile :; do sleep 0.05; done"
        record = await lab.run(lab.order("gwall", script, resources=replace(SMALL, walltime_s=1)))
        assert (record.code, record.stopped_by) == (5, "walltime")
        assert lab.stdout("gwall") == "asked\n"
        assert record.started_at is not None and record.ended_at is not None
        assert 0.9 < record.ended_at - record.started_at < 5

    play(story)


def test_a_program_that_ignores_term_is_killed_after_the_grace_and_leaves_a_record(lab: Lab) -> None:
    async def story() -> None:
        script = "trap '' TERM\necho deaf\nwhile :; do sleep 0.05; done"
        await lab.start(lab.order("gdeaf", script))
        await lab.running("gdeaf")
        await lab.cluster.cancel([lab.handle("gdeaf")])
        record = await lab.end("gdeaf")
        assert (record.code, record.stopped_by) == (137, "cancel")

    play(story)


def test_cancelling_ends_the_program_that_the_script_waits_for_and_not_only_the_script(lab: Lab) -> None:
    async def story() -> None:
        inner = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
        await lab.start(lab.order("gtree", f'sh -c "{inner}"\necho never'))
        await lab.running("gtree")
        await lab.cluster.cancel([lab.handle("gtree")])
        await lab.cluster.cancel([lab.handle("gtree")])
        record = await lab.end("gtree")
        assert (record.code, record.stopped_by) == (143, "cancel")
        assert lab.stdout("gtree") == "ready\ncleaned\n"

    play(story)


def test_cancelling_reaches_a_program_that_made_itself_a_session_of_its_own(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gescape", "setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 600' & exec sleep 600"))
        await lab.running("gescape")
        await lab.cluster.cancel([lab.handle("gescape")])
        await lab.listed_as_ended("gescape")
        until(lambda: not is_there(int(lab.stdout("gescape"))), "the end of what was left")

    play(story)


def test_a_waiting_job_that_is_cancelled_never_starts_even_after_a_restart(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gblock", "echo; exec sleep 600", resources=replace(SMALL, cpus=2)))
        await lab.start(lab.order("gqueued", lab.noting("gqueued", "true")))
        await lab.cluster.cancel([lab.handle("gqueued")])
        facts = await lab.observe("gqueued")
        assert isinstance(facts.claim, Voided)
        assert isinstance(facts.listing, Listed) and facts.listing.state is SchedulerState.ENDED
        lab.kill_supervisor()
        await lab.cluster.cancel([lab.handle("gblock")])
        await lab.end("gblock")
        assert isinstance((await lab.observe("gqueued")).claim, Voided)
        assert lab.ran("gqueued") == 0

    play(story)


def test_a_natural_end_just_before_the_kill_keeps_its_record(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("grace", "trap '' TERM\necho deaf\nsleep 0.32"))
        await lab.running("grace")
        await lab.cluster.cancel([lab.handle("grace")])
        assert (await lab.end("grace")).code in (0, 137)

    play(story)


def test_a_wrapper_that_is_killed_is_listed_as_killed_and_its_program_is_gone(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gorphan", "echo $$; exec sleep 600"))
        await lab.running("gorphan")
        os.kill(lab.wrapper_pid("gorphan"), signal.SIGKILL)
        listed = await lab.listed_as_ended("gorphan")
        assert (listed.word, listed.cause, listed.proved_ended) == ("killed", Cause.SIGNAL, True)
        until(lambda: not is_there(int(lab.stdout("gorphan"))), "the end of what was left")
        assert (await lab.observe("gorphan")).end is None

    play(story)


def test_a_signal_that_the_wrapper_gets_is_passed_on_and_noted(lab: Lab) -> None:
    async def story() -> None:
        await lab.start(lab.order("gusr", "trap 'echo got; exit 9' USR1\necho ready\nwhile :; do sleep 0.05; done"))
        await lab.running("gusr")
        os.kill(lab.wrapper_pid("gusr"), signal.SIGUSR1)
        record = await lab.end("gusr")
        assert (record.code, record.signals) == (9, ("USR1",))

    play(story)
