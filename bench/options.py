"""What the command line asks of every measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """`databases` are the kinds to measure on, None for the measurement's own; `quick` asks for fewer samples."""

    databases: tuple[str, ...] | None
    quick: bool

    def on(self, *usual: str) -> tuple[str, ...]:
        """The databases asked for, or the usual ones."""
        return self.databases or usual

    def samples(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual
