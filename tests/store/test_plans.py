"""The indexes are there for the pages: no page of the list sorts, or looks at, more than it shows."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from isthmus.job import JobState
from isthmus.store import ListQuery, Sort, Store, Viewer
from tests.store.making import CLUSTER, a_job

JOBS = 2000


@pytest.fixture
def crowd(store: Store, ann: Viewer, url: str) -> str:
    """A few thousand jobs, most of one user and ended, as on a gateway in use."""
    rng = random.Random(7)
    names = [f"run {rng.randrange(1000)} {rng.choice(['alabama', 'georgia', 'texas'])}" for _ in range(JOBS)]
    store.accept_many(ann, [a_job(name, application=rng.choice("abcdefgh")) for name in names])
    engine = create_engine(url)
    with engine.begin() as connection:
        ended = {"ended": JOBS - 200, "running": JOBS - 100}
        first = connection.execute(text("SELECT min(number) FROM jobs")).scalar_one()
        ranges = {name: first + n for name, n in ended.items()}
        connection.execute(text("UPDATE jobs SET state = 'COMPLETED' WHERE number < :ended"), ranges)
        connection.execute(text("UPDATE jobs SET state = 'RUNNING' WHERE number >= :running"), ranges)
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))
    engine.dispose()
    return url


WALKS = {
    "plain": ListQuery(),
    "oldest first": ListQuery(descending=False),
    "state": ListQuery(states=(JobState.COMPLETED,)),
    "states": ListQuery(states=(JobState.ACCEPTED, JobState.RUNNING)),
    "application": ListQuery(applications=("c",)),
    "state and application": ListQuery(states=(JobState.COMPLETED,), applications=("c",)),
    "by name": ListQuery(sort=Sort.NAME),
    "by state's time": ListQuery(sort=Sort.STATE_AT),
    "by application": ListQuery(sort=Sort.APPLICATION, descending=False),
    "by state": ListQuery(sort=Sort.STATE),
    "time": ListQuery(created_before=1e12),
}


def test_a_page_walks_an_index_in_its_order_and_sorts_nothing(
    store: Store, crowd: str, ann: Viewer, admin: Viewer
) -> None:
    for viewer, (name, query) in product((ann, admin), WALKS.items()):
        page = store.page(viewer, query)
        asked = replace(query, cursor=page.next_cursor)

        plan = "\n".join(plans_of(store, crowd, viewer, asked))

        assert page.next_cursor is not None, name
        assert not re.search(r"SCAN jobs(?! USING (COVERING )?INDEX ix_jobs_(mine|all))", plan), (name, plan)
        assert "Seq Scan on jobs" not in plan, (name, plan)
        if len(query.states) < 2:
            assert not re.search(r"TEMP B-TREE|Sort Key", plan), (name, plan)


def test_an_administrator_looks_for_a_cluster_within_an_index(
    store: Store, crowd: str, admin: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.store.walking.WINDOW", 50)
    *_, whole = plans_of(store, crowd, admin, ListQuery(clusters=("seldom",)))

    if crowd.startswith("sqlite"):  # whose plans don't tell what is decided from the index's own columns
        assert "SCAN jobs USING INDEX ix_jobs_all" in whole
        with closing(sqlite3.connect(crowd.removeprefix("sqlite:///"))) as connection:
            columns = [row[2] for row in connection.execute("PRAGMA index_info(ix_jobs_all)")]
        assert columns == ["number", "cluster"]
    else:
        assert re.search(r"using ix_jobs_all on jobs.*\n *Index Cond: \(cluster = ", whole), whole


def test_a_rare_word_is_found_by_the_text_index(
    store: Store, crowd: str, ann: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.store.walking.WINDOW", 50)
    monkeypatch.setattr("isthmus.store.walking.MATCHES", 100)

    plan = "\n".join(plans_of(store, crowd, ann, ListQuery(text="777", limit=5)))

    if crowd.startswith("sqlite"):
        assert "job_search VIRTUAL TABLE INDEX" in plan
        assert "SEARCH jobs USING INTEGER PRIMARY KEY" in plan
    else:
        assert "Bitmap Index Scan on ix_jobs_search" in plan
        assert "Seq Scan on jobs" not in plan


def test_jobs_with_a_label_are_read_newest_first_from_the_labels_index(
    store: Store, crowd: str, ann: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.store.walking.WINDOW", 50)
    monkeypatch.setattr("isthmus.store.walking.STRETCH", 100)
    store.accept_many(ann, [a_job(f"kept {n}", labels=("keep",)) for n in range(3)])
    store.accept_many(ann, [a_job(f"then {n}") for n in range(60)])

    plan = "\n".join(plans_of(store, crowd, ann, ListQuery(labels=("keep",), limit=5)))

    assert "Seq Scan on jobs" not in plan
    if crowd.startswith("sqlite"):  # for so few jobs PostgreSQL may rightly take another index
        assert re.search(r"SEARCH job_labels .*\n.*\n.*\nSEARCH jobs USING INTEGER PRIMARY KEY", plan), plan


def test_a_common_word_with_a_rare_companion_reads_no_more_than_the_newest_matches(
    store: Store, crowd: str, ann: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.store.walking.WINDOW", 50)
    monkeypatch.setattr("isthmus.store.walking.STRETCH", 100)

    plans = list(plans_of(store, crowd, ann, ListQuery(text="run 777", limit=5)))

    assert len(plans) == 2  # the window, then the index of the rarer word


def test_due_jobs_are_found_by_their_time(store: Store, crowd: str) -> None:
    plan = "\n".join(_explained(crowd, lambda: store.due("local", 40.0, 100), "next_check_at <="))

    assert "ix_jobs_due" in plan


def test_jobs_put_off_by_another_clock_are_found_by_their_time(store: Store, crowd: str) -> None:
    plan = "\n".join(_explained(crowd, lambda: store.due("local", 40.0, 100, latest=500.0), "next_check_at >"))

    assert plan.count("ix_jobs_due") >= 1 and "Seq Scan on jobs" not in plan and "SCAN jobs" not in plan


def test_letting_jobs_out_steps_from_owner_to_owner_and_never_walks_the_queue(store: Store, crowd: str) -> None:
    plans = list(_explained(crowd, lambda: store.release(CLUSTER, per_owner=5, limit=5), "NOT IN"))

    if crowd.startswith("sqlite"):
        smallest, *looks = [line for plan in plans for line in plan.splitlines() if " jobs " in line]
        assert "ix_jobs_live (cluster=?)" in smallest  # whose first entry is all that min() takes
        assert looks and all("ix_jobs_live (cluster=? AND owner_id" in line for line in looks), plans
    else:
        assert "Index Cond" in plans[0] and "Seq Scan on jobs" not in "\n".join(plans), plans


@pytest.fixture
def crowded_bell(store: Store, crowd: str, ann: Viewer) -> str:
    """A few thousand notices, nearly all seen and sent."""
    engine = create_engine(crowd)
    told = text(
        "INSERT INTO notices (user_id, job, kind, at, message_id, mail_to, tries, next_try_at, fault, seen_at)"
        " SELECT owner_id, number, 'ended', 1.0, CAST(number AS TEXT), 'a@b', 0,"
        " CASE WHEN number % 1000 = 0 THEN 1.0 END, '', CASE WHEN number % 1000 = 0 THEN NULL ELSE 1.0 END FROM jobs"
    )
    with engine.begin() as connection:
        connection.execute(told)
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE notices"))
    engine.dispose()
    return crowd


def test_due_mails_unseen_notices_and_pages_of_them_are_found_by_their_index(
    store: Store, crowded_bell: str, ann: Viewer
) -> None:
    for act, index in (
        (lambda: store.due_letters(40.0, 100), "ix_notices_next_try_at"),
        (store.outbox, "ix_notices_next_try_at"),
        (lambda: store.unseen_notices(ann.user_id), "ix_notices_unseen"),
        (lambda: store.notices(ann.user_id, 20), "ix_notices_user_id_id"),
    ):
        plans = list(_explained(crowded_bell, act, "notices"))
        assert plans
        for plan in plans:
            assert index in plan or "notices_pkey" in plan or "pk_notices" in plan, plan
            assert "Seq Scan on notices" not in plan and "SCAN notices\n" not in plan + "\n", plan


def plans_of(store: Store, url: str, viewer: Viewer, query: ListQuery) -> Iterator[str]:
    """The database's plans for the statements that find a page's jobs."""
    return _explained(url, lambda: store.page(viewer, query), "deleted_at IS NULL")


def _explained(url: str, act: Callable[[], object], part: str) -> Iterator[str]:
    """The plan of every statement run by `act` whose text holds `part`."""
    seen: list[tuple[str, Any]] = []

    def note(_: Connection, __: object, statement: str, parameters: Any, *___: object) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    engine = create_engine(url)
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        for statement, parameters in seen:
            if part in statement:
                rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
                yield "\n".join(str(row[-1]) for row in rows)
    engine.dispose()
