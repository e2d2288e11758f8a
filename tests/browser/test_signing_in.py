"""Signing in and out, the first page, and pages that say what is wrong."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows, sign_in
from tests.browser.portal import Portal
from tests.browser.watch import Watch

PASSWORD_FORM = "/password"


def test_a_right_password_opens_the_first_page(windows: Windows, portal: Portal) -> None:
    page = windows.stranger()
    sign_in(page, portal.ada)
    expect(page).to_have_url(f"{portal.url}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, ada")


def test_a_wrong_password_keeps_the_name_and_says_so(windows: Windows, portal: Portal, watch: Watch) -> None:
    page = windows.stranger()
    with watch.expecting("401"):
        sign_in(page, portal.ada, "wrong")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("ada")


def test_a_stranger_is_led_through_the_form_to_the_page_asked_for(windows: Windows, portal: Portal) -> None:
    page = windows.stranger()
    page.goto("/password")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_label("Password").press("Enter")
    expect(page).to_have_url(f"{portal.url}/password")


def test_after_signing_out_the_way_back_shows_nothing(windows: Windows, portal: Portal) -> None:
    page = windows.stranger()
    sign_in(page, portal.bob)
    page.get_by_text("bob", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{portal.url}/sign-in")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_no_jobs_yet_says_what_to_do(windows: Windows, portal: Portal, bob: Page) -> None:
    bob.goto("/")
    expect(bob.get_by_role("link", name="Choose an application")).to_have_attribute("href", "/applications")


def test_a_page_that_is_not_there_says_so_and_leads_on(ada: Page, watch: Watch) -> None:
    with watch.expecting("404"):
        ada.goto("/nothing-here")
    expect(ada.get_by_role("heading", level=1)).to_be_visible()
    ada.get_by_role("link", name="Home").first.click()
    expect(ada.get_by_role("heading", level=1)).to_have_text("Hello, ada")


def test_a_chosen_theme_is_kept(ada: Page) -> None:
    ada.goto("/")
    light = ada.evaluate("getComputedStyle(document.body).backgroundColor")
    ada.get_by_role("button", name="Light or dark").click()
    dark = ada.evaluate("getComputedStyle(document.body).backgroundColor")
    ada.reload()
    assert ada.evaluate("getComputedStyle(document.body).backgroundColor") == dark != light
