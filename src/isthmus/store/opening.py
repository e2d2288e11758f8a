"""How a database is made ready: its file, its schema, and the gateway's own row."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import Connection, insert, inspect, select, text

from isthmus.store import history
from isthmus.store.database import Database
from isthmus.store.ids import new_id
from isthmus.store.schema import gateway

_log = structlog.get_logger(__name__)

HEAD = "0004"
_MIGRATION_LOCK = 0x69737468  # PostgreSQL's advisory locks are numbers


def make_ready(database: Database) -> str:
    """The schema is at `HEAD`, a restored dump is readable, and the gateway has its row; returns the gateway's id.

    Processes that start together wait for one another. ConfigurationError: a newer Isthmus made the database.
    """
    with _alone(database), database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if not is_at_head(connection):
            # Alembic is slow to import, and most starts do without it.
            from isthmus.store.upgrading import upgrade  # noqa: PLC0415

            upgrade(connection)
        if not database.is_sqlite and (renumbered := history.renumber_restored(connection)):
            _log.warning("a database restored from another server's dump: events renumbered", events=renumbered)
        return _gateway_id(connection)


def is_at_head(connection: Connection) -> bool:
    """Whether the schema is this Isthmus' own."""
    return _revision(connection) == HEAD


def _revision(connection: Connection) -> str | None:
    """The revision the schema is at, as Alembic writes it; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _gateway_id(connection: Connection) -> str:
    found = connection.execute(select(gateway.c.id)).scalar_one_or_none()
    if found is not None:
        return str(found)
    now = time.time()
    made = new_id(now)
    connection.execute(insert(gateway).values(id=made, incarnation=1, created_at=now))
    return made


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """On SQLite: the file is there, private, in WAL mode, and no other process is opening it meanwhile."""
    if database.path is None:
        yield
        return
    with _locked(database.path.with_name(database.path.name + ".lock")):
        os.close(os.open(database.path, os.O_CREAT | os.O_RDWR, 0o600))
        database.enter_wal()
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
