"""The pages say only what can be found in this project, and the code says what each of its modules is for."""

from __future__ import annotations

import ast
import re
from enum import StrEnum
from pathlib import Path

import pytest

from isthmus.job import Cause, JobState, SchedulerState

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("*.md", "docs/**/*.md", "lab/**/*.md", "programs/*/*.md")
PAGES = sorted(page for place in PLACES for page in ROOT.glob(place))
MODULES = sorted(ROOT.glob("src/isthmus/**/*.py"))

CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
OUTSIDE = re.compile(
    rf"{re.escape(str(ROOT))}|/(?:home|root|Users)/|\btranscripts/|\b(?!README|CONTRIBUTING|CHANGELOG)[A-Z][A-Z-]+\.md\b"
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The names that a page's headings can be linked by: lower case, blanks as hyphens, other punctuation dropped."""
    headings = HEADING.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def is_broken(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return False
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_of_a_page_leads_somewhere_in_the_project(page: Path) -> None:
    links = LINK.findall(CODE.sub("", page.read_text()))
    assert [link for link in links if is_broken(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_outside_the_project(page: Path) -> None:
    assert OUTSIDE.findall(page.read_text()) == []


def test_every_page_of_the_documentation_can_be_reached_from_its_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(CODE.sub("", page.read_text())) if ":" not in link]
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert [name_of(page) for page in sorted(ROOT.glob("docs/**/*.md")) if page not in seen] == []


@pytest.mark.parametrize("words", [JobState, SchedulerState, Cause], ids=lambda words: words.__name__)
def test_the_glossary_has_a_line_for_every_word_of(words: type[StrEnum]) -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    entries = re.findall(r"^\| (\S+) \| .+ \|$", glossary, re.MULTILINE)
    assert [word.value for word in words if word.value not in entries] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text())), f"{name_of(module)} has no docstring"
