"""A page's live connection, where the gateway refuses one."""

from __future__ import annotations

from contextlib import ExitStack

import httpx
from playwright.sync_api import Page, expect

from tests.browser.portal import Portal
from tests.browser.watch import Watch

FULL = "Too many pages are kept up to date at once"


def test_a_page_too_many_says_so_and_listens_again_when_there_is_room(ada: Page, portal: Portal, watch: Watch) -> None:
    ada.clock.install()
    token = {"Authorization": f"Bearer {portal.ada.token}"}
    with watch.expecting("429"):
        with httpx.Client(base_url=f"{portal.url}/api/v1", headers=token) as client, ExitStack() as streams:
            while streams.enter_context(client.stream("GET", "/events")).status_code == 200:
                pass
            ada.goto("/jobs")
            expect(ada.get_by_text(FULL)).to_be_visible()
            ada.clock.run_for(10_000)
            expect(ada.get_by_text(FULL)).to_be_visible()
        ada.clock.run_for(60_000)
        expect(ada.get_by_text(FULL)).to_be_hidden()
