"""Which shell the local engine's wrappers get, by what is on the supervisor's PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isthmus.cluster.supervisor.shell import choose_shell

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SH = ("/bin/sh",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "attempts").mkdir()
    return tmp_path


def put_busybox(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """PATH holds the system's commands, and a busybox only if there is a text for one."""
    folder.mkdir()
    for command in ("ln", "readlink", "sync", "sleep"):
        (folder / command).symlink_to(f"/bin/{command}")
    if text is not None:
        (folder / "busybox").write_text(f"#!/bin/sh\n{text}\n")
        (folder / "busybox").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_busybox_that_runs_the_wrapper_is_taken(root: Path) -> None:
    assert choose_shell(root, BOOT_ID) == (shutil.which("busybox"), "sh")
    assert list((root / "attempts").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="there is none"),
        pytest.param("exit 7", id="it has no shell"),
        pytest.param('shift; exec /bin/sh "$@"', id="it cannot rename, so that there is no record"),
        pytest.param(': >"$3/claim"; exit 7', id="it makes no link"),
        pytest.param("echo not-json >$3/exit.1.json; ln -s 0.0:1:1.1.x $3/claim; exit 7", id="its record is none"),
    ],
)
def test_without_one_that_does_wrappers_run_in_the_systems_shell(
    text: str | None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_busybox(tmp_path / "bin", monkeypatch, text)
    monkeypatch.setattr("isthmus.cluster.supervisor.shell._LIMIT_S", 2.0)
    assert choose_shell(root, BOOT_ID) == SH


def test_a_busybox_that_hangs_is_not_waited_for(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_busybox(tmp_path / "bin", monkeypatch, "exec sleep 100")
    monkeypatch.setattr("isthmus.cluster.supervisor.shell._LIMIT_S", 0.2)
    assert choose_shell(root, BOOT_ID) == SH
