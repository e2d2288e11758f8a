"""What the text search compares: one form of words for both databases."""

from __future__ import annotations

import re
import unicodedata

MAX_WORDS = 8
MAX_WORD_LENGTH = 64
_ASCII_WORD = re.compile("[0-9a-z]+")


def words_of(text: str) -> tuple[str, ...]:
    """The words of `text` without case and accents, letters and digits only, each at most 64 characters."""
    if text.isascii():  # most texts: the same words, ten times as fast
        return tuple(word[:MAX_WORD_LENGTH] for word in _ASCII_WORD.findall(text.lower()))
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return tuple(word[:MAX_WORD_LENGTH] for word in kept.split())


def is_storable(text: str) -> bool:
    """Whether a database can hold it: no NUL, no half of a surrogate pair. What it can't hold, it can't find either."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def search_text(*texts: str) -> str:
    """What a job is found by: its distinct words, with a blank before and after each."""
    found = dict.fromkeys(word for text in texts for word in words_of(text))
    return f" {' '.join(found)} "
