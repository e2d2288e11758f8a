"""Identifiers that people meet: short, safe in paths and URLs, and in order of time."""

from __future__ import annotations

import secrets

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
LENGTH = 20


def new_id(now: float) -> str:
    """20 characters of `ALPHABET`: 48 bits of milliseconds, then 52 random ones; later ones sort after earlier ones."""
    value = (int(now * 1000) & (1 << 48) - 1) << 52 | secrets.randbits(52)
    return "".join(ALPHABET[value >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def is_id(words: str) -> bool:
    """Whether `new_id` may have made it; others are looked up nowhere."""
    return len(words) == LENGTH and set(words) <= set(ALPHABET)
