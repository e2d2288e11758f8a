"""Noticing cheaply that something was committed, by whatever process."""

from __future__ import annotations

import sqlite3
from threading import Lock

from sqlalchemy import text

from isthmus.store.database import Database


class Watch:
    """One connection kept for looking; used by any number of threads."""

    def __init__(self, database: Database) -> None:
        self._lock = Lock()
        self._looking = _SqliteLook(database) if database.is_sqlite else _PostgresLook(database)

    def marker(self) -> str:
        """Differs from the last one if anything was committed since."""
        with self._lock:
            return self._looking.marker()

    def close(self) -> None:
        with self._lock:
            self._looking.close()


class _SqliteLook:
    """`data_version` counts the commits of all other connections; this one makes none."""

    def __init__(self, database: Database) -> None:
        self._connection = sqlite3.connect(str(database.path), check_same_thread=False, isolation_level=None)

    def marker(self) -> str:
        return str(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._connection.close()


class _PostgresLook:
    """A snapshot names the transactions that are running: it differs once one of them has ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def marker(self) -> str:
        with self._database.read() as connection:
            return str(connection.execute(text("SELECT pg_current_snapshot()::text")).scalar_one())

    def close(self) -> None:
        """Connections are the database's."""
