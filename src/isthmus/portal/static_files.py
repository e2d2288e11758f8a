"""The portal's style sheets, modules and images, and the code of others below `vendor/`: read once, kept compressed.

Their URLs hold one fingerprint of all of them, `/static/FINGERPRINT/css/base.css`, so a browser keeps each for good and
asks again after an upgrade; as it stands in the path, modules and style sheets may name each other relatively.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from isthmus.errors import IsthmusError

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static"

_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_READING = ("GET", "HEAD")

# What is not in this table is not served: editors and build tools leave files of their own.
_MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    body: bytes
    compressed: bytes | None  # None: not smaller
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class StaticFolder:
    """All files of a folder by their path in it, and one word that changes with any of them."""

    files: Mapping[str, StaticFile]
    fingerprint: str


def static_url(name: str) -> str:
    """The URL of a file below `static/`. IsthmusError if there is none of that name."""
    folder = portal_files()
    if name not in folder.files:
        raise IsthmusError(
            f"the portal has no static file {name}; what is below vendor/ comes with the installation: "
            "install Isthmus again (in a checkout: scripts/setup)"
        )
    return f"{PREFIX}/{folder.fingerprint}/{name}"


@cache
def portal_files() -> StaticFolder:
    """The portal's own folder, read once in a process."""
    return read_folder(FOLDER)


def read_folder(folder: Path) -> StaticFolder:
    """Every file below the folder whose kind browsers are served."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _MEDIA_TYPES and path.is_file())
    files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
    whole = "\n".join(f"{name} {file.digest}" for name, file in files.items())
    return StaticFolder(MappingProxyType(files), hashlib.sha256(whole.encode()).hexdigest()[:16])


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    compressed = gzip.compress(body, mtime=0)
    return StaticFile(
        body,
        compressed if len(compressed) < len(body) else None,
        _MEDIA_TYPES[path.suffix],
        hashlib.sha256(body).hexdigest()[:32],
    )


class StaticFiles:
    """Answers `/FINGERPRINT/NAME` below where it is mounted; only names that were read exist, so no path leads out."""

    def __init__(self, folder: StaticFolder | None = None) -> None:
        self._folder = folder or portal_files()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.method not in _READING:
            return PlainTextResponse("files here can only be read\n", 405, {"Allow": ", ".join(_READING)})
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        fingerprint, _, name = path.removeprefix("/").partition("/")
        file = self._folder.files.get(name)
        if file is None:
            return PlainTextResponse("there is no such file\n", 404)
        # A page from before an upgrade gets what there is now, and must not keep it under the old name.
        return _send(request, file, _FOR_GOOD if fingerprint == self._folder.fingerprint else _ASK_AGAIN)


def _send(request: Request, file: StaticFile, keep: str) -> Response:
    compressed = file.compressed if "gzip" in request.headers.get("accept-encoding", "") else None
    etag = f'"{file.digest}{"" if compressed is None else "-gzip"}"'
    headers = {"Cache-Control": keep, "ETag": etag, "Vary": "Accept-Encoding"}
    if etag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if compressed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(file.body if compressed is None else compressed, headers=headers, media_type=file.media_type)
