"""The two drivers, which perform a flow's steps with httpx: one waits, one awaits; they differ in nothing else."""

# asyncio is imported where it is needed: whoever only waits, as the command line does, starts without it.
# ruff: noqa: PLC0415
from __future__ import annotations

import base64
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import BinaryIO, TypedDict, TypeVar, cast

import httpx

from isthmus.client.call import CHUNK, Call, Flow, NextLine, Open, Pause, Save, Step
from isthmus.client.faults import refusal, unreachable
from isthmus.client.login import Login
from isthmus.errors import InvalidInput, IsthmusError, NotSignedIn

T = TypeVar("T")
CONNECT_S = 5.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_BROKEN = (httpx.TransportError, httpx.InvalidURL, IsthmusError)


class Driver:
    """Performs flows, one step after the other. May be shared by threads."""

    def __init__(self, login: Login, transport: httpx.BaseTransport | None) -> None:
        self.login = login
        self._http = httpx.Client(
            transport=transport, base_url=_address(login), trust_env=not _is_local(login), verify=_trust(login)
        )

    def close(self) -> None:
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """What the flow returns, once its steps are done; every stream it opened is closed."""
        answer: object = None
        fault: Exception | None = None
        with ExitStack() as streams:
            while True:
                try:
                    step = flow.throw(fault) if fault else flow.send(answer)
                except StopIteration as end:
                    return cast(T, end.value)
                answer = fault = None
                try:
                    answer = self._perform(step, streams)
                except _BROKEN as broken:
                    fault = _error(broken, self.login)

    def _perform(self, step: Step, streams: ExitStack) -> object:
        match step:
            case Call():
                content = _chunks(step.body) if step.body else None
                request = self._http.build_request(content=content, **_request(step, self.login))
                return step.read(_accepted(self._http.send(request)))
            case Pause():
                time.sleep(step.seconds)
            case Open():
                return self._stream(step.call, streams).iter_lines()
            case NextLine():
                return next(cast("Iterator[str]", step.stream), None)
            case Save():
                with ExitStack() as stack, step.sink as sink:
                    for chunk in self._stream(step.call, stack).iter_bytes():
                        sink.write(chunk)
        return None

    def _stream(self, call: Call[None], streams: ExitStack) -> httpx.Response:
        response = self._http.send(self._http.build_request(**_request(call, self.login)), stream=True)
        streams.callback(response.close)
        if not response.is_success:
            response.read()
        return _accepted(response)


class AsyncDriver:
    """Performs flows in an event loop; files are read and written in threads or in small pieces."""

    def __init__(self, login: Login, transport: httpx.AsyncBaseTransport | None) -> None:
        self.login = login
        self._http = httpx.AsyncClient(
            transport=transport, base_url=_address(login), trust_env=not _is_local(login), verify=_trust(login)
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """As `Driver.run`; cancelling it closes every stream."""
        answer: object = None
        fault: Exception | None = None
        async with AsyncExitStack() as streams:
            while True:
                try:
                    step = flow.throw(fault) if fault else flow.send(answer)
                except StopIteration as end:
                    return cast(T, end.value)
                answer = fault = None
                try:
                    answer = await self._perform(step, streams)
                except _BROKEN as broken:
                    fault = _error(broken, self.login)

    async def _perform(self, step: Step, streams: AsyncExitStack) -> object:
        import asyncio

        match step:
            case Call():
                content = _async_chunks(step.body) if step.body else None
                request = self._http.build_request(content=content, **_request(step, self.login))
                return step.read(_accepted(await self._http.send(request)))
            case Pause():
                await asyncio.sleep(step.seconds)
            case Open():
                return (await self._stream(step.call, streams)).aiter_lines()
            case NextLine():
                return await anext(cast("AsyncIterator[str]", step.stream), None)
            case Save():
                async with AsyncExitStack() as stack:
                    with step.sink as sink:
                        async for chunk in (await self._stream(step.call, stack)).aiter_bytes():
                            await asyncio.to_thread(sink.write, chunk)
        return None

    async def _stream(self, call: Call[None], streams: AsyncExitStack) -> httpx.Response:
        response = await self._http.send(self._http.build_request(**_request(call, self.login)), stream=True)
        streams.push_async_callback(response.aclose)
        if not response.is_success:
            await response.aread()
        return _accepted(response)


class _Request(TypedDict):
    method: str
    url: str
    params: dict[str, str | int | list[str]]
    headers: dict[str, str]
    json: object
    timeout: httpx.Timeout


def _request(call: Call[object] | Call[None], login: Login) -> _Request:
    """httpx's words for the call, without a body from a file. NotSignedIn: there is nothing to sign it with."""
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "headers": {**call.headers, "Authorization": _authorization(call, login)},
        "json": call.json,
        "timeout": httpx.Timeout(call.timeout_s, connect=CONNECT_S),
    }


def _authorization(call: Call[object] | Call[None], login: Login) -> str:
    if call.password:
        return "Basic " + base64.b64encode(":".join(call.password).encode()).decode()
    if not login.token:
        raise NotSignedIn(f"not signed in to {login.url}: run `isthmus login {login.url}`, or set ISTHMUS_TOKEN")
    return f"Bearer {login.token}"


def _accepted(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise refusal(response)
    return response


def _address(login: Login) -> httpx.URL:
    try:
        address = httpx.URL(login.url)
    except httpx.InvalidURL as fault:
        raise InvalidInput(f"{login.url!r} is not a gateway's address: {fault}") from fault
    if address.scheme not in ("http", "https") or not address.host:
        raise InvalidInput(f"{login.url!r} is not a gateway's address: it needs http:// or https:// and a host")
    return address


def _is_local(login: Login) -> bool:
    """A proxy of the environment can't reach this machine's own loopback."""
    return _address(login).host in _LOOPBACK


def _trust(login: Login) -> ssl.SSLContext | bool:
    """The certificates that are believed: the usual ones; none where nothing is to be encrypted.

    To load the usual ones costs as much as all the rest of a short command's connection.
    """
    return _address(login).scheme == "https" or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _error(fault: Exception, login: Login) -> Exception:
    return unreachable(fault, login.url) if isinstance(fault, httpx.TransportError) else fault


def _chunks(body: Path | BinaryIO) -> Iterator[bytes]:
    if isinstance(body, Path):
        with body.open("rb") as file:
            yield from _chunks(file)
    else:
        while chunk := body.read(CHUNK):
            yield chunk


async def _async_chunks(body: Path | BinaryIO) -> AsyncIterator[bytes]:
    import asyncio

    chunks = _chunks(body)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
