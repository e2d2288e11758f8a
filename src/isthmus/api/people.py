"""Routes of the caller's own account, of tokens, and of users."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from isthmus.api.authentication import Administrator, Caller, Reader, SignedIn, basic_credentials
from isthmus.api.documents import answer, new_token_document, token_document, user_document
from isthmus.api.openapi import errors
from isthmus.api.requests import IdInPath, NewUserBody, PasswordBody, TokenBody, UserPatch, WordInPath
from isthmus.api.responses import Me, NewTokenOut, TokenList, UserList, UserOut
from isthmus.api.services import Services, Shared
from isthmus.errors import InputFault, InvalidInput, NotAllowed, NotSignedIn
from isthmus.store.users import Role, Scope, User, UserChanges

me = APIRouter(prefix="/me", tags=["people"])
tokens = APIRouter(prefix="/tokens", tags=["people"])
users = APIRouter(prefix="/users", tags=["people"])

CURRENT = "current"
CHOOSING_S = 300.0
"""How long one who came with a one-time password may take to choose another."""

_SCOPES_OF = {Role.ADMIN: frozenset(Scope), Role.USER: frozenset(Scope) - {Scope.ADMIN}}
"""The most that a token made by password is good for, and what it is good for unless less is asked for."""


# --- the caller ------------------------------------------------------------
@me.get("", response_model=Me)
def show_me(caller: SignedIn) -> Response:
    """Who the token belongs to, and what it is good for."""
    identity = caller.identity
    return answer(
        {
            "name": identity.name,
            "role": identity.role.value,
            "scopes": [scope.value for scope in Scope if scope in identity.scopes],
        }
    )


@me.post("/password", status_code=204, responses=errors(_429="too many wrong passwords"))
def change_password(body: PasswordBody, request: Request, services: Shared, caller: SignedIn) -> Response:
    """The caller signs in with the new password from now on; tokens stay valid, but that of a one-time password."""
    store = services.gateway.store
    _checked(services, request, caller.identity.name, body.old, field="old")
    if caller.is_newcomer and body.new == body.old:
        message = "this is the password for one time: choose another"
        raise InvalidInput(message, (InputFault("new", "same_password", message),))
    store.set_password(caller.identity.name, body.new)
    if caller.is_newcomer:
        store.revoke_token(caller.viewer, caller.identity.token_id)
        _access_changed(services)
    return Response(status_code=204)


# --- tokens ------------------------------------------------------------
@tokens.get("", response_model=TokenList)
def list_tokens(services: Shared, caller: Reader) -> Response:
    """The caller's tokens that are not revoked; their texts can't be shown again."""
    found = services.gateway.store.tokens(caller.identity.user_id)
    return answer({"tokens": [token_document(token) for token in found if token.revoked_at is None]})


@tokens.post("", response_model=NewTokenOut, status_code=201, responses=errors(_429="too many wrong passwords"))
def create_token(body: TokenBody, request: Request, services: Shared) -> Response:
    """A new token of the caller's, who comes with name and password, or with a token that has all these scopes.

    One made with a token ends when that one does, at the latest. One made with a one-time password has no scopes and
    ends soon: it is good for `POST /me/password`, after which a better one can be made.
    """
    asked = None if body.scopes is None else frozenset(Scope(scope) for scope in body.scopes)
    credentials, expires_at = basic_credentials(request.headers.raw), body.expires_at
    if credentials is not None:
        user = _checked(services, request, *credentials)
        if user.must_change_password:
            return _for_choosing_a_password(services, user, body)
        user_id, permitted = user.id, _SCOPES_OF[user.role]
    else:
        caller: Caller = request.state.caller
        if not caller.identity.scopes:
            raise caller.refusal("this token is good for nothing that another could be made for")
        user_id, permitted = caller.identity.user_id, caller.identity.scopes
        expires_at = min(
            (at for at in (expires_at, services.tokens.expires_at(caller)) if at is not None), default=None
        )
    scopes = permitted if asked is None else asked
    if scopes - permitted:
        raise NotAllowed("a token can't be made with more scopes than the one it is made with")
    made = services.gateway.store.create_token(user_id, body.name, scopes, expires_at)
    return answer(new_token_document(made, must_change_password=False), 201)


def _for_choosing_a_password(services: Services, user: User, body: TokenBody) -> Response:
    """A token without scopes for who came with a one-time password, whatever they asked for."""
    end = time.time() + CHOOSING_S
    expires_at = end if body.expires_at is None else min(end, body.expires_at)
    made = services.gateway.store.create_token(user.id, body.name, (), expires_at)
    return answer(new_token_document(made, must_change_password=True), 201)


@tokens.delete("/{token_id}", status_code=204, responses=errors(_403="the token has more scopes than the one used"))
def revoke_token(token_id: IdInPath | Literal["current"], services: Shared, caller: Reader) -> Response:
    """The token is good for nothing any more, and streams opened with it end. `current` is the one used."""
    store = services.gateway.store
    meant = caller.identity.token_id if token_id == CURRENT else token_id
    if meant != caller.identity.token_id:
        _check_outranks(services, caller, meant)
    store.revoke_token(caller.viewer, meant)
    _access_changed(services)
    return Response(status_code=204)


def _check_outranks(services: Services, caller: Caller, token_id: str) -> None:
    """A token with few scopes, which may have been given away, can't take its owner's better ones from them."""
    identity = caller.identity
    theirs = next((one for one in services.gateway.store.tokens(identity.user_id) if one.id == token_id), None)
    if theirs is not None and theirs.scopes & _SCOPES_OF[identity.role] - identity.scopes:
        raise NotAllowed("a token can't revoke one that has more scopes")


def _access_changed(services: Services) -> None:
    """Nobody goes on with what they were allowed before: tokens are looked up anew, streams check theirs."""
    services.tokens.forget()
    services.tail.nudge()


def _checked(services: Services, request: Request, name: str, password: str, field: str | None = None) -> User:
    """The user of this name and password. NotSignedIn, or InvalidInput where `field` names a field; TooManyAttempts."""
    address = request.client.host if request.client else ""
    try:
        with services.passwords.attempt(name, address):
            return services.gateway.store.verify_password(name, password)
    except NotSignedIn:
        if field is None:
            raise
        message = "is not your password"
        raise InvalidInput(message, (InputFault(field, "wrong_password", message),)) from None


# --- users ------------------------------------------------------------
@users.get("", response_model=UserList)
def list_users(services: Shared, caller: Administrator) -> Response:
    """Every user, by name."""
    return answer({"users": [user_document(user) for user in services.gateway.store.users()]})


@users.post("", response_model=UserOut, status_code=201, responses=errors(_409="the name is taken"))
def create_user(body: NewUserBody, services: Shared, caller: Administrator) -> Response:
    """There is a new user, who can sign in if a password is given."""
    made = services.gateway.store.create_user(body.name, body.password, Role(body.role))
    return answer(user_document(made), 201)


@users.patch("/{name}", response_model=UserOut, responses=errors(_409="no administrator would be left"))
def change_user(name: WordInPath, body: UserPatch, services: Shared, caller: Administrator) -> Response:
    """The user is disabled or enabled, has this role and this password, or nothing changes; null: it stays."""
    role = None if body.role is None else Role(body.role)
    user = services.gateway.store.change_user(name, UserChanges(body.password, role, body.disabled))
    _access_changed(services)
    return answer(user_document(user))
