"""The gateway's refusals (problem+json, RFC 9457) as errors of the project's tree, and words for other failures."""

from __future__ import annotations

from http import HTTPStatus

import httpx

from isthmus.errors import (
    Conflict,
    InputFault,
    InvalidInput,
    IsthmusError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    StorageFault,
    TooLarge,
)

_BY_STATUS: dict[int, type[IsthmusError]] = {
    HTTPStatus.BAD_REQUEST: InvalidInput,
    HTTPStatus.UNAUTHORIZED: NotSignedIn,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLarge,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidInput,
    HTTPStatus.INSUFFICIENT_STORAGE: StorageFault,
}
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_CONFLICTS = frozenset({"idempotency_mismatch"})  # sent with 422, but nothing is wrong with any field


class NoConnection(IsthmusError):
    """The gateway did not answer, or is not ready to. `was_sent` is False if the request can't have reached it."""

    code = "no_connection"
    can_retry = True

    def __init__(self, message: str, *, was_sent: bool = True, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.was_sent = was_sent


def unreadable(fault: OSError | UnicodeDecodeError) -> str:
    """What to say, after its name, of a file of the user's that can't be read."""
    return f"can't be read: {fault.strerror if isinstance(fault, OSError) else 'it is no text in UTF-8'}"


def unwritable(fault: OSError) -> str:
    """What to say, after its name, of a file of the user's that can't be written."""
    return f"can't be written: {fault.strerror}"


def unreachable(fault: httpx.TransportError, url: str) -> NoConnection:
    """What to tell of a connection that failed before a whole answer was there."""
    was_sent = not isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    what = "broke off the connection" if was_sent else "can't be reached"
    words = f"the gateway at {url} {what}; is it running? ({fault or type(fault).__name__})"
    return NoConnection(words, was_sent=was_sent)


def refusal(response: httpx.Response) -> IsthmusError:
    """The error that a response with a status of 300 or more stands for; its body has been read."""
    problem = _problem(response)
    words = str(problem.get("detail") or problem.get("title") or "")
    code = str(problem.get("code", ""))
    if response.status_code in _AWAY:
        return NoConnection(f"the gateway is not ready: {words or response.reason_phrase}")
    if not problem:
        where = response.request.url.copy_with(query=None)
        words = f"{where} answered {response.status_code} {response.reason_phrase}; is that an Isthmus gateway?"
    error = _error(Conflict if code in _CONFLICTS else _BY_STATUS.get(response.status_code), words, problem)
    if code:
        error.code = code
    return error


def _error(kind: type[IsthmusError] | None, words: str, problem: dict[str, object]) -> IsthmusError:
    if kind is InvalidInput:
        return InvalidInput(words, _input_faults(problem.get("errors")))
    return (kind or IsthmusError)(words)


def _problem(response: httpx.Response) -> dict[str, object]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _input_faults(errors: object) -> tuple[InputFault, ...]:
    members = errors if isinstance(errors, list) else []
    return tuple(
        InputFault(str(one.get("field", "")), str(one.get("code", "")), str(one.get("message", "")))
        for one in members
        if isinstance(one, dict)
    )
