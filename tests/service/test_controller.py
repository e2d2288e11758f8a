"""The controller's parts against a real store and the real local engine: its loop, its leases, its slow duties."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.application import read_application
from isthmus.cluster import Handle, Order
from isthmus.cluster.local import LocalCluster
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.config import Configuration, HouseConfig
from isthmus.controller.counting import Calls, CountedCluster
from isthmus.controller.deeds import Deeds
from isthmus.controller.follow import LogFollower
from isthmus.controller.housekeeping import LOG_KEPT_S, ClusterKeeping, HouseKeeping
from isthmus.controller.lease import LeaseKeeper
from isthmus.controller.loop import ClusterLoop
from isthmus.controller.orders import Orders
from isthmus.controller.process import AGAIN_S, Controller
from isthmus.errors import LeaseLost, NoAnswer
from isthmus.facts import Claimed, Facts, StagedOut, StagingFailed, Unlisted
from isthmus.files import FileStore
from isthmus.job import Cause, Job, JobState, Resources
from isthmus.lifecycle import Action, Policy
from isthmus.store import Lease, NewJob, Role, Store, Viewer
from tests.service.local_lab import until

DEADLINE_S = 60.0
APPLICATION = """
name: shell
version: 1.0.0
title: Shell
summary: Runs a line of shell.
isolation: preferred
inputs:
  line:
    label: Line
    schema: {type: string}
outputs:
  made: {glob: made.txt, label: Made, required: false}
command: [sh, -c, "{inputs.line}"]
resources:
  walltime_s: {default: 60}
"""
application = read_application(APPLICATION, "shell.yaml")


@dataclass
class House:
    """A gateway's parts below one folder."""

    home: Path
    store: Store
    files: FileStore
    viewer: Viewer

    def cluster(self) -> LocalCluster:
        settings = LocalSettings(cpus=4, isolation="none", grace_s=0.5, idle_s=1.0)
        return LocalCluster("local", self.home / "clusters" / "local", self.files, settings)

    def submit(self, line: str, count: int = 1) -> list[str]:
        new = NewJob("local", "shell", "1.0.0", application.digest, "run", Resources(walltime_s=60), {"line": line})
        return [answer.job_id for answer in self.store.accept_many(self.viewer, [new] * count)]

    def lease(self) -> Lease:
        lease = self.store.take("cluster-local", "test", self.store.lease_row("cluster-local"))
        assert lease is not None
        return lease

    def states(self, job_ids: Sequence[str]) -> list[JobState]:
        return [self.store.job(self.viewer, job_id).state for job_id in job_ids]

    @asynccontextmanager
    async def looping(
        self,
        cluster: LocalCluster | CountedCluster | None = None,
        orders: Orders | None = None,
        lease: Lease | None = None,
    ) -> AsyncIterator[ClusterLoop]:
        """The loop works while the block runs."""
        cluster, lease = cluster or self.cluster(), lease or self.lease()
        loop = ClusterLoop(
            self.store,
            cluster,
            lease,
            Policy(self.store.gateway_id, settle_s=0.5, retry_s=0.1),
            Deeds(self.store, cluster, orders or Orders(self.store, cluster, {}), lease.epoch),
            max_waiting=100,
        )
        await loop.open()
        task = asyncio.create_task(loop.run())
        try:
            yield loop
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def finished(self, job_ids: Sequence[str]) -> list[JobState]:
        await soon(lambda: all(state.is_final for state in self.states(job_ids)), "all jobs to end")
        return self.states(job_ids)


async def soon(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, f"waited too long for {what}"
        await asyncio.sleep(0.02)


def play(story: Awaitable[None]) -> None:
    async def told() -> None:
        await story

    asyncio.run(told())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Store.open(f"sqlite:///{tmp_path / 'isthmus.db'}") as store:
        store.remember_definition(application.digest, "shell", "1.0.0", application.to_json())
        viewer = Viewer(store.create_user("ann", None, Role.USER).id)
        yield House(tmp_path, store, FileStore(tmp_path / "files"), viewer)
    until(lambda: not (tmp_path / "clusters" / "local" / "supervisor.sock").exists() or _idle(tmp_path), "its end")


def _idle(home: Path) -> bool:
    """The supervisor ends by itself a second after its last job; its lock is then free."""
    lock = home / "clusters/local/supervisor.lock"
    return subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0


# --- the loop -----------------------------------------------------------------------------------------------
def test_many_short_jobs_all_end_though_their_ends_come_while_they_are_being_submitted(house: House) -> None:
    async def story() -> None:
        jobs = house.submit("exit 0", 120)
        async with house.looping():
            assert set(await house.finished(jobs)) == {JobState.COMPLETED}

    play(story())


def test_outputs_are_in_the_file_store_when_a_job_is_shown_completed(house: House) -> None:
    async def story() -> None:
        (job_id,) = house.submit("echo hello >made.txt; echo told")
        async with house.looping():
            await house.finished([job_id])
        outputs = {output.name: output for output in house.store.job(house.viewer, job_id).outputs}
        assert house.files.path(outputs["made"].sha256).read_text() == "hello\n"
        assert house.files.path(outputs["stdout"].sha256).read_text() == "told\n"

    play(story())


def test_a_program_that_started_while_its_submission_was_in_doubt_is_adopted_and_goes_on(house: House) -> None:
    async def story() -> None:
        (job_id,) = house.submit("until [ -e go-on ]; do sleep 0.02; done")
        cluster, lease = house.cluster(), house.lease()
        async with house.looping(cluster, lease=lease):
            await soon(lambda: house.states([job_id]) == [JobState.RUNNING], "the program to run")
        (job,) = house.store.live("local")
        assert job.attempt is not None
        await cluster.open()
        deeds = Deeds(house.store, cluster, Orders(house.store, cluster, {}), lease.epoch)
        learnt = await deeds.do(Action.WITHDRAW, [job])
        assert isinstance(learnt[job_id].claim, Claimed)
        (Path(cluster.folders(job.attempt.tag).work) / "go-on").touch()
        async with house.looping(cluster, lease=lease):
            assert await house.finished([job_id]) == [JobState.COMPLETED]

    play(story())


class Doubling(LocalCluster):
    """Collects one output twice for one job, which the tables refuse."""

    whose: str = ""

    async def stage_out(self, orders: Sequence[Order]) -> Mapping[str, StagedOut | StagingFailed]:
        answers = dict(await super().stage_out(orders))
        for order in orders:
            answer = answers[order.tag]
            if order.job_id == Doubling.whose and isinstance(answer, StagedOut):
                answers[order.tag] = replace(answer, files=answer.files * 2)
        return answers


def test_a_decision_that_the_tables_refuse_sets_its_own_job_aside_and_no_other(house: House) -> None:
    async def story() -> None:
        bad, *good = house.submit("exit 0", 6)
        Doubling.whose = bad
        settings = LocalSettings(cpus=4, isolation="none", idle_s=1.0)
        cluster = Doubling("local", house.home / "clusters" / "local", house.files, settings)
        async with house.looping(cluster):
            assert set(await house.finished(good)) == {JobState.COMPLETED}
            assert house.states([bad]) == [JobState.STAGING_OUT]

    play(story())


class FaultyOrders(Orders):
    """Orders of jobs named in `faulty` meet a fault of our own, as a bug in a definition's code would."""

    faulty: str = ""

    async def to_stage_in(self, jobs: Sequence[Job]) -> Mapping[str, Order | StagingFailed]:
        if any(job.id == FaultyOrders.faulty for job in jobs):
            raise RuntimeError("a bug")
        return await super().to_stage_in(jobs)


def test_a_fault_of_our_own_costs_only_the_job_that_meets_it(house: House) -> None:
    async def story() -> None:
        bad, *good = house.submit("exit 0", 4)
        FaultyOrders.faulty = bad
        cluster = house.cluster()
        async with house.looping(cluster, FaultyOrders(house.store, cluster, {})):
            assert set(await house.finished(good)) == {JobState.COMPLETED}
            assert house.states([bad]) == [JobState.STAGING_IN]
            FaultyOrders.faulty = ""
            assert await house.finished([bad]) == [JobState.COMPLETED]

    play(story())


class Silent(LocalCluster):
    """A cluster that does not answer until it is told to."""

    silent = True

    async def submit(self, handles: Sequence[Handle]) -> Mapping[str, object]:  # type: ignore[override]
        if Silent.silent:
            raise NoAnswer("the line is dead")
        return await super().submit(handles)


def test_lost_contact_is_a_mark_beside_the_state_and_goes_when_the_cluster_answers(house: House) -> None:
    async def story() -> None:
        jobs = house.submit("exit 0")
        house.store.report_cluster(house.lease(), "local", "{}", time.time())
        settings = LocalSettings(cpus=1, isolation="none", idle_s=1.0)
        cluster = Silent("local", house.home / "clusters" / "local", house.files, settings)
        Silent.silent = True

        def lost() -> float | None:
            return house.store.clusters()[0].contact_lost_since

        async with house.looping(cluster):
            await soon(lambda: lost() is not None, "the mark")
            assert house.states(jobs) == [JobState.SUBMITTING]
            Silent.silent = False
            await house.finished(jobs)
            await soon(lambda: lost() is None, "the mark to go")

    play(story())


class Forgetful(LocalCluster):
    """Its listings miss every job, as those of a sick scheduler do."""

    async def observe(self, handles: Sequence[Handle]) -> Mapping[str, Facts]:
        seen = await super().observe(handles)
        return {tag: replace(facts, listing=Unlisted(), end=None) for tag, facts in seen.items()}


def test_a_listing_that_lost_everybody_is_not_believed(house: House) -> None:
    async def story() -> None:
        jobs = house.submit("sleep 30", 8)
        async with house.looping():
            await soon(lambda: house.states(jobs).count(JobState.RUNNING) == 4, "four to run")
        settings = LocalSettings(cpus=4, isolation="none", grace_s=0.1, idle_s=1.0)
        sick = Forgetful("local", house.home / "clusters" / "local", house.files, settings)
        async with house.looping(sick):
            await asyncio.sleep(0)
            await soon(lambda: len(house.store.live("local")) == 8, "a round")
            assert all(job.attempt and job.attempt.unlisted_since is None for job in house.store.live("local"))
        async with house.looping():
            house.store.request_cancel(house.viewer, jobs, time.time())
            assert set(await house.finished(jobs)) == {JobState.CANCELLED}

    play(story())


def test_a_job_whose_site_lacks_what_the_definition_needs_fails_in_words(house: House) -> None:
    text = APPLICATION.replace("name: shell", "name: needy").replace("command: [sh", 'command: ["{deployment.bin}/sh"')
    needy = read_application(text + "deployments:\n  '*':\n    variables: {bin: '{site.programs}/bin'}\n", "needy.yaml")

    async def story() -> None:
        house.store.remember_definition(needy.digest, "needy", "1.0.0", needy.to_json())
        new = NewJob("local", "needy", "1.0.0", needy.digest, "run", Resources(walltime_s=60), {"line": "true"})
        job_id = house.store.accept(house.viewer, new).job_id
        async with house.looping():
            assert await house.finished([job_id]) == [JobState.FAILED]
        job = house.store.job(house.viewer, job_id)
        assert job.cause is Cause.STAGE_IN_FAILED
        assert "programs" in job.evidence

    play(story())


# --- leases -------------------------------------------------------------------------------------------------
HOLDER = """
import asyncio, sys
from pathlib import Path
from isthmus.controller.lease import LeaseKeeper
from isthmus.store import Store

async def hold():
    store = Store.open(sys.argv[1])
    keeper = LeaseKeeper(store, Path(sys.argv[2]), float(sys.argv[3]))
    async with keeper.held("duty") as held:
        print("held", flush=True)
        await keeper.keep(held)

asyncio.run(hold())
"""


def holder(house: House, timeout_s: float) -> subprocess.Popen[str]:
    arguments = [f"sqlite:///{house.home / 'isthmus.db'}", str(house.home / "leases"), str(timeout_s)]
    process = subprocess.Popen([sys.executable, "-c", HOLDER, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


async def taken(house: House, timeout_s: float) -> float:
    """How long it took to get the lease, in seconds."""
    began = time.monotonic()
    async with LeaseKeeper(house.store, house.home / "leases", timeout_s).held("duty"):
        return time.monotonic() - began


def test_a_lease_whose_holder_was_killed_on_this_machine_is_taken_at_once(house: House) -> None:
    with holder(house, 600) as process:
        process.kill()
        process.wait()
        assert asyncio.run(taken(house, 600)) < 30


def test_a_lease_whose_holder_is_frozen_is_taken_when_its_beat_has_stood_still(house: House) -> None:
    with holder(house, 1.0) as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert asyncio.run(taken(house, 1.0)) >= 1.0
        process.kill()


def test_a_lease_that_is_beaten_is_not_taken(house: House) -> None:
    with holder(house, 1.0) as process:
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(taken(house, 1.5), 5))
        process.kill()


# --- slow duties --------------------------------------------------------------------------------------------
def test_the_directory_of_an_ended_attempt_is_tidied_and_a_live_one_stays(house: House) -> None:
    async def story() -> None:
        cluster = house.cluster()
        lease = house.lease()
        (ended,), (live,) = house.submit("exit 0"), house.submit("sleep 30")
        async with house.looping(cluster, lease=lease):
            await house.finished([ended])
            await soon(lambda: house.states([live]) == [JobState.RUNNING], "the other to run")
            tags = {job_id: house.store.job(house.viewer, job_id).attempts[0].tag for job_id in (ended, live)}
            assert await cluster.tags() == set(tags.values())
            await ClusterKeeping(house.store, cluster, lease).tidy()
            assert await cluster.tags() == {tags[live]}
            house.store.request_cancel(house.viewer, [live], time.time())
            await house.finished([live])

    play(story())


def test_a_followed_log_grows_where_the_web_process_reads_it(house: House) -> None:
    async def story() -> None:
        cluster = house.cluster()
        (job_id,) = house.submit("echo first; sleep 30")
        async with house.looping(cluster):
            await soon(lambda: house.states([job_id]) == [JobState.RUNNING], "it to run")
            house.store.follow(house.viewer, job_id, time.time() + 60)
            follower = asyncio.create_task(LogFollower(house.store, cluster, house.home / "logs").run())
            log = house.home / "logs" / job_id / "1" / "stdout"
            await soon(lambda: log.exists() and log.read_text() == "first\n", "the log")
            follower.cancel()
            house.store.request_cancel(house.viewer, [job_id], time.time())
            assert await house.finished([job_id]) == [JobState.CANCELLED]

    play(story())


def test_a_duty_that_loses_its_lease_again_and_again_is_taken_up_ever_more_slowly(house: House) -> None:
    starts: list[float] = []

    async def duty(lease: Lease) -> None:
        starts.append(time.monotonic())
        raise LeaseLost("another controller is the framework now")

    async def story() -> None:
        keeper = LeaseKeeper(house.store, house.home / "leases")
        controller = Controller(Configuration(house.home, HouseConfig(), {}), house.store, house.files, keeper)
        work = asyncio.create_task(controller._for_ever("sea", duty))
        await soon(lambda: len(starts) == 3, "three starts")
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    play(story())
    assert starts[2] - starts[1] >= 2 * AGAIN_S


class OneFrozen(CountedCluster):
    """A cluster, one of whose nodes does not answer."""

    frozen = ""

    async def read_log(self, tag: str, stream: str, offset: int, limit: int) -> bytes:
        if tag == self.frozen:
            await asyncio.Event().wait()
        return await super().read_log(tag, stream, offset, limit)


def test_a_node_that_does_not_answer_holds_up_no_other_jobs_log(house: House) -> None:
    async def story() -> None:
        cluster = OneFrozen(house.cluster(), Calls())
        jobs = house.submit("echo first; sleep 30") + house.submit("echo first; sleep 30")
        async with house.looping(cluster):
            await soon(lambda: house.states(jobs) == [JobState.RUNNING] * 2, "them to run")
            until_at = time.time() + 60
            for job_id in jobs:
                house.store.follow(house.viewer, job_id, until_at)
            cluster.frozen = house.store.wishes(cluster.name, time.time())[0].tag
            follower = asyncio.create_task(LogFollower(house.store, cluster, house.home / "logs").run())
            logs = [house.home / "logs" / job_id / "1" / "stdout" for job_id in jobs]
            await soon(lambda: [log.exists() for log in logs].count(True) == 1, "the other's log")
            follower.cancel()
            for job_id in jobs:
                house.store.request_cancel(house.viewer, [job_id], time.time())
            await house.finished(jobs)

    play(story())


def test_followed_logs_go_when_nobody_has_needed_them_for_a_while(house: House) -> None:
    old, new = (house.home / "logs" / name / "1" / "stdout" for name in ("old", "new"))
    for log in (old, new):
        log.parent.mkdir(parents=True)
        log.write_text("x")
    past = time.time() - LOG_KEPT_S - 1
    os.utime(old, (past, past))
    asyncio.run(HouseKeeping(house.store, house.files, house.home / "logs").drop_logs())
    assert new.exists()
    assert not old.exists()
