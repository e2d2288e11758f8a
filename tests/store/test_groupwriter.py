"""Many requests in one commit: durable for each, and no request pays for another's fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from isthmus.errors import NotFound, StorageFault
from isthmus.store import Store, Viewer
from isthmus.store.database import Database
from isthmus.store.groupwriter import GroupWriter
from tests.store.making import a_job
from tests.store.waiting import until


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


class Notebook:
    """A group writer at a table of its own, where a number is noted once: `noted` tells what is durable."""

    def __init__(self, database: Database) -> None:
        self.database, self.writer = database, GroupWriter(database)
        self.transactions: list[object] = []  # kept, so that no two can have one id
        self.sizes: list[int] = []

    def note(self, connection: Connection, numbers: Sequence[int]) -> list[int]:
        self.transactions.append(connection.get_transaction())
        self.sizes.append(len(numbers))
        connection.execute(text("INSERT INTO seen VALUES (:n)"), [{"n": n} for n in numbers])
        return [10 * n for n in numbers]

    @property
    def noted(self) -> list[int]:
        with self.database.read() as connection:
            return list(connection.execute(text("SELECT n FROM seen ORDER BY n")).scalars())

    def at_once(self, *calls: Callable[[], object]) -> list[Future[object]]:
        """The calls are made while another holds the table, so that all but the first wait for one another."""
        with self.database.write() as blocking, ThreadPoolExecutor(len(calls)) as threads:
            if not self.database.is_sqlite:
                blocking.execute(text("LOCK TABLE seen IN ACCESS EXCLUSIVE MODE"))
            waiting = [threads.submit(call) for call in calls]
            until(lambda: sum(one.running() for one in waiting) == len(calls))
            blocking.commit()
        return waiting


@pytest.fixture
def notebook(store: Store, url: str) -> Iterator[Notebook]:
    database = Database.at(url)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE seen (n INTEGER PRIMARY KEY CHECK (n >= 0))"))
    notebook = Notebook(database)
    yield notebook
    notebook.writer.close()
    with database.write() as connection:
        connection.execute(text("DROP TABLE seen"))
    database.close()


def test_requests_that_wait_together_are_committed_together(notebook: Notebook) -> None:
    works = [lambda c, n=n: notebook.note(c, [n]) for n in range(8)]
    notebook.at_once(*(lambda w=w: notebook.writer.run(w) for w in works))

    assert notebook.noted == list(range(8))
    assert len({id(transaction) for transaction in notebook.transactions}) < 8


def test_requests_of_a_kind_that_wait_together_are_run_as_one(notebook: Notebook) -> None:
    answers = notebook.at_once(*(lambda n=n: notebook.writer.run_together(notebook.note, n) for n in range(8)))

    assert [answer.result() for answer in answers] == [10 * n for n in range(8)]
    assert max(notebook.sizes) > 1
    assert notebook.noted == list(range(8))


def test_one_of_a_kind_that_fails_is_undone_alone(notebook: Notebook) -> None:
    asked = [0, 1, 2, -3, 4, 5, 2]
    answers = notebook.at_once(*(lambda n=n: notebook.writer.run_together(notebook.note, n) for n in asked))

    faults = [answer.exception() for answer in answers]
    assert isinstance(faults[3], IntegrityError)
    assert {type(faults[2]), type(faults[6])} == {IntegrityError, type(None)}  # whichever came first
    assert [faults[at] for at in (0, 1, 4, 5)] == [None] * 4
    assert notebook.noted == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("interruption", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_interrupts_one_request_is_a_fault_for_its_caller_and_nothing_for_others(
    notebook: Notebook, interruption: type[BaseException]
) -> None:
    def interrupted(connection: Connection) -> None:
        notebook.note(connection, [100])
        raise interruption

    good = [lambda n=n: notebook.writer.run(lambda c: notebook.note(c, [n])) for n in range(4)]
    answers = notebook.at_once(*good[:2], lambda: notebook.writer.run(interrupted), *good[2:])

    assert isinstance(answers[2].exception(), StorageFault)
    assert notebook.noted == [0, 1, 2, 3]
    assert notebook.writer.run(lambda c: notebook.note(c, [4])) == [40]
    with pytest.raises(StorageFault):
        notebook.writer.run(interrupted)


def test_a_lost_connection_is_told_to_everybody_and_the_next_request_is_served(notebook: Notebook) -> None:
    def losing(connection: Connection) -> None:
        notebook.note(connection, [100])
        raise StorageFault("the database does not answer")

    good = [lambda n=n: notebook.writer.run(lambda c: notebook.note(c, [n])) for n in range(4)]
    answers = notebook.at_once(*good, lambda: notebook.writer.run(losing))

    refused = [n for n in range(4) if answers[n].exception() is not None]
    assert all(isinstance(answers[n].exception(), StorageFault) for n in refused)
    assert notebook.noted == [n for n in range(4) if n not in refused]
    assert isinstance(answers[4].exception(), StorageFault)
    assert notebook.writer.run(lambda c: notebook.note(c, [4])) == [40]


def test_requests_made_while_the_writer_closes_are_done_or_refused(notebook: Notebook) -> None:
    def note_on(first: int) -> int:
        for n in range(first, first + 1000):
            try:
                notebook.writer.run_together(notebook.note, n)
            except StorageFault:
                return n
        raise AssertionError("the writer never closed")

    with ThreadPoolExecutor(4) as threads:
        stopped = [threads.submit(note_on, first) for first in range(0, 4000, 1000)]
        until(lambda: len(notebook.noted) >= 20)
        notebook.writer.close()
        ends = [one.result(30) for one in stopped]

    assert notebook.noted == [
        n for first, end in zip(range(0, 4000, 1000), ends, strict=True) for n in range(first, end)
    ]


def test_a_request_whose_caller_went_before_its_turn_is_not_done_and_costs_nobody_anything(notebook: Notebook) -> None:
    with notebook.database.write() as blocking:
        if not notebook.database.is_sqlite:
            blocking.execute(text("LOCK TABLE seen IN ACCESS EXCLUSIVE MODE"))
        first = notebook.writer.soon(notebook.note, 1)
        until(first.running)
        gone, last = notebook.writer.soon(notebook.note, 2), notebook.writer.soon(notebook.note, 3)
        assert gone.cancel()
        assert not first.cancel()
        blocking.commit()

    assert (first.result(30), last.result(30)) == (10, 30)
    assert notebook.noted == [1, 3]


def test_a_request_made_soon_is_durable_when_it_is_answered(notebook: Notebook) -> None:
    found: list[list[int]] = []
    answer = notebook.writer.soon(notebook.note, 7)
    answer.add_done_callback(lambda _: found.append(notebook.noted))

    assert answer.result(30) == 70
    until(lambda: bool(found))
    assert found == [[7]]


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
