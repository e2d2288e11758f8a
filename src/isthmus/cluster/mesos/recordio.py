"""RecordIO, the framing of a master's event stream: decimal length, a line feed, that many bytes.

Neither HTTP chunks nor the network's pieces align with records, and a record may hold line feeds: only counting is
right. Source: https://mesos.apache.org/documentation/latest/scheduler-http-api/ and docs/facts/mesos.md.
"""

from __future__ import annotations

from collections.abc import Iterator

MOST_BYTES = 64 * 1024 * 1024  # of one record: offers of ten thousand agents are below it
_MOST_DIGITS = 20


class BrokenStream(ValueError):
    """What came is no RecordIO: the stream can't be read on."""


class Records:
    """Cuts a stream of bytes into records."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Every record that is whole with this piece, at once: none waits for the next to come. BrokenStream."""
        self._left += piece
        while (record := self._take()) is not None:
            yield record

    def _take(self) -> bytes | None:
        end = self._left.find(b"\n", 0, _MOST_DIGITS + 1)
        if end < 0:
            if len(self._left) > _MOST_DIGITS:
                raise BrokenStream("a record without a length")
            return None
        size = _size(bytes(self._left[:end]))
        if len(self._left) < end + 1 + size:
            return None
        record = bytes(self._left[end + 1 : end + 1 + size])
        del self._left[: end + 1 + size]
        return record


def _size(digits: bytes) -> int:
    if not digits.isdigit():
        raise BrokenStream(f"{digits!r} is not the length of a record")
    if (size := int(digits)) > MOST_BYTES:
        raise BrokenStream(f"a record of {size} bytes")
    return size
