"""Calls on one connection: each gets its own answer, and none is waited for when the connection has ended."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from isthmus.cluster.mesos.line import Answer, CallLine
from isthmus.errors import NoAnswer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TRUST = ssl.create_default_context()


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server that talks like this with each that connects; its origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line for line in head.split("\r\n") if line.startswith("Content-Length"))
    return await reader.readexactly(int(length.partition(":")[2]))


def response(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def post(line: CallLine, origin: str, body: bytes) -> Answer:
    return await line.post(origin, "/calls", {"Content-Type": "application/json"}, body)


async def answer_all_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    bodies = [await request(reader) for _ in range(3)]
    writer.write(b"".join(response(body) for body in bodies))
    await writer.drain()
    await reader.read()


def test_calls_go_out_before_earlier_ones_are_answered_and_each_gets_its_own_answer() -> None:
    async def main() -> list[Answer]:
        async with listening(answer_all_at_once) as origin:
            line = CallLine(TRUST)
            found = await asyncio.gather(*(post(line, origin, b"%d" % n) for n in range(3)))
            await line.close()
            return found

    assert asyncio.run(main()) == [Answer(200, "0"), Answer(200, "1"), Answer(200, "2")]


def test_an_answer_in_chunks_is_put_together_and_its_status_kept() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(
            b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n now\r\n0\r\n\r\n"
        )
        await request(reader)
        writer.write(response(b"", "202 Accepted"))
        await writer.drain()
        await reader.read()

    async def main() -> list[Answer]:
        async with listening(refuse) as origin:
            line = CallLine(TRUST)
            found = [await post(line, origin, b"a"), await post(line, origin, b"b")]
            await line.close()
            return found

    assert asyncio.run(main()) == [Answer(400, "not now"), Answer(202, "")]


def test_calls_that_wait_when_the_connection_ends_have_no_answer_and_the_next_connects_anew() -> None:
    async def hang_up_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await request(reader)
        if body == b"late":
            writer.write(response(b"here"))
            await writer.drain()
            await reader.read()

    async def main() -> Answer:
        async with listening(hang_up_once) as origin:
            line = CallLine(TRUST)
            with pytest.raises(NoAnswer, match="ended before it answered"):
                await post(line, origin, b"first")
            found = await post(line, origin, b"late")
            await line.close()
            return found

    assert asyncio.run(main()) == Answer(200, "here")


def test_nobody_there_is_no_answer() -> None:
    async def main() -> None:
        async with listening(answer_all_at_once) as origin:
            pass
        with pytest.raises(NoAnswer, match="does not answer"):
            await post(CallLine(TRUST), origin, b"x")

    asyncio.run(main())


def test_what_is_no_http_is_no_answer() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"hello\r\n\r\n")
        await writer.drain()
        await reader.read()

    async def main() -> None:
        async with listening(babble) as origin:
            line = CallLine(TRUST)
            with pytest.raises(NoAnswer):
                await post(line, origin, b"x")
            await line.close()

    asyncio.run(main())
