"""`scripts/screenshots`: a picture of every page, light and dark, on a desk and in a hand, below build/screenshots."""

from __future__ import annotations

import shutil
import sys
import tempfile
from http import HTTPStatus
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import DESKTOP, Windows, launch
from tests.browser.places import PLACES, Eyes, Place
from tests.browser.portal import PROJECT, Portal, populated, prepared
from tests.browser.watch import Watch
from tests.browser.world import World, settled

FOLDER = PROJECT / "build/screenshots"
VIEWPORTS: dict[str, ViewportSize] = {"desktop": DESKTOP, "phone": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
REST_MS = 800


def main(wanted: list[str]) -> None:
    """The pages whose names contain one of these words were pictured; all without words."""
    places = [place for place in PLACES if not wanted or any(word in place.name for word in wanted)]
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        process = prepared(Path(folder))
        try:
            portal = populated(process.start())
            picture_all(launch(playwright), portal, settled(portal), places)
        finally:
            process.close()


def picture_all(browser: Browser, portal: Portal, world: World, places: list[Place]) -> None:
    """Prints what went wrong on the pages, once each."""
    windows = Windows(browser, portal, "screenshots", {})
    for theme in THEMES:
        for view, viewport in VIEWPORTS.items():
            for place in places:
                page = opened(windows, place, theme, viewport)
                visit(page, place, world, windows.watch)
                page.wait_for_timeout(REST_MS)
                page.screenshot(path=FOLDER / f"{place.name}-{view}-{theme}.png", full_page=True)
                page.context.close()
    windows.close(keep=False)
    for fault in dict.fromkeys(windows.watch.faults):
        print(fault)


def opened(windows: Windows, place: Place, theme: str, viewport: ViewportSize) -> Page:
    """A page of the person whose eyes see the place."""
    if place.eyes is Eyes.STRANGER:
        return windows.stranger(theme=theme, viewport=viewport)
    people = {Eyes.ADA: windows.portal.ada, Eyes.BOB: windows.portal.bob, Eyes.ROOT: windows.portal.root}
    return windows.of(people[place.eyes], theme=theme, viewport=viewport)


def visit(page: Page, place: Place, world: World, watch: Watch) -> None:
    """The page is there with all that it loads by and by, maps too."""
    with watch.expecting(*([str(place.status)] if place.status != HTTPStatus.OK else [])):
        page.goto(place.path_in(world))
    for drawing in page.locator(".drawing:visible").all():
        drawing.scroll_into_view_if_needed()
    expect(page.get_by_text("Loading…").locator("visible=true")).to_have_count(0)
    page.evaluate("window.scrollTo(0, 0)")


if __name__ == "__main__":
    main(sys.argv[1:])
