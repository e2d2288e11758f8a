"""Routes of attempts on nodes that don't see the gateway's files: for nodes with a ticket, and for nobody else.

    GET  /api/v1/attempts/TAG/order   what to do: over_http.sh with wrapper.sh, the job's script, the inputs' names
    GET  …/inputs/N                   an input, whole or in ranges
    POST …/claim                      {native_id, run, nonce}: 200 it is yours, 409 it is another's
    POST …/end                        {nonce, record}, a line's end, the list of what is there and short logs
                                      (`node_list`); answers what to send, nothing if all is here
    GET  …/files/KEY                  how many bytes of that file are here
    PUT  …/files/KEY                  the file, or the rest of it (Content-Range); Isthmus-Sha256 names it all

They are no part of the API that people use, so OpenAPI does not tell of them and no user's token opens them. A ticket
is looked at before anything else: with a wrong one every attempt, known or not, is answered 404. 410 means that the
attempt is void or over: nothing is given and nothing is taken any more. Everything may be asked again without harm.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

import anyio.to_thread
from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus import failpoint
from isthmus.api.authentication import bearer_token
from isthmus.api.downloads import file_response
from isthmus.api.node_list import MAX_LIST_BYTES, NodeList, asked_for, escaped, log_half
from isthmus.api.openapi import PREFIX
from isthmus.api.problem import problem, respond_to
from isthmus.api.uploads import gathered
from isthmus.collecting import MIB, STREAMS, Limits
from isthmus.errors import InvalidInput, IsthmusError, NotFound, StorageFault, TooLarge
from isthmus.files import FilePart, FileStore, OutOfStep, StoredFile
from isthmus.store import Store
from isthmus.store.remote import Listed, RemoteAttempt, RemoteOrder, RemoteOutput
from isthmus.tickets import Tickets

_SCRIPTS = ("over_http.sh", "wrapper.sh")
_MAX_SMALL = 64 * 1024
_AT_ONCE = 4096  # bytes of a list that are read without a thread of their own
_MOST_SENDERS = 64  # files that come in at the same time, in one process
_MOST_ORDERS = 1000  # kept in memory, since most are needed again soon
_LOG_MARK = 100  # bytes: room for the line that says what was left out of a log
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OVER = "this attempt is void or over: nothing more is given or taken"

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
_Seconds = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]  # as a time, the year 5138
_Count = Annotated[int, Field(ge=0, lt=2**31)]  # what a column holds
_Told = TypeVar("_Told", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ClaimIn(_Strict):
    """Who would start the program."""

    native_id: _Word
    run: Annotated[int, Field(ge=1, le=1_000_000)]
    nonce: _Word

    @property
    def holder(self) -> str:
        return f"{self.native_id}:{self.run}:{self.nonce}"


class RecordIn(_Strict):
    """An end record, as the wrapper writes it."""

    tag: _Word
    native_id: _Word
    run: Annotated[int, Field(ge=1, le=1_000_000)]
    code: Annotated[int, Field(ge=0, le=255)]
    stopped_by: Annotated[str, Field(pattern=r"^(walltime|cancel)?$")]
    signals: Annotated[list[Annotated[str, Field(pattern=r"^[A-Z0-9+-]{1,16}$")]], Field(max_length=1000)]
    host: Annotated[str, Field(max_length=255, pattern=r"^\P{C}*$")]
    started_at: _Seconds
    ended_at: _Seconds
    cpu_s: _Seconds | None
    peak_memory_mib: _Count | None
    oom_kills: _Count | None


class EndIn(_Strict):
    """The end of the program that this nonce's claim started."""

    nonce: _Word
    record: RecordIn

    @property
    def holder(self) -> str:
        return f"{self.record.native_id}:{self.record.run}:{self.nonce}"


class Gone(IsthmusError):
    """The attempt is void or over."""

    code = "gone"


class NotNow(IsthmusError):
    """Too many nodes send at the same time; this one waits a little."""

    code = "too_many_senders"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request of a node whose ticket fits; `rest` is what follows the route's name in the path."""

    request: Request
    tag: str
    rest: str


@dataclass(frozen=True, slots=True)
class _Route:
    """What the figures know a request by."""

    path: str


class AttemptRoutes:
    """Answers what is below /api/v1/attempts/, and hands everything else on."""

    def __init__(self, app: ASGIApp, *, store: Store, files: FileStore, tickets: Tickets) -> None:
        self._app, self._store, self._files, self._tickets = app, store, files, tickets
        self._senders = 0
        self._texts: dict[str, bytes] = {}
        self._orders: dict[str, RemoteOrder] = {}  # an order never changes; whether it still counts is asked elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_BELOW):
            return await self._app(scope, receive, send)
        tag, _, way = scope["path"].removeprefix(_BELOW).partition("/")
        name, _, rest = way.partition("/")
        answer = _ROUTES.get((scope["method"], name, bool(rest)))
        scope["route"] = _Route(f"{_BELOW}{{tag}}/{name}" if answer else "none")
        ticket = bearer_token(scope["headers"]) or ""
        if answer is None or not _TAG.fullmatch(tag) or not self._tickets.fits(tag, ticket):
            return await respond_to(NotFound("there is no such thing"))(scope, receive, send)
        response = await self._answered(answer, _Asked(Request(scope, receive), tag, rest))
        return await response(scope, receive, send)

    async def _answered(self, answer: Answer, asked: _Asked) -> Response:
        try:
            return await answer(self, asked)
        except Gone as gone:
            return problem(410, gone.code, gone.message)
        except NotNow as fault:
            return problem(429, fault.code, fault.message, headers={"Retry-After": "5"})
        except ClientDisconnect:
            return problem(400, "unfinished", "the connection ended before all of it was here")
        except IsthmusError as fault:
            return respond_to(fault)

    # --- what a node fetches ----------------------------------------------------------------------------------------
    async def _order(self, asked: _Asked) -> Response:
        order = await self._open_order(asked)
        over_http, wrapper = [await self._text(order.texts.get(name, "")) for name in _SCRIPTS]
        script = order.script.encode("utf-8", "surrogateescape")
        inputs = [f"# input {n} {one.size} {one.sha256} {escaped(one.name)}" for n, one in enumerate(order.inputs)]
        head = "\n".join([*inputs, f"# parts {len(wrapper)} {len(script)}", ""])
        return Response(b"".join([head.encode(), over_http, wrapper, script]), media_type="text/plain")

    async def _text(self, sha256: str) -> bytes:
        """A script of ours: few, and always the same."""
        if sha256 not in self._texts:
            text = await _in_thread(self._store.remote_text, sha256)
            if text is None:
                raise NotFound("there is no such thing")
            self._texts[sha256] = text.encode()
        return self._texts[sha256]

    async def _input(self, asked: _Asked) -> Response:
        order = await self._open_order(asked)
        number = int(asked.rest) if asked.rest.isdecimal() and len(asked.rest) < 7 else len(order.inputs)
        if number >= len(order.inputs):
            raise NotFound("there is no such thing")
        one = order.inputs[number]
        path = await _in_thread(self._files.path, one.sha256)
        plain = "application/octet-stream"
        return file_response(asked.request, path, size=one.size, sha256=one.sha256, name="input", media_type=plain)

    async def _open_order(self, asked: _Asked) -> RemoteOrder:
        """What the node is to do. Gone: nothing, any more."""
        found = await _in_thread(self._store.remote_order, asked.tag)
        _not_gone(found and found[0])
        assert found is not None  # noqa: S101  (`_not_gone` has seen to it)
        while len(self._orders) >= _MOST_ORDERS:
            del self._orders[next(iter(self._orders))]
        self._orders[asked.tag] = found[1]
        return found[1]

    async def _open(self, tag: str) -> RemoteAttempt:
        return _not_gone((await _in_thread(self._store.observe_remote, [tag])).get(tag))

    # --- what a node tells ------------------------------------------------------------------------------------------
    async def _claim(self, asked: _Asked) -> Response:
        claim = _checked(ClaimIn, await _small_body(asked.request))
        failpoint.reach("api.before_claim")
        found = _not_gone(await self._store.claim_remote_soon(asked.tag, claim.holder))
        failpoint.reach("api.after_claim")
        if found.claim != claim.holder:
            return problem(409, "claimed", f"the claim is held by {str(found.claim).partition(':')[0]}")
        return PlainTextResponse("yours\n")

    async def _end(self, asked: _Asked) -> Response:
        """The end record is kept, whatever is wrong with the list; a refusal, too, and then nothing more is taken."""
        order = self._orders.get(asked.tag) or await self._open_order(asked)
        pieces = gathered(asked.request.stream())
        head, rest = await _first_line(pieces)
        end = _checked(EndIn, head)
        try:
            listed = await self._listed(order, rest, pieces)
        except InvalidInput:
            await self._store.end_remote_soon(asked.tag, end.holder, end.record.model_dump_json())
            raise
        record = end.record.model_dump_json()
        found, missing = await self._store.end_remote_soon(asked.tag, end.holder, record, listed)
        found = _not_gone(found)
        failpoint.reach("api.after_end")
        if found.claim != end.holder:
            return problem(409, "claimed", f"the claim is held by {str(found.claim).partition(':')[0]}")
        if found.refusal:
            return problem(422, "refused", found.refusal)
        return PlainTextResponse("".join(asked_for(missing, order.limits)))

    async def _listed(self, order: RemoteOrder, first: bytes, pieces: AsyncIterator[bytes]) -> Listed | None:
        """What is wanted of what is there, logs that came along being in the file store; None: nothing was listed."""
        listed, size = NodeList(order.outputs, order.limits), 0
        piece: bytes | None = first
        while piece is not None:
            size += len(piece)
            if size > MAX_LIST_BYTES:
                return Listed((), "the names of the files in its work directory are too many to be told of")
            if len(piece) <= _AT_ONCE:
                listed.feed(piece)
            else:
                await _in_thread(listed.feed, piece)
            piece = await anext(pieces, None)
        return await _in_thread(self._kept, listed) if size else None

    def _kept(self, listed: NodeList) -> Listed:
        wanted, here = listed.wanted(), {}
        if listed.refusal:
            return Listed((), listed.refusal)
        for one, content in listed.following():
            with suppress(StorageFault):  # what finds no room is asked for, so that it comes when there is some
                here[one.key] = replace(one, sha256=self._files.put_bytes(content).sha256)
        return Listed([here.get(one.key, one) for one in wanted])

    # --- files ------------------------------------------------------------------------------------------------------
    async def _held(self, asked: _Asked) -> Response:
        await self._receiving(asked.tag)
        return PlainTextResponse(f"{await _in_thread(self._files.held, f'{asked.tag}.{asked.rest}')}\n")

    async def _put(self, asked: _Asked) -> Response:
        row = await self._receiving(asked.tag)
        one = await _in_thread(self._store.remote_output, asked.tag, asked.rest)
        if one is None:
            raise NotFound("this file is not wanted")
        offset, total = _range_of(asked.request.headers)
        sha256 = asked.request.headers.get("isthmus-sha256", "")
        if not _SHA256.fullmatch(sha256):
            raise InvalidInput("Isthmus-Sha256 must be the SHA-256 of the whole file, in hexadecimal")
        await self._check_room(asked, one, total)
        if self._senders >= _MOST_SENDERS:
            raise NotNow("too many files come in at the same time: try again in a moment")
        self._senders += 1
        try:
            stored = await self._received(asked, offset, total, sha256)
        except OutOfStep as fault:
            held = await _in_thread(self._files.held, f"{asked.tag}.{asked.rest}")
            return problem(409, fault.code, fault.message, headers={"Isthmus-Held": str(held)})
        finally:
            self._senders -= 1
        failpoint.reach("api.file_stored")
        if not await _in_thread(self._store.arrived_remote, row.tag, one.key, stored.sha256, stored.size):
            raise Gone(_OVER)
        return PlainTextResponse("here\n", 201)

    async def _received(self, asked: _Asked, offset: int, total: int, sha256: str) -> StoredFile:
        """The whole file, in the file store. ClientDisconnect: the rest is still to come, and what came stays."""
        key = f"{asked.tag}.{asked.rest}"
        async with contextmanager_in_threadpool(self._files.resumed(key, offset)) as part:
            async for piece in gathered(asked.request.stream()):
                if part.size + len(piece) > total:
                    raise InvalidInput("more bytes came than were announced")
                await _in_thread(part.write, piece)
                failpoint.reach("api.part_written")
            return await _in_thread(_finished, part, total, sha256)

    async def _check_room(self, asked: _Asked, one: RemoteOutput, total: int) -> None:
        """TooLarge: the file has grown since it was listed, past what a job may leave; the attempt's outputs end so."""
        order = await self._open_order(asked)
        if one.name in STREAMS:
            most, words = 2 * log_half(order.limits) + _LOG_MARK, "a log is longer than was announced"
        else:
            others = await _in_thread(self._store.remote_outputs_size, asked.tag, one.key)
            most, words = order.limits.max_output_mib * MIB - others, _too_much(order.limits)
        if total > most:
            if one.name not in STREAMS:
                await _in_thread(self._store.refuse_remote, asked.tag, words)
            raise TooLarge(words)

    async def _receiving(self, tag: str) -> RemoteAttempt:
        """The attempt, whose program has ended and whose files are not all here. Gone: they are, or nobody cares."""
        found = await self._open(tag)
        if found.sent_at is not None:
            raise Gone(found.refusal or "all files of this attempt are here")
        if found.ended_at is None:
            raise InvalidInput("the end record comes first")
        return found


Answer = Callable[[AttemptRoutes, _Asked], Awaitable[Response]]
_BELOW = f"{PREFIX}/attempts/"
_ROUTES: Mapping[tuple[str, str, bool], Answer] = {
    ("GET", "order", False): AttemptRoutes._order,
    ("GET", "inputs", True): AttemptRoutes._input,
    ("POST", "claim", False): AttemptRoutes._claim,
    ("POST", "end", False): AttemptRoutes._end,
    ("GET", "files", True): AttemptRoutes._held,
    ("PUT", "files", True): AttemptRoutes._put,
}


def _finished(part: FilePart, total: int, sha256: str) -> StoredFile:
    if part.size != total:
        raise InvalidInput("fewer bytes came than were announced: send the rest")
    return part.finish(sha256)


def _not_gone(found: RemoteAttempt | None) -> RemoteAttempt:
    if found is None or found.is_void or found.is_over:
        raise Gone(_OVER)
    return found


def _too_much(limits: Limits) -> str:
    return f"its outputs have more than the {limits.max_output_mib} MiB that a job may leave"


def _range_of(headers: Mapping[str, str]) -> tuple[int, int]:
    """Where the body begins in its file, and how large the file is. InvalidInput: they are not said."""
    found = _RANGE.fullmatch(headers.get("content-range", ""))
    if found:
        return int(found[1]), int(found[3])
    length = headers.get("content-length", "")
    if "content-range" in headers or not length.isdecimal() or len(length) > 15:
        raise InvalidInput("Content-Length must say how large the file is, or Content-Range which part of it this is")
    return 0, int(length)


async def _first_line(pieces: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    """The body's first line, and what came after it by now."""
    head = b""
    async for piece in pieces:
        head += piece
        if b"\n" in piece:
            break
        if len(head) > _MAX_SMALL:
            raise TooLarge(f"the end record may have at most {_MAX_SMALL} bytes")
    line, _, rest = head.partition(b"\n")
    return line, rest


async def _small_body(request: Request) -> bytes:
    pieces: list[bytes] = []
    async for piece in request.stream():
        pieces.append(piece)
        if sum(map(len, pieces)) > _MAX_SMALL:
            raise TooLarge(f"the request's body may have at most {_MAX_SMALL} bytes")
    return b"".join(pieces)


def _checked(kind: type[_Told], body: bytes) -> _Told:
    try:
        return kind.model_validate_json(body)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        raise InvalidInput(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from fault


_Given = TypeVar("_Given")


async def _in_thread(work: Callable[..., _Given], *given: object) -> _Given:
    return await anyio.to_thread.run_sync(lambda: work(*given))
