"""What a framework must not forget: written under the lease, before the master hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isthmus.errors import Conflict, LeaseLost
from isthmus.job import JobState, Resources
from isthmus.store import Lease, Store, Viewer
from isthmus.store.audit import Actor, AuditQuery
from isthmus.store.mesos import REMOVED, LaunchRow
from isthmus.store.remote import RemoteOrder
from tests.store.making import CLUSTER, accepted, advanced, held, stored


def staged(store: Store, lease: Lease, viewer: Viewer, name: str = "run") -> str:
    """The tag of an attempt that may be submitted."""
    job_id = accepted(store, viewer, name, resources=Resources(cpus=2))
    advanced(store, lease, [job_id], JobState.STAGING_IN)
    attempt = stored(store, job_id).attempt
    assert attempt is not None
    store.stage_remote(CLUSTER, {attempt.tag: RemoteOrder(job_id, "true", texts={})}, {})
    return attempt.tag


def launch_of(tag: str, n: int = 1) -> LaunchRow:
    return LaunchRow(tag, n, f"{tag}.{n}", "A", "node1", "http://node1:5051", 10.0, "/sandbox")


@pytest.fixture
def lease(store: Store) -> Lease:
    return held(store)


@pytest.fixture
def tag(store: Store, lease: Lease, ann: Viewer) -> str:
    """An attempt that stands in the queue."""
    found = staged(store, lease, ann)
    store.mesos.submitted(lease, [found], 20.0)
    return found


def overtaken(store: Store, lease: Lease) -> Lease:
    """The lease as it was, after another controller took it."""
    store.take(lease.name, "other", store.lease_row(lease.name))
    return lease


def test_the_id_of_a_framework_is_kept_until_a_new_one_is_registered(store: Store, lease: Lease) -> None:
    assert store.mesos.framework(CLUSTER) is None
    store.mesos.registered(lease, CLUSTER, "F-1", 1.0)
    row = store.mesos.framework(CLUSTER)
    assert row is not None
    assert (row.framework_id, row.removed_at) == ("F-1", None)


def test_an_attempt_stands_in_the_queue_once_however_often_it_is_submitted(
    store: Store, lease: Lease, tag: str
) -> None:
    assert store.mesos.submitted(lease, [tag, "unknown"], 99.0) == {tag}
    (row,) = store.mesos.queued(CLUSTER)
    assert (row.tag, row.submitted_at, row.resources.cpus, row.is_over) == (tag, 20.0, 2, False)


def test_a_launch_is_stored_while_its_attempt_waits(store: Store, lease: Lease, tag: str) -> None:
    assert store.mesos.launch(lease, CLUSTER, [launch_of(tag)]) == {f"{tag}.1"}
    assert store.mesos.launches(CLUSTER) == [launch_of(tag)]


def test_an_attempt_that_was_withdrawn_claimed_or_never_submitted_is_not_launched(
    store: Store, lease: Lease, ann: Viewer, tag: str
) -> None:
    store.mesos.withdrawn(lease, [tag], 30.0)
    claimed, voided, fresh = (staged(store, lease, ann, name) for name in ("claimed", "voided", "fresh"))
    store.mesos.submitted(lease, [claimed, voided], 20.0)
    store.claim_remote(claimed, f"{claimed}.1:1:nonce")
    store.void_remote(CLUSTER, [voided], 1)
    wanted = [launch_of(one) for one in (tag, claimed, voided, fresh)]
    assert store.mesos.launch(lease, CLUSTER, wanted) == frozenset()
    assert {row.tag: row.is_over for row in store.mesos.queued(CLUSTER)} == {
        tag: True,
        claimed: True,
        voided: True,
        fresh: False,
    }


def test_what_is_heard_is_kept(store: Store, lease: Lease, tag: str) -> None:
    store.mesos.launch(lease, CLUSTER, [launch_of(tag)])
    after = replace(launch_of(tag), state="TASK_RUNNING", uuid="u", updated_at=40.0, confirmed=True)
    store.mesos.heard(lease, [after])
    assert store.mesos.launches(CLUSTER) == [after]


def test_with_the_framework_every_launch_of_it_is_over(store: Store, lease: Lease, tag: str) -> None:
    store.mesos.registered(lease, CLUSTER, "F-1", 1.0)
    store.mesos.launch(lease, CLUSTER, [launch_of(tag)])
    store.mesos.removed(lease, CLUSTER, "Framework has been removed", 50.0)
    (launch,) = store.mesos.launches(CLUSTER)
    assert (launch.state, launch.ended) == (REMOVED, True)
    row = store.mesos.framework(CLUSTER)
    assert row is not None
    assert (row.removed_at, row.words) == (50.0, "Framework has been removed")


def test_a_removed_framework_is_registered_anew_by_an_administrator_and_that_is_in_the_audit(
    store: Store, lease: Lease
) -> None:
    by = Actor(None, "root")
    store.mesos.registered(lease, CLUSTER, "F-1", 1.0)
    with pytest.raises(Conflict, match="is registered"):
        store.register_cluster(CLUSTER, by)
    store.mesos.removed(lease, CLUSTER, "removed", 50.0)
    store.register_cluster(CLUSTER, by)
    row = store.mesos.framework(CLUSTER)
    assert row is not None
    assert (row.framework_id, row.removed_at) == ("", None)
    (line,) = store.audit(AuditQuery())
    assert (line.kind.value, line.words) == ("cluster_registered", CLUSTER)


def test_a_controller_that_lost_the_lease_changes_nothing(store: Store, lease: Lease, tag: str) -> None:
    old = overtaken(store, lease)
    for change in (
        lambda: store.mesos.registered(old, CLUSTER, "F-2", 1.0),
        lambda: store.mesos.removed(old, CLUSTER, "removed", 1.0),
        lambda: store.mesos.submitted(old, [tag], 1.0),
        lambda: store.mesos.withdrawn(old, [tag], 1.0),
        lambda: store.mesos.launch(old, CLUSTER, [launch_of(tag)]),
        lambda: store.mesos.adopt(old, CLUSTER, launch_of(tag)),
        lambda: store.mesos.heard(old, [launch_of(tag)]),
    ):
        with pytest.raises(LeaseLost):
            change()
    assert store.mesos.framework(CLUSTER) is None
    assert store.mesos.launches(CLUSTER) == []


def test_a_task_that_we_forgot_is_adopted_if_its_attempt_is_ours(store: Store, lease: Lease, tag: str) -> None:
    assert store.mesos.adopt(lease, CLUSTER, launch_of(tag, 3))
    assert not store.mesos.adopt(lease, CLUSTER, launch_of("stranger"))
    assert [row.task_id for row in store.mesos.launches(CLUSTER)] == [f"{tag}.3"]


def test_launches_go_with_their_attempts(store: Store, lease: Lease, tag: str) -> None:
    store.mesos.launch(lease, CLUSTER, [launch_of(tag)])
    store.mesos.discard([tag])
    assert store.mesos.launches(CLUSTER) == []
