"""What holds on every page: WCAG 2.2 AA in both themes, no scrolling sideways on a phone, little to carry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState
from starlette.routing import Route

from isthmus.portal.app import _routes
from tests.browser.conftest import DESKTOP, PHONE, AxeCheck, Windows, watched
from tests.browser.places import NO_PAGES, PLACES, Place
from tests.browser.portal import Portal
from tests.browser.screenshots import opened, visit
from tests.browser.watch import weight
from tests.browser.world import World

MOST_BYTES = 200_000

WIDER_THAN_THE_PAGE = """
() => document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] :
  [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((element) => element.outerHTML.slice(0, 120)).slice(0, 5)
"""


@pytest.fixture(scope="module", params=PLACES, ids=str)
def page(
    chromium: Browser,
    portal: Portal,
    world: World,
    sessions: dict[str, StorageState],
    request: pytest.FixtureRequest,
) -> Iterator[Page]:
    """One of the pages, opened once for all that is tested of it."""
    place: Place = request.param
    with watched(Windows(chromium, portal, f"page-{place}", sessions), request) as windows:
        there = opened(windows, place, "light", DESKTOP)
        visit(there, place, world, windows.watch)
        yield there


def test_the_page_is_light_enough_for_a_slow_line(page: Page) -> None:
    # What a job has written is shown on demand, and is as large as it is.
    carried = {path: size for path, size in weight(page).items() if "/outputs/" not in path}
    assert sum(carried.values()) < MOST_BYTES, sorted(carried.items(), key=lambda one: -one[1])[:8]


def test_anybody_can_use_the_page(page: Page, axe: AxeCheck) -> None:
    axe(page)


def test_anybody_can_use_the_page_in_the_dark(page: Page, axe: AxeCheck) -> None:
    page.emulate_media(color_scheme="dark")
    axe(page)
    page.emulate_media(color_scheme="light")


def test_anybody_can_use_the_page_on_a_small_phone_without_scrolling_sideways(page: Page, axe: AxeCheck) -> None:
    page.set_viewport_size(PHONE)
    assert page.evaluate(WIDER_THAN_THE_PAGE) == []
    axe(page)
    page.set_viewport_size(DESKTOP)


def test_no_page_is_forgotten_here() -> None:
    paths = [route.path for route in _routes() if isinstance(route, Route) and "GET" in (route.methods or ())]
    pages = [path for path in paths if not any(part in path for part in ("/part/", "/file", "/log/"))]
    tested = {place.path.partition("?")[0] for place in PLACES}
    assert [path for path in pages if path not in NO_PAGES and not any(_fits(path, one) for one in tested)] == []


def _fits(path: str, tested: str) -> bool:
    wanted, given = path.split("/"), tested.split("/")
    return len(wanted) == len(given) and all(a == b or a.startswith("{") for a, b in zip(wanted, given, strict=True))
