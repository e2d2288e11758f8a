"""Live streams are bounded for each user and each link: one more is refused until another is closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from isthmus.api.problem import TooManyStreams
from isthmus.portal import make_site
from isthmus.store.audit import Actor
from isthmus.store.shares import ShareKind, ShareWith
from isthmus.store.users import Role
from tests.service.api_rig import Rig, serving, until
from tests.service.portal_rig import Browser, signed_in, stranger
from tests.service.test_api_jobs import submitted

PER_USER, PER_LINK = 3, 2


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    limits = {"streams_per_user": PER_USER, "streams_per_link": PER_LINK}
    with serving(tmp_path_factory.mktemp("home"), settings={"limits": limits}, make=make_site) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def following(clients: ExitStack, client: httpx.Client, path: str) -> None:
    """The stream is open until the block ends."""
    answer = clients.enter_context(client.stream("GET", path))
    assert answer.status_code == 200, answer.read()


def refused(client: httpx.Client, path: str, most: int) -> str:
    """What is said to one who may not follow."""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 429
        said = answer.read().decode()
    assert answer.headers["retry-after"] == "30"
    assert f"{most} pages or programs follow what happens here already" in said
    return said


def shared_path(portal: Rig, ada: Browser) -> str:
    by = Actor(ada.person.user_id, ada.name, "")
    made = portal.store.share(ada.viewer, submitted(ada.person), ShareWith(ShareKind.LINK), by)
    return f"/shared/{made.link}/live"


def test_a_user_has_so_many_pages_and_programs_that_follow_and_no_more(ada: Browser) -> None:
    with ExitStack() as clients:
        following(clients, ada.client, "/live")
        following(clients, ada.person.client, "/events")
        following(clients, ada.person.client, f"/jobs/{submitted(ada.person)}/events/stream")
        refused(ada.client, "/live", PER_USER)
        said = refused(ada.person.client, "/events", PER_USER)
    assert json.loads(said)["code"] == TooManyStreams.code


def test_another_user_is_not_refused_for_it(portal: Rig, ada: Browser) -> None:
    eve = signed_in(portal, "eve")
    with ExitStack() as clients:
        for _ in range(PER_USER):
            following(clients, ada.client, "/live")
        following(clients, eve.client, "/live")


def test_a_stream_that_is_closed_makes_room(ada: Browser) -> None:
    def is_taken() -> bool:
        with ada.client.stream("GET", "/live") as answer:
            return answer.status_code == 200

    with ExitStack() as others:
        for _ in range(PER_USER - 1):
            following(others, ada.client, "/live")
        with ExitStack() as one:
            following(one, ada.client, "/live")
            assert not is_taken()
        until(is_taken, "there is room again")


def test_who_has_a_link_shares_its_places_with_others_and_not_with_the_owner(portal: Rig, ada: Browser) -> None:
    path = shared_path(portal, ada)
    with ExitStack() as clients:
        for _ in range(PER_LINK):
            following(clients, stranger(portal), path)
        refused(stranger(portal), path, PER_LINK)
        following(clients, ada.client, "/live")
