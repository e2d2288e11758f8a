"""Databases that outlive a run: filling takes minutes, so a filled one is kept under build/bench and used again."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.gateway import WORK
from tests import postgres

DATABASE = "kept"


@contextmanager
def kept_database(kind: str, name: str, mark: str, fill: Callable[[str], None]) -> Iterator[str]:
    """The URL of a database that `fill` has filled, in this run or in an earlier one with the same `mark`."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (_sqlite if kind == "sqlite" else _postgresql)(WORK / f"{name}-{kind}", mark, fill) as url:
        yield url


@contextmanager
def _sqlite(folder: Path, mark: str, fill: Callable[[str], None]) -> Iterator[str]:
    url = f"sqlite:///{folder / 'isthmus.db'}"
    if not _is_filled(folder, mark):
        _clear(folder)
        fill(url)
        (folder / "filled").write_text(mark, encoding="ascii")
    yield url


@contextmanager
def _postgresql(folder: Path, mark: str, fill: Callable[[str], None]) -> Iterator[str]:
    binaries, account = postgres._binaries(), postgres._unprivileged_account()
    if not _is_filled(folder, mark):
        _clear(folder)
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        postgres._make_files(binaries, folder, account, secrets.token_urlsafe(18))
    password = (folder / "password").read_text(encoding="ascii")
    process, server = postgres._start(binaries, folder, account, password)
    try:
        if not _is_filled(folder, mark):
            with server.connect() as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
            fill(server.url(DATABASE))
            (folder / "filled").write_text(mark, encoding="ascii")
        yield server.url(DATABASE)
    finally:
        postgres._stop(process)


def _is_filled(folder: Path, mark: str) -> bool:
    done = folder / "filled"
    return done.exists() and done.read_text(encoding="ascii") == mark


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
