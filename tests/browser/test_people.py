"""Who sees what: strangers to each other, colleagues shown one job, holders of a link."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from isthmus.client import Client, Job
from tests.browser.conftest import Windows
from tests.browser.portal import Portal
from tests.browser.watch import Watch
from tests.browser.world import World


@pytest.fixture
def job(portal: Portal) -> Job:
    """A job of Ada's with a name of its own, shared with nobody."""
    with portal.client(portal.ada) as gateway:
        return gateway.submit("counting", job_name="Between colleagues", upto=3).wait(60)


def test_two_researchers_do_not_see_each_other(bob: Page, world: World, watch: Watch) -> None:
    bob.goto("/jobs")
    expect(bob.get_by_text("Ticks for long")).to_have_count(0)
    with watch.expecting("404"):
        for path in (f"/jobs/{world.failed}", f"/jobs/{world.failed}/resubmit", f"/jobs/{world.failed}/sharing"):
            bob.goto(path)
            expect(bob.get_by_role("heading", level=1)).to_be_visible()
            expect(bob.get_by_text("A name as long")).to_have_count(0)


def test_a_colleague_sees_a_shared_job_and_can_change_nothing(ada: Page, bob: Page, job: Job) -> None:
    ada.goto(f"/jobs/{job.id}")
    ada.get_by_role("link", name="Share").click()
    ada.get_by_label("Their user name").fill("bob")
    ada.get_by_role("button", name="Share", exact=True).first.click()
    expect(ada.get_by_text("Shared with bob")).to_be_visible()

    bob.goto("/jobs/shared")
    bob.get_by_role("link", name="Between colleagues").first.click()
    expect(bob.get_by_role("heading", level=1)).to_have_text("Between colleagues")
    for action in ("Delete", "Cancel", "Archive"):
        expect(bob.get_by_role("button", name=action)).to_have_count(0)
    expect(bob.locator("#log")).to_contain_text("step 3")


def test_what_somebody_writes_stays_while_somebody_else_changes_the_same(ada: Page, windows: Windows, job: Job) -> None:
    other = windows.of(windows.portal.ada)
    for page in (ada, other):
        page.goto(f"/jobs/{job.id}")
        page.get_by_text("Name & labels").click()
    ada.get_by_label("Name", exact=True).fill("Mine")
    ada.get_by_label("Labels", exact=True).focus()
    other.get_by_label("Name", exact=True).fill("Theirs")
    other.get_by_role("button", name="Save").click()
    expect(other.locator("#rename")).not_to_have_attribute("open", re.compile(""))

    expect(ada.get_by_role("heading", level=1)).to_have_text("Theirs")
    expect(ada.get_by_label("Name", exact=True)).to_have_value("Mine")
    ada.get_by_role("button", name="Save").click()
    expect(ada.get_by_role("alert")).to_contain_text("Stored now: name “Theirs”")
    expect(ada.get_by_label("Name", exact=True)).to_have_value("Mine")
    ada.get_by_role("button", name="Save").click()
    expect(ada.get_by_role("heading", level=1)).to_have_text("Mine")
    expect(ada.locator("#rename")).not_to_have_attribute("open", re.compile(""))


def test_a_share_that_was_ended_shows_nothing_any_more(
    ada: Page, bob: Page, portal: Portal, job: Job, watch: Watch
) -> None:
    with portal.client(portal.ada) as gateway:
        _of(gateway, job).share("bob")
    ada.goto(f"/jobs/{job.id}/sharing")
    ada.get_by_role("button", name=re.compile("Stop sharing with bob")).click()
    expect(ada.get_by_text("It is shared with nobody")).to_be_visible()
    with watch.expecting("404"):
        bob.goto(f"/jobs/{job.id}")
    expect(bob.get_by_text("Between colleagues")).to_have_count(0)


def test_a_link_shows_the_job_to_whoever_has_it_until_it_is_ended(
    ada: Page, windows: Windows, job: Job, watch: Watch
) -> None:
    ada.goto(f"/jobs/{job.id}/sharing")
    ada.get_by_role("button", name="Make a link").click()
    link = ada.get_by_role("textbox", name="The link").input_value()
    stranger = windows.stranger()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Between colleagues")
    expect(stranger.get_by_role("navigation", name="Main")).to_have_count(0)

    ada.get_by_role("button", name=re.compile("Stop sharing")).click()
    expect(ada.get_by_text("It is shared with nobody")).to_be_visible()
    with watch.expecting("404", "410"):
        stranger.reload()
    expect(stranger.get_by_text("Between colleagues")).to_have_count(0)


def _of(gateway: Client, job: Job) -> Job:
    return gateway.job(job.id)
