"""Who may do what: one test goes through every route, so that a new one can't be forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.api.openapi import describe
from isthmus.store.audit import Actor
from isthmus.store.users import Role
from tests.service.api_rig import PASSWORD, Person, Rig, serving
from tests.service.test_api_files import uploaded
from tests.service.test_api_jobs import HELLO, submitted

PUBLIC = {"GET /healthz", "GET /readyz", "GET /openapi.json"}
"""What anybody may read. /metrics has its own rule, tested beside the figures."""

OWN = {
    "GET /applications",
    "GET /applications/{name}",
    "GET /clusters",
    "GET /events",
    "GET /files",
    "GET /jobs",
    "GET /jobs/counts",
    "GET /me",
    "GET /me/usage",
    "GET /projects",
    "GET /shares",
    "GET /tokens",
    "PATCH /me",
    "POST /files",
    "POST /jobs",
    "POST /me/password",
    "POST /tokens",
}
"""What everybody who is signed in may do: it shows or makes only what is theirs or everybody's."""

BULK = {"POST /jobs/cancel", "POST /jobs/resubmit"}
"""What answers job by job: not found for another's."""

ADMINISTRATORS = {
    "DELETE /projects/{name}/members/{user}",
    "GET /applications/broken",
    "GET /audit",
    "GET /users",
    "PATCH /clusters/{name}",
    "PATCH /projects/{name}",
    "PATCH /users/{name}",
    "POST /clusters/{name}/registration",
    "POST /projects",
    "POST /users",
    "PUT /projects/{name}/members/{user}",
}

OTHERS = {
    "DELETE /files/{file_id}",
    "DELETE /jobs/{job_id}",
    "DELETE /jobs/{job_id}/shares/{share_id}",
    "DELETE /tokens/{token_id}",
    "GET /files/{file_id}",
    "GET /files/{file_id}/content",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/audit",
    "GET /jobs/{job_id}/diff/{other_id}",
    "GET /jobs/{job_id}/events",
    "GET /jobs/{job_id}/events/stream",
    "GET /jobs/{job_id}/family",
    "GET /jobs/{job_id}/log/{stream}",
    "GET /jobs/{job_id}/outputs",
    "GET /jobs/{job_id}/outputs.zip",
    "GET /jobs/{job_id}/outputs/{name}",
    "GET /jobs/{job_id}/script",
    "GET /jobs/{job_id}/shares",
    "GET /jobs/{job_id}/why",
    "GET /projects/{name}",
    "PATCH /jobs/{job_id}",
    "POST /jobs/{job_id}/cancel",
    "POST /jobs/{job_id}/resubmit",
    "POST /jobs/{job_id}/shares",
}
"""What names one thing: not found for everybody but its owner and administrators."""


@dataclass(frozen=True, slots=True)
class Things:
    """What one user owns, as path parameters."""

    owner: Person
    parameters: dict[str, str]


@pytest.fixture(scope="module")
def things(rig: Rig) -> Things:
    owner = rig.person("owner")
    job_id = submitted(owner, files={"paper": uploaded(owner)})
    rig.run_to_end(job_id, {"said.txt": b"secret", "stdout": b"secret"})
    (token,) = owner.client.get("/tokens").json()["tokens"]
    rig.store.create_project("said", HOUSE)
    rig.store.add_member("said", owner.name, HOUSE)
    share = owner.client.post(f"/jobs/{job_id}/shares", json={"project": "said"}).json()
    parameters = {
        "job_id": job_id,
        "other_id": job_id,
        "file_id": uploaded(owner),
        "token_id": token["id"],
        "share_id": share["id"],
        "user": owner.name,
        "name": "said",
        "stream": "stdout",
    }
    return Things(owner, parameters)


def routes(rig: Rig) -> set[str]:
    """Every operation there is, by the description that FastAPI makes of its routes."""
    app = rig.server.config.app
    paths: dict[str, dict[str, Any]] = describe(app)["paths"]  # type: ignore[arg-type]
    found = {
        f"{method.upper()} {path.removeprefix('/api/v1')}" for path, methods in paths.items() for method in methods
    }
    return found | {"GET /openapi.json"}


def test_every_route_is_known_here(rig: Rig) -> None:
    known = PUBLIC | OWN | BULK | ADMINISTRATORS | OTHERS | {"GET /metrics"}
    assert routes(rig) == known


def test_the_reference_page_lists_every_route(rig: Rig) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "rest-api.md").read_text()
    table = re.findall(r"^\| `([A-Z]+ /\S+)` \|", page, re.MULTILINE)
    assert sorted(table) == sorted(routes(rig) - PUBLIC - {"GET /metrics"})


def test_no_route_is_left_out_of_the_description(rig: Rig) -> None:
    """Routes can hide from the description; the routing table is asked what it answers."""
    app: Any = rig.server.config.app
    hidden = [route.path for route in _all_routes(app.routes) if not getattr(route, "include_in_schema", True)]
    assert hidden in ([], ["/openapi.json"])


def _all_routes(found: list[Any]) -> Iterator[Any]:
    for route in found:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _all_routes(inner.routes)


BODIES: dict[str, dict[str, Any]] = {
    "POST /jobs": HELLO,
    "POST /me/password": {"old": PASSWORD, "new": PASSWORD},
    "POST /users": {"name": "mallory", "password": PASSWORD, "role": "admin"},
    "PATCH /users/{name}": {"role": "admin"},
    "PATCH /clusters/{name}": {"closed": True, "reason": "malice"},
    "PATCH /projects/{name}": {"name": "mine"},
    "POST /projects": {"name": "mine"},
    "POST /jobs/{job_id}/shares": {"link": True},
}
HOUSE = Actor(None, "a test")


def ask(client: Any, route: str, things: Things) -> tuple[int, str]:
    method, path = route.split(" ")
    body = BODIES.get(route, {})
    if route in BULK:
        body = {"jobs": [things.parameters["job_id"]]}
    content = {"content": b"x"} if route == "POST /files" else {"json": body} if method in ("POST", "PATCH") else {}
    with client.stream(method, path.format(**things.parameters), **content) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, ""
        return answer.status_code, answer.read().decode("utf-8", "replace")


@pytest.mark.parametrize("route", sorted(OWN | BULK | ADMINISTRATORS | OTHERS))
def test_without_a_token_nothing_is_answered(rig: Rig, things: Things, route: str) -> None:
    for client in (rig.client(), rig.client("isthmus_" + "x" * 43), rig.client("\x7f")):
        status, words = ask(client, route, things)
        assert status == 401
        assert "secret" not in words


@pytest.mark.parametrize("route", sorted(OTHERS))
def test_another_users_things_are_not_found(rig: Rig, things: Things, route: str) -> None:
    mallory = rig.person("mallory")
    status, words = ask(mallory.client, route, things)
    assert status == 404, words
    assert "secret" not in words
    assert ask(mallory.client, route, Things(things.owner, _missing(things.parameters)))[0] == 404


def _missing(parameters: dict[str, str]) -> dict[str, str]:
    """The same shapes, of things that never were."""
    return {name: "0" * 20 if name.endswith("_id") else value for name, value in parameters.items()}


@pytest.mark.parametrize("route", sorted(BULK))
def test_another_users_jobs_are_not_found_one_by_one(rig: Rig, things: Things, route: str) -> None:
    status, words = ask(rig.person("mallory").client, route, things)
    assert status == 200
    assert "not_found" in words


@pytest.mark.parametrize("route", sorted(OWN))
def test_what_everybody_may_do_shows_nothing_of_others(rig: Rig, things: Things, route: str) -> None:
    mallory = rig.person("mallory")
    echo = Things(things.owner, {**things.parameters, "name": "echo"})
    status, words = ask(mallory.client, route, echo)
    assert status in (200, 201, 204), words
    assert not any(things.parameters[name] in words for name in ("job_id", "file_id", "token_id", "share_id"))
    assert things.owner.name not in words


@pytest.mark.parametrize("route", sorted(ADMINISTRATORS))
def test_users_may_not_do_what_administrators_do(rig: Rig, things: Things, route: str) -> None:
    assert ask(rig.person("mallory").client, route, things)[0] == 403


def test_with_a_one_time_password_one_can_do_nothing_but_choose_another(
    things: Things, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("first")) as rig:
        once = rig.store.ensure_administrator() or ""
        newcomer = rig.client(rig.client().post("/tokens", auth=("admin", once), json={}).json()["token"])
        for route in sorted((OWN | BULK | ADMINISTRATORS | OTHERS) - {"GET /me", "POST /me/password"}):
            status, words = ask(newcomer, route, things)
            assert (status, json.loads(words)["code"]) == (403, "password_must_change"), route
            assert "/me/password" in words, route


def test_the_owner_and_administrators_find_what_others_do_not(rig: Rig, things: Things) -> None:
    for client in (things.owner.client, rig.person("root", Role.ADMIN).client):
        for route in sorted(route for route in OTHERS if route.startswith("GET")):
            assert ask(client, route, things)[0] in (200, 409), route


@pytest.mark.parametrize("job_id", ["x", "0" * 19, "I" * 20, "%00", "%ED%A0%80", "..%2F..%2Fetc", "0" * 5000])
def test_an_id_that_cannot_be_one_is_not_found(things: Things, job_id: str) -> None:
    for path in (f"/jobs/{job_id}", f"/files/{job_id}", f"/jobs/{job_id}/log/stdout"):
        answer = things.owner.client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
