"""What pages are sent: form fields and query parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import parse_qsl

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from isthmus.errors import InvalidInput

MAX_FIELDS = 5000


class Form:
    """The fields of a form that was sent: names may come several times, in order."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def get(self, name: str, default: str = "") -> str:
        """The last value under the name."""
        return self._values.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        return list(self._values.get(name, ()))

    def names(self) -> list[str]:
        """Every name once, in the order of their first coming."""
        return list(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values


async def form_of(request: Request) -> Form:
    """The urlencoded body. InvalidInput: it is none, or has too many fields."""
    body = await request.body()
    try:
        return Form(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as fault:
        raise InvalidInput("the form can't be read: send it again from the page") from fault


def with_form(handler: Callable[[Request, Form], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A route of a handler that gets the form and runs in a thread, since it asks the store."""

    @wraps(handler)
    async def route(request: Request) -> Response:
        form = await form_of(request)
        return await anyio.to_thread.run_sync(handler, request, form)

    return route
