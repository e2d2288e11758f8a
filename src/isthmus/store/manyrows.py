"""One statement for many rows, written out once for each database.

SQLAlchemy's whole way to the driver (types, batches, results) costs a few rows more than the database does. So rows
come here as the driver takes them: JSON as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter

from sqlalchemy import Connection, Dialect, Insert

_KEEPING_COUNT = {"preserve_rowcount": True}


def insert_rows(connection: Connection, statement: Insert, rows: Sequence[Mapping[str, object]]) -> int:
    """The rows are there; how many of them this call put there. Each has a value for every parameter, two at least."""
    if not rows:
        return 0
    text, order = _written(statement, connection.dialect)
    values = list(rows) if order is None else list(map(itemgetter(*order), rows))
    return connection.exec_driver_sql(text, values, execution_options=_KEEPING_COUNT).rowcount


@cache
def _written(statement: Insert, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """The statement in the driver's words, and its parameters in order; None where they go by name."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), None if compiled.positiontup is None else tuple(compiled.positiontup)
