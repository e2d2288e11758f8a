"""Where a page ended, as text that a client hands back."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.errors import InputFault, InvalidInput
from isthmus.store.words import is_storable

Key: TypeAlias = str | float | int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The sort keys of a page's last job, the job's number last. Its text form is safe in a URL."""

    sort: str
    descending: bool
    keys: tuple[Key, ...]

    def __str__(self) -> str:
        form = json.dumps([self.sort, self.descending, *self.keys], ensure_ascii=True, separators=(",", ":"))
        return base64.urlsafe_b64encode(form.encode()).decode().rstrip("=")


def parse_cursor(words: str | None, sort: str, descending: bool, length: int) -> Cursor | None:
    """The cursor with this text form, None for none. InvalidInput: it is none, or was made for another order."""
    if words is None:
        return None
    try:
        form = json.loads(base64.b64decode(words + "=" * (-len(words) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        form = None
    if not (isinstance(form, list) and form[:2] == [sort, descending] and _are_keys(form[2:], length)):
        message = "this cursor is not one that this list gave in this order"
        raise InvalidInput(message, (InputFault("cursor", "bad_cursor", message),))
    return Cursor(sort, descending, tuple(form[2:]))


def _are_keys(keys: list[object], length: int) -> bool:
    """Perhaps a text, then a time, then a number: what every order ends in."""
    if len(keys) != length:
        return False
    *names, at, number = keys
    return (
        all(isinstance(name, str) and is_storable(name) for name in names)
        and (isinstance(at, float) or type(at) is int)
        and -1e15 < at < 1e15  # not true of NaN
        and type(number) is int
        and 0 <= number < 1 << 63
    )
