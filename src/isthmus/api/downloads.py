"""Files over HTTP: one range of them if asked for, and nothing a browser would run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from isthmus.api.openapi import errors
from isthmus.api.problem import RangeNotSatisfiable

CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_MEDIA_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,64}/[a-zA-Z0-9!#$&^_.+-]{1,64}(?:; ?charset=[a-zA-Z0-9-]{1,32})?")

SAFE = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
"""What a user's program wrote is never shown as a page of this site."""


_BYTES = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "the bytes", **_BYTES},
    206: {"description": "the range asked for", **_BYTES},
    304: {"description": "not changed"},
    **errors(_416="the range lies outside the file"),
}
"""What `file_response` may answer."""


def file_response(request: Request, path: Path, *, size: int, sha256: str, name: str, media_type: str) -> Response:
    """The file, one range of it, or 304 if the caller has it. RangeNotSatisfiable: the range lies outside.

    Several ranges at once and ranges of another form are ignored, as RFC 9110 (14.2) permits.
    """
    etag = f'"{sha256}"'
    headers = {**SAFE, "ETag": etag, "Accept-Ranges": "bytes", "Content-Disposition": attachment(name)}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    part = None
    if request.headers.get("if-range", etag) == etag:
        part = _range(request.headers.get("range", ""), size)
    first, end = part or (0, size)
    headers["Content-Length"] = str(end - first)
    if part:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamingResponse(_slice(path, first, end), 206 if part else 200, headers, safe_media_type(media_type))


def attachment(name: str) -> str:
    """The Content-Disposition that makes a browser save the bytes under this name."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def safe_media_type(media_type: str) -> str:
    """The media type if it has a media type's form; anything else could end the header line."""
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"


def _range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None: the whole file is asked for."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        first, end = max(size - int(found[2]), 0), size
    else:
        first, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
        if found[2] and int(found[2]) < first:
            return None
    if first >= end:
        raise RangeNotSatisfiable(size)
    return first, end


async def _slice(path: Path, first: int, end: int) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(first)
        while first < end:
            chunk = await file.read(min(CHUNK, end - first))
            if not chunk:
                raise RuntimeError(f"{path} is shorter than its record says")
            first += len(chunk)
            yield chunk
