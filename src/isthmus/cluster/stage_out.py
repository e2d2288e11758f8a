"""Collects what a program left behind, into the file store."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from isthmus.cluster import Order, OutputRule
from isthmus.cluster.attempts import directory_of
from isthmus.errors import StorageFault
from isthmus.facts import OutputFile, StagedOut, StagingFailed

STREAMS = ("stdout", "stderr")
_MIB = 1024 * 1024
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


class _Refused(Exception):
    """An output that must not or can't be collected; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one job may leave behind, and how long each of its logs may be."""

    max_output_mib: int
    max_log_mib: int


def stage_out(root: Path, order: Order, files: FileKeeper, limits: Limits) -> StagedOut | StagingFailed:
    """Every output found is in the file store, and so are stdout and stderr; promised ones not found are named.

    What can't be collected ever (too large, a link out of the work directory) makes the whole fail for good.
    """
    directory = directory_of(root, order.tag)
    try:
        if not directory.is_dir():
            return StagingFailed("the attempt's directory is gone", permanent=True)
        found = {rule: list(_matches(directory / "work", rule)) for rule in order.outputs}
        _check_size((path for paths in found.values() for path in paths), limits.max_output_mib)
        outputs = [
            _collected(rule.name, rule.media_type, path, directory / "work", files)
            for rule, paths in found.items()
            for path in paths
        ]
        for name in STREAMS:
            if (directory / name).is_file():
                with _refused_if_unreadable(name):
                    outputs.append(_log(directory, name, files, limits.max_log_mib))
    except _Refused as refusal:
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
    parts = PurePosixPath(rule.glob).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise _Refused(f"output {rule.name}: {rule.glob!r} leads out of the work directory")
    inside = work.parent.resolve() / work.name  # not what the program may have put in its place
    for path in sorted(set(work.glob(rule.glob))):
        name = os.fsencode(path.relative_to(work)).decode("utf-8", errors="replace")
        target = _target(path, f"output {rule.name}: {name!r}")
        if not target.is_relative_to(inside):
            raise _Refused(f"output {rule.name}: {name!r} is a link that leaves the work directory")
        try:
            with _refused_if_unreadable(f"output {rule.name}: {name!r}"):
                kind = target.lstat().st_mode
        except FileNotFoundError:
            continue  # a link to nothing
        if stat.S_ISDIR(kind):
            continue
        if not stat.S_ISREG(kind):
            raise _Refused(f"output {rule.name}: {name!r} is no regular file")
        if not _is_utf8(path):
            raise _Refused(f"output {rule.name}: the file name {name!r} is not UTF-8")
        yield path


def _target(path: Path, words: str) -> Path:
    """What the path leads to, through any links."""
    try:
        return path.resolve()
    except RuntimeError as fault:  # Python before 3.13: not an OSError
        raise _Refused(f"{words} is a link that leads back to itself") from fault


@contextmanager
def _refused_if_unreadable(words: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as fault:
        raise _Refused(f"{words} can't be read, as the program left it") from fault


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(paths: Iterator[Path], max_output_mib: int) -> None:
    size = sum(path.stat().st_size for path in paths)
    if size > max_output_mib * _MIB:
        raise _Refused(f"its outputs have {size / _MIB:.0f} MiB; a job may leave {max_output_mib} MiB")


def _collected(name: str, media_type: str, path: Path, work: Path, files: FileKeeper) -> OutputFile:
    words = f"output {name}: {path.name!r}"
    with _refused_if_unreadable(words):
        stored = files.put_path(_target(path, words))
    return OutputFile(name, str(path.relative_to(work)), stored.sha256, stored.size, media_type)


def _log(directory: Path, name: str, files: FileKeeper, max_log_mib: int) -> OutputFile:
    log, cut = directory / name, directory / f".{name}.cut"
    limit = max_log_mib * _MIB
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
        os.write(out.fileno(), f"\n[... {size - 2 * half} bytes left out ...]\n".encode())
        _copy_part(whole.fileno(), out.fileno(), size - half, half)


def _copy_part(source: int, target: int, start: int, length: int) -> None:
    while length > 0 and (done := os.sendfile(target, source, start, length)):
        start, length = start + done, length - done
