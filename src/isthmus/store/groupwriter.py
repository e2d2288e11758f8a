"""One commit for many requests: what makes a durable answer cheap when several people ask at once.

A commit costs one wait for the disk, whatever it holds. One thread takes all requests that have come in while it
waited for the last one, runs them in a single transaction, commits, and then wakes their callers. Neighbours of the
same kind are run as one. Should any of them fail, nothing is kept of that, and they run again one by one, each with a
savepoint: a request that fails is undone alone.

A caller waits without a time limit. So every request that was let in is answered: whatever it raises is an answer,
and when the thread ends, the gate is shut before the last requests are taken from the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from isthmus import failpoint
from isthmus.errors import StorageFault
from isthmus.store.database import Database

T = TypeVar("T")
W = TypeVar("W")

MOST_AT_ONCE = 200
_ITS_OWN = (DataError, IntegrityError, ProgrammingError)  # what one request may get wrong by itself


class _Request(Generic[W, T]):
    """What is wanted, how it is done for several at once, and the answer that is given once it is durable."""

    __slots__ = ("_outcome", "answer", "do", "wanted")

    def __init__(self, do: Callable[[Connection, Sequence[W]], Sequence[T]], wanted: W) -> None:
        self.do, self.wanted = do, wanted
        self.answer: Future[T] = Future()
        self._outcome: T | BaseException | None = None

    def begin(self) -> bool:
        """Its turn has come, and it can't be cancelled any more; false if it was."""
        return self.answer.set_running_or_notify_cancel()

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


def _closed() -> StorageFault:
    return StorageFault("the store is closed")


class GroupWriter:
    """Runs requests of any number of threads in shared transactions, in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: SimpleQueue[_AnyRequest | None] = SimpleQueue()
        self._gate = Lock()
        self._is_shut = False
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
        return self.soon(do, wanted).result()

    def soon(self, do: Callable[[Connection, Sequence[W]], Sequence[T]], wanted: W) -> Future[T]:
        """What `run_together` would give, once it is durable; for who has other things to do than to wait.

        Cancelled before its turn, it is not done; later it can't be cancelled. StorageFault: the writer has ended.
        """
        request = _Request(do, wanted)
        with self._gate:
            if self._is_shut:
                raise _closed()
            self._queue.put(request)
        return request.answer

    def close(self) -> None:
        """Every request made before is answered; one made meanwhile is answered or refused."""
        self._shut()
        self._queue.put(None)
        self._thread.join()

    def _shut(self) -> None:
        with self._gate:
            self._is_shut = True

    # --- the thread ---------------------------------------------------------------------------------------------------
    def _serve(self) -> None:
        try:
            while taken := self._take():
                self._commit(taken)
        finally:
            self._shut()
            self._refuse_rest()

    def _refuse_rest(self) -> None:
        while True:
            try:
                request = self._queue.get_nowait()
            except Empty:
                return
            if request is not None and request.begin():
                request.settle(_closed())

    def _take(self) -> list[_AnyRequest]:
        """What waits and was not cancelled, at least one; nothing once the queue has ended."""
        taken: list[_AnyRequest] = []
        while (request := self._queue.get()) is not None:
            if request.begin():
                taken.append(request)
            if taken and (len(taken) == MOST_AT_ONCE or self._queue.empty()):
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
