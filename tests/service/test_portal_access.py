"""Who may open and do what in the portal: one test goes through every route, so that a new one can't be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import httpx
import pytest
from starlette.routing import Mount, Route

from isthmus.portal import make_site
from isthmus.portal.account import BROWSER
from isthmus.portal.app import _routes
from isthmus.store import Viewer
from isthmus.store.audit import Actor
from isthmus.store.shares import ShareKind, ShareWith
from isthmus.store.users import Role, Scope
from tests.service.api_rig import Rig, serving
from tests.service.portal_rig import Browser, csrf_in, signed_in, stranger
from tests.service.test_api_files import uploaded

SECRET = "secret-of-the-owner"

OPEN = {"GET /sign-in", "POST /sign-in"}
"""What anybody may open."""

LINK = {
    "GET /shared/{link}",
    "GET /shared/{link}/events/file",
    "GET /shared/{link}/inputs/{name}/file",
    "GET /shared/{link}/live",
    "GET /shared/{link}/log/{stream}",
    "GET /shared/{link}/log/{stream}/file",
    "GET /shared/{link}/outputs.zip",
    "GET /shared/{link}/outputs/{name}/file",
    "GET /shared/{link}/outputs/{name}/part/view",
    "GET /shared/{link}/part/body",
    "GET /shared/{link}/part/script",
}
"""What whoever has the right link may read, and nobody else."""

OWN = {
    "GET /",
    "GET /account",
    "GET /applications",
    "GET /applications/{name}",
    "GET /clusters",
    "GET /clusters/part/cards",
    "GET /jobs",
    "GET /jobs/part/head",
    "GET /jobs/part/list",
    "GET /jobs/part/rows",
    "GET /jobs/shared",
    "GET /jobs/shared/part/rows",
    "GET /live",
    "GET /notices",
    "GET /notices/part/bell",
    "GET /notices/part/rows",
    "GET /part/lists",
    "GET /password",
    "GET /uploads/part/chip",
    "GET /uploads/part/mine",
    "GET /uploads/part/outputs",
    "POST /account/notices",
    "POST /account/sessions/end",
    "POST /account/theme",
    "POST /account/tokens",
    "POST /account/uploads/unused/delete",
    "POST /applications/{name}",
    "POST /applications/{name}/afresh",
    "POST /applications/{name}/part/draft",
    "POST /applications/{name}/part/look",
    "POST /notices/seen",
    "POST /password",
    "POST /sign-out",
    "POST /uploads",
}
"""What everybody who is signed in may do: it shows or changes only what is theirs or everybody's."""

BULK = {"POST /jobs/selected"}
"""What answers job by job: there is no such job for another's."""

ADMINISTRATORS = {
    "GET /admin",
    "GET /admin/applications",
    "GET /admin/audit",
    "GET /admin/audit/part/rows",
    "GET /admin/clusters",
    "GET /admin/jobs",
    "GET /admin/jobs/part/head",
    "GET /admin/jobs/part/list",
    "GET /admin/jobs/part/row",
    "GET /admin/jobs/part/rows",
    "GET /admin/mail",
    "GET /admin/projects",
    "GET /admin/users",
    "GET /admin/users/{name}",
    "POST /admin/jobs/selected",
    "POST /admin/projects",
    "POST /admin/projects/{name}",
    "POST /admin/users",
    "POST /admin/users/{name}",
    "POST /admin/users/{name}/password",
    "POST /clusters/{name}",
}

OTHERS = {
    "GET /compare",
    "GET /jobs/part/row",
    "GET /jobs/{id}/resubmit",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/events/file",
    "GET /jobs/{job_id}/inputs/{name}/file",
    "GET /jobs/{job_id}/log/{stream}",
    "GET /jobs/{job_id}/log/{stream}/file",
    "GET /jobs/{job_id}/outputs.zip",
    "GET /jobs/{job_id}/outputs/{name}/file",
    "GET /jobs/{job_id}/outputs/{name}/part/view",
    "GET /jobs/{job_id}/part/body",
    "GET /jobs/{job_id}/part/family",
    "GET /jobs/{job_id}/part/script",
    "GET /jobs/{job_id}/sharing",
    "POST /account/sessions/{session_id}/end",
    "POST /account/tokens/{token_id}/revoke",
    "POST /account/uploads/{upload_id}/delete",
    "POST /jobs/{id}/resubmit",
    "POST /jobs/{id}/resubmit/afresh",
    "POST /jobs/{id}/resubmit/part/draft",
    "POST /jobs/{id}/resubmit/part/look",
    "POST /jobs/{job_id}/archive",
    "POST /jobs/{job_id}/cancel",
    "POST /jobs/{job_id}/change",
    "POST /jobs/{job_id}/delete",
    "POST /jobs/{job_id}/shares",
    "POST /jobs/{job_id}/shares/{share_id}/end",
}
"""What names one thing: not found for everybody but its owner, administrators, and who it is shown to."""

SIGNED_IN = OWN | BULK | ADMINISTRATORS | OTHERS
CHANGING = {route for route in SIGNED_IN if route.startswith("POST")}


@dataclass(frozen=True, slots=True)
class Things:
    """What one user owns, as path parameters."""

    owner: Browser
    parameters: dict[str, str]

    def address(self, route: str) -> str:
        """The route's address for these things; names in a query stand where pages put them."""
        path = route.partition(" ")[2]
        job, file = self.parameters["job_id"], self.parameters["file_id"]
        queries = {
            "/jobs/part/row": f"?job={job}",
            "/admin/jobs/part/row": f"?job={job}",
            "/compare": f"?a={job}&b={job}",
            "/uploads/part/chip": f"?file={quote(f'upload:{file}')}",
        }
        names = {**self.parameters, "name": self._name(path)}
        return path.format(**names) + queries.get(path, "")

    def _name(self, path: str) -> str:
        """What stands for `{name}`, which is a name of many kinds."""
        kinds = {"/applications": "echo", "/clusters": "local", "/admin/users": self.owner.name, "/admin/projects": "p"}
        found = next((name for start, name in kinds.items() if path.startswith(start)), None)
        return found or ("paper" if "/inputs/" in path else "said")


def found_routes() -> set[str]:
    """Every route there is, by the table that answers requests."""
    known = set()
    for route in _routes():
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, Route)
        known |= {f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"}}
    return known


@pytest.fixture(scope="module")
def things(portal: Rig) -> Things:
    owner = signed_in(portal, "owner")
    body = {"application": "echo", "name": SECRET, "inputs": {"words": SECRET}, "labels": [SECRET]}
    made = owner.person.client.post("/jobs", json={**body, "files": {"paper": uploaded(owner.person)}})
    assert made.status_code == 201, made.text
    job_id = made.json()["id"]
    portal.run_to_end(job_id, {"said.txt": SECRET.encode(), "stdout": SECRET.encode(), "stderr": b""})
    by = Actor(owner.person.user_id, owner.name)
    shared = portal.store.share(owner.viewer, job_id, ShareWith(ShareKind.USER, signed_in(portal, "friend").name), by)
    token = portal.store.create_token(owner.person.user_id, SECRET, [Scope.READ], None)
    session = portal.store.create_token(owner.person.user_id, f"{BROWSER} another", [Scope.READ], None)
    parameters = {
        "job_id": job_id,
        "id": job_id,
        "file_id": uploaded(owner.person),
        "upload_id": uploaded(owner.person),
        "share_id": shared.share.id,
        "token_id": token.token.id,
        "session_id": session.token.id,
        "stream": "stdout",
        "link": "x" * 43,
    }
    return Things(owner, parameters)


@pytest.fixture(scope="module")
def mallory(portal: Rig) -> Browser:
    """Another user, who owns nothing."""
    return signed_in(portal, "mallory")


@pytest.fixture(scope="module")
def root(portal: Rig) -> Browser:
    return signed_in(portal, "root", Role.ADMIN)


FIELDS = {
    "/jobs/selected": {"do": "archive"},
    "/admin/jobs/selected": {"do": "archive"},
    "/account/tokens": {"name": "t", "scope": "read", "days": "7", "password": "wrong"},
    "/clusters/local": {"do": "close", "reason": "mine"},
    "/notices/seen": {"up_to": "1"},
}


def ask(client: httpx.Client, route: str, things: Things, csrf: str | None = None) -> httpx.Response:
    """The route, asked as a page would, a change with this CSRF token."""
    method, address = route.partition(" ")[0], things.address(route)
    if method == "GET":
        return opened(client, address)
    fields = {"job": things.parameters["job_id"], **FIELDS.get(address, {})}
    if route == "POST /uploads":
        headers = {"X-CSRF-Token": csrf} if csrf is not None else {}
        return client.post(f"{address}?name=a.txt", content=b"x", headers=headers)
    return client.post(address, data=fields if csrf is None else {**fields, "csrf": csrf})


def opened(client: httpx.Client, address: str) -> httpx.Response:
    """The answer; of one that does not end, its head."""
    with client.stream("GET", address) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()
        return answer


def words_of(answer: httpx.Response) -> str:
    return answer.text if answer.is_stream_consumed else ""


def test_every_route_is_known_here() -> None:
    assert found_routes() == OPEN | LINK | SIGNED_IN


@pytest.mark.parametrize("route", sorted(SIGNED_IN))
def test_strangers_are_sent_to_sign_in_and_see_nothing(portal: Rig, things: Things, route: str) -> None:
    client = stranger(portal)
    for cookie in (None, "isthmus_" + "x" * 43):
        if cookie is not None:
            client.cookies.set("isthmus", cookie)
        answer = ask(client, route, things, csrf="x")
        if route == "GET /live":
            assert answer.status_code == 401
        else:
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in")
        assert SECRET not in words_of(answer)


@pytest.mark.parametrize("route", sorted(LINK))
def test_a_wrong_link_shows_nothing(portal: Rig, things: Things, route: str) -> None:
    answer = ask(stranger(portal), route, things)
    assert answer.status_code in (404, 429)
    assert SECRET not in answer.text


@pytest.mark.parametrize("route", sorted(CHANGING))
def test_no_change_is_made_without_the_pages_token(
    portal: Rig, things: Things, mallory: Browser, root: Browser, route: str
) -> None:
    before = portal.store.job(Viewer("", is_admin=True), things.parameters["job_id"])
    for browser in (things.owner, root):
        for csrf in (None, "", "x", mallory.csrf):
            answer = ask(browser.client, route, things, csrf)
            assert answer.status_code == 403, f"{route} with {csrf!r}"
    assert portal.store.job(Viewer("", is_admin=True), things.parameters["job_id"]) == before


@pytest.mark.parametrize("route", sorted(CHANGING))
def test_no_change_is_made_for_another_site(things: Things, route: str) -> None:
    owner = things.owner
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        address = things.address(route)
        answer = owner.client.post(address, headers={**headers, "X-CSRF-Token": owner.csrf}, data={"x": "y"})
        assert answer.status_code == 403, route


@pytest.mark.parametrize("route", sorted(OTHERS))
def test_another_users_things_are_not_found(things: Things, mallory: Browser, route: str) -> None:
    missing = {name: "0" * 20 if name.endswith("id") else value for name, value in things.parameters.items()}
    for named in (things, Things(things.owner, missing)):
        answer = ask(mallory.client, route, named, mallory.csrf)
        assert answer.status_code == 404, f"{route}: {words_of(answer)[:500]}"
        assert SECRET not in answer.text


@pytest.mark.parametrize("route", sorted(BULK))
def test_another_users_jobs_are_not_found_one_by_one(things: Things, mallory: Browser, route: str) -> None:
    answer = ask(mallory.client, route, things, mallory.csrf)
    assert answer.status_code == 200
    assert "there is no such job" in answer.text
    assert SECRET not in answer.text


@pytest.mark.parametrize("route", sorted(ADMINISTRATORS))
def test_users_may_not_open_what_administrators_do(things: Things, mallory: Browser, route: str) -> None:
    answer = ask(mallory.client, route, things, mallory.csrf)
    assert answer.status_code == 403, route
    assert SECRET not in answer.text


@pytest.mark.parametrize("route", sorted(OWN - {"POST /sign-out"}))
def test_what_everybody_may_do_shows_nothing_of_others(things: Things, mallory: Browser, route: str) -> None:
    answer = ask(mallory.client, route, things, mallory.csrf)
    assert answer.status_code in (200, 201, 204, 303, 404, 422), f"{route}: {words_of(answer)[:500]}"
    words = words_of(answer)
    assert not any(things.parameters[name] in words for name in ("job_id", "token_id"))
    assert SECRET not in words
    assert things.owner.name not in words


def test_the_owner_and_administrators_find_what_others_do_not(things: Things, root: Browser) -> None:
    own_only = {"GET /jobs/part/row"}  # a list of one's own, also of an administrator's
    for browser in (things.owner, root):
        for route in sorted(route for route in OTHERS if route.startswith("GET")):
            expected = 404 if browser is root and route in own_only else 200
            assert ask(browser.client, route, things).status_code == expected, f"{browser.name} {route}"


def test_with_a_one_time_password_one_can_do_nothing_but_choose_another(
    things: Things, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("first"), make=make_site) as rig:
        once = rig.store.ensure_administrator() or ""
        client = stranger(rig)
        sent = {"name": "admin", "password": once, "csrf": csrf_in(client.get("/sign-in").text)}
        assert client.post("/sign-in", data=sent).status_code == 303
        csrf = csrf_in(client.get("/password").text)
        for route in sorted(SIGNED_IN - {"GET /password", "POST /password", "POST /sign-out"}):
            answer = ask(client, route, things, csrf)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/password"), route


@pytest.mark.parametrize("job_id", ["x", "0" * 19, "I" * 20, "%00", "%ED%A0%80", "..%2F..%2Fetc", "0" * 5000])
def test_an_id_that_cannot_be_one_is_not_found(mallory: Browser, job_id: str) -> None:
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/resubmit", f"/jobs/{job_id}/part/body"):
        answer = mallory.get(path)
        assert answer.status_code == 404
        assert "text/html" in answer.headers["content-type"]
