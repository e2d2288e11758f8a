"""One commit for many requests: what makes a durable answer cheap when several people ask at once.

A commit costs one wait for the disk, whatever it holds. One thread takes all requests that have come in while it
waited for the last one, runs them in a single transaction, commits, and then wakes their callers. Neighbours of the
same kind are run as one. Should any of them fail, nothing is kept of that, and they run again one by one, each with a
savepoint: a request that fails is undone alone.

A caller waits without a time limit, so whatever a request raises is an answer, and the thread's end is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from isthmus import failpoint
from isthmus.errors import StorageFault
from isthmus.store.database import Database

T = TypeVar("T")
W = TypeVar("W")

MOST_AT_ONCE = 200
LOOK_EVERY_S = 1.0  # how soon a caller notices that the thread has ended
_ITS_OWN = (DataError, IntegrityError, ProgrammingError)  # what one request may get wrong by itself


class _Request(Generic[W, T]):
    """What is wanted, how it is done for several at once, and the answer that is given once it is durable."""

    __slots__ = ("_outcome", "answer", "do", "wanted")

    def __init__(self, do: Callable[[Connection, Sequence[W]], Sequence[T]], wanted: W) -> None:
        self.do, self.wanted = do, wanted
        self.answer: Future[T] = Future()
        self._outcome: T | BaseException | None = None

    def run_alone(self, connection: Connection) -> None:
        """Done or undone within the transaction; what went wrong is kept for its caller."""
        try:
            with connection.begin_nested():
                (self._outcome,) = self.do(connection, [self.wanted])
        except BaseException as error:
            if not _is_its_own(error):
                raise
            self._outcome = error

    def succeeded(self, outcome: T) -> None:
        self._outcome = outcome

    def settle(self, error: BaseException | None = None) -> None:
        """The caller has the outcome, or this error in its place."""
        fault = error if error is not None else self._outcome
        if isinstance(fault, BaseException):
            self.answer.set_exception(fault if isinstance(fault, Exception) else _interrupted(fault))
        else:
            self.answer.set_result(self._outcome)  # type: ignore[arg-type]  # None only where T is


_AnyRequest = _Request[Any, Any]  # the queue holds requests of every kind


def _is_its_own(error: BaseException) -> bool:
    """Whether a request failed by itself; else the disk, the connection or a deadlock: all of them are in question."""
    return not isinstance(error, DBAPIError | StorageFault) or isinstance(error, _ITS_OWN)


def _interrupted(error: BaseException) -> StorageFault:
    """What ends a thread or a process (SystemExit, say) must end that of no caller."""
    fault = StorageFault("the store was interrupted, and nothing was stored", detail=repr(error))
    fault.__cause__ = error
    return fault


class GroupWriter:
    """Runs requests of any number of threads in shared transactions, in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: SimpleQueue[_AnyRequest | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="group-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Connection], T]) -> T:
        """`work` has run and is durable. Raises what `work` raises, and then nothing of it is stored.

        It may run several times; only the last leaves anything.
        """
        return self.run_together(_each, work)

    def run_together(self, do: Callable[[Connection, Sequence[W]], Sequence[T]], wanted: W) -> T:
        """As `run`, with `do` given what is wanted here and by its neighbours in the queue, for one answer each.

        It may raise what is the fault of one, and is then asked for each alone.
        """
        if not self._thread.is_alive():
            raise StorageFault("the store is closed")
        request = _Request(do, wanted)
        self._queue.put(request)
        return self._awaited(request.answer)

    def _awaited(self, answer: Future[T]) -> T:
        while not answer.done():
            with suppress(TimeoutError):
                answer.exception(LOOK_EVERY_S)
            if not self._thread.is_alive() and not answer.done():
                raise StorageFault("the store is closed")
        return answer.result()

    def close(self) -> None:
        """Every request made before is answered; one made meanwhile is answered or refused."""
        self._queue.put(None)
        self._thread.join()

    # --- the thread ---------------------------------------------------------------------------------------------------
    def _serve(self) -> None:
        while taken := self._take():
            self._commit(taken)

    def _take(self) -> list[_AnyRequest]:
        """What waits, at least one; nothing once the queue has ended."""
        taken: list[_AnyRequest] = []
        while (request := self._queue.get()) is not None:
            taken.append(request)
            if len(taken) == MOST_AT_ONCE or self._queue.empty():
                return taken
        if taken:
            self._queue.put(None)  # the end is met again after these
        return taken

    def _commit(self, requests: Sequence[_AnyRequest]) -> None:
        try:
            self._store(requests)
        except BaseException as error:
            for request in requests:
                request.settle(error)
            return
        failpoint.reach("store.after_commit")
        for request in requests:
            request.settle()

    def _store(self, requests: Sequence[_AnyRequest]) -> None:
        try:
            self._database.transact(lambda c: _run(c, requests, _together))
        except BaseException as error:
            if len(requests) == 1 or not _is_its_own(error):
                raise
            self._database.transact(lambda c: _run(c, requests, _one_by_one))


def _run(
    connection: Connection, requests: Sequence[_AnyRequest], way: Callable[[Connection, Sequence[_AnyRequest]], None]
) -> None:
    way(connection, requests)
    failpoint.reach("store.before_commit")


def _together(connection: Connection, requests: Sequence[_AnyRequest]) -> None:
    for do, neighbours in groupby(requests, lambda request: request.do):
        found = list(neighbours)
        answers = do(connection, [request.wanted for request in found])
        for request, answer in zip(found, answers, strict=True):
            request.succeeded(answer)


def _one_by_one(connection: Connection, requests: Sequence[_AnyRequest]) -> None:
    for request in requests:
        request.run_alone(connection)


def _each(connection: Connection, works: Sequence[Callable[[Connection], T]]) -> list[T]:
    return [work(connection) for work in works]
