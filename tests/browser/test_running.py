"""Jobs while they run: cancelling, logs that grow, connections that are lost."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.portal import Portal
from tests.browser.watch import Watch

END_MS = 60_000


def state(page: Page) -> Locator:
    """The badge that says the job's state."""
    return page.locator(".job-head .badge").first


def test_a_job_is_shown_as_cancelled_only_when_its_program_has_ended(ada: Page, portal: Portal) -> None:
    before = set(portal.process.processes("job.sh"))
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("ticking", lines=1000, stubborn=True)
    ada.goto(f"/jobs/{job.id}")
    expect(state(ada)).to_have_text("Running")
    program = set(portal.process.processes("job.sh")) - before
    assert program

    ada.get_by_role("button", name="Cancel").click()
    ada.get_by_role("button", name="Yes").click()
    expect(ada.locator("#cancel-asked")).to_be_visible()
    expect(state(ada)).to_have_text("Cancelled")
    assert not program & set(portal.process.processes("job.sh"))


def test_a_log_is_followed_without_a_gap_while_the_controller_is_killed(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("ticking", lines=100, every_s=0.1)
    ada.goto(f"/jobs/{job.id}")
    lines = ada.locator("[data-log-lines] .log-line")
    expect(lines.filter(has_text=re.compile(r"^tick 10$"))).to_be_visible()
    portal.kill("isthmus.controller")
    expect(state(ada)).to_have_text("Completed", timeout=END_MS)
    expect(lines.filter(has_text=re.compile(r"^tick 100$"))).to_be_visible()
    assert [text for text in lines.all_inner_texts() if text] == [f"tick {n}" for n in range(1, 101)]


def test_a_lost_connection_is_shown_and_mended_with_nothing_missed(ada: Page, portal: Portal, watch: Watch) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("ticking", lines=1000)
    ada.goto(f"/jobs/{job.id}")
    expect(state(ada)).to_have_text("Running")
    with watch.expecting("ERR_", "Failed to fetch"):
        portal.stop()
        expect(ada.get_by_text("Connection lost")).to_be_visible()
        portal.start()
        with portal.client(portal.ada) as gateway:
            gateway.job(job.id).cancel()
        expect(state(ada)).to_have_text("Cancelled", timeout=END_MS)
        expect(ada.get_by_text("Connection lost")).to_be_hidden()


def test_what_happened_before_a_page_could_listen_is_shown(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("ticking", lines=1000)
        ada.route("**/live?*", lambda route: _after(lambda: gateway.job(job.id).cancel().wait(30), route))
        ada.goto(f"/jobs/{job.id}")
        expect(state(ada)).to_have_text("Cancelled", timeout=END_MS)


def _after(deed: Callable[[], object], route: Route) -> None:
    deed()
    route.continue_()


def test_a_new_job_comes_into_the_list_by_itself(ada: Page, portal: Portal) -> None:
    ada.goto("/jobs")
    with portal.client(portal.ada) as gateway:
        gateway.submit("counting", job_name="Came while you looked")
    ada.get_by_role("button", name=re.compile("new job")).or_(
        ada.get_by_role("link", name=re.compile("new job"))
    ).first.click()
    expect(ada.get_by_role("link", name="Came while you looked")).to_be_visible()


def test_a_deleted_job_is_gone_from_the_list(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("counting", job_name="For the bin").wait(60)
    ada.goto(f"/jobs/{job.id}")
    ada.get_by_role("button", name="Delete").click()
    ada.get_by_role("button", name="Yes").click()
    expect(ada).not_to_have_url(re.compile(job.id))
    ada.goto("/jobs")
    expect(ada.get_by_role("link", name="For the bin")).to_have_count(0)
