"""At most one process acts for a cluster."""

from __future__ import annotations

from threading import Thread

import pytest
from sqlalchemy import create_engine, text

from isthmus.errors import LeaseLost, StorageFault
from isthmus.job import JobState
from isthmus.lifecycle import Decision
from isthmus.store import Lease, LeaseRow, Store
from isthmus.store.database import Database
from isthmus.store.leases import hold
from tests.store.making import accepted, moved, person, stored
from tests.store.waiting import until, waits_for_a_lock


def test_a_lease_nobody_took_is_taken_once(store: Store) -> None:
    assert store.lease_row("a") is None
    assert store.take("a", "me", None) == Lease("a", "me", 1)
    assert store.take("a", "you", None) is None
    assert store.lease_row("a") == LeaseRow("a", "me", 1, 0)


def test_a_lease_that_stood_still_is_taken_with_the_next_epoch(store: Store) -> None:
    store.take("a", "me", None)
    seen = store.lease_row("a")

    assert store.take("a", "you", seen) == Lease("a", "you", 2)
    assert store.take("a", "third", seen) is None


def test_a_lease_that_was_beaten_meanwhile_is_not_taken(store: Store) -> None:
    lease = store.take("a", "me", None)
    assert lease is not None
    seen = store.lease_row("a")
    store.beat(lease)

    assert store.take("a", "you", seen) is None
    assert store.lease_row("a") != seen


def test_who_lost_the_lease_learns_it_at_the_next_beat(store: Store) -> None:
    lease = store.take("a", "me", None)
    assert lease is not None
    store.take("a", "you", store.lease_row("a"))

    with pytest.raises(LeaseLost):
        store.beat(lease)
    with pytest.raises(LeaseLost):
        store.report_cluster(lease, "a", "{}", 1.0)
    with pytest.raises(LeaseLost):
        store.mark_contact(lease, "a", 1.0)
    assert store.clusters() == []


def test_a_lease_given_up_names_no_holder_and_one_given_up_late_does_no_harm(store: Store) -> None:
    lease = store.take("a", "me", None)
    assert lease is not None
    store.give_up(lease)
    free = store.lease_row("a")
    assert free is not None
    assert free.holder == ""

    store.take("a", "you", free)
    store.give_up(lease)

    row = store.lease_row("a")
    assert row is not None
    assert (row.holder, row.epoch) == ("you", 2)


def test_leases_of_different_names_know_nothing_of_each_other(store: Store) -> None:
    store.take("a", "me", None)

    assert store.take("b", "you", None) == Lease("b", "you", 1)


def test_on_postgresql_a_write_that_meets_a_take_about_to_commit_waits_and_is_refused(
    postgres_database: str,
) -> None:
    """A guard `WHERE EXISTS (… epoch …)` reads its snapshot and would let this write through."""
    engine = create_engine(postgres_database)
    with Store.open(postgres_database) as store, engine.connect() as taker:
        store.remember_definition("digest", "app", "1", {})
        viewer = person(store, "ann")
        lease = store.take("local", "old", None)
        assert lease is not None
        job = stored(store, accepted(store, viewer))
        taker.execute(text("UPDATE leases SET holder = 'new', epoch = epoch + 1 WHERE name = 'local'"))
        outcome: list[object] = []
        writer = Thread(target=lambda: outcome.append(_outcome(store, lease, moved(job, JobState.STAGING_IN))))
        writer.start()
        until(lambda: waits_for_a_lock(postgres_database))
        taker.commit()
        writer.join(30)

        assert outcome == ["lost"]
        assert store.job(viewer, job.id).state is JobState.ACCEPTED
    engine.dispose()


def test_on_postgresql_a_take_waits_for_a_write_that_began_before(postgres_database: str) -> None:
    engine = create_engine(postgres_database)
    with Store.open(postgres_database) as store, engine.connect() as writer:
        lease = store.take("local", "old", None)
        assert lease is not None
        seen = store.lease_row("local")
        writer.execute(text("SELECT epoch FROM leases WHERE name = 'local' FOR SHARE"))  # as an apply begins
        taken: list[Lease | None] = []
        taker = Thread(target=lambda: taken.append(store.take("local", "new", seen)))
        taker.start()
        until(lambda: waits_for_a_lock(postgres_database))

        assert taken == []
        writer.commit()
        taker.join(30)
        assert taken == [Lease("local", "new", 2)]
    engine.dispose()


@pytest.mark.parametrize("rows", [0, 2], ids=["after one statement", "after many rows at once"])
def test_on_postgresql_a_holder_frozen_in_a_transaction_is_cut_off_so_that_another_can_take_over(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("isthmus.store.database.IDLE_S", 0.5)
    with Store.open(postgres_database) as store:
        lease = store.take("local", "old", None)
        assert lease is not None
        frozen = Database.at(postgres_database)
        with pytest.raises(StorageFault), frozen.write() as transaction:
            hold(transaction, lease)  # as an apply begins
            if rows:
                transaction.execute(text("UPDATE users SET name = name WHERE id = :id"), [{"id": "none"}] * rows)
            # and then its process sleeps

            assert store.take("local", "new", store.lease_row("local")) == Lease("local", "new", 2)

            hold(transaction, lease)
        with pytest.raises(LeaseLost), frozen.write() as transaction:
            hold(transaction, lease)
        frozen.close()


def test_on_postgresql_who_waits_too_long_for_a_lock_is_told(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.store.database.WRITE_WAIT_S", 0.2)
    with Store.open(postgres_database) as store:
        lease = store.take("local", "old", None)
        assert lease is not None
        other = Database.at(postgres_database)
        with other.write() as transaction:
            hold(transaction, lease)
            with pytest.raises(StorageFault, match="too long"):
                store.beat(lease)
        other.close()

        store.beat(lease)


def _outcome(store: Store, lease: Lease, decision: Decision) -> object:
    try:
        return store.apply(lease, [decision], 50.0)
    except LeaseLost:
        return "lost"
