"""Users, as administrators see them: made, disabled, given a role or a new password.

A password made here is for one time. It is shown once, in the answer to the request that made it, and kept nowhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.people import access_changed
from isthmus.errors import Conflict, InputFault, InvalidInput
from isthmus.portal.account import is_session
from isthmus.portal.rendering import page, sentence
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import visitor_of
from isthmus.store.users import Role, User, UserChanges

_CHANGED = {
    "role": "The role is changed. It holds at once, also for those who are signed in.",
    "disabled": "The user is disabled: no browser and no token of theirs is let in. Their jobs go on.",
    "enabled": "The user can sign in again.",
}


def show_users(request: Request) -> Response:
    """Every user, by name."""
    return _users(request)


def _users(
    request: Request,
    status: int = 200,
    faults: Mapping[str, str] | None = None,
    given: Form | None = None,
    once: tuple[str, str] | None = None,
) -> Response:
    """The list, with what is wrong with a form that was sent, or the user and password that were just made."""
    visitor = visitor_of(request)
    _ = visitor.admin_viewer
    return page(
        request,
        "admin/users.html",
        status,
        users=visitor.gateway.store.users(),
        roles=list(Role),
        faults=faults or {},
        given=given or Form([]),
        once=once,
    )


@with_form
def create_user(request: Request, form: Form) -> Response:
    """There is a new user with a one-time password, which this answer shows; or the form says what is wrong."""
    visitor = visitor_of(request)
    by, name, password = visitor.admin_actor, form.get("name").strip(), secrets.token_urlsafe(15)
    try:
        visitor.gateway.store.create_user(name, password, _role(form), by, one_time=True)
    except InvalidInput as invalid:
        return _users(request, 422, {fault.field: sentence(fault.message) for fault in invalid.faults}, form)
    except Conflict as taken:
        return _users(request, 409, {"name": sentence(taken.message)}, form)
    return _users(request, once=(name, password))


def show_user(request: Request) -> Response:
    """One user: what they take up, their projects, and what can be done."""
    return _user(request)


def _user(request: Request, *, once: str = "") -> Response:
    """The user's page. `once` is the password that was just made."""
    visitor = visitor_of(request)
    gateway, viewer = visitor.gateway, visitor.admin_viewer
    user = gateway.store.user(request.path_params["name"])
    tokens = [token for token in gateway.store.tokens(user.id) if token.revoked_at is None]
    return page(
        request,
        "admin/user.html",
        user=user,
        roles=list(Role),
        usage=gateway.store.usage(user.id),
        limit_bytes=gateway.quota.limit_bytes(user.name),
        sessions=sum(is_session(token) for token in tokens),
        tokens=sum(not is_session(token) for token in tokens),
        projects=[project for project in gateway.store.projects(viewer) if user.name in project.members],
        once=once,
        changed=_CHANGED.get(request.query_params.get("changed", ""), ""),
    )


@with_form
def change_user(request: Request, form: Form) -> Response:
    """The user has this role, or is disabled or enabled. Conflict: no administrator would be left."""
    visitor = visitor_of(request)
    by, name, wanted = visitor.admin_actor, request.path_params["name"], form.get("do")
    if wanted == "role":
        changes, said = UserChanges(role=_role(form)), "role"
    elif wanted in ("disable", "enable"):
        changes, said = UserChanges(disabled=wanted == "disable"), f"{wanted}d"
    else:
        raise InvalidInput("there is no such button: reload the page")
    user = visitor.gateway.store.change_user(name, changes, by)
    access_changed(visitor.services)
    return RedirectResponse(f"/admin/users/{user.name}?changed={said}", 303)


@with_form
def reset_password(request: Request, form: Form) -> Response:
    """The user has a one-time password, which this answer shows, and is signed out of every browser."""
    visitor = visitor_of(request)
    by, store, password = visitor.admin_actor, visitor.gateway.store, secrets.token_urlsafe(15)
    user: User = store.change_user(request.path_params["name"], UserChanges(password=password, one_time=True), by)
    for token in store.tokens(user.id):
        if token.revoked_at is None and is_session(token):
            store.revoke_token(visitor.admin_viewer, token.id, by)
    access_changed(visitor.services)
    return _user(request, once=password)


def _role(form: Form) -> Role:
    try:
        return Role(form.get("role") or Role.USER)
    except ValueError:
        words = "choose one of these"
        raise InvalidInput(words, (InputFault("role", "choice", words),)) from None


routes = [
    Route("/admin/users", show_users, methods=["GET"]),
    Route("/admin/users", create_user, methods=["POST"]),
    Route("/admin/users/{name}", show_user, methods=["GET"]),
    Route("/admin/users/{name}", change_user, methods=["POST"]),
    Route("/admin/users/{name}/password", reset_password, methods=["POST"]),
]
