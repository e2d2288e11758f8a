"""Showing a job to others by its page: a person, a project, a link; what they can do (look), and when it is over."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from isthmus.job import JobState
from isthmus.store.audit import Actor, AuditKind
from isthmus.store.shares import DAY_S
from tests.service.api_rig import Rig
from tests.service.portal_jobs import GEOJSON, PICTURE, PNG, Wrote, atlas_job, ended, followed, reached, serving_atlas
from tests.service.portal_rig import Browser, signed_in, stranger, text_of

_LINK = re.compile(r'value="(http://[^"]+/shared/[^"]+)"')
READING: tuple[str, ...] = (
    "",
    "/part/body",
    "/part/script",
    "/outputs.zip",
    "/outputs/picture/file?path=reflectivity.png",
)
READING += ("/outputs/picture/file?path=reflectivity.png&inline=1", "/log/stdout", "/log/stdout/file")


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with serving_atlas(tmp_path_factory) as rig:
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


@pytest.fixture
def bob(portal: Rig) -> Browser:
    return signed_in(portal, "bob")


def a_done_job(portal: Rig, ada: Browser) -> str:
    job_id = atlas_job(ada.person, name="the shown one")
    ended(portal, job_id, [PICTURE, GEOJSON, Wrote("stdout", "stdout", b"said\n", "text/plain")])
    return job_id


def linked(ada: Browser, job_id: str, **fields: str) -> str:
    """The path of a new link, as its owner reads it in the page."""
    answer = ada.post(f"/jobs/{job_id}/shares", {"kind": "link", "days": "7", **fields})
    assert answer.status_code == 200, answer.text
    found = _LINK.search(answer.text)
    assert found is not None
    return httpx.URL(html.unescape(found[1])).path


# --- with a person ----------------------------------------------------------------------------------------------------
def test_whom_a_job_is_shown_to_can_look_and_nothing_else(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    ada.post(f"/jobs/{job_id}/shares", {"kind": "user", "user": bob.name})
    shown = bob.get(f"/jobs/{job_id}")
    assert shown.status_code == 200
    assert f"{ada.name} shows you this job." in text_of(shown.text)
    assert f'action="/jobs/{job_id}' not in shown.text
    assert f"/jobs/{job_id}/sharing" not in shown.text
    for path in READING:
        assert bob.get(f"/jobs/{job_id}{path}").status_code == 200, path


def test_whom_a_job_is_shown_to_is_refused_every_change(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    ada.post(f"/jobs/{job_id}/shares", {"kind": "user", "user": bob.name})
    share = portal.store.shares_of(ada.viewer, job_id)[0]
    for what in ("cancel", "change", "archive", "delete", "shares", f"shares/{share.id}/end"):
        answer = bob.post(f"/jobs/{job_id}/{what}", {"name": "taken", "labels": "", "kind": "link", "days": "7"})
        assert answer.status_code == 403, what
    assert bob.get(f"/jobs/{job_id}/sharing").status_code == 403
    job = portal.store.job(ada.viewer, job_id)
    assert (job.name, job.deleted_at, job.archived_at) == ("the shown one", None, None)
    assert len(portal.store.shares_of(ada.viewer, job_id)) == 1


def test_a_shown_job_leads_to_none_of_its_relatives(portal: Rig, ada: Browser, bob: Browser) -> None:
    first = a_done_job(portal, ada)
    second = ada.person.client.post(f"/jobs/{first}/resubmit", json={}).json()["id"]
    ada.post(f"/jobs/{second}/shares", {"kind": "user", "user": bob.name})
    assert first not in bob.get(f"/jobs/{second}").text
    assert first not in bob.part(f"/jobs/{second}/part/family").text
    assert bob.get(f"/jobs/{first}").status_code == 404


def test_a_share_that_was_ended_shows_nothing_any_more(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    ada.post(f"/jobs/{job_id}/shares", {"kind": "user", "user": bob.name})
    share = portal.store.shares_of(ada.viewer, job_id)[0]
    assert ada.post(f"/jobs/{job_id}/shares/{share.id}/end").headers["location"] == f"/jobs/{job_id}/sharing"
    assert bob.get(f"/jobs/{job_id}").status_code == 404
    assert "It is shared with nobody." in text_of(ada.get(f"/jobs/{job_id}/sharing").text)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"kind": "user", "user": "nobody-of-that-name"}, "share-user", "there is no user of that name"),
        ({"kind": "user", "user": "nul\0"}, "share-user", "there is none of that name"),
        ({"kind": "user", "user": "ann", "days": "3651"}, "share-user-days", "must be 1 to 3650"),
        ({"kind": "link", "days": "91"}, "share-days", "must be 1 to 90"),
        ({"kind": "link", "days": "soon"}, "share-days", "must be 1 to 90"),
    ],
)
def test_what_is_wrong_with_a_share_is_said_beside_its_field(
    portal: Rig, ada: Browser, fields: dict[str, str], field: str, said: str
) -> None:
    job_id = a_done_job(portal, ada)
    answer = ada.post(f"/jobs/{job_id}/shares", fields)
    assert answer.status_code == 422
    found = re.search(rf'id="{field}-fault".*?</p>', answer.text, re.S)
    assert found is not None
    assert said in text_of(found[0])
    assert portal.store.shares_of(ada.viewer, job_id) == []


def test_a_project_is_offered_only_to_its_members(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    assert "You are in no project." in text_of(ada.get(f"/jobs/{job_id}/sharing").text)
    chief = Actor(None, "chief")
    portal.store.create_project("weather", chief)
    for one in (ada, bob):
        portal.store.add_member("weather", one.name, chief)
    assert "<option>weather</option>" in ada.get(f"/jobs/{job_id}/sharing").text
    assert ada.post(f"/jobs/{job_id}/shares", {"kind": "project", "project": "weather"}).status_code == 200
    assert bob.get(f"/jobs/{job_id}").status_code == 200


def test_the_owner_reads_who_has_looked_and_taken_what(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    assert "Nobody but you has looked" in text_of(ada.get(f"/jobs/{job_id}/sharing").text)
    ada.post(f"/jobs/{job_id}/shares", {"kind": "user", "user": bob.name})
    bob.get(f"/jobs/{job_id}")
    bob.get(f"/jobs/{job_id}/outputs/picture/file?path=reflectivity.png")
    looked, _, acts = (
        text_of(ada.get(f"/jobs/{job_id}/sharing").text).partition("Who has looked")[2].partition("What was shared")
    )
    assert f"{bob.name} looked at it" in looked
    assert f"{bob.name} downloaded reflectivity.png" in looked
    assert ada.name not in looked
    assert f"{ada.name} shared it with user {bob.name}" in acts


def test_what_a_page_fetches_to_show_it_is_no_download(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    ada.post(f"/jobs/{job_id}/shares", {"kind": "user", "user": bob.name})
    shown = bob.get(f"/jobs/{job_id}").text
    sources = re.findall(r'(?:data-source|<img src)="([^"]+)"', shown)
    fetched = [html.unescape(one) for one in sources if "/outputs/" in one]
    assert len(fetched) == 2  # the map and the picture
    for address in fetched:
        assert bob.get(address).status_code == 200
    kinds = [row.kind for row in portal.store.audit_of_job(ada.viewer, job_id)]
    assert kinds == [AuditKind.JOB_READ, AuditKind.JOB_SHARED]


def test_whom_a_job_is_shown_to_is_told_in_their_notices(portal: Rig, ada: Browser, bob: Browser) -> None:
    job_id = a_done_job(portal, ada)
    answer = ada.post(f"/jobs/{job_id}/shares", {"kind": "user", "user": bob.name, "days": "3"})
    assert "until" in text_of(answer.text).partition("Shared now")[2]
    assert f"the shown one was shared with you by {ada.name}" in text_of(bob.get("/notices").text)
    assert bob.get("/notices").text.count(f'href="/jobs/{job_id}"') == 1


# --- by a link --------------------------------------------------------------------------------------------------------
def test_a_link_shows_the_job_to_somebody_without_an_account(portal: Rig, ada: Browser) -> None:
    link = linked(ada, a_done_job(portal, ada))
    someone = stranger(portal)
    shown = someone.get(link)
    assert shown.status_code == 200
    assert f"{ada.name} shows you this job by a link." in text_of(shown.text)
    assert "the shown one" in shown.text
    assert "said" in text_of(shown.text)
    for path in READING:
        assert someone.get(f"{link}{path}").status_code == 200, path
    assert someone.get(f"{link}/outputs/picture/file?path=reflectivity.png&inline=1").content == PNG


def test_the_page_of_a_link_leads_nowhere_else(portal: Rig, ada: Browser) -> None:
    job_id = a_done_job(portal, ada)
    link = linked(ada, job_id)
    shown = stranger(portal).get(link).text
    ways = set(re.findall(r'(?:href|src|action|hx-get|hx-post|data-source|data-base)="([^"]*)"', shown))
    assert {way for way in ways if not way.startswith((link, "/static/", "?log=", "#"))} == set()
    assert "<form" not in shown
    assert "Sign out" not in shown


def test_a_link_changes_nothing_and_opens_no_other_page(portal: Rig, ada: Browser) -> None:
    job_id = a_done_job(portal, ada)
    link = linked(ada, job_id)
    someone = stranger(portal)
    for what in ("cancel", "change", "archive", "delete", "shares"):
        assert someone.post(f"{link}/{what}").status_code in (404, 405), what
    assert someone.get(f"{link}/part/family").status_code == 404
    assert someone.get(f"/jobs/{job_id}").status_code == 303
    assert portal.store.job(ada.viewer, job_id).deleted_at is None


def test_a_links_text_is_shown_once(portal: Rig, ada: Browser) -> None:
    job_id = a_done_job(portal, ada)
    link = linked(ada, job_id)
    again = ada.get(f"/jobs/{job_id}/sharing").text
    assert link.rpartition("/")[2] not in again
    assert "for whoever has it" in text_of(again)


def test_a_link_that_has_expired_says_so_and_not_whose_it_was(
    portal: Rig, ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = linked(ada, a_done_job(portal, ada), days="2")
    someone = stranger(portal)
    assert someone.get(link).status_code == 200
    monkeypatch.setattr(portal.store, "_clock", lambda: time.time() + 2 * DAY_S + 1)
    for path in READING:
        assert someone.get(f"{link}{path}").status_code == 404, path
    shown = someone.get(link).text
    assert "This link shows nothing" in text_of(shown)
    assert "It has expired, was taken back, or was not copied whole." in text_of(shown)
    assert ada.name not in shown
    assert "the shown one" not in shown


def test_a_link_that_was_taken_back_and_one_of_a_deleted_job_look_like_one_that_never_was(
    portal: Rig, ada: Browser
) -> None:
    someone = stranger(portal)
    first, second = a_done_job(portal, ada), a_done_job(portal, ada)
    taken, gone = linked(ada, first), linked(ada, second)
    share = portal.store.shares_of(ada.viewer, first)[0]
    ada.post(f"/jobs/{first}/shares/{share.id}/end")
    ada.post(f"/jobs/{second}/delete")
    answers = [someone.get(link) for link in (taken, gone, "/shared/never-was")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.text for answer in answers}) == 1


def test_the_owner_reads_that_a_link_was_opened(portal: Rig, ada: Browser) -> None:
    job_id = a_done_job(portal, ada)
    stranger(portal).get(linked(ada, job_id))
    assert "somebody with a link opened a link to it" in text_of(ada.get(f"/jobs/{job_id}/sharing").text)


def test_a_link_follows_the_job_and_its_log_as_it_happens(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    reached(portal, job_id, JobState.RUNNING)
    followed(portal, job_id, {"stdout": b"first\n"})
    link = linked(ada, job_id)
    with stranger(portal).stream("GET", f"{link}/live?log=stdout&from=0") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: open"
        told = (line for line in lines if line.startswith("data: "))
        assert "first" in next(line for line in told if '"text"' in line)
        portal.move(job_id, JobState.STAGING_OUT)
        assert next(line for line in told if '"STAGING_OUT"' in line)


def test_a_stream_of_a_link_that_shows_nothing_is_refused(portal: Rig) -> None:
    assert stranger(portal).get("/shared/never-was/live").status_code == 404


def test_who_tries_many_wrong_links_must_wait_and_a_right_one_is_never_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with serving_atlas(tmp_path_factory) as rig:
        ada = signed_in(rig, "ada")
        link = linked(ada, a_done_job(rig, ada))
        someone = stranger(rig)
        answers = [someone.get(f"/shared/wrong-{n}") for n in range(25)]
        assert answers[0].status_code == 404
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        assert someone.get(link).status_code == 200


def test_a_download_is_written_down_under_the_files_own_name_and_only_if_there_was_one(
    portal: Rig, ada: Browser
) -> None:
    job_id = a_done_job(portal, ada)
    link = linked(ada, job_id)
    someone = stranger(portal)
    assert someone.get(f"{link}/outputs/picture/file?path=never-there.png").status_code == 404
    assert "never-there.png" not in ada.get(f"/jobs/{job_id}/sharing").text
    assert someone.get(f"{link}/outputs/picture/file?path=reflectivity.png").status_code == 200
    assert "reflectivity.png" in ada.get(f"/jobs/{job_id}/sharing").text
