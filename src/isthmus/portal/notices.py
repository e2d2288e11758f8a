"""What the visitor was told of their jobs, and the bell that says that there is something new."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.errors import InvalidInput
from isthmus.portal.rendering import page
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import visitor_of
from isthmus.store.notices import UNSEEN_MOST

PAGE = 50
MOST_DIGITS = 18


def show_notices(request: Request) -> Response:
    """The newest notices."""
    return page(request, "notices/list.html", **_notices(request))


def show_rows(request: Request) -> Response:
    """The notices before one."""
    return page(request, "notices/rows.html", **_notices(request))


def _notices(request: Request) -> Mapping[str, object]:
    visitor, before = visitor_of(request), _number(request.query_params.get("before"))
    store = visitor.gateway.store
    found = store.notices(visitor.user_id, PAGE + 1, before)
    return {
        "notices": found[:PAGE],
        "more": found[PAGE - 1].id if len(found) > PAGE else None,
        "unseen": store.unseen_notices(visitor.user_id),
        "unseen_most": UNSEEN_MOST,
        "choice": store.notice_choice(visitor.user_id),
        "sends_mail": bool(visitor.gateway.configuration.house.mail.host),
        "continued": before is not None,
    }


def show_bell(request: Request) -> Response:
    """A link to the notices with the number of those that were not seen."""
    visitor = visitor_of(request)
    n = visitor.gateway.store.unseen_notices(visitor.user_id)
    return page(request, "notices/bell.html", unseen=f"{n - 1}+" if n >= UNSEEN_MOST else str(n) if n else "")


@with_form
def mark_seen(request: Request, form: Form) -> Response:
    """The notice that the form names, and those before it, are seen; ones that came meanwhile are not."""
    visitor, up_to = visitor_of(request), _number(form.get("up_to"))
    if up_to is None:
        raise InvalidInput("this page is out of date: reload it and try again; nothing was changed")
    visitor.gateway.store.mark_notices_seen(visitor.user_id, up_to)
    return RedirectResponse("/notices", 303)


def _number(given: str | None) -> int | None:
    """The id of a notice. InvalidInput: it can't be one."""
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= MOST_DIGITS):
        raise InvalidInput("this page is out of date: reload it and try again; nothing was changed")
    return int(given)


routes = [
    Route("/notices", show_notices, methods=["GET"]),
    Route("/notices/part/rows", show_rows, methods=["GET"]),
    Route("/notices/part/bell", show_bell, methods=["GET"]),
    Route("/notices/seen", mark_seen, methods=["POST"]),
]
