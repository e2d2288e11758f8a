"""The portal as a browser meets it: a real server, a session cookie, and the CSRF token that its pages hold.

A test module that wants pages asks for `portal` (the gateway of the module, see conftest) and opens a browser on it:

    ada = signed_in(portal, "ada")              a new user, signed in
    ada.get("/jobs")                            a page
    ada.post("/jobs/…/cancel", {"why": "…"})    a form of such a page, its CSRF token added
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

import httpx

from isthmus.api.people import SCOPES_OF
from isthmus.store import Viewer
from isthmus.store.users import Role
from tests.service.api_rig import PASSWORD, Person, Rig

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
Fields = Mapping[str, str | Sequence[str]]


@dataclass(slots=True)
class Browser:
    """Somebody's browser, signed in; `person` is the same user as the API knows them."""

    person: Person
    client: httpx.Client
    csrf: str

    @property
    def name(self) -> str:
        return self.person.name

    @property
    def viewer(self) -> Viewer:
        return self.person.viewer

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.client.get(path, headers=dict(headers or {}))

    def part(self, path: str) -> httpx.Response:
        """A fragment, asked for as htmx does."""
        return self.get(path, headers={"HX-Request": "true"})

    def post(self, path: str, fields: Fields | None = None, *, csrf: str | None = None) -> httpx.Response:
        """A form as a browser sends it; `csrf` overrides the token that its page holds."""
        sent = {**(fields or {}), "csrf": self.csrf if csrf is None else csrf}
        return self.client.post(path, data=sent)

    def post_part(self, path: str, fields: Fields | None = None) -> httpx.Response:
        """A change asked for by htmx or a module, the token in its header."""
        headers = {"HX-Request": "true", "X-CSRF-Token": self.csrf}
        return self.client.post(path, data=dict(fields or {}), headers=headers)

    def send(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """A raw body, as a module sends it."""
        return self.client.request(method, path, content=content, headers={"X-CSRF-Token": self.csrf, **headers})


def stranger(rig: Rig) -> httpx.Client:
    """A browser that nobody has signed in with; it follows no redirect."""
    client = httpx.Client(base_url=rig.address, timeout=20, headers={"Origin": rig.address})
    rig.adopt(client)
    return client


def signed_in(rig: Rig, name: str, role: Role = Role.USER) -> Browser:
    """The browser of a new user whose name begins so, with a session as the sign-in page makes it, but no password.

    Hashing passwords takes long; tests about them use `sign_in`.
    """
    person = rig.person(name, role, tuple(SCOPES_OF[role]), None)
    client = stranger(rig)
    client.cookies.set("isthmus", person.token)
    return Browser(person, client, csrf_in(client.get("/password").text))


def sign_in(rig: Rig, person: Person, password: str = PASSWORD) -> Browser:
    """A browser in which this user has signed in by the page."""
    client = stranger(rig)
    answer = client.post(
        "/sign-in", data={"name": person.name, "password": password, "csrf": csrf_in(client.get("/sign-in").text)}
    )
    assert answer.status_code == 303, answer.text
    return Browser(person, client, csrf_in(client.get("/password").text))


def csrf_in(page: str) -> str:
    """The token that a page's forms hold."""
    found = _CSRF.search(page)
    assert found is not None, f"the page has no form with a token:\n{page[:2000]}"
    return html.unescape(found[1])


def text_of(page: str) -> str:
    """What a page says, its markup left out and white space made single blanks."""
    kept = re.sub(r"(?s)<(script|style|template)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", kept)).split())


def fields_in(page: str, form_id: str) -> dict[str, list[str]]:
    """What a browser would send of the form if nobody touched it."""
    reader = _FormReader(form_id)
    reader.feed(page)
    assert reader.found, f"the page has no form {form_id}:\n{text_of(page)[:1000]}"
    fields: dict[str, list[str]] = {}
    for name, value in reader.pairs:
        fields.setdefault(name, []).append(value.replace("\n", "\r\n"))
    return fields


class _FormReader(HTMLParser):
    """The successful controls of one form, in order, as HTML 4.10.22.4 has them."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self._form_id, self._inside, self._hidden = form_id, False, 0
        self._select = self._option = self._area = ""
        self._first: str | None = None
        self._chosen: str | None = None
        self._value: str | None = None
        self._text: list[str] | None = None
        self.found = False
        self.pairs: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("id") == self._form_id:
            self._inside = self.found = True
        if tag == "template":
            self._hidden += 1
        if not self._inside or self._hidden or "disabled" in given:
            return
        if tag == "input":
            self._input(given)
        elif tag == "textarea":
            self._area, self._text = given.get("name", ""), []
        elif tag == "select":
            self._select, self._first, self._chosen = given.get("name", ""), None, None
        elif tag == "option":
            self._option, self._text = "selected" if "selected" in given else "plain", []
            self._value = given.get("value")

    def _input(self, given: dict[str, str]) -> None:
        is_left_out = given.get("type") in ("checkbox", "radio") and "checked" not in given
        if "name" in given and not is_left_out and given.get("type") not in ("file", "submit", "button"):
            self.pairs.append((given["name"], given.get("value", "on")))

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._hidden -= 1
        elif tag == "form":
            self._inside = False
        elif tag == "textarea" and self._text is not None:
            self.pairs.append((self._area, "".join(self._text).removeprefix("\n")))
            self._text = None
        elif tag == "option" and self._text is not None:
            value = " ".join("".join(self._text).split()) if self._value is None else self._value
            self._first = value if self._first is None else self._first
            self._chosen = value if self._option == "selected" else self._chosen
            self._text = None
        elif tag == "select" and self._inside and self._first is not None:
            self.pairs.append((self._select, self._first if self._chosen is None else self._chosen))
