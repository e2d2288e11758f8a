"""How the database goes about a statement: its own words."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

_Statement = tuple[str, object]


def plans_of(url: str, work: Callable[[], object]) -> str:
    """Every SELECT that the work sent through SQLAlchemy, with its values and its plan."""
    seen = _statements(work)
    engine = create_engine(url)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN (ANALYZE, BUFFERS) "
    parts = []
    with engine.connect() as connection:
        for statement, values in seen:
            rows = connection.exec_driver_sql(explain + statement, values)  # type: ignore[arg-type]
            parts.append("\n".join([statement, repr(values), *(str(row[-1]) for row in rows)]))
    engine.dispose()
    return "\n\n".join(parts) + "\n"


def _statements(work: Callable[[], object]) -> list[_Statement]:
    seen: list[_Statement] = []

    def note(
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        values: object,
        context: ExecutionContext,
        many: bool,
    ) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            seen.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return seen
