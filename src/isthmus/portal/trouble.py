"""Every error as something a person can read: a page, or for a part of a page a message in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from isthmus.api.problem import TooMany, status_of
from isthmus.errors import IsthmusError
from isthmus.portal.rendering import page, sentence, wants_part

_log = structlog.get_logger(__name__)

_TITLES = {
    401: "Sign in first",
    403: "Not allowed",
    404: "There is nothing here",
    405: "That is not possible here",
    409: "It has changed meanwhile",
    412: "It has changed meanwhile",
    413: "Too large",
    422: "That can't be done as asked",
    429: "Too many at once",
    503: "The gateway is busy",
    507: "The gateway's disk is full",
}
_SAFE = {
    404: "It may have been deleted, or it belongs to somebody else. Your jobs are not affected.",
    409: "Nothing was changed. Reload the page to see how things stand.",
    412: "Nothing was changed. Reload the page to see how things stand.",
    413: "Nothing was stored.",
    507: "Your jobs are safe. The operator was told by the log; try again later.",
    500: "Your jobs are safe: they go on whatever happens to this page. Try again; if it stays, tell the operator.",
}
Handler = Callable[[Request, Exception], Awaitable[Response]]


def handlers() -> Mapping[Any, Handler]:
    """For each kind of error, what answers it."""
    return {IsthmusError: _on_error, HTTPException: _on_http, Exception: _on_surprise}


def respond(request: Request, error: IsthmusError) -> Response:
    """The error as its page or message."""
    status = status_of(error)
    if status >= 500:
        _log.error("a page failed", code=error.code, fault=error.message, detail=error.detail)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooMany) else {}
    return _answer(request, status, error.message, headers)


def _answer(request: Request, status: int, message: str, headers: Mapping[str, str]) -> Response:
    title = _TITLES.get(status, "Something went wrong")
    told = {"title": title, "message": sentence(message), "safe": _SAFE.get(status, "")}
    if wants_part(request):
        into = {"HX-Retarget": "#messages", "HX-Reswap": "beforeend", **headers}
        return page(request, "message.html", status, into, kind="bad", **told)
    return page(request, "error.html", status, headers, code=status, **told)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IsthmusError)  # noqa: S101  (registered for it)
    return respond(request, error)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (registered for it)
    words = {404: "there is no such page", 405: "this page can't be used that way"}
    message = words.get(error.status_code, str(error.detail))
    return _answer(request, error.status_code, message, error.headers or {})


async def _on_surprise(request: Request, error: Exception) -> Response:
    _log.error("a page failed", fault=repr(error), path=request.url.path, exc_info=error)
    return _answer(request, 500, "something went wrong here; the operator's log says what", {})
