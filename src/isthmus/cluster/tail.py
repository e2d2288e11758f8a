"""News from wrappers: the lines that were added to a file since the last look."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class EventsTail:
    """Follows one events file, from its end at `start`; a look costs one stat when nothing is new.

    Lines are hints: one that a wrapper writes into a file which was set aside a moment before is missed.
    """

    path: Path
    _file: int = -1
    _offset: int = 0
    _rest: bytes = field(default=b"")

    def start(self) -> None:
        """Only what is written from now on is news."""
        self.close()
        self._open()
        if self._file >= 0:
            self._offset = os.fstat(self._file).st_size

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._offset, self._rest = -1, 0, b""

    def tags(self) -> frozenset[str]:
        """The tags in whole lines that were added since the last look."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return frozenset()
        if self._file >= 0 and os.fstat(self._file).st_ino == found.st_ino and found.st_size == self._offset:
            return frozenset()
        text = self._rest + self._read()
        if self._file < 0 or os.fstat(self._file).st_ino != found.st_ino:  # the old one was set aside
            self.close()
            self._open()
            text += self._read()
        whole, _, self._rest = text.rpartition(b"\n")
        return frozenset(_tag(line) for line in whole.split(b"\n") if line.count(b" ") == 2)

    def _open(self) -> None:
        with suppress(FileNotFoundError):
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def _read(self) -> bytes:
        if self._file < 0:
            return b""
        pieces = []
        while piece := os.pread(self._file, 1 << 20, self._offset):
            pieces.append(piece)
            self._offset += len(piece)
        return b"".join(pieces)


def _tag(line: bytes) -> str:
    return line.split(b" ")[1].decode("ascii", errors="replace")
