"""Who a page is for: a cookie that holds one of the user's tokens, and proof that a page of ours asked for a change.

A session is a token like those of the API, made at sign-in and revoked at sign-out, so everything that ends tokens ends
sessions. A changing request must come from this site (`Sec-Fetch-Site`, `Origin`) and name the session's CSRF token, in
the header `X-CSRF-Token` or the form field `csrf`.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qs, quote, urlsplit

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.api.authentication import Caller
from isthmus.api.services import Services
from isthmus.errors import IsthmusError, NotAllowed, NotSignedIn, TooLarge
from isthmus.portal.sentform import MAX_FIELDS
from isthmus.portal.trouble import respond
from isthmus.portal.visitor import Visitor
from isthmus.store.users import Scope as TokenScope

SESSION_S = 7 * 24 * 3600.0
"""How long a sign-in is good for."""

UPLOADS = "/uploads"
"""Where pages send files to; a body as large as the configuration says."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_SAFE = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_OPEN = ("/sign-in", "/static/", "/shared/")
_SESSION_SCOPES = frozenset({TokenScope.READ, TokenScope.SUBMIT})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FOR_NEWCOMERS = frozenset({"/password", "/sign-out"})
_FORM = "application/x-www-form-urlencoded"


def cookie_name(request: HTTPConnection) -> str:
    """The session cookie's name; the prefix makes browsers refuse one that was set without TLS or for other paths."""
    return "__Host-isthmus" if request.url.scheme == "https" else "isthmus"


def set_cookie(request: Request, response: Response, token: str) -> None:
    """The browser sends the token with every request to this site, and shows it to no script."""
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=int(SESSION_S),
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def csrf_of(secret: str) -> str:
    """What a page proves with that it was made for this session."""
    return hmac.new(secret.encode(), b"isthmus csrf", hashlib.sha256).hexdigest()[:40]


class SafeHeaders:
    """Every answer says what a browser may do with it, unless it says so itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                more = [(n.encode(), v.encode()) for n, v in _SAFE.items() if n.encode() not in said]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._app(scope, receive, safely if scope["type"] == "http" else send)


class SessionRequired:
    """Puts the visitor into the request's state; strangers are sent to sign in, forged changes are refused."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        try:
            caller = await self._caller(request)
        except IsthmusError as error:  # the store is away
            return await respond(request, error)(scope, receive, send)
        if caller is not None:
            scope.setdefault("state", {})["visitor"] = Visitor(caller, self._services, csrf_of(caller.token), request)
        if scope["path"].startswith(_OPEN):
            return await self._app(scope, receive, send)
        if caller is None:
            return await _to_sign_in(request)(scope, receive, send)
        if caller.is_newcomer and scope["path"] not in _FOR_NEWCOMERS:
            return await _redirect(request, "/password")(scope, receive, send)
        if scope["method"] in _READING:
            return await self._app(scope, receive, send)
        return await self._change(request, caller, send)

    async def _change(self, request: Request, caller: Caller, send: Send) -> None:
        """The request goes on if a page of this session made it."""
        scope, receive = request.scope, request.receive
        given = request.headers.get("x-csrf-token")
        if given is None and _is_form(request):
            try:
                body = await request.body()
            except HTTPException as refusal:  # the body limit's
                return await respond(request, TooLarge(str(refusal.detail)))(scope, receive, send)
            given = _csrf_in(body)
            receive = _again(body, receive)
        try:
            check_origin(request)
            if given is None or not hmac.compare_digest(given.encode(), csrf_of(caller.token).encode()):
                raise NotAllowed("this page is out of date: reload it and try again; nothing was changed")
        except IsthmusError as error:
            return await respond(request, error)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _caller(self, request: Request) -> Caller | None:
        """Whose session it is. A token that is good for less than a user may do by signing in makes no session."""
        known = await self._known(request)
        is_session = known is not None and (known.is_newcomer or known.identity.scopes >= _SESSION_SCOPES)
        return known if is_session else None

    async def _known(self, request: Request) -> Caller | None:
        token = request.cookies.get(cookie_name(request))
        if not token:
            return None
        known = self._services.tokens.remembered(token)
        if known is not None:
            return known
        try:
            return await anyio.to_thread.run_sync(self._services.tokens.caller, token)
        except NotSignedIn:
            return None


def _is_form(request: Request) -> bool:
    """Whether the body may be read here to look for the token: never that of an upload, which has no bound."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == _FORM and request.url.path != UPLOADS


def _csrf_in(body: bytes) -> str | None:
    try:
        return parse_qs(body.decode("latin-1"), max_num_fields=MAX_FIELDS).get("csrf", [None])[0]
    except ValueError:
        return None


def check_origin(request: Request) -> None:
    """The request was made by a page of this site. NotAllowed."""
    headers: Headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if foreign or (origin is not None and urlsplit(origin).netloc != headers.get("host")):
        raise NotAllowed("this came from another site, so it was not done")


def safe_next(path: str | None) -> str:
    """The path of this site to go on to; `/` for anything else."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable():
        return "/"
    return "/" if path.startswith("/sign-") else path


def _to_sign_in(request: Request) -> Response:
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("accept", "").startswith("text/event-stream") or request.url.path == "/live":
        return Response("sign in first\n", 401, media_type="text/plain")
    is_page = request.method in _READING and "hx-request" not in request.headers
    return _redirect(request, f"/sign-in?next={quote(path, safe='/')}" if is_page and path != "/" else "/sign-in")


def _redirect(request: Request, to: str) -> Response:
    if "hx-request" in request.headers:  # a fragment's place is no place for a whole page
        return Response(status_code=200, headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, and then what comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
