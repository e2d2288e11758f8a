"""The short way of `POST /api/v1/jobs`: the one request that many people make at the same moment.

The framework's way to a route (two routers, dependencies, a worker thread that waits for the commit) costs several
times what taking in a job does. Here a plain submission is read, checked and stored within the event loop. Whatever is
not plain (files, a long body, a refusal, a key that was used before) goes the framework's way as if nothing had been
read, so that requests are refused in one place. Only what the store says once it was asked is answered here: asking it
again without a key could make two jobs.

It stands in front of the framework, so it does itself what is done there around every route: it asks who the caller is,
counts the request, and answers a fault of ours without its words.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field

import structlog
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.api.authentication import Caller, bearer_token
from isthmus.api.jobs import SUBMIT, key_of, request_of, submit_job, submitted
from isthmus.api.openapi import PREFIX
from isthmus.api.problem import respond_to, surprise
from isthmus.api.requests import IdempotencyKey, SubmitBody
from isthmus.api.services import Services
from isthmus.errors import IsthmusError
from isthmus.store.users import Scope as TokenScope

MAX_BYTES = 16 * 1024
"""The most that a plain body has. Checking a longer one could hold up everybody else."""

_log = structlog.get_logger(__name__)
_PATH = f"{PREFIX}/jobs"
_ROUTE = Route("/jobs", submit_job, methods=["POST"])
_KEY: TypeAdapter[str | None] = TypeAdapter(IdempotencyKey)


class ShortWay:
    """Answers plain submissions, and hands everything else to the application."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services, self._gateway = app, services, services.gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        began = time.perf_counter()
        head = _Head.of(scope)
        caller = None if head is None else await self._caller(head.token)
        if head is None or caller is None:
            return await self._app(scope, receive, send)
        reading = _Reading(receive)
        content = await reading.body()
        response = None if content is None else await self._answer(head, content, caller)
        if response is None:
            return await self._app(scope, reading.again, send)
        self._services.figures.answered("POST", _ROUTE.path, response.status_code, time.perf_counter() - began)
        return await response(scope, receive, send)

    async def _caller(self, token: str) -> Caller | None:
        try:
            return await self._services.tokens.caller_soon(token)
        except IsthmusError:
            return None

    async def _answer(self, head: _Head, content: bytes, caller: Caller) -> Response | None:
        try:
            return await self._response(head, content, caller)
        except Exception:  # as the framework answers whatever a route raises
            _log.exception("a submission failed by a fault of ours")
            return surprise()

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

    token: str
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
        token = bearer_token(scope["headers"])
        if token is None:
            return None
        key = named.get(b"idempotency-key")
        try:
            return cls(token, _KEY.validate_python(None if key is None else key.decode("latin-1")))
        except ValidationError:
            return None


_NAMES = frozenset({b"content-type", b"content-length", b"idempotency-key"})


@dataclass(slots=True)
class _Reading:
    """A body that can be read twice."""

    receive: Receive
    _read: deque[Message] = field(default_factory=deque)

    async def body(self) -> bytes | None:
        """All of it; None: the client went before its end."""
        pieces = []
        more = True
        while more:
            message = await self.receive()
            self._read.append(message)
            if message["type"] != "http.request":
                return None
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def again(self) -> Message:
        """What was read, and then what comes."""
        return self._read.popleft() if self._read else await self.receive()
