"""How results look: aligned columns, times and sizes for people; one JSON document a line for programs."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from isthmus.job import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console
    from rich.text import Text

_COLOURS = {
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.RUNNING: "cyan",
}


@cache
def console() -> Console:
    """Colours and the terminal's width on a terminal; plain and as wide as need be elsewhere."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=False, width=width)


def emit(document: object) -> None:
    """The document is on stdout as one line of JSON."""
    print(json.dumps(document, ensure_ascii=False, separators=(", ", ": ")))


def state_text(state: JobState) -> Text:
    from rich.text import Text

    return Text(str(state), style=_COLOURS.get(state, ""))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """The rows are on stdout under their headings."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=heading in ("JOB", "STATE"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) if isinstance(cell, str) else cell for cell in row))
    _print_trimmed(table)


def print_facts(pairs: Iterable[tuple[str, str | Text]]) -> None:
    """Each named fact that isn't empty is on stdout, one a line."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in pairs:
        if fact:
            table.add_row(name, Text(shown(fact)) if isinstance(fact, str) else fact)
    _print_trimmed(table)


def _print_trimmed(table: object) -> None:
    """Rich fills lines with spaces up to the column's width; nobody wants them in a pipe."""
    if console().is_terminal:
        console().print(table)
        return
    with console().capture() as captured:
        console().print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def shown(text: str) -> str:
    """The text as one line: no name can move the cursor, colour the screen or end the line."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def shown_lines(text: str) -> str:
    """As `shown`, of a text that may have several lines of its own."""
    return "\n".join(map(shown, text.split("\n")))


def span(seconds: float | None) -> str:
    """A length of time in the two units that matter; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at: datetime | None) -> str:
    """A time in the reader's own time zone, which it names; empty for None."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at else ""


def size_text(count: int) -> str:
    """A number of bytes in the unit that fits it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
