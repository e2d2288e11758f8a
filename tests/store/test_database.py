"""Waiting for SQLite's one write lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.errors import StorageFault
from isthmus.store import database
from isthmus.store.database import Database


def test_who_waits_too_long_for_the_write_lock_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WRITE_WAIT_S", 0.02)
    url = f"sqlite:///{tmp_path / 'isthmus.db'}"
    holder, waiter = Database.at(url), Database.at(url)
    with holder.write(), pytest.raises(StorageFault, match="to itself for too long"), waiter.write():
        pass
    with waiter.write() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    holder.close()
    waiter.close()
