"""Every error as one shape: RFC 9457 problem details with a stable `code`.

{type, title, status, detail, code} and, for invalid input, errors: [{field, code, message}], where `field` is the way
to the fault in the request: `inputs.threshold_dbz`, `query.limit`, `name`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import islice

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from isthmus.api.openapi import PROBLEM_TYPE, methods_at
from isthmus.api.requests import PATTERN_WORDS
from isthmus.application import Json
from isthmus.errors import (
    Conflict,
    InputFault,
    InvalidInput,
    IsthmusError,
    NoAnswer,
    NotAllowed,
    NotFound,
    NotSignedIn,
    StorageFault,
    TooLarge,
)
from isthmus.store import IdempotencyMismatch
from isthmus.store.wishes import ChangedMeanwhile

_log = structlog.get_logger(__name__)

MAX_ERRORS = 100
"""How many faults an answer lists; a request may have many more."""


class MalformedJson(IsthmusError):
    """The body is not JSON, or JSON of a size that no reader takes."""

    code = "malformed_json"


class UnsupportedMediaType(IsthmusError):
    """The body is in a form that this operation does not read."""

    code = "unsupported_media_type"


class RangeNotSatisfiable(IsthmusError):
    """The range lies outside the file; `size` is the file's."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes; the range asks for others")
        self.size = size


class TooMany(IsthmusError):
    """More than is permitted at a time; `retry_after_s` says when to try again."""

    can_retry = True

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyAttempts(TooMany):
    """Passwords are being guessed; `retry_after_s` says when the next may be tried."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many wrong passwords; try again in {retry_after_s} s", retry_after_s)


class TooManyStreams(TooMany):
    """A reader has as many live streams open as they may."""

    code = "too_many_streams"

    def __init__(self, most: int) -> None:
        words = f"{most} pages or programs follow what happens here already, which is the most: close one, or wait"
        super().__init__(words, retry_after_s=30)


_STATUSES: tuple[tuple[type[IsthmusError], int], ...] = (
    (MalformedJson, 400),
    (IdempotencyMismatch, 422),
    (ChangedMeanwhile, 412),
    (InvalidInput, 422),
    (NotFound, 404),
    (NotAllowed, 403),
    (NotSignedIn, 401),
    (Conflict, 409),
    (TooLarge, 413),
    (UnsupportedMediaType, 415),
    (RangeNotSatisfiable, 416),
    (TooMany, 429),
    (StorageFault, 507),
    (NoAnswer, 503),
)
"""The first class that fits decides; everything else is 500."""


def status_of(error: IsthmusError) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def respond_to(error: IsthmusError) -> Response:
    """The error as its response. Operators read the detail in the log; it is not sent."""
    status = status_of(error)
    if status >= 500:
        _log.error("a request failed", code=error.code, fault=error.message, detail=error.detail)
    faults = error.faults if isinstance(error, InvalidInput) else ()
    return problem(status, error.code, error.message, faults, _headers_of(error))


def _headers_of(error: IsthmusError) -> dict[str, str]:
    if isinstance(error, NotSignedIn):
        return {"WWW-Authenticate": 'Bearer realm="isthmus"'}
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}"}
    return {}


def document(status: int, code: str, detail: str, faults: Iterable[InputFault] = ()) -> dict[str, Json]:
    """The problem as JSON."""
    title = HTTPStatus(status).phrase
    body: dict[str, Json] = {
        "type": f"/errors/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    errors: list[Json] = [{"field": f.field, "code": f.code, "message": f.message} for f in islice(faults, MAX_ERRORS)]
    return {**body, "errors": errors} if errors else body


def problem(
    status: int,
    code: str,
    detail: str,
    faults: Iterable[InputFault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    # ASCII, since a refused request's words may hold what has no UTF-8 form
    content = json.dumps(document(status, code, detail, faults)).encode("ascii")
    return Response(content, status, dict(headers or {}), PROBLEM_TYPE)


# --- how FastAPI and Starlette hand errors over ------------------------------------------------------------
async def on_isthmus_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IsthmusError)  # noqa: S101  (registered for it)
    return respond_to(error)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Faults of the request as Pydantic found them; one in the path means that the path names nothing."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  (registered for it)
    found = error.errors()
    if any(fault["loc"][0] == "path" for fault in found):
        return _nothing_there(request)
    if any(fault["loc"] == ("body",) and fault["type"] in _NOT_AN_OBJECT for fault in found):
        sent = request.headers.get("content-type", "")
        if sent.partition(";")[0].strip().lower() != "application/json":
            return respond_to(UnsupportedMediaType("the body must be JSON, sent as application/json"))
    for fault in found:
        if fault["type"] == "json_invalid":
            what, where = fault["ctx"]["error"], fault["loc"][1]
            return respond_to(MalformedJson(f"the body is not JSON: {what} at character {where}"))
    told = found[:MAX_ERRORS]
    faults = tuple(InputFault(_field(fault["loc"]), fault["type"], _message(fault)) for fault in told)
    said = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3])
    return problem(422, InvalidInput.code, said, faults)


_NOT_AN_OBJECT = frozenset({"model_attributes_type", "model_type", "dict_type", "missing"})


def _field(location: tuple[str | int, ...]) -> str:
    """`inputs.radar` for the body's fields, `query.limit` and `header.idempotency-key` for others."""
    way = location[1:] if location[0] == "body" else location
    return ".".join(map(str, way)) or "body"


def _message(fault: Mapping[str, object]) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
    if fault["type"] == "missing":
        return "is required"
    if fault["type"] in _NOT_AN_OBJECT:
        return "must be a JSON object"
    if fault["type"] == "string_pattern_mismatch" and isinstance(rule := fault["ctx"], dict):
        return PATTERN_WORDS.get(rule["pattern"], str(fault["msg"]))
    return str(fault["msg"]).removeprefix("Value error, ")


def _nothing_there(request: Request) -> Response:
    """404; 405 if the path answers to other methods."""
    methods = methods_at(request.app, request.url.path)
    if methods and request.method not in methods:
        words = f"{request.method} is not possible here; {', '.join(methods)} is"
        return problem(405, "method_not_allowed", words, headers={"Allow": ", ".join(methods)})
    return problem(404, NotFound.code, "there is no such thing")


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)  # noqa: S101  (registered for it)
    if error.status_code in (404, 405):
        return _nothing_there(request)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI's, for what makes the parser fail: numbers, levels, not UTF-8
        return respond_to(MalformedJson("the body is no JSON that can be read here"))
    code = TooLarge.code if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else status.name.lower()
    return problem(status, code, str(error.detail), headers=error.headers)


async def on_surprise(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has it all, the answer nothing of it."""
    return problem(500, "internal_error", "something went wrong here; the operator's log says what")
