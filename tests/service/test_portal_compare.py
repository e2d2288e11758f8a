"""Two jobs side by side over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.service.api_rig import Rig
from tests.service.portal_jobs import PICTURE, Wrote, atlas_job, ended, serving_atlas, uploaded
from tests.service.portal_rig import Browser, signed_in, text_of


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with serving_atlas(tmp_path_factory) as rig:
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def summary(**members: object) -> Wrote:
    return Wrote("summary", "summary.json", json.dumps(members).encode(), "application/json")


def compared(browser: Browser, a: str, b: str) -> str:
    answer = browser.get(f"/compare?a={a}&b={b}")
    assert answer.status_code == 200, answer.text
    return answer.text


def test_what_was_asked_otherwise_stands_before_and_after(ada: Browser) -> None:
    first = atlas_job(ada.person, name="weak", inputs={"threshold_dbz": 40, "title": "<b>x</b>"})
    second = atlas_job(ada.person, name="strong", inputs={"threshold_dbz": 50}, resources={"memory_mib": 2048})
    shown = compared(ada, first, second)
    assert "<del>40 dBZ</del>" in shown
    assert "<ins>50 dBZ</ins>" in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "<del>1 GiB</del>" in shown
    assert "<ins>2 GiB</ins>" in shown


def test_files_differ_by_their_names(ada: Browser) -> None:
    papers = [uploaded(ada.person, name, name.encode()) for name in ("one.txt", "two.txt")]
    first, second = (atlas_job(ada.person, files={"paper": paper}) for paper in papers)
    shown = compared(ada, first, second)
    assert "<del>one.txt</del>" in shown
    assert "<ins>two.txt</ins>" in shown


def test_two_that_were_asked_the_same_are_said_to_be_the_same(ada: Browser) -> None:
    shown = compared(ada, atlas_job(ada.person), atlas_job(ada.person))
    assert "Exactly the same" in text_of(shown)


def test_numbers_of_summaries_stand_beside_each_other_with_their_change(portal: Rig, ada: Browser) -> None:
    first, second = atlas_job(ada.person), atlas_job(ada.person)
    ended(portal, first, [PICTURE, summary(storms=10, area={"km2": 8.0}, same=1, name="x")])
    ended(portal, second, [PICTURE, summary(storms=15, area={"km2": 8.0}, same=1, more=[True, 2])])
    shown = text_of(compared(ada, first, second))
    assert "storms 10 15 +5 (+50.0%)" in shown
    assert "paired by their place" in shown
    assert f"Number Atlas {first[-6:]} Atlas {second[-6:]} Change" in shown
    assert "more.1 none 2" in shown
    assert "The same in both 2" in shown


def test_a_broken_summary_is_left_out(portal: Rig, ada: Browser) -> None:
    first, second = atlas_job(ada.person), atlas_job(ada.person)
    for job_id in (first, second):
        broken = Wrote("summary", "summary.json", b"[" * 100_000, "application/json")
        ended(portal, job_id, [PICTURE, broken])
    assert "Number" not in text_of(compared(ada, first, second))


def test_pictures_stand_side_by_side(portal: Rig, ada: Browser) -> None:
    first, second = atlas_job(ada.person), atlas_job(ada.person)
    ended(portal, first, [PICTURE])
    shown = compared(ada, first, second)
    assert f'src="/jobs/{first}/outputs/picture/file?path=reflectivity.png&amp;inline=1"' in shown
    assert "There is none." in text_of(shown)


def test_the_second_job_is_chosen_from_those_of_the_same_application(ada: Browser) -> None:
    first, second = atlas_job(ada.person, name="first one"), atlas_job(ada.person)
    other = ada.person.client.post("/jobs", json={"application": "echo", "inputs": {"words": "hi"}})
    shown = ada.get(f"/compare?a={first}").text
    assert f'href="/compare?a={first}&amp;b={second}"' in shown
    assert other.status_code != 201 or other.json()["id"] not in shown


def test_who_has_nothing_to_compare_is_told_what_to_do(portal: Rig) -> None:
    zoe = signed_in(portal, "zoe")
    assert "Nothing to compare it with" in text_of(zoe.get(f"/compare?a={atlas_job(zoe.person)}").text)


def test_nobody_compares_with_a_job_they_may_not_see(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    mine, theirs = atlas_job(bob.person), atlas_job(ada.person)
    for a, b in ((mine, theirs), (theirs, mine), (theirs, ""), ("nonsense", mine)):
        assert bob.get(f"/compare?a={a}&b={b}").status_code == 404


def test_a_job_that_is_shown_to_somebody_can_be_compared_with_theirs(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    mine, theirs = atlas_job(bob.person, name="of bob"), atlas_job(ada.person, name="of ada")
    ada.post(f"/jobs/{theirs}/shares", {"kind": "user", "user": bob.name})
    shown = text_of(compared(bob, theirs, mine))
    assert "of ada" in shown
    assert "of bob" in shown
