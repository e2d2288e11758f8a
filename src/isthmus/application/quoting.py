"""The one way a word is quoted for a POSIX shell."""

from __future__ import annotations


def quote(word: str) -> str:
    """The word between single quotes, always: so a lone number before `>` can't become a file descriptor.

    ValueError: it holds NUL, which no argument can.
    """
    if "\0" in word:
        raise ValueError("a word of a command can't hold a NUL character")
    return "'" + word.replace("'", "'\\''") + "'"
