"""What a page does behind its face: messages on the console, requests that fail, answers that say no, its weight."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Request, Response

# A page that is left while it still asks for something: nobody waits for that any more.
_LEFT = "net::ERR_ABORTED"

# Some violations of the page's own policy reach no console.
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`against the policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

_WEIGHT = """
() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .map((entry) => [new URL(entry.name).pathname, entry.transferSize])
"""


@dataclass  # no slots: Playwright keeps a mark of its own on whose methods it calls
class Watch:
    """All that went wrong on a page so far."""

    faults: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def look_at(self, page: Page) -> None:
        """Whatever goes wrong on the page from now on is noted."""
        page.add_init_script(_TELL_VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"uncaught: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    @contextmanager
    def expecting(self, *patterns: str) -> Iterator[None]:
        """Faults that match one of these are no faults while the block runs."""
        compiled = [re.compile(pattern) for pattern in patterns]
        self._expected += compiled
        yield
        for pattern in compiled:
            self._expected.remove(pattern)

    def _note(self, words: str) -> None:
        if not any(pattern.search(words) for pattern in self._expected):
            self.faults.append(words)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._note(f"console {message.type}: {message.text} ({message.location['url']})")

    def _failed(self, request: Request) -> None:
        if request.failure != _LEFT:
            self._note(f"no answer: {request.method} {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"answer {response.status}: {response.request.method} {response.url}")


def weight(page: Page) -> dict[str, int]:
    """Bytes that came over the wire for this page so far, by path; a stream that still goes on is not in it."""
    return {path: int(size) for path, size in page.evaluate(_WEIGHT)}
