"""The short way of `POST /api/v1/jobs`: the one request that many people make at the same moment.

The framework's way to a route (two routers, dependencies, a worker thread that waits for the commit) costs several
times what taking in a job does. Here a plain submission is read, checked and stored within the event loop. Whatever is
not plain (files, a long body, a refusal, a key that was used before) goes the framework's way as if nothing had been
read, so that requests are refused in one place. Only what the store says once it was asked is answered here: asking it
again without a key could make two jobs.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.api.authentication import Caller
from isthmus.api.jobs import SUBMIT, key_of, request_of, submit_job, submitted
from isthmus.api.openapi import PREFIX
from isthmus.api.problem import respond_to
from isthmus.api.requests import IdempotencyKey, SubmitBody
from isthmus.errors import IsthmusError
from isthmus.gateway import Gateway
from isthmus.store.users import Scope as TokenScope

MAX_BYTES = 16 * 1024
"""The most that a plain body has. Checking a longer one could hold up everybody else."""

_PATH = f"{PREFIX}/jobs"
_ROUTE = Route("/jobs", submit_job, methods=["POST"])
_KEY: TypeAdapter[str | None] = TypeAdapter(IdempotencyKey)


class ShortWay:
    """Answers plain submissions; needs the caller in the request's state."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        self._app, self._gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        head = _Head.of(scope)
        if head is None:
            return await self._app(scope, receive, send)
        reading = _Reading(receive)
        content = await reading.body()
        response = None if content is None else await self._response(head, content, scope["state"]["caller"])
        if response is None:
            return await self._app(scope, reading.again, send)
        scope["route"] = _ROUTE  # under which requests are counted
        return await response(scope, receive, send)

    async def _response(self, head: _Head, content: bytes, caller: Caller) -> Response | None:
        """The answer to a plain submission, None to any other."""
        if TokenScope.SUBMIT not in caller.identity.scopes:
            return None
        try:
            body = SubmitBody.model_validate(json.loads(content))
        except (ValueError, RecursionError):  # a ValidationError is a ValueError
            return None
        if body.files:  # their key would ask the store, within the event loop
            return None
        key = key_of(head.key, SUBMIT, body, self._gateway, caller.viewer)
        try:
            found = await self._gateway.submit_soon(caller.by, request_of(body), key)
        except IsthmusError as error:
            return respond_to(error)
        return None if found is None else submitted(found)


@dataclass(frozen=True, slots=True)
class _Head:
    """A plain submission's head."""

    key: str | None

    @classmethod
    def of(cls, scope: Scope) -> _Head | None:
        """What the request's head says, None if that is not plain."""
        said = [(name, value) for name, value in scope["headers"] if name in _NAMES]
        named = dict(said)
        length = named.get(b"content-length", b"")
        if len(named) != len(said) or named.get(b"content-type") != b"application/json":
            return None
        if not length.isdigit() or int(length) > MAX_BYTES:
            return None
        key = named.get(b"idempotency-key")
        try:
            return cls(_KEY.validate_python(None if key is None else key.decode("latin-1")))
        except ValidationError:
            return None


_NAMES = frozenset({b"content-type", b"content-length", b"idempotency-key"})


@dataclass(slots=True)
class _Reading:
    """A body that can be read twice."""

    receive: Receive
    _read: deque[Message] = field(default_factory=deque)

    async def body(self) -> bytes | None:
        """All of it; None: the client went before its end, or it is longer than its head said (chunks count more)."""
        pieces = []
        size, more = 0, True
        while more:
            message = await self.receive()
            self._read.append(message)
            if message["type"] != "http.request":
                return None
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > MAX_BYTES:
                return None
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def again(self) -> Message:
        """What was read, and then what comes."""
        return self._read.popleft() if self._read else await self.receive()
