"""A database as the store uses it: transactions that read, transactions that write, and nothing between them.

SQLite: WAL with synchronous=FULL, so a commit is on the disk; writers BEGIN IMMEDIATE, so what they read stays true
until they commit. PostgreSQL: READ COMMITTED; writers lock the rows they decide from.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy import Connection, Engine, FromClause, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from isthmus.errors import ConfigurationError, StorageFault
from isthmus.store.mounts import network_type

T = TypeVar("T")

WRITE_WAIT_S = 30.0
IDLE_S = 10.0  # PostgreSQL ends a transaction whose process sleeps: a frozen controller must not block its successor
_DEADLOCK_TRIES = 5
_RETRY_STATES = frozenset({"40001", "40P01"})  # PostgreSQL: serialization_failure, deadlock_detected
_LOCK_NOT_AVAILABLE, _ENDED_WHILE_IDLE = "55P03", "25P03"
_FULL = ("database or disk is full", "disk I/O error", "No space left on device", "could not extend file")


class Database:
    """Where transactions come from; used by any number of threads."""

    def __init__(self, url: URL) -> None:
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.path = Path(url.database or "") if self.is_sqlite else None
        if self.is_sqlite:
            # A writer's own wait is `_begin_immediate`: SQLite's sleeps up to 0.1 s between two looks.
            self._reading = _sqlite_engine(url, "BEGIN", WRITE_WAIT_S)
            self._writing = _sqlite_engine(url, "BEGIN IMMEDIATE", 0.001)
        else:
            self._reading = self._writing = _postgres_engine(url)

    @classmethod
    def at(cls, url: str) -> Database:
        """The database that `url` names, not touched yet. ConfigurationError: it can't be one, and why."""
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise ConfigurationError("the database's URL can't be read", detail=str(error)) from error
        if parsed.get_backend_name() == "sqlite":
            _refuse_unfit_file(parsed)
        elif parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        else:
            raise ConfigurationError(f"{parsed.get_backend_name()} is not supported: use sqlite or postgresql")
        return cls(parsed)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing. On SQLite it sees one moment, however many its statements."""
        with _as_storage_fault(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed, durably, when the block ends, and undone when it raises."""
        with _as_storage_fault(), self._writing.connect() as connection, connection.begin():
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """`work` has run in one transaction, durably; on PostgreSQL it is run again after a deadlock."""
        for left in range(_DEADLOCK_TRIES - 1, -1, -1):
            try:
                with self.write() as connection:
                    return work(connection)
            except DBAPIError as error:
                if not left or not is_deadlock(error):
                    raise
        raise AssertionError("not reached")

    def enter_wal(self) -> None:
        """The SQLite file is in WAL mode, for good. Call it alone: a second process at it would fail."""
        with sqlite3.connect(self.path or "", timeout=WRITE_WAIT_S) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()


def is_deadlock(error: DBAPIError) -> bool:
    """Whether PostgreSQL undid the transaction only because another stood in its way."""
    return getattr(error.orig, "sqlstate", None) in _RETRY_STATES


@contextmanager
def _as_storage_fault() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        words, state = str(error.orig), getattr(error.orig, "sqlstate", None)
        if any(sign in words for sign in _FULL) or state == "53100":
            raise StorageFault("the disk that holds the database is full or failing", detail=words) from error
        if state == _LOCK_NOT_AVAILABLE:
            raise StorageFault("another process has kept the database to itself for too long") from error
        if (
            error.connection_invalidated
            or state == _ENDED_WHILE_IDLE
            or (state is None and isinstance(error.orig, psycopg.OperationalError))
        ):
            raise StorageFault("the database does not answer, or ended the connection", detail=words) from error
        raise


def _postgres_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_size=10, max_overflow=40, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = {int(IDLE_S * 1000)}")
        cursor.execute(f"SET lock_timeout = {int(WRITE_WAIT_S * 1000)}")
        cursor.close()
        connection.commit()

    @event.listens_for(engine, "after_cursor_execute")
    def _stay_within_idle_time(
        connection: Connection, cursor: DBAPICursor, words: str, values: object, context: object, many: bool
    ) -> None:
        """PostgreSQL does not count idleness after an executemany: psycopg ends it with a Flush behind its Sync."""
        if many:
            own = connection.connection.cursor()
            own.execute("SELECT 1")
            own.close()

    return engine


class _HintingCompiler(SQLiteCompiler):
    """Writes hints such as NOT INDEXED behind a table's name, which SQLAlchemy 2.1 does for other databases only."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text


def _sqlite_engine(url: URL, begin: str, wait_s: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": WRITE_WAIT_S}, pool_size=20, max_overflow=40)
    engine.dialect.statement_compiler = _HintingCompiler

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin below, not by the driver's guess
        cursor = connection.cursor()
        pragmas = ("foreign_keys=ON", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-16384")
        for pragma in (*pragmas, f"busy_timeout={int(wait_s * 1000)}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin == "BEGIN":
            connection.exec_driver_sql(begin)
        else:
            _begin_immediate(connection)

    return engine


def _begin_immediate(connection: Connection) -> None:
    """The write lock is held; looked for every millisecond, so that writers of two processes take turns quickly."""
    deadline = time.monotonic() + WRITE_WAIT_S
    cursor = connection.connection.cursor()
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if time.monotonic() > deadline:
                raise StorageFault("another process has kept the database to itself for too long") from error
            time.sleep(0.001)
        else:
            cursor.close()
            return


def _refuse_unfit_file(url: URL) -> None:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError("the SQLite database must be a file: sqlite:////path/to/isthmus.db")
    folder = Path(url.database).resolve().parent
    if not folder.is_dir():
        raise ConfigurationError(f"the database's folder {folder} does not exist")
    kind = network_type(Path("/proc/mounts").read_text(errors="surrogateescape"), str(folder))
    if kind:
        raise ConfigurationError(
            f"{folder} is on a network file system ({kind}), where SQLite can lose data: put the home on a local disk,"
            " or configure PostgreSQL as the database"
        )
