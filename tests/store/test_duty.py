"""What a controller is given to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from isthmus.job import Cause, JobState
from isthmus.lifecycle import Decision
from isthmus.store import Lease, Store, Viewer
from tests.store.making import CLUSTER, a_job, accepted, advanced, moved, stored


def test_due_jobs_come_longest_due_first_and_no_more_than_the_limit(store: Store, ann: Viewer, lease: Lease) -> None:
    ids = [accepted(store, ann) for _ in range(5)]
    for when, job_id in zip((30.0, 10.0, 99.0, 20.0, 40.0), ids, strict=True):
        store.apply(lease, [Decision(replace(stored(store, job_id), next_check_at=when))], 1.0)

    assert [job.id for job in store.due(CLUSTER, 40.0, 10)] == [ids[1], ids[3], ids[0], ids[4]]
    assert [job.id for job in store.due(CLUSTER, 40.0, 2)] == [ids[1], ids[3]]
    assert [job.id for job in store.due("elsewhere", 40.0, 2)] == []


def test_a_job_put_off_farther_than_any_pause_is_due_since_the_clock_was_set_back(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    ids = [accepted(store, ann) for _ in range(4)]
    for when, job_id in zip((10.0, 489.0, 491.0, 9000.0), ids, strict=True):
        store.apply(lease, [Decision(replace(stored(store, job_id), next_check_at=when))], 1.0)

    assert [job.id for job in store.due(CLUSTER, 40.0, 10, latest=490.0)] == [ids[0], ids[2], ids[3]]
    assert [job.id for job in store.due(CLUSTER, 40.0, 2, latest=490.0)] == [ids[0], ids[2]]
    assert [job.id for job in store.due(CLUSTER, 40.0, 10)] == [ids[0]]


def test_a_job_that_waits_in_the_gateway_is_not_due(store: Store, ann: Viewer) -> None:
    accepted(store, ann)

    assert store.due(CLUSTER, 1e12, 10) == []


def test_a_job_to_be_cancelled_is_due_at_once(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    store.request_cancel(ann, [job_id], 10.0)

    assert [job.id for job in store.due(CLUSTER, 10.0, 10)] == [job_id]


def test_jobs_with_news_are_given_before_their_time_and_whatever_the_limit(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    ids = [accepted(store, ann) for _ in range(4)]
    advanced(store, lease, ids, JobState.QUEUED, next_check_at=1e6)
    tags = [job.attempt.tag for job in store.live(CLUSTER) if job.attempt and job.id != ids[0]]

    found = store.due(CLUSTER, 100.0, 1, [*tags, "gunknown"])

    assert sorted(job.id for job in found) == sorted(ids[1:])


def test_news_of_an_earlier_attempt_or_an_ended_job_is_of_no_concern(store: Store, ann: Viewer, lease: Lease) -> None:
    ended, again = accepted(store, ann), accepted(store, ann)
    advanced(store, lease, [again], JobState.QUEUED, next_check_at=1e6)
    old = stored(store, again).attempt
    store.apply(lease, [moved(stored(store, again), JobState.ACCEPTED, next_check_at=1e6)], 50.0)
    store.apply(lease, [moved(stored(store, again), JobState.STAGING_IN, next_check_at=1e6)], 50.0)
    advanced(store, lease, [ended], JobState.COMPLETED)
    done = store.job(ann, ended).attempts[0]
    assert old is not None

    assert store.due(CLUSTER, 100.0, 10, [old.tag, done.tag]) == []
    assert store.ended_tags(CLUSTER, [old.tag, done.tag, "gunknown"]) == {old.tag, done.tag}


def test_tags_of_live_and_lost_jobs_are_not_ended_until_the_lost_one_is_deleted(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    live, lost = accepted(store, ann), accepted(store, ann)
    advanced(store, lease, [live, lost], JobState.RUNNING)
    store.apply(lease, [moved(stored(store, lost), JobState.FAILED, cause=Cause.LOST, next_check_at=60.0)], 50.0)
    tags = [store.job(ann, job_id).attempts[0].tag for job_id in (live, lost)]

    assert store.ended_tags(CLUSTER, tags) == frozenset()
    store.delete(ann, lost, 70.0)
    assert store.ended_tags(CLUSTER, tags) == {tags[1]}
    assert store.due(CLUSTER, 1e6, 10, tags[1:]) == [stored(store, live)]


def test_owners_take_turns_in_leaving_the_gateway(store: Store, ann: Viewer, bob: Viewer) -> None:
    mine = [one.job_id for one in store.accept_many(ann, [a_job() for _ in range(6)])]
    theirs = [one.job_id for one in store.accept_many(bob, [a_job() for _ in range(2)])]

    released = [job.id for job in store.release(CLUSTER, per_owner=10, limit=5)]

    assert released == [mine[0], theirs[0], mine[1], theirs[1], mine[2]]


def test_no_owner_has_more_than_their_share_waiting_on_the_cluster(
    store: Store, ann: Viewer, bob: Viewer, lease: Lease
) -> None:
    mine = [one.job_id for one in store.accept_many(ann, [a_job() for _ in range(9)])]
    store.accept_many(bob, [a_job() for _ in range(9)])
    advanced(store, lease, mine[:1], JobState.STAGING_IN)
    advanced(store, lease, mine[1:2], JobState.QUEUED)
    advanced(store, lease, mine[2:5], JobState.RUNNING)  # these wait no more

    released = store.release(CLUSTER, per_owner=4, limit=100)

    assert Counter(job.owner_id for job in released) == {ann.user_id: 2, bob.user_id: 4}


def test_a_job_to_be_cancelled_and_another_clusters_job_are_not_released(store: Store, ann: Viewer) -> None:
    cancelled = accepted(store, ann)
    accepted(store, ann, cluster="elsewhere")
    store.request_cancel(ann, [cancelled], 10.0)

    assert store.release(CLUSTER, per_owner=10, limit=10) == []


def test_live_jobs_are_those_that_have_not_ended(store: Store, ann: Viewer, lease: Lease) -> None:
    ids = [accepted(store, ann) for _ in range(3)]
    advanced(store, lease, ids[:1], JobState.COMPLETED)
    advanced(store, lease, ids[1:2], JobState.RUNNING)

    assert sorted(job.id for job in store.live(CLUSTER)) == sorted(ids[1:])
    assert (store.live_count(CLUSTER), store.live_count("elsewhere")) == (2, 0)
