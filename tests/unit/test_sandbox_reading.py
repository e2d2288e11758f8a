"""Outputs read from a sandbox whose node sends nothing more, through a reader of what an agent would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.cluster import Order, OutputRule
from isthmus.cluster.sandbox_reading import SandboxEntry, collect_from
from isthmus.collecting import Limits
from isthmus.errors import NotFound
from isthmus.facts import OutputFile, StagedOut, StagingFailed
from isthmus.files import FileStore
from isthmus.job import Resources

LIMITS = Limits(max_output_mib=1, max_log_mib=1)


@dataclass(frozen=True, slots=True)
class FolderReader:
    """Reads a sandbox that is a folder of this machine, as an agent that follows no links."""

    root: Path

    def list(self, path: str) -> Sequence[SandboxEntry]:
        if not (self.root / path).is_dir():
            raise NotFound(path)
        found = [(entry.name, entry.lstat()) for entry in (self.root / path).iterdir()]
        return [SandboxEntry(name, seen.st_mode, seen.st_size) for name, seen in found]

    def read(self, path: str, offset: int, length: int) -> bytes:
        with (self.root / path).open("rb") as file:
            file.seek(offset)
            return file.read(min(length, 1000))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "box/isthmus/work"
    work.mkdir(parents=True)
    return work


def collected(work: Path, *globs: str) -> tuple[FileStore, StagedOut | StagingFailed]:
    rules = tuple(OutputRule("result", glob, "text/csv", True) for glob in globs)
    order = Order("g", "job", Resources(), "", outputs=rules)
    files = FileStore(work.parents[2] / "files")
    return files, collect_from(FolderReader(work.parents[1]), order, LIMITS, files)


def contents(files: FileStore, found: Sequence[OutputFile]) -> dict[str, bytes]:
    return {file.path: files.path(file.sha256).read_bytes() for file in found}


def test_outputs_and_logs_are_collected(work: Path) -> None:
    (work / "a").mkdir()
    (work / "a/b.csv").write_bytes(b"x" * 2500)
    (work / "other").touch()
    (work.parent / "stdout").write_text("said")
    files, found = collected(work, "a/*.csv")
    assert isinstance(found, StagedOut) and found.missing == ()
    assert contents(files, found.files) == {"a/b.csv": b"x" * 2500, "stdout": b"said"}


def test_a_promised_output_that_is_not_there_is_named(work: Path) -> None:
    _, found = collected(work, "*.csv")
    assert found == StagedOut((), ("result",))


def test_a_long_log_loses_its_middle(work: Path) -> None:
    (work.parent / "stdout").write_bytes(b"first" + b"x" * (2 << 20) + b"last")
    files, found = collected(work)
    assert isinstance(found, StagedOut)
    (log,) = contents(files, found.files).values()
    assert log.startswith(b"first") and log.endswith(b"last") and b"\n[... 1048585 bytes left out ...]\n" in log


def test_a_link_is_refused_since_nobody_can_tell_where_it_leads(work: Path) -> None:
    (work / "a.csv").symlink_to("/etc/passwd")
    _, found = collected(work, "*.csv")
    assert isinstance(found, StagingFailed) and found.permanent and "link, which can't be followed" in found.words


def test_outputs_that_are_too_large_are_refused(work: Path) -> None:
    (work / "a.csv").write_bytes(b"x" * ((1 << 20) + 1))
    _, found = collected(work, "*.csv")
    assert isinstance(found, StagingFailed) and found.permanent and "a job may leave 1 MiB" in found.words


def test_a_sandbox_that_is_not_there_is_not_taken_for_an_empty_one(work: Path) -> None:
    work.rmdir()
    work.parent.rmdir()
    with pytest.raises(NotFound):
        collected(work, "*.csv")
