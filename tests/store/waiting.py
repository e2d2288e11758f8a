"""Waiting for what another thread or process does, never for time itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import create_engine, text


def until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """The condition holds. AssertionError: it did not before the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)


def waits_for_a_lock(url: str) -> bool:
    """Whether somebody at this PostgreSQL database waits for another's transaction."""
    engine = create_engine(url)
    with engine.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        found = connection.execute(text(query)).scalar_one()
    engine.dispose()
    return bool(found)
