"""Many requests in one commit: durable for each, and no request pays for another's fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from isthmus.errors import NotFound, StorageFault
from isthmus.store import Store, Viewer
from isthmus.store.database import Database
from isthmus.store.groupwriter import GroupWriter
from tests.store.making import a_job


def test_eight_threads_accept_at_once_and_every_job_is_there(store: Store, ann: Viewer, url: str) -> None:
    def accept_some(thread: int) -> list[str]:
        return [store.accept(ann, a_job(f"{thread}.{i}")).job_id for i in range(25)]

    with ThreadPoolExecutor(8) as threads:
        ids = [job_id for found in threads.map(accept_some, range(8)) for job_id in found]

    assert len(set(ids)) == 200
    with Store.open(url) as other:
        assert {job.id for job in other.live("local")} == set(ids)


def test_bad_requests_among_many_hurt_no_other_and_leave_nothing(store: Store, ann: Viewer, url: str) -> None:
    def accept(n: int) -> str | None:
        spoilt = {"parent_id": "0" * 20} if n % 5 == 0 else {"digest": "unknown"} if n % 7 == 0 else {}
        try:
            return store.accept(ann, a_job(str(n), **spoilt), key=str(n), body_sha256="b").job_id
        except (NotFound, IntegrityError):
            return None

    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(accept, range(100)))
    refused = [n for n, job_id in enumerate(ids) if job_id is None]

    assert refused == [n for n in range(100) if n % 5 == 0 or n % 7 == 0]
    with Store.open(url) as other:
        assert {job.id for job in other.live("local")} == {job_id for job_id in ids if job_id}
    assert all(store.accept(ann, a_job(str(n)), key=str(n), body_sha256="b").created for n in refused)


def test_eight_equal_requests_with_one_key_make_one_job(store: Store, ann: Viewer) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: store.accept(ann, a_job(), key="k", body_sha256="b"), range(8)))

    assert len({answer.job_id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1


def test_two_processes_with_one_key_make_one_job(store: Store, ann: Viewer, url: str) -> None:
    with Store.open(url) as other, ThreadPoolExecutor(8) as threads:
        stores = [store, other] * 8
        answers = list(threads.map(lambda one: one.accept(ann, a_job(), key="k", body_sha256="b"), stores))

    assert len({answer.job_id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1


def test_requests_that_wait_together_are_committed_together(url: str) -> None:
    database = Database.at(url)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE seen (n INTEGER)"))
    writer = GroupWriter(database)
    transactions: list[object] = []  # kept, so that no two can have one id

    def write(n: int, connection: Connection) -> None:
        connection.execute(text("INSERT INTO seen VALUES (:n)"), {"n": n})
        transactions.append(connection.get_transaction())

    try:
        with database.write() as blocking, ThreadPoolExecutor(8) as threads:
            blocking.execute(text("DELETE FROM seen"))
            if not database.is_sqlite:
                blocking.execute(text("LOCK TABLE seen IN ACCESS EXCLUSIVE MODE"))
            waiting = [threads.submit(writer.run, lambda c, n=n: write(n, c)) for n in range(8)]
            blocking.commit()
            for one in waiting:
                one.result(30)
    finally:
        writer.close()
        with database.write() as connection:
            connection.execute(text("DROP TABLE seen"))
        database.close()

    assert len(transactions) == 8
    assert len({id(transaction) for transaction in transactions}) < 8


def test_a_closed_store_refuses_requests_in_words(store: Store, ann: Viewer) -> None:
    store.close()

    with pytest.raises(StorageFault):
        store.accept(ann, a_job())


_CHILD = """
import sys
from isthmus.job import Resources
from isthmus.store import NewJob, Store, Viewer
url, user_id = sys.argv[1:]
store = Store.open(url)
new = NewJob("local", "app", "1", "digest", "run", Resources())
print("ready", flush=True)
answer = store.accept(Viewer(user_id), new, key="k", body_sha256="b")
print("answered", answer.job_id, flush=True)
"""


@pytest.mark.parametrize(("place", "jobs_left"), [("store.before_commit", 0), ("store.after_commit", 1)])
def test_a_request_repeated_after_a_kill_gives_the_same_job_and_only_one(
    store: Store, ann: Viewer, url: str, place: str, jobs_left: int
) -> None:
    environment = {
        **os.environ,
        "ISTHMUS_FAILPOINTS": f"{place}=kill",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, url, ann.user_id],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path.cwd(),
    )
    left = [job.id for job in store.live("local")]

    again = store.accept(ann, a_job(), key="k", body_sha256="b")

    assert child.returncode == -signal.SIGKILL
    assert child.stdout.split() == ["ready"]
    assert len(left) == jobs_left
    assert [job.id for job in store.live("local")] == [again.job_id]
    assert again.created is not bool(left)
    assert left in ([], [again.job_id])
