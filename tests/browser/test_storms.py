"""A researcher's way: radar file, form, live job, storms on the map, another threshold, the difference."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.portal import radar_file
from tests.browser.world import World

JOB_MS = 90_000
JOB_PAGE = re.compile(r"/jobs/[0-9a-z]{20}$")


def test_a_radar_file_becomes_storms_on_a_map_without_reloading(ada: Page) -> None:
    ada.goto("/applications")
    ada.get_by_role("link", name="Storm clustering").first.click()
    with ada.expect_file_chooser() as chooser:
        ada.get_by_text("Choose a file").first.click()
    chooser.value.set_files(radar_file())
    expect(ada.locator("[data-chip]")).to_contain_text("example_nexrad_level3_msg19")
    ada.get_by_label("Reflectivity threshold").fill("35")
    ada.get_by_role("button", name="Submit the job").click()
    expect(ada).to_have_url(JOB_PAGE)
    ada.evaluate("window.neverReloaded = true")

    expect(ada.locator(".job-head .badge").first).to_have_text("Completed", timeout=JOB_MS)
    picture = ada.get_by_role("img", name=re.compile("Reflectivity with storms"))
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 300
    features = ada.get_by_role("list", name="Features on the map").first
    features.scroll_into_view_if_needed()
    expect(features.get_by_role("listitem").nth(3)).to_have_text("Storm 4")
    numbers = ada.get_by_role("region", name="storms", exact=True)
    expect(numbers.get_by_role("columnheader")).to_contain_text(["id", "max_dbz"])
    expect(numbers.get_by_role("row").nth(4)).to_be_visible()
    features.get_by_role("button", name="Storm 1", exact=True).click()
    assert ada.locator(".leaflet-popup").evaluate(IS_IN_ITS_MAP)
    assert ada.locator("#outputs .map canvas").first.evaluate(HAS_COLOUR)
    assert ada.evaluate("window.neverReloaded")


def test_what_was_changed_is_marked_in_the_form_and_shown_beside_the_earlier_job(ada: Page, world: World) -> None:
    ada.goto(f"/jobs/{world.storms}")
    ada.get_by_role("link", name="Edit & resubmit").click()
    threshold = ada.get_by_label("Reflectivity threshold")
    expect(threshold).to_have_value("40")
    threshold.fill("55")
    expect(ada.locator('[data-field="inputs.threshold_dbz"] [data-was]')).to_contain_text("was 40")
    expect(ada.locator("[data-changes]")).to_contain_text("55")
    ada.get_by_role("button", name="Submit the job").click()
    expect(ada).to_have_url(JOB_PAGE)
    expect(ada.locator("#family")).to_contain_text("55")


def test_two_jobs_side_by_side_show_what_differed_and_what_came_of_it(ada: Page, world: World) -> None:
    ada.goto(f"/compare?a={world.storms}&b={world.weaker}")
    asked = ada.get_by_role("region", name="What differs").get_by_role("row", name=re.compile("Reflectivity threshold"))
    expect(asked.locator("del")).to_contain_text("40")
    expect(asked.locator("ins")).to_contain_text("30")
    expect(ada.get_by_role("img", name=re.compile("Reflectivity with storms"))).to_have_count(2)
    expect(ada.get_by_role("region", name="Numbers of each storm")).to_contain_text("paired by their place")
    for drawing in ada.locator(".drawing").all():
        drawing.scroll_into_view_if_needed()
    expect(ada.locator(".map")).to_have_count(2)


IS_IN_ITS_MAP = """
(popup) => {
  const [inner, outer] = [popup, popup.closest(".map")].map((one) => one.getBoundingClientRect());
  const [isBelow, isAbove] = [inner.top >= outer.top, inner.bottom <= outer.bottom];
  return isBelow && isAbove && inner.left >= outer.left && inner.right <= outer.right;
}
"""

# The shapes are drawn, and are no empty picture.
HAS_COLOUR = """
canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)
"""
