"""For tests with a browser: a gateway with people, pages signed in and watched, an accessibility check."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    StorageState,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.browser.portal import PROJECT, Person, Portal, populated, prepared
from tests.browser.watch import Watch
from tests.browser.world import World, settled
from tests.service.gateway_process import PASSWORD

AXE = PROJECT / ".venv/browser/axe.js"
KEPT = PROJECT / "build/browser"
STEP_MS = 20_000
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 320, "height": 640}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test is remembered until its fixtures end: they keep what the browser showed."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]  # what the hook gives is pytest's own
        for node in item.iter_parents():
            node.stash[FAILED] = True
    return report


@pytest.fixture(scope="package")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One gateway for all tests with a browser."""
    process = prepared(tmp_path_factory.mktemp("portal"))
    try:
        yield populated(process.start())
    finally:
        process.close()


@pytest.fixture(scope="package")
def world(portal: Portal) -> World:
    """Something to show on every page."""
    return settled(portal)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each test has contexts of its own in it."""
    expect.set_options(timeout=STEP_MS)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium runs, without a window."""
    found = shutil.which("chromium")
    assert found, "there is no chromium: run scripts/setup --test"
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []  # its sandbox refuses to start for root
    return playwright.chromium.launch(executable_path=found, args=arguments)


@dataclass(slots=True)
class Windows:
    """Opens the pages of one test. Whatever goes wrong on one of them fails the test."""

    browser: Browser
    portal: Portal
    name: str
    sessions: dict[str, StorageState]
    watch: Watch = field(default_factory=Watch)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def stranger(self, *, theme: str = "light", viewport: ViewportSize = DESKTOP) -> Page:
        """A page of somebody who is not signed in."""
        return self._page(theme, viewport, None)

    def of(self, person: Person, *, theme: str = "light", viewport: ViewportSize = DESKTOP) -> Page:
        """A page of this person, signed in."""
        if person.name not in self.sessions:
            page = self._page("light", DESKTOP, None)
            sign_in(page, person)
            self.sessions[person.name] = page.context.storage_state()
        return self._page(theme, viewport, self.sessions[person.name])

    def _page(self, theme: str, viewport: ViewportSize, state: StorageState | None) -> Page:
        context = self.browser.new_context(
            base_url=self.portal.url,
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
            storage_state=state,
            timezone_id="America/Chicago",
            viewport=viewport,
        )
        context.set_default_timeout(STEP_MS)
        context.tracing.start(screenshots=True, snapshots=True)
        self._contexts.append(context)
        page = context.new_page()
        self.watch.look_at(page)
        return page

    def close(self, keep: bool) -> None:
        """The pages are gone; what they showed is kept below `build/` if asked."""
        folder = KEPT / "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in self.name)[:100]
        shutil.rmtree(folder, ignore_errors=True)
        if keep:
            folder.mkdir(parents=True)
            shutil.copy(self.portal.process.folder / "serve.log", folder)
        for number, context in enumerate(self._contexts):
            if keep:
                for page in context.pages:
                    page.screenshot(path=folder / f"{number}.png", full_page=True)
                context.tracing.stop(path=folder / f"{number}.zip")
            context.close()
        self._contexts.clear()


@pytest.fixture(scope="package")
def sessions() -> dict[str, StorageState]:
    """Who is signed in already, for tests that are not about signing in."""
    return {}


@pytest.fixture
def windows(
    chromium: Browser, portal: Portal, sessions: dict[str, StorageState], request: pytest.FixtureRequest
) -> Iterator[Windows]:
    """The test's pages. At its end nothing has gone wrong on them that the test did not expect."""
    with watched(Windows(chromium, portal, request.node.name, sessions), request) as opened:
        yield opened


@contextlib.contextmanager
def watched(windows: Windows, request: pytest.FixtureRequest) -> Iterator[Windows]:
    """The pages, for what asks for them; if something goes wrong, they are kept, and whatever it was fails."""
    request.node.stash[FAILED] = False
    yield windows
    faults = windows.watch.faults
    windows.close(keep=request.node.stash[FAILED] or bool(faults))
    if faults:
        pytest.fail("\n".join(["on these pages:", *dict.fromkeys(faults)]), pytrace=False)


@pytest.fixture
def watch(windows: Windows) -> Watch:
    """What went wrong on the test's pages."""
    return windows.watch


@pytest.fixture
def ada(windows: Windows, portal: Portal) -> Page:
    """A page of Ada, a researcher."""
    return windows.of(portal.ada)


@pytest.fixture
def bob(windows: Windows, portal: Portal) -> Page:
    """A page of Bob, another one."""
    return windows.of(portal.bob)


@pytest.fixture
def root(windows: Windows, portal: Portal) -> Page:
    """A page of the administrator."""
    return windows.of(portal.root)


class AxeCheck(Protocol):
    """Fails with what is wrong with a page."""

    def __call__(self, page: Page) -> None: ...


@pytest.fixture(scope="session")
def axe() -> AxeCheck:
    """axe-core's rules for WCAG 2.2 AA and good practice, put into a page that is already there."""
    assert AXE.exists(), "axe-core is not there: run scripts/setup --test"
    code = AXE.read_text(encoding="utf-8")

    def check(page: Page) -> None:
        if page.evaluate("typeof axe") == "undefined":
            page.evaluate(code)  # unlike a script element, the debugger is not subject to the page's policy
        found = page.evaluate("(rules) => axe.run({runOnly: rules})", RULES)
        if found["violations"]:
            pytest.fail("\n".join([page.url, *(_told(one) for one in found["violations"])]), pytrace=False)

    return check


def _told(violation: dict[str, object]) -> str:
    nodes = violation["nodes"]
    assert isinstance(nodes, list)
    places = "; ".join(f"{node['html'][:160]} -- {node['failureSummary']}" for node in nodes[:4])
    return f"{violation['id']}: {violation['help']} ({len(nodes)} times): {places}"


def sign_in(page: Page, person: Person, password: str = PASSWORD) -> None:
    """The form was filled in and sent, and the page after it is there."""
    page.goto("/sign-in")
    page.get_by_label("Name").fill(person.name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()
