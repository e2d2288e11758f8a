"""Tickets: what a node shows to read one attempt's inputs, claim it, and send its outputs; good for nothing else.

A ticket is an HMAC of the attempt's tag with a key in the gateway's home. So there is nothing to store for each, and
nothing to leak from the database; whoever has the key can tell a right one without asking anybody.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from isthmus.errors import ConfigurationError

KEY_FILE = "tickets.key"
_KEY_BYTES = 32


class Tickets:
    """Makes and checks the tickets of one gateway."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def at(cls, home: Path) -> Tickets:
        """The tickets of the gateway whose home this is; its key is made once, whoever comes first.

        ConfigurationError: the key can't be made or read, or others may read it.
        """
        path = home / KEY_FILE
        try:
            if not path.exists():
                _make(path)
            if path.stat().st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others: make it yours alone (chmod 600)")
            key = path.read_bytes()
        except OSError as fault:
            raise ConfigurationError(f"{path}: {fault.strerror}") from fault
        if len(key) != _KEY_BYTES:
            raise ConfigurationError(f"{path} is no key of {_KEY_BYTES} bytes: remove it, and a new one is made")
        return cls(key)

    def of(self, tag: str) -> str:
        """The attempt's ticket: 64 letters and digits."""
        return hmac.new(self._key, f"attempt {tag}".encode(), hashlib.sha256).hexdigest()

    def fits(self, tag: str, ticket: str) -> bool:
        """Whether this is the attempt's ticket; takes as long for any wrong one."""
        return hmac.compare_digest(self.of(tag).encode(), ticket.encode("utf-8", "surrogatepass"))


def _make(path: Path) -> None:
    """A key lies there, whole and durable: the link appears at once, and only where there is none yet."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
        os.fsync(descriptor)
        with suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        os.close(descriptor)
        new.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
