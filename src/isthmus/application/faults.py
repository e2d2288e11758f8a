"""What can be wrong with an application file, and how it is said."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file: `line` counts from 1, `where` is the way to the key (`inputs.radar.label`)."""

    line: int
    where: str
    message: str


class BrokenApplication(ConfigurationError):
    """The file's application is disabled; the message has one line `file:line: where: fault` for each fault."""

    code = "broken_application"

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = tuple(sorted(set(faults), key=lambda fault: (fault.line, fault.where, fault.message)))
        super().__init__("\n".join(self._said(fault) for fault in self.faults))

    def _said(self, fault: Fault) -> str:
        return ": ".join(part for part in (f"{self.source}:{fault.line}", fault.where, fault.message) if part)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'label'?` when a known word is near, else what there is, else nothing."""
    choices = sorted(known)
    if near := difflib.get_close_matches(word, choices, n=1):
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(choices)}" if choices else ""
