"""Collects what a program left behind, into the file store."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from isthmus.cluster import Order, OutputRule
from isthmus.cluster.attempts import directory_of
from isthmus.collecting import (
    MIB,
    STREAMS,
    Limits,
    Refused,
    check_size,
    is_collected,
    left_out,
    parts_of,
    unreadable,
    words_of,
)
from isthmus.errors import StorageFault
from isthmus.facts import OutputFile, StagedOut, StagingFailed

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Stored(Protocol):
    """A file in the file store."""

    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...


class FileKeeper(Protocol):
    """What staging out asks of the file store."""

    def put_path(self, path: Path) -> Stored:
        """The file's bytes are in the store."""


def stage_out(root: Path, order: Order, files: FileKeeper, limits: Limits) -> StagedOut | StagingFailed:
    """Every output found is in the file store, and so are stdout and stderr; promised ones not found are named.

    What can't be collected ever (too large, a link out of the work directory) makes the whole fail for good.
    """
    directory = directory_of(root, order.tag)
    try:
        if not directory.is_dir():
            return StagingFailed("the attempt's directory is gone", permanent=True)
        found = {rule: list(_matches(directory / "work", rule)) for rule in order.outputs}
        size = sum(path.stat().st_size for paths in found.values() for path in paths)
        check_size(size, limits.max_output_mib)
        outputs = [
            _collected(rule.name, rule.media_type, path, directory / "work", files)
            for rule, paths in found.items()
            for path in paths
        ]
        for name in STREAMS:
            if (directory / name).is_file():
                with _refused_if_unreadable(name):
                    outputs.append(_log(directory, name, files, limits.max_log_mib))
    except Refused as refusal:
        return StagingFailed(str(refusal), permanent=True)
    except StorageFault as fault:
        return StagingFailed(fault.message, permanent=not fault.can_retry)
    except OSError as fault:
        if fault.errno in _FULL:
            return StagingFailed("the gateway's disk is full; outputs are collected as soon as there is room", False)
        return StagingFailed(f"an output could not be read: {fault.strerror}", permanent=False)
    missing = tuple(rule.name for rule, paths in found.items() if rule.required and not paths)
    return StagedOut(tuple(outputs), missing)


def _matches(work: Path, rule: OutputRule) -> Iterator[Path]:
    """The regular files that the rule names, sorted; directories that match are passed over."""
    parts_of(rule)
    inside = work.parent.resolve() / work.name  # not what the program may have put in its place
    for path in sorted(set(work.glob(rule.glob))):
        name = str(path.relative_to(work))
        words = words_of(rule, name)
        target = _target(path, words)
        mode, is_inside = None, target.is_relative_to(inside)
        with _refused_if_unreadable(words), suppress(FileNotFoundError):
            mode = target.lstat().st_mode if is_inside else None
        if is_collected(rule, name, mode, is_inside=is_inside):
            yield path


def _target(path: Path, words: str) -> Path:
    """What the path leads to, through any links."""
    try:
        return path.resolve()
    except RuntimeError as fault:  # Python before 3.13: not an OSError
        raise Refused(f"{words} is a link that leads back to itself") from fault


@contextmanager
def _refused_if_unreadable(words: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as fault:
        raise unreadable(words) from fault


def _collected(name: str, media_type: str, path: Path, work: Path, files: FileKeeper) -> OutputFile:
    words = f"output {name}: {path.name!r}"
    with _refused_if_unreadable(words):
        stored = files.put_path(_target(path, words))
    return OutputFile(name, str(path.relative_to(work)), stored.sha256, stored.size, media_type)


def _log(directory: Path, name: str, files: FileKeeper, max_log_mib: int) -> OutputFile:
    log, cut = directory / name, directory / f".{name}.cut"
    limit = max_log_mib * MIB
    if log.stat().st_size > limit:
        _cut(log, cut, limit)
        stored = files.put_path(cut)
        cut.unlink(missing_ok=True)
    else:
        stored = files.put_path(log)
    return OutputFile(name, name, stored.sha256, stored.size, "text/plain")


def _cut(log: Path, cut: Path, limit: int) -> None:
    """`cut` holds the beginning and the end of the log, and a line between them that says what is missing."""
    half = limit // 2
    with log.open("rb") as whole, cut.open("wb") as out:
        size = os.fstat(whole.fileno()).st_size
        _copy_part(whole.fileno(), out.fileno(), 0, half)
        os.write(out.fileno(), left_out(size - 2 * half).encode())
        _copy_part(whole.fileno(), out.fileno(), size - half, half)


def _copy_part(source: int, target: int, start: int, length: int) -> None:
    while length > 0 and (done := os.sendfile(target, source, start, length)):
        start, length = start + done, length - done
