"""Times and sizes as people write them: in a submission, in an example of an application file, on the command line."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_AMOUNT = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_NUMBER = re.compile(_AMOUNT)
_SPAN = re.compile(rf"(?:({_AMOUNT})d)?(?:({_AMOUNT})h)?(?:({_AMOUNT})m(?:in)?)?(?:({_AMOUNT})s)?")
_CLOCK = re.compile(r"(?:([0-9]{1,4})-)?([0-9]{1,6}):([0-5]?[0-9])(?::([0-5]?[0-9]))?")
_SIZE = re.compile(rf"({_AMOUNT})\s?(?:([mgt])(?:i?b)?)?")
_MIB = {None: 1, "m": 1, "g": 1024, "t": 1024**2}


def seconds(text: str) -> int:
    """`5400`, `90m`, `90min`, `1h30m`, `1.5h`, `1:30`, `1:30:00` or `2-00:00:00` in seconds, rounded up.

    ValueError: it is none of these, with a sentence for the user.
    """
    word = text.strip().lower()
    word += "s" if _NUMBER.fullmatch(word) else ""
    # Two parts of a clock are hours and minutes, as on the wall; PBS would take them for minutes and seconds.
    found = _CLOCK.fullmatch(word) or _SPAN.fullmatch(word)
    if not word or found is None:
        raise ValueError("must be a time like 90m, 1h30m or 1:30:00, or a number of seconds")
    days, hours, minutes, rest = (Fraction(part or 0) for part in found.groups())
    return math.ceil(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def mebibytes(text: str) -> int:
    """`512`, `512M`, `512MiB`, `4GiB`, `1.5 G` or `1T` in MiB, rounded up. ValueError: as of `seconds`."""
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError("must be a size like 4GiB or 512M, or a number of MiB")
    return math.ceil(Fraction(found[1]) * _MIB[found[2]])
