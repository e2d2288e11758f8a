"""A file on its way in: streamed into the file store as it comes, as the body itself or as one part of a form."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from isthmus.api.downloads import safe_media_type
from isthmus.errors import InputFault, InvalidInput

GATHERED = 1024 * 1024
"""Bytes gathered before they are written: each write is a thread's turn."""

_UNKNOWN = "application/octet-stream"
_NOTHING_SAID = frozenset({"", _UNKNOWN, "application/x-www-form-urlencoded"})  # the last is curl's default
MAX_NAME = 255


def file_name(sent: str) -> str:
    """The last part of what the sender called the file, without characters that no name should hold."""
    last = re.split(r"[/\\]", sent)[-1]
    kept = "".join(c for c in last if unicodedata.category(c)[0] not in "CZ" or c == " ").strip(" .")
    return kept[:MAX_NAME] or "file"


def media_type_of(sent: str, name: str) -> str:
    """The media type the sender gave, else the usual one for the name's ending."""
    plain = sent.partition(";")[0].strip().lower()
    if plain in _NOTHING_SAID:
        return mimetypes.guess_type(name, strict=False)[0] or _UNKNOWN
    return safe_media_type(plain)


def boundary_of(content_type: str) -> bytes | None:
    """What parts the parts of a form, None if the body is not one. InvalidInput: a form without a boundary."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return None
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise _bad_form("multipart/form-data needs a boundary")
    return boundary


@dataclass(slots=True)
class _Part:
    name: bytes = b""
    value: bytes = b""
    disposition: bytes = b""
    media_type: bytes = b""


class FormFile:
    """Takes the one file out of a multipart form, piece by piece; other fields are refused."""

    def __init__(self, boundary: bytes) -> None:
        self.name = ""
        self.media_type = ""
        self._found = 0
        self._ended = False
        self._part = _Part()
        self._pieces: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
        )

    async def content(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The file's bytes. InvalidInput: the body is not a form with one file, or ends before the form does."""
        async for chunk in body:
            try:
                self._parser.write(chunk)
            except FormParserError as fault:
                raise _bad_form(f"the form can't be read: {fault}") from fault
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
        if not self._ended or self._found != 1:
            raise _bad_form("the form must hold one file and end")

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _on_header_end(self) -> None:
        part = self._part
        if part.name.lower() == b"content-disposition":
            part.disposition = part.value
        elif part.name.lower() == b"content-type":
            part.media_type = part.value
        part.name = part.value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._part.disposition)
        self._found += 1
        if b"filename" not in options or self._found > 1:
            raise _bad_form("the form must hold one file and nothing else")
        self.name = options[b"filename"].decode("utf-8", "replace")
        self.media_type = self._part.media_type.decode("latin-1")
        self._part = _Part()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True


def _bad_form(message: str) -> InvalidInput:
    return InvalidInput(message, (InputFault("body", "bad_form", message),))


async def gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger pieces."""
    waiting: list[bytes] = []
    size = 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= GATHERED:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
