"""Tickets: one key a home, made once, and a ticket fits its attempt alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isthmus.errors import ConfigurationError
from isthmus.tickets import KEY_FILE, Tickets


def test_a_ticket_fits_its_own_attempt_and_no_other(tmp_path: Path) -> None:
    tickets = Tickets.at(tmp_path)
    ticket = tickets.of("gone")
    assert tickets.fits("gone", ticket)
    assert not tickets.fits("gtwo", ticket) and not tickets.fits("gone", "") and not tickets.fits("gone", "\udcff")


def test_whoever_comes_later_has_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Tickets.at(tmp_path).of("g"), range(16)))
    assert len(set(made)) == 1 and Tickets.at(tmp_path).fits("g", made[0])
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    Tickets.at(tmp_path)
    key = tmp_path / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Tickets.at(tmp_path)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    key = tmp_path / KEY_FILE
    key.write_bytes(b"short")
    key.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no key of 32 bytes"):
        Tickets.at(tmp_path)


def test_a_home_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        Tickets.at(tmp_path / "nowhere")
