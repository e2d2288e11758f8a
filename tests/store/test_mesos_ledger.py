"""When an attempt is launched, and again, and asked for: decisions over a real store, with the calls written down."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

import pytest

from isthmus.cluster.mesos.ledger import REPLACED_S, Ledger
from isthmus.cluster.mesos.messages import Message, Update, items, text
from isthmus.cluster.mesos.reconciler import ALL_AGAIN_S, FORGOTTEN_S, KILL_AGAIN_S, SENT_S, Reconciler
from isthmus.cluster.mesos.states import Launch
from isthmus.job import Resources
from isthmus.store import Lease, Store, Viewer
from tests.store.making import CLUSTER, held
from tests.store.test_mesos import launch_of, staged

NOW = 1000.0


@dataclass
class Calls:
    """What a master was told; it takes everything, or nothing."""

    takes: bool = True
    made: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> bool:
        self.made.append(message)
        return self.takes

    def kinds(self) -> list[str]:
        return [text(call, "type") for call in self.made]

    def asked(self) -> list[list[str]]:
        """The tasks of each RECONCILE."""
        asked = [call for call in self.made if text(call, "type") == "RECONCILE"]
        return [[text(task, "task_id", "value") for task in items(call, "reconcile", "tasks")] for call in asked]


@pytest.fixture
def lease(store: Store) -> Lease:
    return held(store)


@pytest.fixture
def tag(store: Store, lease: Lease, ann: Viewer) -> str:
    return staged(store, lease, ann)


async def ledger_of(store: Store, lease: Lease, *submitted: str) -> Ledger:
    ledger = Ledger(store.mesos, lease, CLUSTER)
    await ledger.load()
    if submitted:
        await ledger.submit(dict.fromkeys(submitted, Resources()), 10.0)
    return ledger


async def told(ledger: Ledger, task_id: str, state: str, now: float = NOW, uuid: str = "u", reason: str = "") -> None:
    await ledger.hear([Update(task_id, state, f"{uuid}{state}", "A", reason=reason)], now)


def waiting(ledger: Ledger, now: float) -> list[str]:
    return [entry.tag for entry in ledger.waiting(now)[0]]


def test_an_attempt_waits_from_its_submission_to_its_launch(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease)
        assert waiting(ledger, NOW) == []
        await ledger.submit({tag: Resources()}, 10.0)
        assert waiting(ledger, NOW) == [tag]
        assert await ledger.launch([launch_of(tag)]) == {f"{tag}.1"}
        assert waiting(ledger, NOW) == []

    asyncio.run(main())


def test_a_new_controller_finds_what_waits_and_what_was_launched(
    store: Store, lease: Lease, ann: Viewer, tag: str
) -> None:
    other = staged(store, lease, ann, "other")

    async def main() -> None:
        first = await ledger_of(store, lease, tag, other)
        await first.launch([launch_of(tag)])
        second = await ledger_of(store, lease)
        assert waiting(second, NOW) == [other]
        assert [launch.task_id for launch in second.open()] == [f"{tag}.1"]

    asyncio.run(main())


def test_a_launch_that_was_dropped_for_a_stale_offer_is_repeated_at_once(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        await ledger.launch([launch_of(tag)])
        await told(ledger, f"{tag}.1", "TASK_DROPPED", reason="REASON_INVALID_OFFERS")
        assert waiting(ledger, NOW) == [tag]

    asyncio.run(main())


def test_a_launch_that_failed_before_the_start_is_repeated_ever_more_slowly(
    store: Store, lease: Lease, tag: str
) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        for n, pause in ((1, 1.0), (2, 2.0), (3, 4.0)):
            await ledger.launch([launch_of(tag, n)])
            await told(ledger, f"{tag}.{n}", "TASK_FAILED", NOW)
            assert waiting(ledger, NOW + pause - 0.1) == []
            assert waiting(ledger, NOW + pause) == [tag]

    asyncio.run(main())


def test_a_node_out_of_sight_is_waited_for_before_another_launch(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        await ledger.launch([launch_of(tag)])
        await told(ledger, f"{tag}.1", "TASK_UNREACHABLE", NOW)
        assert waiting(ledger, NOW + REPLACED_S - 1) == []
        assert waiting(ledger, NOW + REPLACED_S) == [tag]

    asyncio.run(main())


def test_a_clock_that_is_set_back_does_not_put_the_next_launch_off(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        await ledger.launch([launch_of(tag)])
        await told(ledger, f"{tag}.1", "TASK_FAILED", NOW)
        assert waiting(ledger, NOW - 30) == []
        assert waiting(ledger, NOW - 86_400) == [tag]

    asyncio.run(main())


def test_faults_of_the_cluster_are_waited_out_however_many(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        for n in range(1, 40):
            await ledger.launch([launch_of(tag, n)])
            await told(ledger, f"{tag}.{n}", "TASK_FAILED", NOW, reason="REASON_EXECUTOR_TERMINATED")
        assert waiting(ledger, NOW + 59) == []
        assert waiting(ledger, NOW + 60) == [tag]

    asyncio.run(main())


def test_an_attempt_that_has_started_is_never_launched_again(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        await ledger.launch([launch_of(tag)])
        store.claim_remote(tag, f"{tag}.1:1:nonce")
        await told(ledger, f"{tag}.1", "TASK_GONE", NOW)
        assert waiting(ledger, NOW + 1000) == []

    asyncio.run(main())


def test_an_update_that_changes_nothing_is_no_change(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        ledger = await ledger_of(store, lease, tag)
        await ledger.launch([launch_of(tag)])
        update = Update(f"{tag}.1", "TASK_FAILED", "u", "A")
        assert len(await ledger.hear([update, update], NOW)) == 1
        assert await ledger.hear([update], NOW) == []

    asyncio.run(main())


# --- asking -----------------------------------------------------------------------------------------------------------
async def reconciling(store: Store, lease: Lease, calls: Calls, *launches: Launch) -> Reconciler:
    ledger = await ledger_of(store, lease, *(launch.tag for launch in launches))
    await ledger.launch(launches)
    return Reconciler(ledger, calls.send)


def test_after_a_subscription_all_that_is_open_is_asked_for_and_then_what_was_forgotten(
    store: Store, lease: Lease, tag: str
) -> None:
    async def main() -> None:
        calls = Calls()
        reconciler = await reconciling(store, lease, calls, launch_of(tag))
        reconciler.connected()
        start = time.monotonic()
        await reconciler.round(start)
        assert calls.asked() == [[f"{tag}.1"]]
        reconciler.heard(f"{tag}.1", "TASK_RUNNING")
        await reconciler.round(start + FORGOTTEN_S + 1)
        assert (calls.asked()[-1], calls.asked().count([])) == ([], 1)

    asyncio.run(main())


def test_no_answer_is_asked_for_again_ever_more_slowly_and_an_answer_ends_it(
    store: Store, lease: Lease, tag: str
) -> None:
    async def main() -> None:
        calls = Calls()
        reconciler = await reconciling(store, lease, calls, launch_of(tag))
        reconciler.connected()
        start = time.monotonic()
        for later in range(15):
            await reconciler.round(start + later)
        assert len([asked for asked in calls.asked() if asked]) == 4  # at 0, 2, 6 and 14 s
        reconciler.heard(f"{tag}.1", "TASK_UNKNOWN")
        assert reconciler.doubts == 1
        reconciler.heard(f"{tag}.1", "TASK_RUNNING")
        assert reconciler.doubts == 0

    asyncio.run(main())


def test_a_launch_nobody_hears_of_is_asked_for_and_a_fresh_one_is_not(
    store: Store, lease: Lease, ann: Viewer, tag: str
) -> None:
    other = staged(store, lease, ann, "other")

    async def main() -> None:
        calls = Calls()
        fresh = replace(launch_of(other), sent_at=time.time())
        old = replace(launch_of(tag), sent_at=time.time() - SENT_S - 1)
        reconciler = await reconciling(store, lease, calls, old, fresh)
        await reconciler.round(time.monotonic())
        assert calls.asked()[0] == [f"{tag}.1"]

    asyncio.run(main())


def test_everything_open_is_asked_for_every_quarter_of_an_hour(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        calls = Calls()
        reconciler = await reconciling(store, lease, calls, launch_of(tag))
        await reconciler.ledger.hear([Update(f"{tag}.1", "TASK_RUNNING", "u", "A")], NOW)
        reconciler.connected()
        start = time.monotonic()
        await reconciler.round(start)
        reconciler.heard(f"{tag}.1", "TASK_RUNNING")
        await reconciler.round(start + ALL_AGAIN_S - 10)
        assert [asked for asked in calls.asked() if asked] == [[f"{tag}.1"]]
        await reconciler.round(start + ALL_AGAIN_S + 1)
        assert len([asked for asked in calls.asked() if asked]) == 2

    asyncio.run(main())


def test_a_withdrawn_task_is_killed_until_its_end_is_known(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        calls = Calls()
        reconciler = await reconciling(store, lease, calls, launch_of(tag))
        await reconciler.kill(await reconciler.ledger.withdraw([tag], NOW))
        start = time.monotonic()
        await reconciler.round(start + 1)
        assert calls.kinds().count("KILL") == 1
        await reconciler.round(start + KILL_AGAIN_S + 1)
        assert calls.kinds().count("KILL") == 2
        await reconciler.ledger.hear([Update(f"{tag}.1", "TASK_KILLED", "u", "A")], NOW)
        await reconciler.round(start + 3 * KILL_AGAIN_S)
        assert calls.kinds().count("KILL") == 2

    asyncio.run(main())


def test_a_task_out_of_sight_is_killed_when_it_is_back(store: Store, lease: Lease, tag: str) -> None:
    async def main() -> None:
        calls = Calls()
        reconciler = await reconciling(store, lease, calls, launch_of(tag))
        await told(reconciler.ledger, f"{tag}.1", "TASK_UNREACHABLE")
        await reconciler.kill(await reconciler.ledger.withdraw([tag], NOW))
        assert "KILL" not in calls.kinds()
        await told(reconciler.ledger, f"{tag}.1", "TASK_RUNNING")
        await reconciler.round(time.monotonic())
        assert calls.kinds().count("KILL") == 1

    asyncio.run(main())
