"""Simple regular expressions of definitions in words: `^[A-Za-z]{4}$` is "4 letters".

alternatives of sequences of (literal | [class] | \\d) with {n}, {n,m}, ?, * or +
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_PART = re.compile(
    r"(?P<any>\[(?P<class>[^\]\\^]+)\]|\\d)(?P<many>\{\d{1,4}(?:,\d{0,4})?\}|[?*+])?"
    r"|(?P<plain>(?:[\w ,:/@-]|\\[.+*/\-])(?![?*+{]))",
    re.ASCII,
)
_WORDS = {
    "A-Z": "capital letter",
    "a-z": "small letter",
    "A-Za-z": "letter",
    "a-zA-Z": "letter",
    "0-9": "digit",
    "1-9": "digit",
    "A-Z0-9": "capital letter or digit",
    "a-z0-9": "small letter or digit",
    "A-Za-z0-9": "letter or digit",
    "a-zA-Z0-9": "letter or digit",
}


@lru_cache(maxsize=1000)
def pattern_words(pattern: str) -> str:
    """What a text of this form looks like, in words; empty for a form that has none."""
    body = pattern.removeprefix("^").removesuffix("$")
    if body == pattern or len(pattern) - len(body) != 2:
        return ""  # not the whole text is meant
    if body.startswith("(") and body.endswith(")") and not re.search(r"[()]", body[1:-1]):
        body = body[1:-1].removeprefix("?:")
    elif "|" in body:
        return ""
    said = [_sequence(alternative) for alternative in body.split("|")]
    return "" if not all(said) else " or ".join((", ".join(said[:-1]), said[-1]) if len(said) > 1 else said)


def _sequence(text: str) -> str:
    """One alternative in words; empty: it is not simple."""
    parts: list[tuple[str, int, int | None]] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return ""
        what = _what(match)
        if not what:
            return ""
        least, most = _count(match["many"])
        if parts and match["plain"] and parts[-1][0].startswith("“"):
            parts[-1] = (parts[-1][0][:-1] + what[1:], 1, 1)
        elif parts and _is_digit(parts[-1][0]) and _is_digit(what):
            before = parts[-1]
            parts[-1] = (what, before[1] + least, None if None in (before[2], most) else (before[2] or 0) + (most or 0))
        else:
            parts.append((what, least, most))
        at = match.end()
    return ", then ".join(_said(parts))


def _what(match: re.Match[str]) -> str:
    if match["plain"]:
        return f"“{match['plain'].removeprefix(chr(92))}”"
    return _WORDS.get(match["class"] or "0-9", "")


def _is_digit(what: str) -> bool:
    return what == "digit"


def _count(many: str | None) -> tuple[int, int | None]:
    if many is None:
        return 1, 1
    if many in "?*+":
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[many]
    least, comma, most = many[1:-1].partition(",")
    return int(least), int(most) if most else None if comma else int(least)


def _said(parts: list[tuple[str, int, int | None]]) -> Iterator[str]:
    for what, least, most in parts:
        if what.startswith("“"):
            yield what
            continue
        number = f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"
        yield f"{number} {what}" if (least, most) == (1, 1) else f"{number} {_plural(what)}"


def _plural(what: str) -> str:
    return " or ".join(f"{word}s" for word in what.split(" or "))
