"""The history, and following it without missing a line."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from isthmus.errors import InvalidInput, NotFound
from isthmus.job import JobState
from isthmus.store import Lease, Position, Store, Viewer
from tests.store.making import accepted, advanced, held, person
from tests.store.waiting import until


def test_reading_on_from_a_position_gives_what_came_after_it_in_order(store: Store, ann: Viewer, lease: Lease) -> None:
    first = accepted(store, ann)
    seen = store.events_after(None, Position(), 100)
    second = accepted(store, ann)
    advanced(store, lease, [first], JobState.SUBMITTING)

    new = store.events_after(None, seen[-1].position, 100)

    assert [(row.job_id, row.kind) for row in seen] == [(first, "accepted")]
    assert [(row.job_id, row.kind) for row in new] == [(second, "accepted"), (first, "state"), (first, "state")]
    assert new == sorted(new, key=lambda row: row.position)
    assert store.events_after(None, new[-1].position, 100) == []
    assert store.newest_position() == new[-1].position


def test_reading_in_small_steps_gives_the_same_as_in_one(store: Store, ann: Viewer) -> None:
    for _ in range(7):
        accepted(store, ann)
    position, rows = Position(), []
    while step := store.events_after(None, position, 2):
        rows += step
        position = step[-1].position

    assert rows == store.events_after(None, Position(), 100)
    assert len(rows) == 7


def test_a_user_sees_events_of_their_own_jobs_only(store: Store, ann: Viewer, bob: Viewer, admin: Viewer) -> None:
    mine, theirs = accepted(store, ann), accepted(store, bob)

    assert {row.job_id for row in store.events_after(ann, Position(), 100)} == {mine}
    assert {row.job_id for row in store.events_after(admin, Position(), 100)} == {mine, theirs}
    assert store.events_after(ann, Position(), 100, job_id=theirs) == []
    with pytest.raises(NotFound):
        store.events_of(ann, theirs)


def test_events_of_one_job_are_picked_out(store: Store, ann: Viewer) -> None:
    one, _ = accepted(store, ann), accepted(store, ann)

    assert [row.job_id for row in store.events_after(None, Position(), 100, job_id=one)] == [one]


def test_a_position_survives_its_text_form_and_nothing_else_passes_for_one() -> None:
    assert Position.parse(str(Position(12, 34))) == Position(12, 34)
    for words in ("", "-", "1", "1-", "-1", "1-2-3", "a-1", "1--2", "²-1", "1-2 ", "9" * 30 + "-" + "9" * 30):
        with pytest.raises(InvalidInput):
            Position.parse(words)


def test_the_marker_changes_with_every_commit_of_whichever_process(store: Store, ann: Viewer, url: str) -> None:
    with Store.open(url) as other:
        before = store.changed_marker()
        accepted(other, ann)
        after = store.changed_marker()
        accepted(store, ann)

        assert len({before, after, store.changed_marker()}) == 3


def test_the_marker_stands_still_while_nothing_is_written(store: Store, ann: Viewer) -> None:
    accepted(store, ann)
    store.authenticate(store.create_token(ann.user_id, "t", [], None).text)
    # a background writer of PostgreSQL may still end a transaction of its own
    until(lambda: store.changed_marker() == store.changed_marker())


AHEAD = 10**12


def restored(url: str) -> None:
    """What a dump of a server that had come further looks like in this one: transaction numbers yet to come."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE events SET xid = xid + :ahead"), {"ahead": AHEAD})
    engine.dispose()


def test_a_dump_restored_on_a_younger_postgresql_is_read_on_in_order(postgres_database: str) -> None:
    with Store.open(postgres_database) as store:
        store.remember_definition("digest", "app", "1", {})
        ann = person(store, "ann")
        old = [accepted(store, ann) for _ in range(3)]
    restored(postgres_database)

    with Store.open(postgres_database) as store:
        start = store.newest_position()
        new = accepted(store, ann)

        assert [row.job_id for row in store.events_after(None, Position(), 100)] == [*old, new]
        assert [row.job_id for row in store.events_after(None, start, 100)] == [new]


def test_a_reader_of_before_a_restore_goes_on_where_it_was(postgres_database: str) -> None:
    with Store.open(postgres_database) as store:
        store.remember_definition("digest", "app", "1", {})
        ann = person(store, "ann")
        seen, unseen = accepted(store, ann), accepted(store, ann)
        (row, _) = store.events_after(None, Position(), 100)
    restored(postgres_database)

    with Store.open(postgres_database) as store:
        new = accepted(store, ann)
        for before in (row.position, Position(row.position.xid + AHEAD, row.position.id)):
            after = store.standing(before)
            assert [row.job_id for row in store.events_after(None, after, 100)] == [unseen, new]
    assert row.job_id == seen


def test_a_reader_who_saw_what_a_restored_database_has_lost_goes_on_with_what_comes(store: Store, ann: Viewer) -> None:
    accepted(store, ann)
    (last,) = store.events_after(None, Position(), 100)
    after = store.standing(Position(last.position.xid + AHEAD, last.position.id + 100))
    new = accepted(store, ann)

    assert [row.job_id for row in store.events_after(None, after, 100)] == [new]


def test_a_reader_who_saw_what_a_dump_lacks_misses_nothing_that_came_while_it_was_away(postgres_database: str) -> None:
    with Store.open(postgres_database) as store:
        store.remember_definition("digest", "app", "1", {})
        ann = person(store, "ann")
        accepted(store, ann), accepted(store, ann)
        (kept, lost) = store.events_after(None, Position(), 100)
    restored(postgres_database)
    engine = create_engine(postgres_database)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM events WHERE id = :id"), {"id": lost.position.id})
        connection.execute(text("SELECT setval(pg_get_serial_sequence('events', 'id'), :id)"), {"id": kept.position.id})
    engine.dispose()

    with Store.open(postgres_database) as store:
        new = [accepted(store, ann) for _ in range(2)]  # the first has the number that the lost one had
        after = store.standing(lost.position)
        assert [row.job_id for row in store.events_after(None, after, 100)] == new


def test_a_position_that_nothing_has_happened_to_stands_where_it_was(store: Store, ann: Viewer, url: str) -> None:
    for _ in range(3):
        accepted(store, ann)
    rows = store.events_after(None, Position(), 100)
    with Store.open(url) as opened_again:
        assert opened_again.events_after(None, Position(), 100) == rows
        assert [opened_again.standing(row.position) for row in rows] == [row.position for row in rows]
        assert opened_again.standing(Position()) == Position()


def test_on_postgresql_an_event_that_is_committed_late_is_not_missed(postgres_database: str) -> None:
    """Its number is lower than that of one committed, and read, before: a reader by number would pass it over."""
    engine = create_engine(postgres_database)
    with Store.open(postgres_database) as store, engine.connect() as slow:
        store.remember_definition("digest", "app", "1", {})
        ann = person(store, "ann")
        held(store)
        first = accepted(store, ann)
        start = store.newest_position()
        slow.execute(
            text(
                "INSERT INTO events (job, owner_id, at, kind, body)"
                " SELECT number, owner_id, 1, 'late', '{}' FROM jobs WHERE id = :id"
            ),
            {"id": first},
        )
        accepted(store, ann)
        early = store.events_after(None, start, 100)
        slow.commit()

        position = early[-1].position if early else start
        read = [*early, *store.events_after(None, position, 100)]

    engine.dispose()
    assert sorted(row.kind for row in read) == ["accepted", "late"]
    assert early == []
