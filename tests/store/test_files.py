"""The file store on disk."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from isthmus.errors import NotFound, TooLarge
from isthmus.files import TEMPORARY_LIFE_S, FileStore, StoredFile

OLD = 1_000_000.0


@dataclass
class Shelf:
    """Rows as the collector knows them: those not `used` may be forgotten."""

    known: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def unreferenced(self, before: float, limit: int) -> list[str]:
        return sorted(self.known - self.used)[:limit]

    def forget_files(self, hashes: Collection[str], before: float) -> list[str]:
        gone = sorted(set(hashes) & (self.known - self.used))
        self.known -= set(gone)
        return gone

    def known_files(self, hashes: Collection[str]) -> set[str]:
        return set(hashes) & self.known


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


def put(files: FileStore, content: bytes) -> StoredFile:
    with files.writer() as writer:
        writer.write(content)
    return writer.result


def grow_old(files: FileStore, stored: StoredFile) -> None:
    os.utime(files.path(stored.sha256), (OLD, OLD))


def left_in_tmp(files: FileStore) -> list[str]:
    return [path.name for path in (files.root / "tmp").iterdir()]


def test_what_was_written_is_read_back_under_its_hash(files: FileStore) -> None:
    with files.writer() as writer:
        for chunk in (b"storm", b"", b" clusters"):
            writer.write(chunk)
    stored = writer.result

    assert stored == StoredFile(sha256(b"storm clusters").hexdigest(), 14)
    with files.open(stored.sha256) as source:
        assert source.read() == b"storm clusters"
    assert left_in_tmp(files) == []


def test_stored_bytes_can_not_be_written_by_anybody_nor_reached_by_others(files: FileStore) -> None:
    path = files.path(put(files, b"a").sha256)

    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0
    assert path.parent.parent.parent == files.root


def test_an_empty_file_is_a_file(files: FileStore) -> None:
    assert put(files, b"") == StoredFile(sha256(b"").hexdigest(), 0)


def test_a_file_that_grows_too_large_is_refused_and_leaves_nothing(files: FileStore) -> None:
    with pytest.raises(TooLarge), files.writer(max_bytes=10) as writer:
        writer.write(b"x" * 10)
        writer.write(b"y")

    assert left_in_tmp(files) == []
    assert not list(files.root.glob("??/??/*"))


def test_a_file_exactly_as_large_as_the_limit_is_taken(files: FileStore) -> None:
    with files.writer(max_bytes=10) as writer:
        writer.write(b"x" * 10)

    assert writer.result.size == 10


def test_a_writer_that_is_broken_off_leaves_nothing_and_its_own_error(files: FileStore) -> None:
    with pytest.raises(ConnectionResetError), files.writer() as writer:
        writer.write(b"half")
        raise ConnectionResetError("the client is gone")

    assert left_in_tmp(files) == []
    assert not list(files.root.glob("??/??/*"))


def test_nothing_is_stored_before_the_block_ends(files: FileStore) -> None:
    with files.writer() as writer:
        writer.write(b"a")
        with pytest.raises(ValueError, match="before"):
            _ = writer.result


def test_a_copy_does_not_change_with_the_file_it_was_taken_from(files: FileStore, tmp_path: Path) -> None:
    source = tmp_path / "output.txt"
    source.write_bytes(b"result")
    stored = files.put_path(source)
    source.write_bytes(b"RESULT")

    assert stored == StoredFile(sha256(b"result").hexdigest(), 6)
    assert files.path(stored.sha256).read_bytes() == b"result"
    assert source.stat().st_nlink == files.path(stored.sha256).stat().st_nlink == 1


def test_a_file_larger_than_one_piece_is_copied_whole(files: FileStore, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(3_000_001))

    stored = files.put_path(source)

    assert files.path(stored.sha256).read_bytes() == source.read_bytes()


def test_a_source_that_is_not_there_is_no_fault_of_the_stores(files: FileStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.put_path(tmp_path / "missing")

    assert left_in_tmp(files) == []


def test_a_source_that_must_not_be_read_is_a_matter_of_rights_and_no_fault_of_the_stores(
    files: FileStore, tmp_path: Path
) -> None:
    """A process that gives up its rights stands in for a gateway that is not root."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from isthmus.cluster.stage_out import stage_out\n"
        "from isthmus.collecting import Limits\n"
        "from isthmus.cluster import Order, OutputRule\n"
        "from isthmus.files import FileStore\n"
        "from isthmus.job import Resources\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0:\n"
        "    for path in (Path(), *Path().rglob('*')): os.chown(path, 1, 1)\n"
        "    os.setresuid(1, 1, 1)\n"
        "store = FileStore(Path('files'))\n"
        "try: store.put_path(Path('secret'))\n"
        "except PermissionError: print('not allowed')\n"
        "work = Path('clusters/attempts/gtag/work'); work.mkdir(parents=True)\n"
        "(work / 'x.csv').touch(0)\n"
        "rule = OutputRule('result', '*.csv', 'text/csv', True)\n"
        "order = Order('gtag', 'job', Resources(), 'true', outputs=(rule,))\n"
        "found = stage_out(Path('clusters'), order, store, Limits(1, 1))\n"
        "print(found.words, found.permanent)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    argv = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.splitlines() == [
        "not allowed",
        "output result: 'x.csv' can't be read, as the program left it True",
    ], done.stderr


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 64, "0" * 63 + "/", "0" * 65])
def test_what_is_not_in_the_store_is_not_found(files: FileStore, name: str) -> None:
    with pytest.raises(NotFound):
        files.path(name)
    with pytest.raises(NotFound):
        files.open(name)


def test_a_full_disk_is_told_as_one_and_leaves_nothing(files: FileStore) -> None:
    """The kernel's own limit on a file's size stands in for the disk's; it is set in a process of its own."""
    script = (
        "import errno, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from isthmus.errors import StorageFault\n"
        "from isthmus import files as module\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "module._FULL = frozenset({errno.EFBIG})\n"
        "store = module.FileStore(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with store.writer() as writer:\n"
        "        for _ in range(100): writer.write(b'x' * 100)\n"
        "except StorageFault as fault: print(fault.message)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(files.root)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "full" in done.stdout
    assert left_in_tmp(files) == []
    assert not list(files.root.glob("??/??/*"))
    assert errno.ENOSPC != errno.EFBIG


def test_leftovers_of_dead_writers_are_swept_when_the_store_is_opened(files: FileStore) -> None:
    old, young = files.root / "tmp" / "old", files.root / "tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    age = young.stat().st_mtime - TEMPORARY_LIFE_S - 60
    os.utime(old, (age, age))

    FileStore(files.root)

    assert left_in_tmp(files) == ["young"]


def test_only_old_files_that_nothing_refers_to_are_collected(files: FileStore) -> None:
    used, unused, fresh = put(files, b"used"), put(files, b"unused"), put(files, b"fresh")
    for stored in (used, unused):
        grow_old(files, stored)
    rows = Shelf(known={used.sha256, unused.sha256, fresh.sha256}, used={used.sha256})

    assert files.collect_garbage(rows) == 1

    assert files.path(used.sha256).exists()
    assert files.path(fresh.sha256).exists()
    with pytest.raises(NotFound):
        files.path(unused.sha256)


def test_a_file_that_arrives_again_while_it_is_collected_stays(files: FileStore) -> None:
    stored = put(files, b"twice")
    grow_old(files, stored)

    class ArrivesMeanwhile(Shelf):
        def forget_files(self, hashes: Collection[str], before: float) -> list[str]:
            gone = super().forget_files(hashes, before)
            put(files, b"twice")
            return gone

    assert files.collect_garbage(ArrivesMeanwhile(known={stored.sha256})) == 0
    assert files.path(stored.sha256).read_bytes() == b"twice"


def test_an_open_file_can_be_read_on_after_it_was_collected(files: FileStore) -> None:
    stored = put(files, b"still here")
    grow_old(files, stored)
    with files.open(stored.sha256) as source:
        files.collect_garbage(Shelf(known={stored.sha256}))

        assert source.read() == b"still here"


def test_bytes_that_no_row_came_to_are_collected_when_old(files: FileStore) -> None:
    orphan, fresh, kept = put(files, b"orphan"), put(files, b"fresh"), put(files, b"kept")
    for stored in (orphan, kept):
        grow_old(files, stored)

    assert files.collect_orphans(Shelf(known={kept.sha256})) == 1

    assert files.path(fresh.sha256).exists()
    assert files.path(kept.sha256).exists()
    with pytest.raises(NotFound):
        files.path(orphan.sha256)


def test_writers_and_the_collector_at_once_never_lose_a_file_that_was_just_stored(files: FileStore) -> None:
    contents = [str(n).encode() for n in range(5)]
    stop = threading.Event()

    def collect() -> int:
        removed = 0
        while not stop.is_set():
            for content in contents:
                place = files.root.joinpath(*_place(content))
                if place.exists():
                    os.utime(place, (OLD, OLD))  # as if it had been lying there for long
            removed += files.collect_orphans(Shelf())
        return removed

    def write(_: int) -> int:
        missing = 0
        for content in contents * 10:
            stored = put(files, content)
            missing += stored.sha256 != sha256(content).hexdigest()
        return missing

    with ThreadPoolExecutor(4) as threads:
        collecting = threads.submit(collect)
        wrong = sum(threads.map(write, range(3)))
        stop.set()
        assert collecting.result(60) >= 0
    for content in contents:
        put(files, content)

    assert wrong == 0
    assert all(files.path(sha256(content).hexdigest()).read_bytes() == content for content in contents)


def _place(content: bytes) -> tuple[str, str, str]:
    name = sha256(content).hexdigest()
    return name[:2], name[2:4], name
