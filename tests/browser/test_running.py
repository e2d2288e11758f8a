"""Jobs while they run: cancelling, logs that grow, connections that are lost."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.portal import Portal
from tests.browser.watch import Watch
from tests.browser.world import World

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
    ada.get_by_role("button", name="Cancel the job").click()
    expect(ada.get_by_text("Cancelling was asked for; it is repeated")).to_be_visible()
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
        for counted in (ada.locator(".timeline-length [data-since]"), ada.locator(".used [data-since]")):
            expect(counted).to_contain_text("when last heard of")
        stopped = ada.locator(".timeline-length [data-since]").inner_text()
        portal.start()
        with portal.client(portal.ada) as gateway:
            gateway.job(job.id).cancel()
        expect(state(ada)).to_have_text("Cancelled", timeout=END_MS)
        expect(ada.get_by_text("Connection lost")).to_be_hidden()
        expect(ada.get_by_text(stopped)).to_have_count(0)


def test_what_happened_before_a_page_could_listen_is_shown(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("ticking", lines=1000)
        ada.route("**/live?*", lambda route: _after(lambda: gateway.job(job.id).cancel().wait(30), route))
        ada.goto(f"/jobs/{job.id}")
        expect(state(ada)).to_have_text("Cancelled", timeout=END_MS)


def _after(deed: Callable[[], object], route: Route) -> None:
    deed()
    route.continue_()


def test_every_job_that_the_family_names_is_shown_as_it_is_now(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        parent = gateway.submit("ticking", lines=1000)
        child = parent.resubmit(job_name="Its child")
        ada.goto(f"/jobs/{parent.id}")
        badges = ada.locator("#family .badge")
        expect(badges).to_have_text(["Running", "Running"])
        child.cancel()
        expect(badges).to_have_text(["Running", "Cancelled"])
        parent.cancel()
        expect(badges).to_have_text(["Cancelled", "Cancelled"])


def test_the_time_used_is_counted_while_the_program_runs(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("ticking", lines=1000, job_name="Is counted", resources={"walltime_s": 10})
        ada.goto(f"/jobs/{job.id}")
        used = ada.locator(".used").first
        expect(used).to_contain_text("so far")
        first = used.inner_text()
        expect(used).not_to_have_text(first)
        expect(ada.locator("#used-1-part")).not_to_have_text("0 %")
        job.cancel()


def test_a_failure_shows_what_the_program_said_last_and_turns_the_log_to_it(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("counting", linger_s=8, code=3)
    ada.goto(f"/jobs/{job.id}")
    expect(state(ada)).to_have_text("Running")
    expect(state(ada)).to_have_text("Failed", timeout=END_MS)
    expect(ada.locator("#why .last-words")).to_have_text("to stderr")
    expect(ada.locator("[data-log-tabs] [aria-current]")).to_have_text("stderr")
    expect(ada.locator("[data-log-lines]")).to_have_text("to stderr")


def test_results_come_first_as_soon_as_there_are_any_and_the_log_is_kept(ada: Page, portal: Portal) -> None:
    with portal.client(portal.ada) as gateway:
        job = gateway.submit("counting", linger_s=8)
    ada.goto(f"/jobs/{job.id}")
    heads = ada.locator(".job-main > section > h2, .job-main > section > .row > h2")
    expect(heads).to_have_text(["How it stands", "Timeline", "Outputs", "Log"])
    expect(heads).to_have_text(["Outputs", "How it ended", "Timeline", "Log"], timeout=END_MS)
    expect(ada.locator("[data-log-lines] .log-line")).to_have_text(["step 1", "step 2", "step 3"])


def test_a_live_search_is_in_the_address_and_the_bar_offers_only_what_can_be_done(ada: Page, world: World) -> None:
    ada.goto("/jobs")
    ada.get_by_label("Search").fill("mind")
    expect(ada).to_have_url(re.compile(r"/jobs\?text=mind$"))
    expect(ada.locator("tr.job")).to_have_count(1)
    expect(ada.get_by_text("The numbers count all your jobs")).to_be_visible()
    bar = ada.locator("[data-selection-bar]")
    ada.locator("tr.job input[name=job]").check()
    expect(bar.get_by_role("button", name="Cancel")).to_be_disabled()
    expect(bar.get_by_role("button", name="Delete")).to_be_enabled()
    expect(bar.get_by_role("button", name="Compare: choose two")).to_be_disabled()


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
    ada.get_by_role("button", name="Delete the job").click()
    expect(ada).not_to_have_url(re.compile(job.id))
    ada.goto("/jobs")
    expect(ada.get_by_role("link", name="For the bin")).to_have_count(0)
