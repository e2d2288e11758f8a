"""Sizes and times as people write them, and as people read them."""

from __future__ import annotations

import re
from datetime import datetime

from isthmus.errors import InputFault, InvalidInput

_MIB = {"": 1.0, "m": 1.0, "mib": 1.0, "g": 1024.0, "gib": 1024.0, "t": 1024.0**2, "tib": 1024.0**2}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d)(?::([0-5]?\d))?")
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?")


def memory_mib(text: str) -> int:
    """`4GiB`, `4G`, `512MiB` or `512` in MiB. InvalidInput: it is no size, or less than 1 MiB."""
    found = _SIZE.fullmatch(text.strip().lower())
    size = float(found[1]) * _MIB[found[2]] if found and found[2] in _MIB else 0
    if size < 1:
        raise _wrong("memory_mib", f"{text!r} is not a size; write it as 4GiB, 512MiB or a number of MiB")
    return round(size)


def walltime_s(text: str) -> int:
    """`90m`, `1h30m`, `01:30:00`, `2-00:00:00` or `5400` in seconds. InvalidInput: it is no time."""
    word = text.strip().lower()
    if word.isascii() and word.isdigit():
        return int(word)
    if found := _CLOCK.fullmatch(word):
        # Two parts are hours and minutes, as on a clock; PBS would take them for minutes and seconds.
        return _seconds(found[1], found[2], found[3], found[4])
    if word and (found := _SPAN.fullmatch(word)):
        return _seconds(*found.groups())
    raise _wrong("walltime_s", f"{text!r} is not a time; write it as 90m, 1h30m, 01:30:00 or a number of seconds")


def _seconds(days: str | None, hours: str | None, minutes: str | None, seconds: str | None) -> int:
    return ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)


def _wrong(field: str, words: str) -> InvalidInput:
    return InvalidInput(words, (InputFault(f"resources.{field}", "wrong_type", words),))


def span(seconds: float | None) -> str:
    """A length of time in the two units that matter; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at: datetime | None) -> str:
    """A time in the reader's own time zone; empty for None."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def size_text(count: int) -> str:
    """A number of bytes in the unit that fits it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
