"""The beginning of a file that a program wrote, as text or as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from isthmus.portal.logpage import decoded, visible

TEXT_START_BYTES = 16 * 1024
TEXT_BYTES = 256 * 1024
TABLE_ROWS = 200
LINE_CHARACTERS = 256 * 1024
TABLE_COLUMNS = 60
COUNTED_BYTES = 16 * 1024 * 1024
_CELL = 500


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first `shown` bytes of a file of `size` bytes, with what can't be seen made visible."""

    text: str
    shown: int
    size: int

    @property
    def is_whole(self) -> bool:
        return self.shown >= self.size


@dataclass(frozen=True, slots=True)
class Table:
    """A table's heading and first rows; `count` is how many rows there are, None where it is too large to count.

    `numeric` says of each column whether every cell shown is a number or empty. `fault` says why it can't be read.
    """

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    count: int | None
    columns: int
    fault: str = ""


def excerpt(path: Path, most: int) -> Excerpt:
    """At most `most` bytes from the file's beginning."""
    size = path.stat().st_size
    with path.open("rb") as file:
        content = file.read(most)
    text, used = decoded(content, whole=len(content) >= size)
    return Excerpt("\n".join(visible(line) for line in text.split("\n")), used, size)


def read_table(path: Path, delimiter: str) -> Table:
    """The file's first line as the heading, and its first rows."""
    with path.open("r", encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(_lines(file), delimiter=delimiter)
        try:
            heading = next(lines, [])
            rows = [row for row in islice(lines, TABLE_ROWS) if row]
            count = None if path.stat().st_size > COUNTED_BYTES else len(rows) + sum(1 for row in lines if row)
        except csv.Error as fault:
            return Table((), (), (), None, 0, f"line {lines.line_num} is no row of a table: {fault}")
    columns = max([len(heading), *(len(row) for row in rows)])
    width = min(columns, TABLE_COLUMNS)
    cells = tuple(tuple(_cells(row, width)) for row in rows)
    numeric = tuple(_is_numeric([row[column] for row in cells]) for column in range(width))
    return Table(tuple(_cells(heading, width)), cells, numeric, count, columns)


def _lines(file: TextIO) -> Iterator[str]:
    """The file's lines. csv.Error: one is too long to be a row that anybody would look at."""
    while line := file.readline(LINE_CHARACTERS):
        if len(line) == LINE_CHARACTERS:
            raise csv.Error("it is too long to be shown")
        yield line


def _cells(row: list[str], width: int) -> Iterator[str]:
    for cell in [*row[:width], *([""] * (width - len(row)))]:
        text = visible(cell)
        yield text if len(text) <= _CELL else f"{text[:_CELL]}…"


def _is_numeric(cells: list[str]) -> bool:
    given = [cell for cell in cells if cell.strip()]
    return bool(given) and all(_is_number(cell) for cell in given)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
