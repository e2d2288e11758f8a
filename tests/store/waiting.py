"""Waiting for what another thread or process does, never for time itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """The condition holds. AssertionError: it did not before the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)
