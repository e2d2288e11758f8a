"""Collects what a program left behind from a sandbox that can be read from afar, when its node sends nothing more."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from isthmus.cluster import Order
from isthmus.collecting import (
    MIB,
    STREAMS,
    Limits,
    OutputRule,
    Refused,
    check_size,
    fits,
    is_collected,
    left_out,
    parts_of,
    words_of,
)
from isthmus.facts import OutputFile, StagedOut, StagingFailed
from isthmus.files import FileStore, FileWriter

_PIECE = MIB
_MOST_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class SandboxEntry:
    """One thing in a folder of a sandbox; `mode` as stat(2) gives it, of a link the link's own."""

    name: str
    mode: int
    size: int


class SandboxReader(Protocol):
    """Reads one attempt's sandbox; paths are below it, such as `isthmus/stdout`. NoAnswer: ask again later."""

    def list(self, path: str) -> Sequence[SandboxEntry]:
        """What is in the folder. NotFound: there is no such folder."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of the file from `offset`, at most `length`; empty at its end. NotFound: there is no such file."""


@dataclass(frozen=True, slots=True)
class _Found:
    rule: OutputRule
    path: str
    size: int


def collect_from(reader: SandboxReader, order: Order, limits: Limits, files: FileStore) -> StagedOut | StagingFailed:
    """Every output found is in the file store, and so are stdout and stderr. NoAnswer, StorageFault: not now.

    A link is not followed, since nothing says where it leads: an output that is one is refused.
    """
    try:
        found = list(_matches(reader, order)) if order.outputs else []
        check_size(sum(one.size for one in found), limits.max_output_mib)
    except Refused as refusal:
        return StagingFailed(str(refusal), permanent=True)
    outputs = [_collected(reader, one, files) for one in found]
    streams = {entry.name: entry.size for entry in reader.list("isthmus") if stat.S_ISREG(entry.mode)}
    outputs += [_log(reader, name, streams[name], limits, files) for name in STREAMS if name in streams]
    names = {one.rule.name for one in found}
    missing = tuple(rule.name for rule in order.outputs if rule.required and rule.name not in names)
    return StagedOut(tuple(outputs), missing)


def _matches(reader: SandboxReader, order: Order) -> Iterator[_Found]:
    patterns = {rule: parts_of(rule) for rule in order.outputs}
    for path, entry in sorted(_walk(reader), key=lambda one: one[0]):
        for rule, parts in patterns.items():
            if not fits(parts, path.split("/")):
                continue
            if stat.S_ISLNK(entry.mode):
                raise Refused(f"{words_of(rule, path)} is a link, which can't be followed on a node that has gone")
            if is_collected(rule, path, entry.mode, is_inside=True):
                yield _Found(rule, path, entry.size)


def _walk(reader: SandboxReader) -> Iterator[tuple[str, SandboxEntry]]:
    """Everything below the work directory that is no folder."""
    left, seen = [""], 0
    while left:
        folder = left.pop()
        for entry in reader.list(f"isthmus/work/{folder}".rstrip("/")):
            seen += 1
            if seen > _MOST_ENTRIES:
                raise Refused(f"the work directory holds more than {_MOST_ENTRIES} files")
            path = f"{folder}/{entry.name}".lstrip("/")
            if stat.S_ISDIR(entry.mode):
                left.append(path)
            else:
                yield path, entry


def _collected(reader: SandboxReader, found: _Found, files: FileStore) -> OutputFile:
    with files.writer() as writer:
        _copy(reader, f"isthmus/work/{found.path}", 0, found.size, writer)
    stored = writer.result
    return OutputFile(found.rule.name, found.path, stored.sha256, stored.size, found.rule.media_type)


def _log(reader: SandboxReader, name: str, size: int, limits: Limits, files: FileStore) -> OutputFile:
    """The log, or its beginning and its end with a line between them that says what is missing."""
    half = limits.max_log_mib * MIB // 2
    with files.writer() as writer:
        if size <= 2 * half:
            _copy(reader, f"isthmus/{name}", 0, size, writer)
        else:
            _copy(reader, f"isthmus/{name}", 0, half, writer)
            writer.write(left_out(size - 2 * half).encode())
            _copy(reader, f"isthmus/{name}", size - half, half, writer)
    stored = writer.result
    return OutputFile(name, name, stored.sha256, stored.size, "text/plain")


def _copy(reader: SandboxReader, path: str, start: int, length: int, writer: FileWriter) -> None:
    while length > 0 and (piece := reader.read(path, start, min(length, _PIECE))):
        writer.write(piece)
        start, length = start + len(piece), length - len(piece)
