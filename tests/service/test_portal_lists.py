"""The list of jobs over HTTP: filters in its address, pages that stay right, what is selected, what is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import pytest

from isthmus.job import JobState
from isthmus.portal.jobfilter import PAGE
from isthmus.store.audit import Actor
from isthmus.store.shares import ShareKind, ShareWith
from isthmus.store.users import Role
from tests.service.api_rig import Rig
from tests.service.portal_rig import Browser, signed_in, text_of
from tests.store.making import a_job

NASTY = "<script>alert('x')</script>\"&amp;"


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def submitted(browser: Browser, name: str = "run", labels: Sequence[str] = ()) -> str:
    body = {"application": "echo", "name": name, "inputs": {"words": "hi"}, "labels": list(labels)}
    answer = browser.person.client.post("/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def many(portal: Rig, browser: Browser, count: int) -> list[str]:
    """That many jobs, in the order they were accepted."""
    digest = portal.store.job(browser.viewer, submitted(browser, "job 0")).digest
    news = [a_job(f"job {n}", application="echo", digest=digest) for n in range(1, count)]
    return [found.job_id for found in portal.store.accept_many(browser.viewer, news)]


def listed(page: str) -> list[str]:
    """The ids of the page's rows, in order."""
    return re.findall(r'<tr id="job-(\w+)"', page)


def names(page: str) -> list[str]:
    return [html.unescape(name) for name in re.findall(r'class="job-link" href="/jobs/\w+">([^<]*)<', page)]


def link(page: str, words: str) -> str:
    """Where the link with these words leads."""
    found = re.search(rf'href="([^"]*)"[^>]*>\s*{re.escape(words)}', page)
    assert found, f"no link {words!r}"
    return html.unescape(found[1])


# --- what the list says -----------------------------------------------------------------------------------------------
def test_without_any_job_the_list_leads_to_the_applications(ada: Browser) -> None:
    page = ada.get("/jobs").text
    assert "No jobs yet" in text_of(page)
    assert link(page, "Choose an application") == "/applications"


def test_where_no_job_fits_the_filters_can_be_cleared(ada: Browser) -> None:
    submitted(ada)
    page = ada.get("/jobs?text=nothing+like+it&sort=name&order=up").text
    assert "No job fits" in text_of(page)
    assert link(page, "Clear the filters") == "/jobs?sort=name&order=up"


def test_an_empty_archive_says_how_to_archive(ada: Browser) -> None:
    submitted(ada)
    assert "Nothing is archived" in text_of(ada.get("/jobs?archived=1").text)


def test_the_list_shows_only_the_visitors_own_jobs(portal: Rig, ada: Browser) -> None:
    mine, others = submitted(ada), submitted(signed_in(portal, "bob"))
    page = ada.get("/jobs").text
    assert mine in page
    assert others not in page


def test_an_administrators_own_list_shows_only_their_own_jobs(portal: Rig, ada: Browser) -> None:
    others = submitted(ada)
    assert others not in signed_in(portal, "root", Role.ADMIN).get("/jobs").text


def test_markup_in_names_and_labels_is_shown_as_text(ada: Browser) -> None:
    submitted(ada, NASTY, [NASTY[:60]])
    page = ada.get("/jobs").text
    assert "<script>alert" not in page
    assert names(page) == [NASTY]


def test_every_state_is_counted_beside_its_name(portal: Rig, ada: Browser) -> None:
    jobs = [submitted(ada) for _ in range(4)]
    portal.start(jobs[0])
    portal.run_to_end(jobs[1], {})
    portal.run_to_end(jobs[2], {}, code=2)
    words = text_of(ada.get("/jobs/part/head").text)
    assert "Waiting 1 Running 1 Completed 1 Failed 1 Cancelled 0" in words


# --- filters ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=RUNNING", ["hail 1"]),
        ("state=RUNNING&state=COMPLETED", ["storm 2", "hail 1"]),
        ("text=hail", ["hail 3", "hail 1"]),
        ("text=HAIL+3", ["hail 3"]),
        ("label=radar", ["hail 3", "storm 2"]),
        ("label=radar&label=new", ["hail 3"]),
        ("application=echo&cluster=local&within=day", ["hail 3", "storm 2", "hail 1"]),
        ("application=other", []),
        ("cluster=other", []),
        ("from=2100-01-01", []),
        ("to=1999-12-31", []),
        ("from=1999-12-31&to=2100-01-01&zone=Europe/Berlin", ["hail 3", "storm 2", "hail 1"]),
        ("sort=name&order=up", ["hail 1", "hail 3", "storm 2"]),
        ("sort=created&order=up", ["hail 1", "storm 2", "hail 3"]),
        ("sort=state&order=up", ["hail 3", "storm 2", "hail 1"]),
    ],
)
def test_the_address_says_which_jobs_are_shown_in_which_order(
    portal: Rig, ada: Browser, query: str, expected: list[str]
) -> None:
    first = submitted(ada, "hail 1")
    second = submitted(ada, "storm 2", ["radar"])
    submitted(ada, "hail 3", ["radar", "new"])
    portal.start(first)
    portal.run_to_end(second, {})
    assert names(ada.get(f"/jobs?{query}").text) == expected


@pytest.mark.parametrize(
    "query",
    ["state=RUNING", "sort=size", "within=ever", "from=yesterday", "to=2026-02-30", "text=" + "x" * 201, "cursor=xyz"],
)
def test_an_address_that_asks_for_nothing_known_says_so(ada: Browser, query: str) -> None:
    answer = ada.get(f"/jobs?{query}")
    assert answer.status_code == 422
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("query", ["text=%00", "label=%00", "zone=../../etc/passwd&from=2026-01-01", "owner=%ED%A0%80"])
def test_an_address_of_nonsense_shows_an_empty_list_or_all(ada: Browser, query: str) -> None:
    submitted(ada)
    assert ada.get(f"/jobs?{query}").status_code == 200


def test_typing_gives_the_list_part_and_the_browser_its_address(ada: Browser) -> None:
    submitted(ada, "hail")
    submitted(ada, "storm")
    answer = ada.part(
        "/jobs/part/list?text=hai&application=&cluster=&within=&from=&to=&sort=created&order=down&zone=UTC"
    )
    assert names(answer.text) == ["hail"]
    assert answer.headers["HX-Replace-Url"] == "/jobs?text=hai"
    assert "<html" not in answer.text


def test_a_chip_adds_its_states_and_takes_them_away_again(ada: Browser) -> None:
    submitted(ada)
    on = link(ada.get("/jobs?text=run").text, "Running")
    assert parse_qs(urlsplit(on).query) == {"state": ["RUNNING", "STAGING_OUT"], "text": ["run"]}
    off = link(ada.get(on).text, "Running")
    assert parse_qs(urlsplit(off).query) == {"text": ["run"]}


def test_a_column_head_sorts_and_sorts_the_other_way_round(ada: Browser) -> None:
    submitted(ada)
    up = link(ada.get("/jobs").text, "Job")
    assert parse_qs(urlsplit(up).query) == {"sort": ["name"], "order": ["up"]}
    page = ada.get(up).text
    assert 'aria-sort="ascending"' in page
    assert parse_qs(urlsplit(link(page, "Job")).query)["order"] == ["down"]


# --- pages that stay right ----------------------------------------------------------------------------------
def next_rows(page: str) -> str | None:
    found = re.search(r'hx-get="([^"]*cursor=[^"]*)"', page)
    return html.unescape(found[1]) if found else None


def test_the_list_goes_on_without_skipping_or_repeating_while_jobs_arrive(portal: Rig, ada: Browser) -> None:
    made = many(portal, ada, 2 * PAGE + 7)
    page = ada.get("/jobs").text
    seen = listed(page)
    while path := next_rows(page):
        submitted(ada, "came meanwhile")
        page = ada.part(path).text
        seen += listed(page)
    assert seen[: len(made)] == made[::-1]
    assert len(seen) == len(set(seen)) == len(made) + 1


def test_without_scripts_a_link_leads_to_the_next_page(portal: Rig, ada: Browser) -> None:
    made = many(portal, ada, PAGE + 3)
    page = ada.get(link(ada.get("/jobs").text, "More jobs")).text
    assert listed(page)[:-1] == made[:2][::-1]
    assert "<html" in page


def test_jobs_that_came_since_are_told_of_if_they_fit(ada: Browser) -> None:
    submitted(ada, "old")
    page = ada.get("/jobs?text=hail").text
    head = re.search(r'hx-get="([^"]*part/head[^"]*)"', page)
    assert head
    path = html.unescape(head[1])
    assert "new job" not in ada.part(path).text
    submitted(ada, "storm")
    assert "new job" not in ada.part(path).text
    submitted(ada, "hail one")
    assert "1 new job — show" in text_of(ada.part(path).text)
    submitted(ada, "hail two")
    assert "2 new jobs — show" in text_of(ada.part(path).text)
    assert link(ada.part(path).text, "2 new jobs") == "/jobs?text=hail"


@pytest.mark.parametrize("since", ["x", "nan", "inf", "-1", "1e400"])
def test_a_moment_that_is_none_is_refused(ada: Browser, since: str) -> None:
    assert ada.part(f"/jobs/part/head?since={since}").status_code == 422


def test_a_row_is_told_as_its_job_is_now_and_vanishes_with_it(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada, "one")
    path = f"/jobs/part/row?job={job_id}"
    portal.run_to_end(job_id, {})
    assert "Completed" in text_of(ada.part(path).text)
    ada.post("/jobs/selected", {"do": "archive", "job": job_id})
    assert ada.part(path).headers["HX-Reswap"] == "delete"
    assert listed(ada.part(f"{path}&archived=1").text) == [job_id]


def test_anothers_row_is_not_found(portal: Rig, ada: Browser) -> None:
    other = submitted(signed_in(portal, "bob"), "secret")
    answer = ada.part(f"/jobs/part/row?job={other}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


# --- shared with me -----------------------------------------------------------------------------------------
def test_jobs_that_others_show_stand_in_a_list_of_their_own(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    assert "Nobody shows you a job" in text_of(ada.get("/jobs/shared").text)
    job_id = submitted(bob, NASTY)
    by = Actor(bob.person.user_id, bob.name)
    portal.store.share(bob.viewer, job_id, ShareWith(ShareKind.USER, ada.name), by)
    page = ada.get("/jobs/shared").text
    assert names(page) == [NASTY]
    assert bob.name in page
    assert job_id not in ada.get("/jobs").text


def test_the_list_of_shared_jobs_goes_on(portal: Rig, ada: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.portal.joblist.SHARED_PAGE", 2)
    bob = signed_in(portal, "bob")
    by = Actor(bob.person.user_id, bob.name)
    made = [submitted(bob, f"job {n}") for n in range(5)]
    for job_id in made:
        portal.store.share(bob.viewer, job_id, ShareWith(ShareKind.USER, ada.name), by)
    page = ada.get("/jobs/shared").text
    seen = listed(page)
    while found := re.search(r'hx-get="([^"]*before=[^"]*)"', page):
        page = ada.part(html.unescape(found[1])).text
        seen += listed(page)
    assert seen == made[::-1]


# --- everybody's --------------------------------------------------------------------------------------------
def test_administrators_see_everybodys_jobs_with_their_owners(portal: Rig, ada: Browser) -> None:
    root, bob = signed_in(portal, "root", Role.ADMIN), signed_in(portal, "bob")
    mine, others = submitted(ada), submitted(bob)
    page = root.get("/admin/jobs").text
    assert {mine, others} <= set(listed(page))
    assert "You act as administrator" in text_of(page)
    assert listed(root.get(f"/admin/jobs?owner={bob.name}").text) == [others]
    assert listed(root.get("/admin/jobs?owner=nobody").text) == []


def test_the_owner_is_no_filter_of_ones_own_list(ada: Browser) -> None:
    job_id = submitted(ada)
    assert listed(ada.get("/jobs?owner=somebody").text) == [job_id]


def test_every_state_has_its_words(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada)
    for state in (JobState.STAGING_IN, JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.STAGING_OUT):
        portal.move(job_id, state)
        assert ada.part(f"/jobs/part/row?job={job_id}").status_code == 200
