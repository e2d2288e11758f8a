"""Waiting with an end: no measurement hangs."""

from __future__ import annotations

import time
from collections.abc import Callable


class TooSlow(RuntimeError):
    """What was waited for has not come within its time; the message says what."""


def wait_until(is_so: Callable[[], bool], what: str, within_s: float, every_s: float = 0.05) -> None:
    """It is so. TooSlow: it was not, `within_s` seconds long; asked at most every `every_s`."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TooSlow(f"{what}: not within {within_s:.0f} s")
        time.sleep(every_s)
