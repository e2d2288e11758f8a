"""The form of a job while somebody fills it in: checked as they go, kept, and its files sent, dropped or taken."""

from __future__ import annotations

import re

from playwright.sync_api import FilePayload, Page, expect

from tests.browser.watch import Watch
from tests.browser.world import World
from tests.service.gateway_process import until

TICKING = "/applications/ticking"
STORMS = "/applications/storm-clustering"
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
A_DROP = """
(name) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File(["hello"], name));
  return dropped;
}
"""


def file(name: str, size: int = 5) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": b"x" * size}


def open_fresh(page: Page, path: str) -> None:
    """The form is open as it is at first, whatever draft an earlier test left."""
    page.goto(path)
    if page.get_by_role("button", name="Start afresh").is_visible():
        start_afresh(page)


def start_afresh(page: Page) -> None:
    page.get_by_role("button", name="Start afresh").click()
    page.get_by_role("dialog").get_by_role("button", name="Start afresh").click()
    expect(page.get_by_role("button", name="Start afresh")).to_be_hidden()


def test_a_field_is_checked_when_it_is_left_and_again_when_it_is_mended(ada: Page) -> None:
    open_fresh(ada, TICKING)
    lines, fault = ada.get_by_label("Lines"), ada.locator("#inputs-lines-fault")
    lines.fill("0")
    expect(fault).to_be_hidden()
    lines.press("Tab")
    expect(fault).to_have_text("0 is out of range: 1 to 10000.")
    expect(lines).to_have_attribute("aria-invalid", "true")
    lines.fill("7")
    expect(fault).to_be_hidden()
    expect(lines).not_to_have_attribute("aria-invalid", "true")


def test_a_decimal_comma_never_becomes_ten_times_the_number(ada: Page, watch: Watch) -> None:
    open_fresh(ada, TICKING)
    pause, fault = ada.get_by_label("Pause"), ada.locator("#inputs-every_s-fault")
    pause.fill("")
    ada.keyboard.type("4,5")
    pause.press("Tab")
    expect(pause).to_have_value("4,5")
    expect(fault).to_contain_text("write decimals with a point, like 4.5")
    ada.get_by_role("button", name="Submit the job").click()
    expect(pause).to_be_focused()
    expect(ada).to_have_url(re.compile(f"{TICKING}$"))
    pause.fill("4.5")
    expect(fault).to_be_hidden()
    expect(ada.locator("[data-script]")).to_contain_text("sleep '4.5'")


def test_what_was_refused_is_there_again_with_its_marks(ada: Page, watch: Watch) -> None:
    open_fresh(ada, TICKING)
    ada.get_by_label("Lines").fill("0")
    with watch.expecting("422"):
        ada.get_by_label("Lines").press("Enter")  # sooner than any draft is kept
        expect(ada.locator("#faults")).to_be_visible()
    ada.goto(TICKING)
    expect(ada.get_by_label("Lines")).to_have_value("0")
    expect(ada.locator("#inputs-lines-fault")).to_have_text("0 is out of range: 1 to 10000.")
    start_afresh(ada)


def test_more_than_the_cluster_has_is_not_offered_and_is_said_on_leaving_the_field(ada: Page) -> None:
    open_fresh(ada, STORMS)
    ada.locator("summary").filter(has_text="Resources:").click()
    cpus = ada.locator("#resources-cpus")
    expect(ada.locator("#resources-cpus-hint")).to_contain_text("1 to")
    cpus.fill("5000")
    cpus.press("Tab")
    expect(ada.locator("#resources-cpus-fault")).to_contain_text("5000")


def test_the_script_follows_the_form(ada: Page) -> None:
    open_fresh(ada, TICKING)
    script = ada.locator("[data-script]")
    expect(script).to_contain_text("sleep '0.1'")
    ada.get_by_label("Pause").fill("2.5")
    expect(script).to_contain_text("sleep '2.5'")
    ada.get_by_label("Hard to stop").check()
    expect(script).to_contain_text("trap '' TERM")


def test_what_was_filled_in_is_there_again_until_it_is_started_afresh(bob: Page) -> None:
    bob.goto("/applications/ticking")
    bob.get_by_label("Lines").fill("77")
    expect(bob.locator("[data-saved]")).to_contain_text("Draft saved")
    bob.goto("/")
    bob.goto("/applications/ticking")
    expect(bob.get_by_label("Lines")).to_have_value("77")
    start_afresh(bob)
    expect(bob.get_by_label("Lines")).to_have_value("5")


def test_what_is_filled_in_last_is_kept_though_the_page_is_left_at_once(bob: Page) -> None:
    bob.goto("/applications/counting")
    bob.get_by_label("Labels").fill("kept in time")
    bob.goto("/")
    expect(bob.get_by_role("heading", name="Hello, bob")).to_be_visible()

    def is_kept() -> bool:
        bob.goto("/applications/counting")
        return bob.get_by_label("Labels").input_value() == "kept in time"

    until(is_kept)


def test_after_a_refusal_the_focus_is_on_what_to_mend_and_links_lead_to_folded_fields(ada: Page, watch: Watch) -> None:
    open_fresh(ada, STORMS)
    ada.locator("details:has(#inputs-sweep) > summary").click()
    ada.get_by_label("Sweep").fill("highest")
    with watch.expecting("422"):
        ada.get_by_role("button", name="Submit the job").click()
        expect(ada.locator("#faults")).to_be_focused()
        expect(ada.locator("#faults")).to_contain_text("Sweep: Must be “lowest” or 1 to 2 digits.")
    expect(ada.get_by_label("Sweep")).to_have_value("highest")
    ada.locator("#faults").get_by_role("link", name="Sweep").click()
    expect(ada.get_by_label("Sweep")).to_be_focused()


def test_a_file_on_its_way_shows_how_far_it_is_and_can_be_cancelled(ada: Page) -> None:
    open_fresh(ada, STORMS)
    ada.context.new_cdp_session(ada).send("Network.emulateNetworkConditions", SLOW)
    ada.locator("[data-pick]").set_input_files(file("large.bin", 4_000_000))
    transfer = ada.get_by_role("progressbar", name="Sending large.bin")
    expect(transfer).to_be_visible()
    ada.get_by_role("button", name="Submit the job").click()
    expect(ada.locator("#files-radar-fault")).to_have_text("Wait until the file is here, or cancel it.")
    ada.get_by_role("button", name="Cancel").click()
    expect(transfer).to_be_hidden()
    expect(ada.locator("[data-chip]")).to_have_count(0)
    expect(ada.locator("[data-pick]")).to_be_focused()


def test_a_file_that_was_dropped_or_sent_before_is_in_the_form_like_any_other(ada: Page) -> None:
    open_fresh(ada, STORMS)
    dropped = ada.evaluate_handle(A_DROP, "dropped <b>here.nexrad")
    ada.locator("[data-drop]").dispatch_event("drop", {"dataTransfer": dropped})
    chip = ada.locator("[data-chip]")
    expect(chip).to_contain_text("dropped <b>here.nexrad 5 bytes, sent from your computer")
    ada.get_by_role("button", name="Take dropped <b>here.nexrad out").click()
    expect(chip).to_have_count(0)
    ada.get_by_role("button", name="Sent before").click()
    ada.get_by_label("Search", exact=True).fill("DROPPED")
    ada.get_by_role("button", name="dropped <b>here.nexrad").first.click()
    expect(chip).to_contain_text("dropped <b>here.nexrad")
    ada.locator("[data-pick]").set_input_files(file("another.nexrad"))
    expect(chip).to_have_count(1)
    expect(chip).to_contain_text("another.nexrad")


def test_an_output_of_an_earlier_job_is_found_by_the_jobs_name(ada: Page, world: World) -> None:
    open_fresh(ada, STORMS)
    ada.get_by_role("button", name="From my jobs").click()
    ada.get_by_label("Search", exact=True).fill("over Alabama")
    offers = ada.locator(f"[data-offer^='output:{world.storms}:']")
    offers.filter(has_text="storms.kml").click()
    expect(ada.locator("[data-chip]")).to_contain_text("output of the job A storm over Alabama")


def test_what_differs_from_the_earlier_job_is_marked_and_goes_back_at_a_click(ada: Page, world: World) -> None:
    open_fresh(ada, f"/jobs/{world.storms}/resubmit")
    ada.get_by_label("Reflectivity threshold").fill("55")
    ada.get_by_role("button", name="Take example_nexrad_level3_msg19 out").click()
    changes = ada.locator("[data-changes] li")
    expect(changes).to_have_text(
        ["Radar file: example_nexrad_level3_msg19 → nothing", "Reflectivity threshold: 40 dBZ → 55 dBZ"]
    )
    ada.locator('[data-field="files.radar"] [data-back]').click()
    expect(changes).to_have_count(1)
    ada.locator('[data-field="inputs.threshold_dbz"] [data-back]').click()
    expect(ada.get_by_label("Reflectivity threshold")).to_have_value("40")
    expect(changes).to_have_count(0)
    expect(ada.get_by_text("Nothing yet: it would do the same again.")).to_be_visible()
