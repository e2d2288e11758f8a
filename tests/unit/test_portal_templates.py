"""Every template can be read: a fault in one shows here, not to whoever opens its page."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from isthmus.portal.rendering import Templates, duration, size, when

FOLDER = Path(str(files("isthmus.portal"))) / "templates"
NAMES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html"))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_can_be_read(name: str) -> None:
    Templates().check(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_needs_nothing_that_the_content_policy_forbids(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    for forbidden in (" style=", "<style", " onclick=", " hx-on", "javascript:", "<script>"):
        assert forbidden not in text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.9, "59 s"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (90061, "1 d 1 h"),
        (-3, "0.0 s"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 * 1024**4, "5.0 TiB")],
)
def test_a_size_is_shown_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert size(count) == shown


def test_a_moment_carries_its_exact_time() -> None:
    assert when(0.25) == '<time datetime="1970-01-01T00:00:00.250Z">1970-01-01 00:00 UTC</time>'
