"""Signing in and out, and choosing a password of one's own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.access import address_of
from isthmus.api.people import CHOOSING_S, SCOPES_OF, access_changed, checked
from isthmus.api.problem import TooManyAttempts, status_of
from isthmus.api.services import Services
from isthmus.errors import InputFault, InvalidInput, IsthmusError, NotSignedIn
from isthmus.portal.rendering import fault_sentence, page
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.session import SESSION_S, check_origin, cookie_name, csrf_of, safe_next, set_cookie
from isthmus.portal.visitor import visitor_of
from isthmus.store.audit import Actor
from isthmus.store.users import MAX_PASSWORD, MIN_PASSWORD, User

FORM_COOKIE = "isthmus_form"
"""Holds what the sign-in form is proved by while there is no session: nobody can sign a reader in as somebody else."""


def show_sign_in(request: Request) -> Response:
    """The form; who is signed in already goes on."""
    going_to = safe_next(request.query_params.get("next"))
    if getattr(request.state, "visitor", None) is not None:
        return RedirectResponse(going_to, 303)
    return _form(request, going_to)


@with_form
def sign_in(request: Request, form: Form) -> Response:
    """The browser has a session, or the form says what was wrong."""
    going_to = safe_next(form.get("next"))
    name, password = form.get("name", "").strip(), form.get("password", "")
    services: Services = request.app.state.services
    try:
        check_origin(request)
        if not _is_proved(request, form.get("csrf", "")):
            return _form(request, going_to, name, "The page was open for long. Please try again.", 403)
        user = checked(services, request, name, password)
    except NotSignedIn:
        return _form(request, going_to, name, "Name or password is wrong.", 401)
    except TooManyAttempts as refused:
        said = f"Too many wrong passwords. Try again in {refused.retry_after_s} seconds."
        return _form(request, going_to, name, said, 429)
    except IsthmusError as refused:
        return _form(request, going_to, name, refused.message, status_of(refused))
    answer = RedirectResponse("/password" if user.must_change_password else going_to, 303)
    set_cookie(request, answer, _session(services, request, user))
    answer.delete_cookie(FORM_COOKIE, path="/sign-in")
    return answer


def sign_out(request: Request) -> Response:
    """The session is over, here and everywhere it was copied to."""
    visitor = visitor_of(request)
    services = visitor.services
    services.gateway.store.revoke_token(visitor.caller.viewer, visitor.caller.identity.token_id, visitor.actor)
    access_changed(services)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(cookie_name(request), path="/")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def show_password(request: Request) -> Response:
    """The form for another password."""
    return _password_page(request, {})


def _password_page(request: Request, faults: Mapping[str, str], status: int = 200) -> Response:
    return page(request, "password.html", status, faults=faults, shortest=MIN_PASSWORD, longest=MAX_PASSWORD)


@with_form
def change_password(request: Request, form: Form) -> Response:
    """The user signs in with the new password from now on, or the form says what is wrong."""
    visitor = visitor_of(request)
    store, name = visitor.gateway.store, visitor.name
    old, new, by = form.get("old", ""), form.get("new", ""), visitor.actor
    try:
        _check_new(old, new, form.get("again", ""))
        checked(visitor.services, request, name, old, field="old")
        store.set_password(name, new, by)
    except InvalidInput as invalid:
        faults = {
            "new" if fault.field == "password" else fault.field: fault_sentence(fault) for fault in invalid.faults
        }
        return _password_page(request, faults, 422)
    user = store.user(name)
    answer = RedirectResponse("/account?changed=password" if not visitor.caller.is_newcomer else "/", 303)
    if visitor.caller.is_newcomer:  # the session so far was good for this only
        store.revoke_token(visitor.caller.viewer, visitor.caller.identity.token_id, by)
        set_cookie(request, answer, _session(visitor.services, request, user))
    access_changed(visitor.services)
    return answer


def _check_new(old: str, new: str, again: str) -> None:
    if new != again:
        raise InvalidInput("passwords differ", (InputFault("again", "differs", "This is not what you wrote above."),))
    if new == old:
        raise InvalidInput(
            "same password", (InputFault("new", "same_password", "Choose another than the present one."),)
        )


def _session(services: Services, request: Request, user: User) -> str:
    """The text of a new token: without scopes for who came with a one-time password, as on the API."""
    newcomer = user.must_change_password
    expires_at = time.time() + (CHOOSING_S if newcomer else SESSION_S)
    scopes = () if newcomer else SCOPES_OF[user.role]
    name = f"browser: {_browser(request.headers.get('user-agent', ''))}"
    by = Actor(user.id, user.name, address_of(request))
    return services.gateway.store.create_token(user.id, name, scopes, expires_at, by).text


def _browser(agent: str) -> str:
    """The browser in a word or two, by which people tell their sessions apart."""
    known = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
    )
    browser = next((name for mark, name in known if mark in agent), "unknown")
    system = next((name for mark, name in (*systems, ("Linux", "Linux")) if mark in agent), "")
    return f"{browser} on {system}" if system else browser


def _form(request: Request, going_to: str, name: str = "", fault: str = "", status: int = 200) -> Response:
    proof = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    answer = page(request, "sign_in.html", status, next=going_to, name=name, fault=fault, proof=csrf_of(proof))
    secure = request.url.scheme == "https"
    answer.set_cookie(FORM_COOKIE, proof, path="/sign-in", httponly=True, samesite="strict", secure=secure)
    return answer


def _is_proved(request: Request, given: str) -> bool:
    proof = request.cookies.get(FORM_COOKIE)
    return proof is not None and secrets.compare_digest(csrf_of(proof).encode(), given.encode())


routes = [
    Route("/sign-in", show_sign_in, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/password", show_password, methods=["GET"]),
    Route("/password", change_password, methods=["POST"]),
]
