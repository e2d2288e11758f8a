"""The file store: every file once, named by the SHA-256 of its bytes, on disk.

    <root>/tmp/                what is being written; swept when a store is opened
    <root>/tmp/part.KEY        what has come of a file that comes in parts; who writes to it holds a lock on it
    <root>/ab/cd/abcd…         bytes that never change, mode 0444
    <root>/gc.lock             held shared to put a file in its place, exclusively to take one away

A file that arrives while the same bytes are already there replaces them, or makes their time of change fresh: the
collector leaves fresh files alone. The collector looks at the time and removes under the exclusive lock, so a
file can't arrive between the two; and its row must have gone before (`Rows.forget_files`), so nothing refers to it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from isthmus.errors import Conflict, InvalidInput, NotFound, StorageFault, TooLarge

CHUNK = 1 << 20
SMALL = 1 << 16  # bytes; a file up to this is looked up by its hash before it is written
TEMPORARY_LIFE_S = 86_400.0  # a write that takes longer is thought dead
GRACE_S = 3_600.0  # between the bytes' arrival and the row that refers to them
_FICLONE = 0x40049409  # ioctl_ficlone(2): share the bytes until one side changes
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}\.[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes in the file store."""

    sha256: str
    size: int


class Rows(Protocol):
    """What the collector asks of the store."""

    def unreferenced(self, before: float, limit: int) -> list[str]:
        """Files without any use that were stored before that time."""

    def forget_files(self, hashes: Collection[str], before: float) -> list[str]:
        """Those of them whose rows are gone now."""

    def known_files(self, hashes: Collection[str]) -> set[str]:
        """Those of the hashes that have rows."""


class FileWriter:
    """Takes bytes; `stored` is set when the block it was made for ends well."""

    def __init__(self, out: BinaryIO, max_bytes: int | None) -> None:
        self._out = out
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self.size = 0
        self.stored: StoredFile | None = None

    def write(self, chunk: bytes) -> None:
        """The bytes follow those written before. TooLarge: they are more than the limit."""
        self.size += len(chunk)
        if self._max_bytes is not None and self.size > self._max_bytes:
            raise TooLarge(f"the file is larger than the limit of {self._max_bytes} bytes")
        self._hash.update(chunk)
        rest = memoryview(chunk)
        with _said_plainly():
            while rest:  # a nearly full disk takes a part first
                rest = rest[self._out.write(rest) :]

    def note(self, chunk: bytes) -> None:
        """These bytes are in the file already, by sharing."""
        self.size += len(chunk)
        self._hash.update(chunk)

    @property
    def result(self) -> StoredFile:
        """What was stored; only after the block."""
        if self.stored is None:
            raise ValueError("the file is not stored before its block ends")
        return self.stored

    def finish(self) -> StoredFile:
        with _said_plainly():
            self._out.flush()
            os.fsync(self._out.fileno())
            os.fchmod(self._out.fileno(), 0o444)  # its folders keep others out; an isolated job has another uid
        return StoredFile(self._hash.hexdigest(), self.size)


class OutOfStep(Conflict):
    """A part of a file does not follow what is here, or somebody else is sending one."""

    code = "out_of_step"


class FilePart:
    """A file that comes in parts, while one of them comes; `size` is what is here."""

    def __init__(self, store: FileStore, path: Path, writing: FileWriter) -> None:
        self._store, self._path, self._writing = store, path, writing

    @property
    def size(self) -> int:
        return self._writing.size

    def write(self, chunk: bytes) -> None:
        """The bytes follow those written before."""
        self._writing.write(chunk)

    def finish(self, sha256: str) -> StoredFile:
        """The whole file is in the store, durably. InvalidInput: its bytes are others than named, and were dropped."""
        stored = self._writing.finish()
        if stored.sha256 != sha256:
            self._path.unlink()
            raise InvalidInput("the file's bytes are not those whose SHA-256 was sent with it: send it again")
        self._store._put_in_place(self._path, sha256)
        return stored


class FileStore:
    """Files below `root`, shared by any number of threads and processes of one machine."""

    def __init__(self, root: Path) -> None:
        """The folders are there, and leftovers of writers that died are gone."""
        self.root = root
        self._temporary = root / "tmp"
        with _said_plainly():
            self._temporary.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._sweep(time.time() - TEMPORARY_LIFE_S)

    @contextmanager
    def writer(self, max_bytes: int | None = None) -> Iterator[FileWriter]:
        """What is written in the block is in the store, durably, when it ends, and nothing of it when it raises.

        TooLarge: more than `max_bytes`. StorageFault: the disk is full or failing.
        """
        temporary = self._temporary / secrets.token_hex(16)
        with _said_plainly():
            out = temporary.open("xb", buffering=0)
        try:
            with out:
                writing = FileWriter(out, max_bytes)
                yield writing
                stored = writing.finish()
            self._put_in_place(temporary, stored.sha256)
            writing.stored = stored
        finally:
            temporary.unlink(missing_ok=True)

    # --- files that come in parts -------------------------------------------------------------------------------------
    def held(self, key: str) -> int:
        """How many bytes there are of a file that comes in parts."""
        try:
            return self._part(key).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def resumed(self, key: str, offset: int) -> Iterator[FilePart]:
        """The file's bytes up to `offset` are as they came before, and more can follow; what came stays, in any case.

        OutOfStep: there are fewer bytes, or somebody else is sending them. StorageFault: the disk is full or failing.
        """
        with _said_plainly(), self._locked_part(key) as out:
            held = os.fstat(out.fileno()).st_size
            if offset > held:
                raise OutOfStep("fewer bytes of this file are here than was thought")
            if offset < held:
                out.truncate(offset)
            out.seek(0)
            writing = FileWriter(out, None)
            while writing.size < offset and (chunk := out.read(min(CHUNK, offset - writing.size))):
                writing.note(chunk)
            yield FilePart(self, self._part(key), writing)

    def has_room(self, size: int) -> bool:
        """Whether the disk has room for so many bytes more."""
        return shutil.disk_usage(self.root).free >= size

    def drop_parts(self, tag: str) -> None:
        """Of the files whose keys begin with `tag` and a point, no unfinished part is left."""
        for part in self._temporary.glob(f"part.{tag}.*"):
            part.unlink(missing_ok=True)

    @contextmanager
    def _locked_part(self, key: str) -> Iterator[BinaryIO]:
        part = self._part(key)
        if part.exists() and not part.stat().st_mode & 0o200:
            part.unlink(missing_ok=True)  # finished by a process that died before it put the file in its place
        while True:
            with part.open("a+b", buffering=0) as out:
                try:
                    fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as fault:
                    raise OutOfStep("this file is being sent already") from fault
                if _is_at(part, out):  # else it was finished, or dropped, since it was opened
                    yield out
                    return

    def _part(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise NotFound("that is not the name of a file that comes in parts", detail=key[:80])
        return self._temporary / f"part.{key}"

    def put_path(self, path: Path) -> StoredFile:
        """A copy of the file is in the store; the file itself is left alone, and may be changed afterwards.

        Its bytes are shared where the file system can do that, else copied; never by a hard link, through which
        whoever owns the file could still change it. OSError: the file itself can't be opened, which is no fault of
        the store's.
        """
        with path.open("rb") as source, _said_plainly():
            return self._known(source) or self._put(source)

    def put_bytes(self, content: bytes) -> StoredFile:
        """These bytes, few of them, are in the store."""
        with _said_plainly():
            if known := self._known(io.BytesIO(content)):
                return known
        with self.writer() as writer:
            writer.write(content)
        return writer.result

    def _put(self, source: BinaryIO) -> StoredFile:
        temporary = self._temporary / secrets.token_hex(16)
        try:
            stored = _copy(source, temporary)
            self._put_in_place(temporary, stored.sha256)
        finally:
            temporary.unlink(missing_ok=True)
        return stored

    def _known(self, source: BinaryIO) -> StoredFile | None:
        """The small file, if its bytes are here already: most jobs leave the same few, an empty stderr above all."""
        content = source.read(SMALL + 1)
        source.seek(0)
        if len(content) > SMALL:
            return None
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            with self._lock(fcntl.LOCK_SH):
                os.utime(self._place(sha256))  # as new, so that it is not taken for garbage
        except FileNotFoundError:
            return None
        return StoredFile(sha256, len(content))

    def path(self, sha256: str) -> Path:
        """Where the bytes are, to be read only. NotFound: they are not there."""
        path = self._place(sha256)
        if not path.is_file():
            raise NotFound("the file's bytes are not in the file store", detail=sha256)
        return path

    def open(self, sha256: str) -> BinaryIO:
        """The bytes from their beginning; they can be read on even if the file is removed meanwhile. NotFound."""
        try:
            return self._place(sha256).open("rb")
        except FileNotFoundError as error:
            raise NotFound("the file's bytes are not in the file store", detail=sha256) from error

    def collect_garbage(
        self, rows: Rows, now: float | None = None, *, grace_s: float = GRACE_S, limit: int = 1000
    ) -> int:
        """At most `limit` files that nothing refers to and that are older than `grace_s` are gone; returns how many."""
        before = (time.time() if now is None else now) - grace_s
        gone = rows.forget_files(rows.unreferenced(before, limit), before)
        return sum(self._remove(sha256, before) for sha256 in gone)

    def collect_orphans(self, rows: Rows, now: float | None = None, *, grace_s: float = GRACE_S) -> int:
        """Bytes that no row ever came to, or whose collector was killed, are gone; returns how many files they were.

        It lists the whole store, folder by folder: once a day is often enough.
        """
        before = (time.time() if now is None else now) - grace_s
        removed = 0
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]")):
            found = [path.name for path in folder.iterdir()]
            orphans = set(found) - rows.known_files(found)
            removed += sum(self._remove(sha256, before) for sha256 in sorted(orphans))
        return removed

    def _place(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise NotFound("that is not the name of a stored file", detail=sha256[:80])
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def _put_in_place(self, temporary: Path, sha256: str) -> None:
        place = self._place(sha256)
        with _said_plainly():
            for folder in (place.parent.parent, place.parent):
                if not folder.is_dir():
                    folder.mkdir(mode=0o750, exist_ok=True)
                    _sync_folder(folder.parent)
            with self._lock(fcntl.LOCK_SH):
                os.utime(temporary)
                temporary.rename(place)
            _sync_folder(place.parent)

    def _remove(self, sha256: str, before: float) -> bool:
        place = self._place(sha256)
        with self._lock(fcntl.LOCK_EX):
            if not place.exists() or place.stat().st_mtime >= before:
                return False  # arrived again since its row was forgotten
            place.unlink()
        return True

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        descriptor = os.open(self.root / "gc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    def _sweep(self, before: float) -> None:
        for leftover in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                if leftover.stat().st_mtime < before:
                    leftover.unlink()


def _copy(source: BinaryIO, temporary: Path) -> StoredFile:
    """A file of its own holds the bytes that `source` held when they were read; they are hashed as they were stored."""
    with temporary.open("x+b") as out:
        shared = _reflink(source, out)
        writing = FileWriter(out, None)
        while chunk := (out if shared else source).read(CHUNK):
            (writing.note if shared else writing.write)(chunk)
        return writing.finish()


def _reflink(source: BinaryIO, out: BinaryIO) -> bool:
    try:
        fcntl.ioctl(out.fileno(), _FICLONE, source.fileno())
    except OSError as error:
        if error.errno in _FULL:
            raise
        return False
    return True


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFault("the disk that holds the gateway's files is full", detail=str(error)) from error
        raise StorageFault("the gateway's files can't be written or read", detail=str(error)) from error
