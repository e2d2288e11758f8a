"""The visitor's own account: what they are told of, tokens, sessions, what they hold, projects, light or dark."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.people import SCOPES_OF, access_changed, checked
from isthmus.api.problem import TooManyAttempts
from isthmus.errors import InputFault, InvalidInput, NotFound
from isthmus.portal.rendering import THEME_COOKIE, fault_sentence, page, sentence
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store import JobView
from isthmus.store.listing import ListQuery
from isthmus.store.notices import LETTERS
from isthmus.store.users import NewToken, Scope, Token
from isthmus.store.words import is_storable

BROWSER = "browser:"
"""What the names of tokens begin with that are sessions of browsers."""

DAY_S = 86_400.0
TOKEN_DAYS = (7, 30, 90, 365)
NAME_CHARACTERS = 64
UPLOADS_PAGE = 25
THEME_S = 365 * 86_400

SCOPE_WORDS: Mapping[Scope, str] = MappingProxyType(
    {
        Scope.READ: "read: see my jobs, their logs and files",
        Scope.SUBMIT: "submit: run applications, cancel and delete my jobs",
        Scope.ADMIN: "admin: everything that administrators may do",
    }
)
LETTER_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "b": "a job of mine began to run",
        "e": "a job of mine ended by itself, well or not",
        "a": "a job of mine was cancelled, or something else than its program ended it",
    }
)


@dataclass(frozen=True, slots=True)
class Large:
    """A job that holds much: what its outputs sum up to."""

    job: JobView
    output_bytes: int


def show_account(request: Request) -> Response:
    """The page."""
    return _page(request)


def _page(
    request: Request,
    status: int = 200,
    faults: Mapping[str, str] | None = None,
    given: Form | None = None,
    made: NewToken | None = None,
) -> Response:
    """The account, with what is wrong with a form that was sent, or with the token that was just made."""
    known = _known(visitor_of(request))
    changed = request.query_params.get("changed", "")
    return page(
        request,
        "account/show.html",
        status,
        **known,
        faults=faults or {},
        given=given or Form([]),
        made=made,
        changed=_CHANGED.get(changed, ""),
    )


_CHANGED = {
    "password": "Your password is changed. Other browsers stay signed in: sign them out below if you like.",
    "notices": "Your choice of notices is kept.",
    "token": "The token is good for nothing any more.",
    "sessions": "Every other browser is signed out.",
    "session": "The browser is signed out.",
    "upload": "The file is deleted. Jobs that took it keep it.",
    "uploads": "The files that no job took are deleted.",
    "theme": "The theme is changed.",
}


def _known(visitor: Visitor) -> dict[str, object]:
    gateway = visitor.gateway
    tokens, sessions = _standing(visitor)
    usage = gateway.quota.usage(visitor.user_id)
    return {
        "choice": gateway.store.notice_choice(visitor.user_id),
        "letters": [(letter, LETTER_WORDS[letter]) for letter in LETTERS],
        "sends_mail": bool(gateway.configuration.house.mail.host),
        "tokens": tokens,
        "sessions": sessions,
        "present": visitor.caller.identity.token_id,
        "scopes": [(scope, SCOPE_WORDS[scope]) for scope in Scope if scope in SCOPES_OF[visitor.caller.identity.role]],
        "scope_words": SCOPE_WORDS,
        "token_days": TOKEN_DAYS,
        "usage": usage,
        "limit_bytes": gateway.quota.limit_bytes(visitor.name),
        **_uploads(visitor),
        "large": list(_large(visitor)) if usage.output_bytes else [],
        "projects": gateway.store.projects(visitor.viewer),
    }


def _uploads(visitor: Visitor) -> dict[str, object]:
    """The visitor's uploads, the newest first, a page of them, with how many jobs took each."""
    store, before = visitor.gateway.store, visitor.request.query_params.get("uploads_before") or None
    found = store.uploads(visitor.viewer, UPLOADS_PAGE + 1, before)
    shown = found[:UPLOADS_PAGE]
    earlier = shown[-1].id if len(found) > UPLOADS_PAGE else None
    return {"uploads": shown, "uses": store.upload_uses(visitor.viewer, shown), "uploads_earlier": earlier}


def _standing(visitor: Visitor) -> tuple[list[Token], list[Token]]:
    """The visitor's tokens that are good for something: those of programs, and those of browsers."""
    now = time.time()
    found = [
        token
        for token in visitor.gateway.store.tokens(visitor.user_id)
        if token.revoked_at is None and (token.expires_at is None or token.expires_at > now)
    ]
    return [one for one in found if not is_session(one)], [one for one in found if is_session(one)]


def is_session(token: Token) -> bool:
    return token.name.startswith(BROWSER)


def _large(visitor: Visitor) -> Iterator[Large]:
    """Of the jobs that ended last, those with the largest outputs."""
    store = visitor.gateway.store
    recent = store.page(visitor.viewer, ListQuery(limit=50)).jobs
    found = [store.job(visitor.viewer, one.id) for one in recent if one.state.is_final]
    sizes = [Large(job, sum(output.size for output in job.outputs)) for job in found]
    yield from sorted((one for one in sizes if one.output_bytes), key=lambda one: -one.output_bytes)[:5]


# --- notices ------------------------------------------------------------------------------------------------
@with_form
def choose_notices(request: Request, form: Form) -> Response:
    """The visitor is told of this from now on, or the form says what is wrong."""
    visitor = visitor_of(request)
    letters = "".join(letter for letter in form.all("notices"))
    try:
        visitor.gateway.store.set_notice_choice(visitor.user_id, form.get("email").strip() or None, letters)
    except InvalidInput as invalid:
        return _page(request, 422, _by_field(invalid), form)
    return RedirectResponse("/account?changed=notices#notices", 303)


def _by_field(invalid: InvalidInput) -> Mapping[str, str]:
    return {fault.field: fault_sentence(fault) for fault in invalid.faults}


# --- tokens -------------------------------------------------------------------------------------------------
@with_form
def make_token(request: Request, form: Form) -> Response:
    """There is a new token, whose text the page shows this one time; or the form says what is wrong."""
    visitor = visitor_of(request)
    try:
        name, scopes, expires_at = _wanted(visitor, form)
        # What outlives a session takes more than a session to make.
        checked(visitor.services, request, visitor.name, form.get("password"), field="password")
    except InvalidInput as invalid:
        return _page(request, 422, _by_field(invalid), form)
    except TooManyAttempts as refused:
        return _page(request, 422, {"password": sentence(refused.message)}, form)
    made = visitor.gateway.store.create_token(visitor.user_id, name, scopes, expires_at, visitor.actor)
    return _page(request, made=made)


def _wanted(visitor: Visitor, form: Form) -> tuple[str, frozenset[Scope], float | None]:
    """Name, scopes and end of the token that the form asks for. InvalidInput: everything that is wrong with it."""
    name = " ".join(form.get("name").split())
    faults: list[InputFault] = []
    if not name or len(name) > NAME_CHARACTERS or not name.isprintable() or not is_storable(name):
        words = f"A name of up to {NAME_CHARACTERS} characters says later what the token is for."
        faults.append(InputFault("name", "length", words))
    elif name.startswith(BROWSER):
        faults.append(InputFault("name", "reserved", f"Names that begin with “{BROWSER}” are those of browsers."))
    known = {scope.value: scope for scope in SCOPES_OF[visitor.caller.identity.role]}
    asked = [word for word in form.all("scope") if word in known]
    if not asked or len(asked) != len(form.all("scope")):
        faults.append(InputFault("scope", "choice", "Choose at least one of these."))
    days = form.get("days")
    if days not in ("", *(str(n) for n in TOKEN_DAYS)):
        faults.append(InputFault("days", "choice", "Choose one of these."))
    if faults:
        raise InvalidInput("the token can't be made so", tuple(faults))
    expires_at = time.time() + int(days) * DAY_S if days else None
    return name, frozenset(known[word] for word in asked), expires_at


@with_form
def revoke_token(request: Request, form: Form) -> Response:
    """The visitor's token is good for nothing any more. NotFound."""
    visitor = visitor_of(request)
    _revoke(visitor, [request.path_params["token_id"]])
    return RedirectResponse("/account?changed=token#tokens", 303)


@with_form
def end_session(request: Request, form: Form) -> Response:
    """One browser is signed out; this very one goes on to the sign-in page."""
    visitor, session_id = visitor_of(request), request.path_params["session_id"]
    _, sessions = _standing(visitor)
    if session_id not in {session.id for session in sessions}:
        raise NotFound("this browser is not signed in any more")
    _revoke(visitor, [session_id])
    return RedirectResponse("/account?changed=session#sessions", 303)


# --- uploads ------------------------------------------------------------------------------------------------
@with_form
def delete_upload(request: Request, form: Form) -> Response:
    """The visitor's upload is gone; jobs that took it keep it. NotFound."""
    visitor = visitor_of(request)
    visitor.gateway.store.delete_upload(visitor.viewer, request.path_params["upload_id"])
    visitor.gateway.quota.forget(visitor.user_id)
    return RedirectResponse("/account?changed=upload#uploads", 303)


@with_form
def delete_unused(request: Request, form: Form) -> Response:
    """The visitor's uploads that no job of theirs took are gone."""
    visitor = visitor_of(request)
    visitor.gateway.store.delete_unused_uploads(visitor.viewer)
    visitor.gateway.quota.forget(visitor.user_id)
    return RedirectResponse("/account?changed=uploads#uploads", 303)


@with_form
def end_sessions(request: Request, form: Form) -> Response:
    """Every browser but this one is signed out."""
    visitor = visitor_of(request)
    _, sessions = _standing(visitor)
    present = visitor.caller.identity.token_id
    _revoke(visitor, [session.id for session in sessions if session.id != present])
    return RedirectResponse("/account?changed=sessions#sessions", 303)


def _revoke(visitor: Visitor, ids: Sequence[str]) -> None:
    for token_id in ids:
        visitor.gateway.store.revoke_token(visitor.viewer, token_id, visitor.actor)
    access_changed(visitor.services)


# --- theme --------------------------------------------------------------------------------------------------
@with_form
def choose_theme(request: Request, form: Form) -> Response:
    """Pages are light, dark, or as the system is, in this browser."""
    theme = form.get("theme")
    answer = RedirectResponse("/account?changed=theme#theme", 303)
    kept_s = THEME_S if theme in ("light", "dark") else 0
    secure = request.url.scheme == "https"
    answer.set_cookie(THEME_COOKIE, theme if kept_s else "", max_age=kept_s, path="/", samesite="lax", secure=secure)
    return answer


routes = [
    Route("/account", show_account, methods=["GET"]),
    Route("/account/notices", choose_notices, methods=["POST"]),
    Route("/account/tokens", make_token, methods=["POST"]),
    Route("/account/tokens/{token_id}/revoke", revoke_token, methods=["POST"]),
    Route("/account/sessions/end", end_sessions, methods=["POST"]),
    Route("/account/sessions/{session_id}/end", end_session, methods=["POST"]),
    Route("/account/uploads/unused/delete", delete_unused, methods=["POST"]),
    Route("/account/uploads/{upload_id}/delete", delete_upload, methods=["POST"]),
    Route("/account/theme", choose_theme, methods=["POST"]),
]
