"""Everything by keyboard alone, and always to be seen where one is."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Windows
from tests.browser.portal import Portal
from tests.service.gateway_process import PASSWORD

MOST_TABS = 80

FOCUS_IS_SEEN = """
() => [document.activeElement, document.activeElement.closest("label")].some((element) => {
  const style = element && getComputedStyle(element);
  return style && ((style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none");
})
"""


def tab_to(page: Page, target: Locator) -> None:
    """Tab was pressed until the target had the focus, which could be seen at each stop."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        where = page.evaluate("document.activeElement.outerHTML.slice(0, 160)")
        assert page.evaluate(FOCUS_IS_SEEN), f"no visible focus on {where}"
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("Tab does not lead there")


def test_a_job_is_made_and_looked_at_without_a_mouse(windows: Windows, portal: Portal) -> None:
    page = windows.stranger()
    page.goto("/sign-in")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(portal.ada.name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, ada")

    tab_to(page, page.get_by_role("link", name="Run an application"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/applications")
    tab_to(page, page.get_by_role("link", name="Counting").first)
    page.keyboard.press("Enter")
    page.wait_for_url("**/applications/counting")
    tab_to(page, page.get_by_label("Count up to"))
    page.keyboard.press("Control+A")
    page.keyboard.type("7")
    tab_to(page, page.get_by_role("button", name="Submit the job"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-z]{20}$"))
    expect(page.locator(".job-head .badge").first).to_have_text("Completed", timeout=60_000)
    tab_to(page, page.get_by_role("link", name="Edit & resubmit"))


def test_shortcuts_lead_from_page_to_page_and_are_told(ada: Page, portal: Portal) -> None:
    ada.goto("/")
    ada.keyboard.press("?")
    expect(ada.get_by_role("dialog")).to_be_visible()
    ada.keyboard.press("Escape")
    expect(ada.get_by_role("dialog")).to_have_count(0)
    ada.keyboard.press("g")
    ada.keyboard.press("j")
    expect(ada).to_have_url(f"{portal.url}/jobs")


def test_the_first_stop_leads_past_the_menu(ada: Page) -> None:
    ada.goto("/clusters")
    ada.keyboard.press("Tab")
    expect(ada.get_by_role("link", name="Skip to the content")).to_be_focused()
    ada.keyboard.press("Enter")
    expect(ada.locator("main")).to_be_focused()
