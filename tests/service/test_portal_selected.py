"""What is done with the selected jobs: asked first, done one by one, told of, and never to what is another's."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import httpx
import pytest

from isthmus.job import JobState
from isthmus.store.audit import AuditKind, AuditQuery
from isthmus.store.users import Role
from tests.service.api_rig import ADMINISTRATOR, Rig
from tests.service.portal_rig import Browser, signed_in, text_of
from tests.service.test_portal_lists import NASTY, submitted


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


@pytest.fixture
def bobs(portal: Rig) -> str:
    """A job of somebody else, ended, with a label and a name that nobody else should read."""
    bob = signed_in(portal, "bob")
    job_id = submitted(bob, "secret of bob", ["his"])
    portal.run_to_end(job_id, {})
    return job_id


def do(browser: Browser, what: str, jobs: Sequence[str], path: str = "/jobs", **more: str) -> httpx.Response:
    return browser.post_part(f"{path}/selected", {"do": what, "job": list(jobs), "here": path, **more})


def told(answer: httpx.Response) -> str:
    """What the message says."""
    found = re.search(r'(?s)<hx-partial hx-target="#messages".*?</hx-partial>', answer.text)
    assert found, answer.text
    return text_of(found[0])


def test_cancelling_asks_first_and_says_how_many_can_be(portal: Rig, ada: Browser) -> None:
    ended, waiting = submitted(ada), submitted(ada)
    portal.run_to_end(ended, {})
    answer = do(ada, "cancel", [ended, waiting])
    assert "Cancel 2 jobs? Only 1 of 2 have not ended yet." in text_of(answer.text)
    assert "<dialog" in answer.text
    assert portal.store.job(ada.viewer, waiting).cancel_requested_at is None


def test_what_can_be_cancelled_is_and_of_the_others_it_is_said_why(portal: Rig, ada: Browser) -> None:
    ended, waiting = submitted(ada, "ended one"), submitted(ada)
    portal.run_to_end(ended, {})
    answer = do(ada, "cancel", [ended, waiting], sure="yes")
    assert "1 of 2 jobs will be cancelled. Not done: ended one : it has ended already" in told(answer)
    job = portal.store.job(ada.viewer, waiting)
    assert job.cancel_requested_at is not None
    assert job.state is JobState.ACCEPTED  # asked for is not done
    assert "cancel asked" in answer.text


def test_deleting_asks_first_and_leaves_what_has_not_ended(portal: Rig, ada: Browser) -> None:
    ended, waiting = submitted(ada), submitted(ada, "waiting one")
    portal.run_to_end(ended, {})
    assert "Delete 2 jobs? Only 1 of 2 have ended." in text_of(do(ada, "delete", [ended, waiting]).text)
    assert portal.store.job(ada.viewer, ended).deleted_at is None
    answer = do(ada, "delete", [ended, waiting], sure="yes")
    assert "1 of 2 jobs deleted. Not done: waiting one : only a job that has ended can be deleted" in told(answer)
    assert portal.store.job(ada.viewer, ended).deleted_at is not None
    assert portal.store.job(ada.viewer, waiting).deleted_at is None
    assert f'hx-target="#job-{ended}" hx-swap="delete"' in answer.text


def test_running_again_makes_one_new_job_of_each_however_often_it_is_sent(portal: Rig, ada: Browser) -> None:
    jobs = [submitted(ada, "one"), submitted(ada, "two")]
    question = do(ada, "resubmit", jobs)
    key = re.search(r'name="key" value="([^"]+)"', question.text)
    assert key
    before = len(portal.store.family(ada.viewer, jobs[0]))
    for _ in range(2):
        answer = do(ada, "resubmit", jobs, sure="yes", key=html.unescape(key[1]))
        assert "2 of 2 jobs run again" in told(answer)
    assert [len(portal.store.family(ada.viewer, job_id)) for job_id in jobs] == [before + 1, before + 1]
    assert portal.store.family(ada.viewer, jobs[0])[-1].parent_id == jobs[0]
    assert {one.name for one in portal.store.family(ada.viewer, jobs[0])} == {"one", "one (2)"}


def test_archived_jobs_leave_the_list_and_come_back(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada)
    answer = do(ada, "archive", [job_id])
    assert f'hx-target="#job-{job_id}" hx-swap="delete"' in answer.text
    assert job_id not in ada.get("/jobs").text
    assert job_id in ada.get("/jobs?archived=1").text
    do(ada, "bring_back", [job_id])
    assert job_id in ada.get("/jobs").text


def test_labels_are_added_and_taken_off(portal: Rig, ada: Browser) -> None:
    one, two = submitted(ada, "one", ["old"]), submitted(ada, "two")
    assert "2 of 2 jobs labelled" in told(do(ada, "label", [one, two], label="  paper   2 "))
    assert portal.store.job(ada.viewer, one).labels == ("old", "paper 2")
    assert portal.store.job(ada.viewer, two).labels == ("paper 2",)
    answer = do(ada, "unlabel", [one, two], label="old")
    assert "1 of 2 jobs without the label now. Not done: two : it does not have this label" in told(answer)
    assert portal.store.job(ada.viewer, one).labels == ("paper 2",)


def test_several_labels_are_added_at_once_as_in_every_form(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada, "one", ["old"])
    do(ada, "label", [job_id], label='new, "Ames, Iowa"')
    assert portal.store.job(ada.viewer, job_id).labels == ("Ames, Iowa", "new", "old")
    do(ada, "unlabel", [job_id], label='"Ames, Iowa", old')
    assert portal.store.job(ada.viewer, job_id).labels == ("new",)
    assert "none of these labels" in told(do(ada, "unlabel", [job_id], label="a, b"))


@pytest.mark.parametrize("label", ["", "   ", "x" * 65, "a\x00b", "a\x1bb"])
def test_a_label_that_cannot_be_one_changes_nothing(portal: Rig, ada: Browser, label: str) -> None:
    job_id = submitted(ada, "one", ["old"])
    answer = do(ada, "label", [job_id], label=label)
    assert answer.status_code == 422
    assert answer.headers["HX-Retarget"] == "#messages"
    assert portal.store.job(ada.viewer, job_id).labels == ("old",)


def test_a_job_with_as_many_labels_as_there_may_be_keeps_them(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada, "full", [f"label {n}" for n in range(20)])
    assert "at most 20 labels" in told(do(ada, "label", [job_id], label="one more"))
    assert len(portal.store.job(ada.viewer, job_id).labels) == 20


def test_two_jobs_are_compared_and_no_other_number(ada: Browser) -> None:
    one, two, three = submitted(ada), submitted(ada), submitted(ada)
    assert do(ada, "compare", [one, two]).headers["HX-Redirect"] == f"/compare?a={one}&b={two}"
    plain = ada.post("/jobs/selected", {"do": "compare", "job": [one, two]})
    assert (plain.status_code, plain.headers["location"]) == (303, f"/compare?a={one}&b={two}")
    for jobs in ([one], [one, two, three]):
        answer = do(ada, "compare", jobs)
        assert answer.status_code == 422
        assert "Two jobs can be compared" in answer.text


def test_what_cannot_be_a_jobs_id_is_compared_with_nothing(ada: Browser) -> None:
    answer = do(ada, "compare", ["a&b=c", "d\r\nX-Evil: 1"])
    assert answer.headers["HX-Redirect"] == "/compare?a=a%26b%3Dc&b=d%0D%0AX-Evil%3A+1"


def test_an_address_of_the_list_that_is_none_is_refused_before_anything_is_done(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada)
    answer = ada.post_part("/jobs/selected", {"do": "archive", "job": job_id, "here": "/jobs?state=nothing"})
    assert answer.status_code == 422
    assert portal.store.job(ada.viewer, job_id).archived_at is None


def test_nothing_selected_is_said_so(ada: Browser) -> None:
    answer = do(ada, "archive", [])
    assert answer.status_code == 422
    assert "Select 1 to 500 jobs" in answer.text


def test_more_jobs_than_can_be_dealt_with_at_once_are_refused(ada: Browser) -> None:
    answer = do(ada, "archive", [f"{n:020}" for n in range(501)])
    assert answer.status_code == 422
    assert "501 are selected" in answer.text


def test_a_button_that_is_none_is_refused(ada: Browser) -> None:
    assert do(ada, "explode", [submitted(ada)]).status_code == 422


@pytest.mark.parametrize("what", ["cancel", "delete", "archive", "resubmit", "label", "unlabel"])
def test_anothers_jobs_among_ones_own_are_left_as_they_are(portal: Rig, ada: Browser, bobs: str, what: str) -> None:
    mine = submitted(ada, "mine", ["his"])
    if what == "delete":
        portal.run_to_end(mine, {})
    before = portal.store.job(ADMINISTRATOR, bobs)
    answer = do(ada, what, [bobs, mine], sure="yes", label="his" if what == "unlabel" else "hers")
    assert told(answer).startswith("1 of 2 jobs")
    assert "secret of bob" not in answer.text
    assert portal.store.job(ADMINISTRATOR, bobs) == before
    question = do(ada, what, [bobs, mine], label="x")
    assert "secret of bob" not in question.text


def test_names_in_what_is_told_are_shown_as_text(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada, NASTY)
    portal.run_to_end(job_id, {})
    for answer in (do(ada, "cancel", [job_id]), do(ada, "cancel", [job_id], sure="yes")):
        assert "<script>alert" not in answer.text
        assert NASTY in html.unescape(answer.text)


def test_without_scripts_question_and_answer_are_pages(portal: Rig, ada: Browser) -> None:
    job_id = submitted(ada)
    fields = {"do": "cancel", "job": job_id, "here": "/jobs?text=run"}
    page = ada.post("/jobs/selected", fields).text
    assert "<html" in page
    assert 'href="/jobs?text=run"' in page
    done = ada.post("/jobs/selected", {**fields, "sure": "yes"}).text
    assert "1 of 1 job will be cancelled" in text_of(done)
    assert 'href="/jobs?text=run"' in done


def test_the_way_back_leads_nowhere_else(ada: Browser) -> None:
    page = ada.post("/jobs/selected", {"do": "cancel", "job": submitted(ada), "here": "https://evil.example/"}).text
    assert "evil.example" not in page


def test_administrators_delete_others_jobs_and_it_is_written_down(portal: Rig, ada: Browser) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    job_id = submitted(ada)
    portal.run_to_end(job_id, {})
    question = do(root, "delete", [job_id], "/admin/jobs")
    assert "You act as administrator" in text_of(question.text)
    do(root, "delete", [job_id], "/admin/jobs", sure="yes")
    assert portal.store.job(ada.viewer, job_id).deleted_at is not None
    (line,) = portal.store.audit(AuditQuery(job_id=job_id, kind=AuditKind.JOB_DELETED_BY_ADMINISTRATOR))
    assert line.user == root.name


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("cancel", "asked to cancel it"),
        ("archive", "archived it"),
        ("bring_back", "took it out of the archive"),
        ("label", "labelled it “seen”"),
    ],
)
def test_what_administrators_do_to_others_selected_jobs_is_written_down(
    portal: Rig, ada: Browser, what: str, words: str
) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    jobs = [submitted(ada), submitted(ada), submitted(root)]
    do(root, what, jobs, "/admin/jobs", sure="yes", label="seen")
    for job_id in jobs[:2]:
        (line,) = portal.store.audit(AuditQuery(job_id=job_id, kind=AuditKind.JOB_CHANGED_BY_ADMINISTRATOR))
        assert (line.user, line.words) == (root.name, words)
    assert portal.store.audit(AuditQuery(job_id=jobs[2])) == []


def test_what_could_not_be_done_is_not_written_down_as_done(portal: Rig, ada: Browser) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    job_id = submitted(ada)
    portal.run_to_end(job_id, {})
    do(root, "cancel", [job_id], "/admin/jobs", sure="yes")
    assert portal.store.audit(AuditQuery(job_id=job_id)) == []


def test_an_administrators_own_list_does_nothing_to_others_jobs(portal: Rig, ada: Browser) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    job_id = submitted(ada)
    assert "0 of 1 job will be cancelled" in told(do(root, "cancel", [job_id], sure="yes"))
    assert portal.store.job(ada.viewer, job_id).cancel_requested_at is None


def test_nobody_runs_others_jobs_again_from_the_list_of_all(portal: Rig, ada: Browser) -> None:
    root = signed_in(portal, "root", Role.ADMIN)
    assert do(root, "resubmit", [submitted(ada)], "/admin/jobs", sure="yes").status_code == 422
