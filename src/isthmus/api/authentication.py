"""Who is asking: every path below /api/v1 needs a token, so that a new route can't be left open by oversight."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.api.openapi import PREFIX
from isthmus.api.problem import respond_to
from isthmus.errors import IsthmusError, NotAllowed, NotSignedIn
from isthmus.gateway import By
from isthmus.store import Store, Viewer
from isthmus.store.users import Identity, Role
from isthmus.store.users import Scope as TokenScope

KEPT_S = 1.0
"""How long a token's identity is kept: what another process revokes is refused after this time at the latest."""

_MAX_KEPT = 10_000
_Headers = Iterable[tuple[bytes, bytes]]


class PasswordMustChange(NotAllowed):
    """The token was made with a one-time password, and is good for nothing but choosing another."""

    code = "password_must_change"


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user, and the token they came with."""

    identity: Identity
    token: str

    @property
    def viewer(self) -> Viewer:
        """An administrator acts as one only with a token that says so."""
        return Viewer(self.identity.user_id, self.is_administrator)

    @property
    def by(self) -> By:
        return By(self.viewer, self.identity.name)

    @property
    def is_administrator(self) -> bool:
        return self.identity.role is Role.ADMIN and TokenScope.ADMIN in self.identity.scopes

    @property
    def is_newcomer(self) -> bool:
        """The token was made with a one-time password, which is still to be replaced."""
        return self.identity.must_change_password and not self.identity.scopes

    def refusal(self, words: str) -> NotAllowed:
        """Why the caller may not do what was asked: these words, unless a password must be chosen first."""
        if not self.is_newcomer:
            return NotAllowed(words)
        return PasswordMustChange(
            "choose a password of your own with POST /api/v1/me/password, then sign in with it: yours is for one time"
        )


class Tokens:
    """Tells whose a token is, remembering answers for `KEPT_S`; used by any number of threads."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._kept: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._lock = threading.Lock()

    def remembered(self, token: str) -> Caller | None:
        """The caller, if that was found out lately; asks nobody."""
        with self._lock:
            kept = self._kept.get(_digest(token))
        return kept[1] if kept and self._clock() < kept[0] else None

    def caller(self, token: str) -> Caller:
        """The user whose token this is. NotSignedIn: unknown, expired, revoked, or the user is disabled."""
        caller = Caller(self._store.authenticate(token), token)
        with self._lock:
            self._kept[_digest(token)] = (self._clock() + KEPT_S, caller)
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return caller

    def expires_at(self, caller: Caller) -> float | None:
        """When the caller's token ends; None: never."""
        tokens = self._store.tokens(caller.identity.user_id)
        return next((token.expires_at for token in tokens if token.id == caller.identity.token_id), None)

    def forget(self) -> None:
        """Nothing is remembered: a token or a user has changed."""
        with self._lock:
            self._kept.clear()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class SignInRequired:
    """Puts the caller into the request's state, or answers 401.

    A name and password are accepted by one route only, which checks them itself.
    """

    def __init__(self, app: ASGIApp, *, tokens: Tokens, passwords_at: tuple[str, str]) -> None:
        self._app, self._tokens, self._passwords_at = app, tokens, passwords_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_below(scope["path"]):
            return await self._app(scope, receive, send)
        headers: _Headers = scope["headers"]
        if (scope["method"], scope["path"]) == self._passwords_at and basic_credentials(headers) is not None:
            return await self._app(scope, receive, send)
        try:
            caller = await self._caller(headers)
        except IsthmusError as error:
            return await respond_to(error)(scope, receive, send)
        scope.setdefault("state", {})["caller"] = caller
        return await self._app(scope, receive, send)

    async def _caller(self, headers: _Headers) -> Caller:
        token = bearer_token(headers)
        if token is None:
            raise NotSignedIn("sign in first: send a token as 'Authorization: Bearer isthmus_…'")
        known = self._tokens.remembered(token)
        return known if known is not None else await anyio.to_thread.run_sync(self._tokens.caller, token)


def _is_below(path: str) -> bool:
    return path == PREFIX or path.startswith(PREFIX + "/")


def _authorization(headers: _Headers) -> tuple[str, str]:
    value = next((value for name, value in headers if name == b"authorization"), b"").decode("latin-1")
    scheme, _, rest = value.partition(" ")
    return scheme.lower(), rest.strip()


def bearer_token(headers: _Headers) -> str | None:
    """The token that the request carries, whosever it is."""
    scheme, token = _authorization(headers)
    return token if scheme == "bearer" and token else None


def basic_credentials(headers: _Headers) -> tuple[str, str] | None:
    """Name and password that the request carries, right or wrong."""
    scheme, encoded = _authorization(headers)
    if scheme != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def _needing(scope: TokenScope) -> Callable[[Request], Awaitable[Caller]]:
    async def caller_with_scope(request: Request) -> Caller:  # async: a coroutine costs less than a thread's turn
        caller: Caller = request.state.caller
        if scope not in caller.identity.scopes:
            raise caller.refusal(f"this token lacks the scope '{scope}'")
        if scope is TokenScope.ADMIN and not caller.is_administrator:
            raise NotAllowed("only administrators may do this")
        return caller

    return caller_with_scope


async def _signed_in(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


SignedIn = Annotated[Caller, Depends(_signed_in)]
"""Whoever has a token, be it without scopes: for what a newcomer with a one-time password must be able to do."""

Reader = Annotated[Caller, Depends(_needing(TokenScope.READ))]
Submitter = Annotated[Caller, Depends(_needing(TokenScope.SUBMIT))]
Administrator = Annotated[Caller, Depends(_needing(TokenScope.ADMIN))]
