"""Inserting where a row may already be: the same words for both databases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite

from isthmus.store.rows import Values

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def _insert(dialect: str, table: Table) -> Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


# Statements are built once: building one takes longer than running it.
@cache
def _new(dialect: str, table: Table) -> Executable:
    return _insert(dialect, table).on_conflict_do_nothing().returning(*table.primary_key)


@cache
def _missing(dialect: str, table: Table) -> Insert:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _replacing(dialect: str, table: Table, key: tuple[str, ...], fresh: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table)
    renewed = {name: statement.excluded[name] for name in fresh}
    return statement.on_conflict_do_update(index_elements=key, set_=renewed)


def insert_new(connection: Connection, table: Table, values: Values) -> bool:
    """The row is there; true if this call put it there. Waits for a transaction that is inserting the same key."""
    return connection.execute(_new(connection.dialect.name, table), values).first() is not None


def insert_missing(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Every row is there, old ones as they were."""
    if rows:
        connection.execute(_missing(connection.dialect.name, table), rows)


def insert_or_refresh(
    connection: Connection, table: Table, key: tuple[str, ...], fresh: str, rows: Sequence[Values]
) -> None:
    """Every row is there and locked; of old ones the column `fresh` is renewed."""
    if rows:
        connection.execute(_replacing(connection.dialect.name, table, key, (fresh,)), rows)


def insert_or_replace(connection: Connection, table: Table, values: Values) -> None:
    """The row is there with these values; columns that aren't named stay as they were."""
    keys = tuple(column.name for column in table.primary_key)
    fresh = tuple(name for name in values if name not in keys)
    connection.execute(_replacing(connection.dialect.name, table, keys, fresh), values)
