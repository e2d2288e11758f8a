"""One connection for calls, used for the next before the last is answered: answers come in the order of the calls.

A master takes calls in order within a connection only, and a busy framework acknowledges thousands of updates, so what
a general client does for each request (2 to 6 ms of it, where this takes 0.2) would be most of what a job costs.
Source: RFC 9112, sections 6 and 9.3.2; libprocess answers pipelined requests in order.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from isthmus.errors import NoAnswer

ANSWER_S = 10.0
CONNECT_S = 5.0
MOST_BYTES = 1024 * 1024  # of an answer's head, and of its body


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str


@dataclass(slots=True)
class CallLine:
    """A connection to one place at a time, made when it is needed."""

    trust: ssl.SSLContext
    _origin: str = ""
    _writer: asyncio.StreamWriter | None = None
    _reading: asyncio.Task[None] | None = None
    _waiting: deque[asyncio.Future[Answer]] = field(default_factory=deque)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def post(self, origin: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to a POST. NoAnswer: there is none, and whether the call arrived is not known."""
        try:
            async with asyncio.timeout(ANSWER_S):
                async with self._turn:
                    writer = await self._open(origin)
                    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                    self._waiting.append(answer)
                    writer.write(_request(origin, path, headers, body))
                    await writer.drain()
                return await answer
        except (OSError, TimeoutError) as fault:  # whoever waits behind this call would wait as long
            await self.close()
            raise NoAnswer(f"{origin} does not answer ({fault or 'not in time'})") from fault

    async def _open(self, origin: str) -> asyncio.StreamWriter:
        if self._writer is not None and self._origin == origin and not self._writer.is_closing():
            return self._writer
        await self.close()
        place = urlsplit(origin)
        secure = self.trust if place.scheme == "https" else None
        port = place.port or (443 if secure else 80)
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(place.hostname, port, ssl=secure, limit=MOST_BYTES)
        self._origin, self._writer = origin, writer
        self._reading = asyncio.create_task(self._read(reader, self._waiting))
        return writer

    async def _read(self, reader: asyncio.StreamReader, waiting: deque[asyncio.Future[Answer]]) -> None:
        """Gives each call its answer, until the connection ends; then the rest has none."""
        try:
            while True:
                answer = await _answer(reader)
                call = waiting.popleft()
                if not call.done():
                    call.set_result(answer)
        except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError):
            pass  # it ended, or says what is no answer to anything
        finally:
            if self._waiting is waiting:
                self._abandon()
            for call in waiting:
                if not call.done():
                    call.set_exception(NoAnswer("the connection to the master ended before it answered"))

    def _abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._waiting = None, deque()

    async def close(self) -> None:
        """The connection is closed, and calls that wait have no answer."""
        reading, self._reading = self._reading, None
        self._abandon()
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


def _request(origin: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {urlsplit(origin).netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    status = int(head[0].split(" ")[1])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(min(int(headers.get("content-length", "0")), MOST_BYTES))
    return Answer(status, body.decode(errors="replace"))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
        if len(body) > MOST_BYTES:
            raise ValueError("an answer that is too long")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return body
