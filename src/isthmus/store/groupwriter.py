"""One commit for many requests: what makes a durable answer cheap when several people ask at once.

A commit costs one wait for the disk, whatever it holds. One thread takes all requests that have come in while it
waited for the last one, runs them in a single transaction with a savepoint each, commits, and then wakes their
callers. A request that fails is undone alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from isthmus import failpoint
from isthmus.errors import StorageFault
from isthmus.store.database import Database

T = TypeVar("T")

MOST_AT_ONCE = 200
_ITS_OWN = (DataError, IntegrityError, ProgrammingError)  # what one request may get wrong by itself


class _Request(Generic[T]):
    """Work to be done in some transaction, and the answer that is given once it is durable."""

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self._work = work
        self.answer: Future[T] = Future()
        self._outcome: T | BaseException | None = None

    def run(self, connection: Connection) -> None:
        try:
            with connection.begin_nested():
                self._outcome = self._work(connection)
        except Exception as error:
            if isinstance(error, DBAPIError) and not isinstance(error, _ITS_OWN):
                raise  # the disk, the connection or a deadlock: the whole transaction is in question
            self._outcome = error

    def settle(self) -> None:
        if isinstance(self._outcome, BaseException):
            self.answer.set_exception(self._outcome)
        else:
            self.answer.set_result(self._outcome)  # type: ignore[arg-type]  # None only where T is


class GroupWriter:
    """Runs requests of any number of threads in shared transactions, in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: SimpleQueue[_Request[object] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="group-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Connection], T]) -> T:
        """`work` has run and is durable. Raises what `work` raises, and then nothing of it is stored."""
        if not self._thread.is_alive():
            raise StorageFault("the store is closed")
        request = _Request(work)
        self._queue.put(request)  # type: ignore[arg-type]  # the queue holds requests of every kind
        return request.answer.result()

    def close(self) -> None:
        """Every request made before is answered; there must be none after."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            requests = [first]
            closing = False
            while len(requests) < MOST_AT_ONCE and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    closing = True
                    break
                requests.append(following)
            self._commit(requests)
            if closing:
                return

    def _commit(self, requests: list[_Request[object]]) -> None:
        def work(connection: Connection) -> None:
            for request in requests:
                request.run(connection)
            failpoint.reach("store.before_commit")

        try:
            self._database.transact(work)
        except Exception as error:
            for request in requests:
                request.answer.set_exception(error)
            return
        failpoint.reach("store.after_commit")
        for request in requests:
            request.settle()
