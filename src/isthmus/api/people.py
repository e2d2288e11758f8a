"""Routes of the caller's own account, of tokens, and of users."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from isthmus.api.access import actor_of, address_of
from isthmus.api.authentication import Administrator, Caller, Reader, SignedIn, Submitter, basic_credentials
from isthmus.api.documents import (
    answer,
    me_document,
    new_token_document,
    token_document,
    usage_document,
    user_document,
)
from isthmus.api.openapi import errors
from isthmus.api.requests import IdInPath, MePatch, NewUserBody, PasswordBody, TokenBody, UserPatch, WordInPath
from isthmus.api.responses.people import Me, NewTokenOut, TokenList, UsageOut, UserList, UserOut
from isthmus.api.services import Services, Shared
from isthmus.errors import InputFault, InvalidInput, NotAllowed, NotSignedIn
from isthmus.store.audit import Actor
from isthmus.store.users import Role, Scope, User, UserChanges

me = APIRouter(prefix="/me", tags=["people"])
tokens = APIRouter(prefix="/tokens", tags=["people"])
users = APIRouter(prefix="/users", tags=["people"])

CURRENT = "current"
CHOOSING_S = 300.0
"""How long one who came with a one-time password may take to choose another."""

SCOPES_OF = {Role.ADMIN: frozenset(Scope), Role.USER: frozenset(Scope) - {Scope.ADMIN}}
"""The most that a token made by password is good for, and what it is good for unless less is asked for."""


# --- the caller ------------------------------------------------------------
@me.get("", response_model=Me)
def show_me(services: Shared, caller: SignedIn) -> Response:
    """Who the token belongs to, what it is good for, and what they are told of."""
    return answer(me_document(caller.identity, services.gateway.store.notice_choice(caller.identity.user_id)))


@me.patch("", response_model=Me)
def change_me(body: MePatch, services: Shared, caller: Submitter) -> Response:
    """The caller is told of their jobs from now on as they say; what is null or left out stays."""
    store, user_id = services.gateway.store, caller.identity.user_id
    present = store.notice_choice(user_id)
    email = present.email if body.email is None else body.email or None
    letters = present.notices if body.notices is None else body.notices
    return answer(me_document(caller.identity, store.set_notice_choice(user_id, email, letters)))


@me.get("/usage", response_model=UsageOut)
def show_usage(services: Shared, caller: Reader) -> Response:
    """How much the caller holds and may hold, and how many of their jobs wait and run."""
    quota, identity = services.gateway.quota, caller.identity
    return answer(usage_document(quota.usage(identity.user_id), quota.limit_bytes(identity.name)))


@me.post("/password", status_code=204, responses=errors(_429="too many wrong passwords"))
def change_password(body: PasswordBody, request: Request, services: Shared, caller: SignedIn) -> Response:
    """The caller signs in with the new password from now on; tokens stay valid, but that of a one-time password."""
    store = services.gateway.store
    checked(services, request, caller.identity.name, body.old, field="old")
    if caller.is_newcomer and body.new == body.old:
        message = "this is the password for one time: choose another"
        raise InvalidInput(message, (InputFault("new", "same_password", message),))
    by = actor_of(request, caller)
    store.set_password(caller.identity.name, body.new, by)
    if caller.is_newcomer:
        store.revoke_token(caller.viewer, caller.identity.token_id, by)
        access_changed(services)
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
        user = checked(services, request, *credentials)
        by = Actor(user.id, user.name, address_of(request))
        if user.must_change_password:
            return _for_choosing_a_password(services, user, body, by)
        permitted = SCOPES_OF[user.role]
    else:
        caller: Caller = request.state.caller
        if not caller.identity.scopes:
            raise caller.refusal("this token is good for nothing that another could be made for")
        by, permitted = actor_of(request, caller), caller.identity.scopes
        expires_at = min(
            (at for at in (expires_at, services.tokens.expires_at(caller)) if at is not None), default=None
        )
    scopes = permitted if asked is None else asked
    if scopes - permitted:
        raise NotAllowed("a token can't be made with more scopes than the one it is made with")
    made = services.gateway.store.create_token(by.user_id or "", body.name, scopes, expires_at, by)
    return answer(new_token_document(made, must_change_password=False), 201)


def _for_choosing_a_password(services: Services, user: User, body: TokenBody, by: Actor) -> Response:
    """A token without scopes for who came with a one-time password, whatever they asked for."""
    end = time.time() + CHOOSING_S
    expires_at = end if body.expires_at is None else min(end, body.expires_at)
    made = services.gateway.store.create_token(user.id, body.name, (), expires_at, by)
    return answer(new_token_document(made, must_change_password=True), 201)


@tokens.delete("/{token_id}", status_code=204, responses=errors(_403="the token has more scopes than the one used"))
def revoke_token(
    request: Request, token_id: IdInPath | Literal["current"], services: Shared, caller: Reader
) -> Response:
    """The token is good for nothing any more, and streams opened with it end. `current` is the one used."""
    store = services.gateway.store
    meant = caller.identity.token_id if token_id == CURRENT else token_id
    if meant != caller.identity.token_id:
        _check_outranks(services, caller, meant)
    store.revoke_token(caller.viewer, meant, actor_of(request, caller))
    access_changed(services)
    return Response(status_code=204)


def _check_outranks(services: Services, caller: Caller, token_id: str) -> None:
    """A token with few scopes, which may have been given away, can't take its owner's better ones from them."""
    identity = caller.identity
    theirs = next((one for one in services.gateway.store.tokens(identity.user_id) if one.id == token_id), None)
    if theirs is not None and theirs.scopes & SCOPES_OF[identity.role] - identity.scopes:
        raise NotAllowed("a token can't revoke one that has more scopes")


def access_changed(services: Services) -> None:
    """Nobody goes on with what they were allowed before: tokens are looked up anew, streams check theirs."""
    services.tokens.forget()
    services.tail.nudge()


def checked(services: Services, request: Request, name: str, password: str, field: str | None = None) -> User:
    """The user of this name and password. NotSignedIn, or InvalidInput where `field` names a field; TooManyAttempts."""
    address = address_of(request)
    try:
        with services.passwords.attempt(name, address):
            return services.gateway.store.verify_password(name, password, address)
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
def create_user(request: Request, body: NewUserBody, services: Shared, caller: Administrator) -> Response:
    """There is a new user, who can sign in if a password is given."""
    by = actor_of(request, caller)
    made = services.gateway.store.create_user(body.name, body.password, Role(body.role), by)
    return answer(user_document(made), 201)


@users.patch("/{name}", response_model=UserOut, responses=errors(_409="no administrator would be left"))
def change_user(
    request: Request, name: WordInPath, body: UserPatch, services: Shared, caller: Administrator
) -> Response:
    """The user is disabled or enabled, has this role and this password, or nothing changes; null: it stays."""
    role = None if body.role is None else Role(body.role)
    changes, by = UserChanges(body.password, role, body.disabled), actor_of(request, caller)
    user = services.gateway.store.change_user(name, changes, by)
    access_changed(services)
    return answer(user_document(user))
