"""How each part of the store's front reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from isthmus.store.audit import Actor, AuditKind, AuditLine, record_audit
from isthmus.store.database import Database
from isthmus.store.groupwriter import GroupWriter

T = TypeVar("T")


class Front:
    """What the parts of `Store` share: reading, and writing with a line of the audit in the same transaction."""

    _database: Database
    _writer: GroupWriter
    _clock: Callable[[], float]

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._database.read() as connection:
            return work(connection)

    def _noted(self, work: Callable[[Connection], T], by: Actor | None, kind: AuditKind, words: str) -> T:
        """What the work gives, with a line of the audit in its transaction; `by` is None for the gateway itself."""

        def both(connection: Connection) -> T:
            done = work(connection)
            if by is not None:
                record_audit(connection, AuditLine(by, kind, words), self._clock())
            return done

        return self._writer.run(both)

    def note(self, line: AuditLine) -> None:
        """The line is in the audit."""
        self._writer.run(lambda c: record_audit(c, line, self._clock()))
