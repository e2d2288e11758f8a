"""Users, as administrators see them: made, disabled, given a role or a new password, put into projects.

A password made here is for one time. It is shown once, in the answer to the request that made it, and kept nowhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.errors import Conflict, InputFault, InvalidInput, NotFound
from isthmus.portal.account import is_session
from isthmus.portal.reading import Form, with_form
from isthmus.portal.rendering import page
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.audit import Actor
from isthmus.store.users import Role, User, UserChanges

_CHANGED = {
    "role": "The role is changed. It holds at once, also for those who are signed in.",
    "disabled": "The user is disabled: no browser and no token of theirs is let in. Their jobs go on.",
    "enabled": "The user can sign in again.",
    "created": "The project is made: put people into it.",
    "renamed": "The project has its new name.",
    "member": "The members are changed.",
}


def actor_of(visitor: Visitor) -> Actor:
    """The administrator, as the audit names them. NotAllowed: the visitor is none."""
    return Actor(visitor.admin_viewer.user_id, visitor.name, visitor.address)


# --- users --------------------------------------------------------------------------------------------------
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
    by, name, password = actor_of(visitor), form.get("name").strip(), secrets.token_urlsafe(15)
    try:
        visitor.gateway.store.create_user(name, password, _role(form), by, one_time=True)
    except InvalidInput as invalid:
        return _users(request, 422, {fault.field: _sentence(fault.message) for fault in invalid.faults}, form)
    except Conflict as taken:
        return _users(request, 409, {"name": _sentence(taken.message)}, form)
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
    by, name, wanted = actor_of(visitor), request.path_params["name"], form.get("do")
    if wanted == "role":
        changes, said = UserChanges(role=_role(form)), "role"
    elif wanted in ("disable", "enable"):
        changes, said = UserChanges(disabled=wanted == "disable"), f"{wanted}d"
    else:
        raise InvalidInput("there is no such button: reload the page")
    user = visitor.gateway.store.change_user(name, changes, by)
    _access_changed(visitor)
    return RedirectResponse(f"/admin/users/{user.name}?changed={said}", 303)


@with_form
def reset_password(request: Request, form: Form) -> Response:
    """The user has a one-time password, which this answer shows, and is signed out of every browser."""
    visitor = visitor_of(request)
    by, store, password = actor_of(visitor), visitor.gateway.store, secrets.token_urlsafe(15)
    user: User = store.change_user(request.path_params["name"], UserChanges(password=password, one_time=True), by)
    for token in store.tokens(user.id):
        if token.revoked_at is None and is_session(token):
            store.revoke_token(visitor.admin_viewer, token.id, by)
    _access_changed(visitor)
    return _user(request, once=password)


def _role(form: Form) -> Role:
    try:
        return Role(form.get("role") or Role.USER)
    except ValueError:
        words = "choose one of these"
        raise InvalidInput(words, (InputFault("role", "choice", words),)) from None


def _access_changed(visitor: Visitor) -> None:
    visitor.services.tokens.forget()
    visitor.services.tail.nudge()


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


# --- projects -----------------------------------------------------------------------------------------------
def show_projects(request: Request) -> Response:
    """Every project with its members."""
    return _projects(request)


def _projects(
    request: Request, status: int = 200, faults: Mapping[str, str] | None = None, given: Form | None = None
) -> Response:
    """The list, with what is wrong with a form that was sent; a fault's name is the field's, `new` or a project's."""
    visitor = visitor_of(request)
    store, viewer = visitor.gateway.store, visitor.admin_viewer
    return page(
        request,
        "admin/projects.html",
        status,
        projects=store.projects(viewer),
        users=[user.name for user in store.users() if user.disabled_at is None],
        faults=faults or {},
        given=given or Form([]),
        changed=_CHANGED.get(request.query_params.get("changed", ""), ""),
    )


@with_form
def create_project(request: Request, form: Form) -> Response:
    """There is a new project without members, or the form says what is wrong."""
    visitor = visitor_of(request)
    by, name = actor_of(visitor), form.get("name").strip()
    try:
        visitor.gateway.store.create_project(name, by)
    except (InvalidInput, Conflict) as refused:
        return _projects(request, 422, {"new": _sentence(refused.message)}, form)
    return RedirectResponse(f"/admin/projects?changed=created#project-{name}", 303)


@with_form
def change_project(request: Request, form: Form) -> Response:
    """The project has another name, or one member more or less; or the form says what is wrong."""
    visitor = visitor_of(request)
    by, store, name = actor_of(visitor), visitor.gateway.store, request.path_params["name"]
    wanted, member, said = form.get("do"), form.get("member").strip(), "member"
    try:
        if wanted == "rename":
            name, said = store.rename_project(name, form.get("name").strip(), by).name, "renamed"
        elif wanted == "add":
            store.add_member(name, member, by)
        elif wanted == "remove":
            store.remove_member(name, member, by)
            visitor_of(request).services.tail.nudge()  # pages that were open because of the project end
        else:
            raise InvalidInput("there is no such button: reload the page")
    except (InvalidInput, Conflict, NotFound) as refused:
        return _projects(request, 422, {name: _sentence(refused.message)}, form)
    return RedirectResponse(f"/admin/projects?changed={said}#project-{name}", 303)


routes = [
    Route("/admin/users", show_users, methods=["GET"]),
    Route("/admin/users", create_user, methods=["POST"]),
    Route("/admin/users/{name}", show_user, methods=["GET"]),
    Route("/admin/users/{name}", change_user, methods=["POST"]),
    Route("/admin/users/{name}/password", reset_password, methods=["POST"]),
    Route("/admin/projects", show_projects, methods=["GET"]),
    Route("/admin/projects", create_project, methods=["POST"]),
    Route("/admin/projects/{name}", change_project, methods=["POST"]),
]
