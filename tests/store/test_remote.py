"""Attempts on nodes that don't see our files: who may start them, what they told, and when they are over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from isthmus.collecting import Limits, OutputRule
from isthmus.job import Cause, JobState
from isthmus.store import Lease, Store, Viewer
from isthmus.store.remote import Listed, RemoteInput, RemoteOrder, RemoteOutput
from tests.store.making import CLUSTER, a_file, accepted, advanced, moved, stored

HERE = a_file("here")
RECORD = '{"code": 0}'
OUT = RemoteOutput("k1", "result", "a.csv", None, 10, "text/csv")
LOG = RemoteOutput("k2", "stdout", "stdout", None, 20, "text/plain")


@pytest.fixture
def job_id(store: Store, ann: Viewer, lease: Lease) -> str:
    made = accepted(store, ann)
    advanced(store, lease, [made], JobState.QUEUED)
    return made


@pytest.fixture
def tag(store: Store, job_id: str) -> str:
    """A staged attempt of a job that waits on its cluster."""
    tag = tag_of(store, job_id)
    assert stage(store, tag) == {tag}
    return tag


def tag_of(store: Store, job_id: str) -> str:
    attempt = stored(store, job_id).attempt
    assert attempt is not None
    return attempt.tag


def stage(store: Store, *tags: str, script: str = "true") -> frozenset[str]:
    order = RemoteOrder("job", script, texts={"wrapper.sh": "abc"})
    return store.stage_remote(CLUSTER, dict.fromkeys(tags, order), {"abc": "text of it"})


def claim_in(store: Store, tag: str) -> str | None:
    return store.observe_remote([tag])[tag].claim


def ended(store: Store, tag: str) -> None:
    store.claim_remote(tag, "n:1:x")
    store.end_remote(tag, "n:1:x", RECORD)


def wanted(store: Store, tag: str, *files: RemoteOutput, refusal: str = "") -> list[RemoteOutput]:
    """Those of the wanted files that are not here."""
    return store.end_remote(tag, "n:1:x", RECORD, Listed(files, refusal))[1]


# --- staging --------------------------------------------------------------------------------------------------------
def test_an_order_is_read_as_it_was_staged(store: Store, job_id: str) -> None:
    order = RemoteOrder(
        job_id,
        "echo \udcff",
        (RemoteInput("a/b", "0" * 64, 3),),
        (OutputRule("result", "*.csv", "text/csv", True),),
        Limits(5, 6),
        {"wrapper.sh": "abc"},
    )
    tag = tag_of(store, job_id)
    store.stage_remote(CLUSTER, {tag: order}, {"abc": "text of it"})
    found = store.remote_order(tag)
    assert found is not None and found[1] == order and found[0] == store.observe_remote([tag])[tag]
    assert store.remote_text("abc") == "text of it" and store.remote_text("abd") is None
    assert store.remote_tags(CLUSTER) == {tag} and store.remote_tags("other") == frozenset()


def test_staging_again_changes_nothing(store: Store, tag: str) -> None:
    store.claim_remote(tag, "n:1:x")
    assert stage(store, tag, script="false") == {tag}
    found = store.remote_order(tag)
    assert found is not None and found[1].script == "true" and claim_in(store, tag) == "n:1:x"


def test_an_attempt_of_an_ended_job_is_not_staged(store: Store, lease: Lease, job_id: str) -> None:
    tag = tag_of(store, job_id)
    assert store.apply(lease, [moved(stored(store, job_id), JobState.CANCELLED)], 60.0) == [True]
    assert stage(store, tag, "gunknown") == frozenset()
    assert store.remote_tags(CLUSTER) == frozenset()


# --- the claim ------------------------------------------------------------------------------------------------------
def test_of_many_who_claim_at_once_one_holds_the_claim_and_all_are_told_who(store: Store, tag: str) -> None:
    holders = [f"n{n}:1:x" for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda holder: store.claim_remote(tag, holder), holders))
    held = {answer.claim for answer in answers if answer}
    assert len(held) == 1 and held <= set(holders) and claim_in(store, tag) in held


def test_of_claims_and_voids_at_once_one_holds(store: Store, tag: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = [pool.submit(store.claim_remote, tag, f"n{n}:1:x") for n in range(4)]
        voids = [pool.submit(store.void_remote, CLUSTER, [tag], n) for n in range(4)]
    told = {found.claim for one in claims if (found := one.result())} | {one.result()[tag] for one in voids}
    assert told == {claim_in(store, tag)}


def test_a_claim_makes_its_job_due_once(store: Store, job_id: str, tag: str) -> None:
    before = stored(store, job_id).seq
    store.claim_remote(tag, "n:1:x")
    store.claim_remote(tag, "n:1:x")
    job = stored(store, job_id)
    assert (job.next_check_at, job.seq) == (0.0, before + 1)


def test_a_claim_of_an_earlier_attempt_is_refused_and_disturbs_nobody(
    store: Store, lease: Lease, job_id: str, tag: str
) -> None:
    assert store.apply(lease, [moved(stored(store, job_id), JobState.ACCEPTED)], 60.0) == [True]
    assert store.apply(lease, [moved(stored(store, job_id), JobState.STAGING_IN)], 60.0) == [True]
    before = stored(store, job_id)
    found = store.claim_remote(tag, "n:1:x")
    assert found is not None and found.is_over and found.claim is None
    assert stored(store, job_id) == before


def test_a_lost_job_may_still_be_claimed(store: Store, lease: Lease, job_id: str, tag: str) -> None:
    lost = moved(stored(store, job_id), JobState.FAILED, cause=Cause.LOST)
    assert store.apply(lease, [lost], 60.0) == [True]
    found = store.claim_remote(tag, "n:1:x")
    assert found is not None and found.claim == "n:1:x" and not found.is_over


def test_after_a_void_nobody_can_claim(store: Store, tag: str) -> None:
    assert store.void_remote(CLUSTER, [tag], 3) == {tag: "void:3"}
    assert store.void_remote(CLUSTER, [tag], 4) == {tag: "void:3"}
    found = store.claim_remote(tag, "n:1:x")
    assert found is not None and found.is_void


def test_an_attempt_voided_before_it_was_staged_can_never_start(store: Store, job_id: str) -> None:
    tag = tag_of(store, job_id)
    assert store.void_remote(CLUSTER, [tag], 3) == {tag: "void:3"}
    stage(store, tag)
    found = store.claim_remote(tag, "n:1:x")
    assert found is not None and found.is_void and store.remote_order(tag) is None


def test_without_a_row_nothing_can_be_claimed(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT)
    store.discard_remote([tag])
    assert store.claim_remote(tag, "n:1:x") is None and store.observe_remote([tag]) == {}


# --- the end --------------------------------------------------------------------------------------------------------
def test_only_the_holder_tells_the_end_and_only_once(store: Store, job_id: str, tag: str) -> None:
    store.claim_remote(tag, "n:1:x")
    other, _ = store.end_remote(tag, "n:1:y", "{}", Listed([OUT]))
    assert other is not None and other.end_record is None and store.remote_outputs(tag) == []
    before = stored(store, job_id).seq
    store.end_remote(tag, "n:1:x", RECORD)
    again, _ = store.end_remote(tag, "n:1:x", "{}")
    assert again is not None and again.end_record == RECORD
    job = stored(store, job_id)
    assert (job.next_check_at, job.seq) == (0.0, before + 1)


# --- outputs --------------------------------------------------------------------------------------------------------
def test_nothing_is_wanted_before_the_claim(store: Store, tag: str) -> None:
    assert wanted(store, tag, OUT) == [] and store.remote_outputs(tag) == []


def test_all_is_sent_when_every_wanted_file_is_here(store: Store, job_id: str, tag: str) -> None:
    ended(store, tag)
    assert wanted(store, tag, OUT, LOG) == [OUT, LOG]
    before = stored(store, job_id).seq
    assert store.arrived_remote(tag, "k1", HERE.sha256, HERE.size)
    assert store.observe_remote([tag])[tag].sent_at is None and stored(store, job_id).seq == before
    assert store.arrived_remote(tag, "k2", HERE.sha256, HERE.size)
    assert store.observe_remote([tag])[tag].sent_at is not None and stored(store, job_id).seq == before + 1
    assert [one.sha256 for one in store.remote_outputs(tag)] == [HERE.sha256, HERE.sha256]


def test_with_nothing_wanted_all_is_sent_at_the_end(store: Store, tag: str) -> None:
    store.claim_remote(tag, "n:1:x")
    assert wanted(store, tag) == [] and store.observe_remote([tag])[tag].sent_at is not None


def test_what_came_with_the_end_is_kept_and_the_rest_asked_for(store: Store, tag: str) -> None:
    store.claim_remote(tag, "n:1:x")
    here = replace(LOG, sha256=HERE.sha256, size=HERE.size)
    assert wanted(store, tag, OUT, here) == [OUT] == wanted(store, tag, OUT, here)
    assert {one.key: one.sha256 for one in store.remote_outputs(tag)} == {OUT.key: None, LOG.key: HERE.sha256}


def test_listing_again_keeps_what_is_here_and_drops_what_is_not_wanted_any_more(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT, LOG)
    store.arrived_remote(tag, "k1", HERE.sha256, HERE.size)
    assert wanted(store, tag, OUT) == []
    assert [one.key for one in store.remote_outputs(tag)] == ["k1"]


def test_after_the_last_file_none_is_taken(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT)
    store.arrived_remote(tag, "k1", HERE.sha256, HERE.size)
    other = a_file("other")
    assert not store.arrived_remote(tag, "k1", other.sha256, other.size)
    assert wanted(store, tag, LOG) == []
    assert [one.sha256 for one in store.remote_outputs(tag)] == [HERE.sha256]


def test_a_refusal_is_the_last_word(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT)
    assert wanted(store, tag, refusal="too large") == []
    found = store.observe_remote([tag])[tag]
    assert found.refusal == "too large" and found.sent_at is not None and store.remote_outputs(tag) == []


def test_a_file_that_has_grown_too_large_ends_what_is_wanted(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT)
    store.refuse_remote(tag, "too large")
    assert store.observe_remote([tag])[tag].refusal == "too large" and store.remote_outputs(tag) == []
    store.refuse_remote(tag, "later")
    assert store.observe_remote([tag])[tag].refusal == "too large"


def test_logs_do_not_count_as_outputs(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT, LOG)
    assert store.remote_outputs_size(tag, "") == 10 and store.remote_outputs_size(tag, "k1") == 0


def test_the_collector_leaves_what_a_node_has_sent(store: Store, tag: str) -> None:
    ended(store, tag)
    wanted(store, tag, OUT)
    store.arrived_remote(tag, "k1", HERE.sha256, HERE.size)
    later = 2_000_000_000.0
    assert store.unreferenced(later, 10) == [] and store.forget_files([HERE.sha256], later) == []
    store.discard_remote([tag])
    assert store.unreferenced(later, 10) == [HERE.sha256]
