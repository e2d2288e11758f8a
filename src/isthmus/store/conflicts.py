"""Inserting where a row may already be: the same words for both databases."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from isthmus.store.rows import Values


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def insert_new(connection: Connection, table: Table, values: Values) -> bool:
    """The row is there; true if this call put it there. Waits for a transaction that is inserting the same key."""
    made = _insert(connection, table).values(**values).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(made).first() is not None


def insert_missing(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Every row is there, old ones as they were."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def insert_or_refresh(
    connection: Connection, table: Table, key: Sequence[str], fresh: str, rows: Sequence[Values]
) -> None:
    """Every row is there and locked; of old ones the column `fresh` is renewed."""
    if rows:
        statement = _insert(connection, table)
        renewed = {fresh: statement.excluded[fresh]}
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=renewed), rows)


def insert_or_replace(connection: Connection, table: Table, values: Values) -> None:
    """The row is there with these values; columns that aren't named stay as they were."""
    statement = _insert(connection, table).values(**values)
    keys = [column.name for column in table.primary_key]
    fresh = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh))
