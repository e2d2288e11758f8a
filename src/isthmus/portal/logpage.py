"""A job's log in pieces that begin and end with whole lines, as far as a page needs them.

A page begins with the last lines and follows what comes by `live`; older lines come by `before`. Nothing of a log is
ever interpreted: control characters are shown as signs, in the page by `visible`, in the browser by log.js.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from isthmus.api.downloads import SAFE, attachment
from isthmus.errors import InvalidInput, NotFound
from isthmus.gateway import Gateway, Stream
from isthmus.gateway.logs import LogPiece
from isthmus.portal.opened import Opened, open_job
from isthmus.store import Viewer

TAIL_BYTES = 32 * 1024
PIECE_BYTES = 128 * 1024
DOWNLOAD_BYTES = 1024 * 1024
MAX_NUMBERED = 64 * 1024 * 1024
"""Up to this many bytes before a piece its lines are counted, so that the first one's number is known."""
_COUNT_BYTES = 4 * 1024 * 1024
MAX_OFFSET = 2**53


@dataclass(frozen=True, slots=True)
class LogText:
    """Whole lines of a log. `first_line` is the number of the first, None where too much is before it to count."""

    stream: Stream
    text: str
    offset: int
    next_offset: int
    complete: bool
    first_line: int | None

    @property
    def lines(self) -> list[str]:
        """The lines with what can't be seen made visible."""
        if not self.text:
            return []
        return [visible(line) for line in self.text.removesuffix("\n").split("\n")]


def tail(gateway: Gateway, viewer: Viewer, job_id: str, stream: Stream) -> LogText:
    """The log's last lines."""
    piece = gateway.log(viewer, job_id, stream, -TAIL_BYTES, TAIL_BYTES)
    return _whole_lines(gateway, viewer, job_id, stream, piece)


def before(gateway: Gateway, viewer: Viewer, job_id: str, stream: Stream, end: int) -> LogText:
    """The lines that end at this byte, as many as a piece holds."""
    start = max(end - PIECE_BYTES, 0)
    piece = gateway.log(viewer, job_id, stream, start, end - start)
    return _whole_lines(gateway, viewer, job_id, stream, piece)


def _whole_lines(gateway: Gateway, viewer: Viewer, job_id: str, stream: Stream, piece: LogPiece) -> LogText:
    """Without the line that the piece begins in the middle of, unless it is all one line."""
    cut = (
        piece.content.find(b"\n") + 1
        if piece.offset and not _begins_line(gateway, viewer, job_id, stream, piece)
        else 0
    )
    content = piece.content[cut:] or piece.content
    offset = piece.next_offset - len(content)
    text, used = decoded(content, whole=piece.complete)
    number = _line_number(gateway, viewer, job_id, stream, offset)
    return LogText(stream, text, offset, offset + used, piece.complete, number)


def _begins_line(gateway: Gateway, viewer: Viewer, job_id: str, stream: Stream, piece: LogPiece) -> bool:
    return gateway.log(viewer, job_id, stream, piece.offset - 1, 1).content == b"\n"


def decoded(content: bytes, *, whole: bool) -> tuple[str, int]:
    """The bytes as text, and how many of them that took: a character cut at the end waits for its rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(content, final=whole)
    return text, len(content) - len(decoder.getstate()[0])


def _line_number(gateway: Gateway, viewer: Viewer, job_id: str, stream: Stream, offset: int) -> int | None:
    if offset > MAX_NUMBERED:
        return None
    ends, at = 0, 0
    while at < offset:
        piece = gateway.log(viewer, job_id, stream, at, min(_COUNT_BYTES, offset - at))
        if not piece.content:  # another attempt has begun meanwhile, and its log is shorter
            return None
        ends += piece.content.count(b"\n")
        at = piece.next_offset
    return ends + 1


_C0 = {code: chr(0x2400 + code) for code in range(32) if code != 9}
_OTHERS = (0x7F, *range(0x80, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
_VISIBLE = _C0 | {code: f"⟨U+{code:04X}⟩" for code in _OTHERS} | {0x7F: "␡"}


def visible(line: str) -> str:
    """The line with a sign in place of each control character, those included that turn the direction of writing."""
    return line.removesuffix("\r").translate(_VISIBLE)


# --- routes -----------------------------------------------------------------------------------------------------------
def show_piece(request: Request) -> Response:
    """Lines of the log as JSON: those that end at `before`, else the last ones."""
    job, stream = open_job(request), _stream(request)
    end = request.query_params.get("before")
    viewer = job.access.viewer
    if end is None:
        found = tail(job.gateway, viewer, job.id, stream)
    else:
        found = before(job.gateway, viewer, job.id, stream, _offset(end))
    return JSONResponse(
        {
            "stream": found.stream.value,
            "text": found.text,
            "offset": found.offset,
            "next_offset": found.next_offset,
            "complete": found.complete,
            "first_line": found.first_line,
        }
    )


def download(request: Request) -> Response:
    """The whole log, as far as it is here, to be saved."""
    stream = _stream(request)
    job = open_job(request)
    first = job.gateway.log(job.access.viewer, job.id, stream, 0, DOWNLOAD_BYTES)
    open_job(request, download=stream.value)
    headers = {**SAFE, "Content-Disposition": attachment(f"{job.id}.{stream.value}.txt")}
    return StreamingResponse(_pieces(job, stream, first), 200, headers, "text/plain; charset=utf-8")


async def _pieces(job: Opened, stream: Stream, piece: LogPiece) -> AsyncIterator[bytes]:
    """What there is now; what is written meanwhile is left to the next download."""
    while piece.content:
        yield piece.content
        if len(piece.content) < DOWNLOAD_BYTES:
            return
        piece = await anyio.to_thread.run_sync(
            job.gateway.log, job.access.viewer, job.id, stream, piece.next_offset, DOWNLOAD_BYTES
        )


def _stream(request: Request) -> Stream:
    name = request.path_params["stream"]
    if name not in tuple(Stream):
        raise NotFound("there is no such log: a job has stdout and stderr")
    return Stream(name)


def _offset(text: str) -> int:
    if not text.isdecimal() or len(text) > 16 or int(text) > MAX_OFFSET:
        raise InvalidInput("there is no such place in the log: reload the page")
    return int(text)
