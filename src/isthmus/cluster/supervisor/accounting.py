"""The local scheduler's own record: one JSON line for each submit, start, adoption, stop and end, never changed.

It is what an auditor reads, and one thing rests on it: a `start` line is durable before the wrapper is forked, so after
the machine restarted it tells the attempts that may have started (and must not start again) from those still queued.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_KEEP_BYTES = 64 * 1024 * 1024


class Deed(StrEnum):
    """What the supervisor did, or learnt."""

    SUBMIT = "submit"
    START = "start"
    ADOPT = "adopt"
    STOP = "stop"
    END = "end"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `words` say how an attempt ended or why it was stopped."""

    deed: Deed
    tag: str
    native_id: str
    words: str = ""


class Accounting:
    """The open record of one cluster in one boot."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._boot_id = boot_id
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with path.open("rb") as read:
            read.seek(0, os.SEEK_END)
            if read.tell() and os.pread(read.fileno(), 1, read.tell() - 1) != b"\n":
                os.write(self._file, b"\n")  # whoever wrote last died in the middle of a line

    def write(self, entries: Iterable[Entry]) -> None:
        """The entries are written, and durable if a start is among them. OSError: none of them counts."""
        at = time.time()
        entries = list(entries)
        text = "".join(self._line(entry, at) for entry in entries).encode()
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, text) < len(text):
                raise OSError("the accounting file could not be written in full")
            if any(entry.deed is Deed.START for entry in entries):
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)  # half a line would spoil the next
            raise

    def close(self) -> None:
        os.close(self._file)

    def _line(self, entry: Entry, at: float) -> str:
        body = {"at": at, "deed": entry.deed, "tag": entry.tag, "native_id": entry.native_id, "boot": self._boot_id}
        return json.dumps(body | ({"words": entry.words} if entry.words else {})) + "\n"


def started_in_other_boots(path: Path, boot_id: str) -> dict[str, str]:
    """Attempts whose last `start` line is of another boot, tag to native id."""
    started: dict[str, tuple[str, str]] = {}
    for file in (path.with_suffix(".1"), path):
        for line in _start_lines(file):
            started[line["tag"]] = (line["boot"], line["native_id"])
    return {tag: native_id for tag, (boot, native_id) in started.items() if boot != boot_id}


def _start_lines(file: Path) -> Iterator[dict[str, str]]:
    if not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            if b'"deed": "start"' in line:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue  # a half line: its fsync never returned, so nothing was started on its word


def rotate(path: Path) -> None:
    """A long record becomes `accounting.1`, in place of the one before.

    Only at a start, when every attempt that rests on an older `start` line has been seen at an earlier start.
    """
    if path.exists() and path.stat().st_size > _KEEP_BYTES:
        path.replace(path.with_suffix(".1"))
