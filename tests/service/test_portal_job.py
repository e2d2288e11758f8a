"""A job's page over HTTP: what it says in each state, what its owner can do there, and who sees nothing of it."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator

import httpx
import pytest

from isthmus.job import Cause, JobState
from isthmus.portal.history import MOST_SHOWN
from isthmus.portal.naming import write_labels
from isthmus.store.audit import AuditKind, AuditQuery
from isthmus.store.users import Role
from isthmus.store.views import JobView
from isthmus.store.wishes import JobChanges
from tests.service.api_rig import Rig
from tests.service.portal_jobs import (
    GEOJSON,
    PICTURE,
    Wrote,
    atlas_job,
    ended,
    followed,
    reached,
    serving_atlas,
    uploaded,
)
from tests.service.portal_rig import Browser, fields_in, signed_in, text_of

MARKUP = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with serving_atlas(tmp_path_factory) as rig:
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def page(browser: Browser, job_id: str) -> str:
    answer = browser.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.text


# --- what it says -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "badge", "said"),
    [
        (JobState.STAGING_IN, "Copying inputs", "Its inputs are being copied to the cluster."),
        (JobState.SUBMITTING, "Submitting", "It is being handed to the cluster's scheduler."),
        (JobState.QUEUED, "Queued", "The cluster has it and will start it when there is room."),
        (JobState.RUNNING, "Running", "Its program was started."),
        (JobState.STAGING_OUT, "Collecting outputs", "Its program has ended; outputs are being collected."),
    ],
)
def test_a_page_shows_each_state_on_the_way(portal: Rig, ada: Browser, state: JobState, badge: str, said: str) -> None:
    job_id = atlas_job(ada.person)
    reached(portal, job_id, state)
    shown = page(ada, job_id)
    assert f'class="badge state-{state.lower()}"' in shown
    assert badge in text_of(shown)
    assert said in text_of(shown)
    assert f'action="/jobs/{job_id}/cancel"' in shown


def test_a_new_job_waits_and_has_no_outputs_yet(ada: Browser) -> None:
    shown = text_of(page(ada, atlas_job(ada.person, name="first of all")))
    assert "first of all" in shown
    assert "It is stored and waits in the gateway." in shown
    assert "They appear here when the program has ended." in shown
    assert "Nothing was written yet." in shown


@pytest.mark.parametrize(
    ("state", "cause", "said"),
    [
        (JobState.COMPLETED, Cause.EXIT_ZERO, "It completed"),
        (JobState.FAILED, Cause.EXIT_NONZERO, "The program ended with an error."),
        (JobState.CANCELLED, Cause.CANCELLED_BY_USER, "It was cancelled."),
    ],
)
def test_a_page_says_how_it_ended(portal: Rig, ada: Browser, state: JobState, cause: Cause, said: str) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE], state=state, cause=cause, evidence="seen with own eyes")
    shown = text_of(page(ada, job_id))
    assert said in shown
    assert "seen with own eyes" in shown
    assert "Evidence" in shown


def test_a_walltime_failure_offers_as_much_more_time_as_the_program_may_have(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, state=JobState.FAILED, cause=Cause.WALLTIME, evidence="stopped", code=143)
    shown = page(ada, job_id)
    assert f'href="/jobs/{job_id}/resubmit?resources.walltime_s=1000"' in shown


def test_a_memory_failure_offers_twice_the_memory(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, state=JobState.FAILED, cause=Cause.OUT_OF_MEMORY, evidence="killed", code=137)
    assert f'href="/jobs/{job_id}/resubmit?resources.memory_mib=2048"' in page(ada, job_id)


def test_a_job_that_had_the_most_time_there_is_gets_no_offer_of_more(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person, resources={"walltime_s": 1000})
    ended(portal, job_id, state=JobState.FAILED, cause=Cause.WALLTIME, evidence="stopped", code=143)
    shown = page(ada, job_id)
    assert "resources.walltime_s=" not in shown
    assert "the most time that Atlas may have" in text_of(shown)


def test_lost_contact_is_said_beside_the_last_known_state(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    portal.start(job_id)
    assert portal._lease is not None
    portal.store.mark_contact(portal._lease, "local", time.time() - 600)
    try:
        shown = text_of(page(ada, job_id))
    finally:
        portal.store.mark_contact(portal._lease, "local", None)
    assert "Running" in shown
    assert shown.count("This machine has not answered for 10 min") == 1
    assert "nothing is lost" in shown
    assert "has not answered" not in page(ada, job_id)


def test_inputs_have_labels_and_units_and_files_say_where_they_came_from(portal: Rig, ada: Browser) -> None:
    earlier = atlas_job(ada.person)
    ended(portal, earlier, [PICTURE, Wrote("report", "paper.txt", b"old", "text/plain")])
    reference = {"job": earlier, "output": "report"}
    job_id = atlas_job(ada.person, inputs={"threshold_dbz": 47.5}, files={"paper": reference})
    shown = page(ada, job_id)
    assert "Reflectivity threshold" in shown
    assert "47.5 dBZ" in shown
    assert f'href="/jobs/{earlier}"' in shown
    assert ada.get(f"/jobs/{job_id}/inputs/paper/file?position=0").content == b"old"
    assert ada.get(f"/jobs/{job_id}/inputs/paper/file?position=1").status_code == 404


def test_resources_asked_for_stand_beside_those_used(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE])
    shown = text_of(page(ada, job_id))
    assert "1 GiB" in shown
    assert "256 MiB at the most" in shown
    assert "25 %" in shown


def test_events_and_attempts_are_shown_with_evidence_and_native_ids(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE], evidence="the end record says so")
    shown = text_of(page(ada, job_id))
    assert "the end record says so" in shown.partition("In detail")[2]
    assert "17" in shown.partition("Attempts")[2]


def test_the_machine_that_a_job_ran_on_is_shown_with_the_cluster_and_with_its_attempt(
    portal: Rig, ada: Browser
) -> None:
    job_id = atlas_job(ada.person)
    assert ", machine" not in text_of(page(ada, job_id)).partition("In detail")[0]
    ended(portal, job_id, [PICTURE])
    shown = text_of(page(ada, job_id))
    assert ", machine n12" in shown.partition("In detail")[0]
    assert "n12" in shown.partition("Attempts")[2]


def test_a_long_history_shows_its_newest_events_and_all_of_them_in_a_file(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    reached(portal, job_id, JobState.QUEUED)
    for n in range(MOST_SHOWN):
        portal.store.change(ada.viewer, job_id, JobChanges(name=f"=name {n:03}"), time.time())
    portal.move(job_id, JobState.RUNNING)
    shown = page(ada, job_id)
    said = text_of(shown)
    count = MOST_SHOWN + 5  # accepted, three states, the changes, one state
    assert f"The newest {MOST_SHOWN}; 5 earlier ones are in the file." in said
    assert f"called it “=name {MOST_SHOWN - 1:03}”" in said
    assert "called it “=name 000”" not in said
    timeline = said.partition("Timeline")[2].partition("Outputs")[0]
    for state in ("Accepted", "Copying inputs", "Submitting", "Queued", "Running"):
        assert state in timeline
    file = ada.get(f"/jobs/{job_id}/events/file")
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(file.text)))
    assert len(rows) == 1 + count
    assert rows[0] == ["when", "what", "evidence", "by"]
    assert [row[1] for row in rows[1:5]] == ["Accepted", "Copying inputs", "Submitting", "Queued"]
    assert "“=name 000”" in rows[5][2]
    assert rows[5][3] == ada.name


def test_the_script_is_shown_as_it_ran(ada: Browser) -> None:
    job_id = atlas_job(ada.person, inputs={"threshold_dbz": 51})
    shown = ada.part(f"/jobs/{job_id}/part/script")
    assert "--threshold=51" in text_of(shown.text)


# --- nothing that a user or a program wrote is ever markup ------------------------------------------------------------
def test_names_labels_inputs_file_names_and_evidence_are_escaped(portal: Rig, ada: Browser) -> None:
    paper = uploaded(ada.person, "<img src=x>.txt", b"x")
    job_id = atlas_job(ada.person, name=MARKUP, labels=[MARKUP], inputs={"title": MARKUP}, files={"paper": paper})
    strange = Wrote("report", f"{MARKUP}.txt", b"x", "text/plain")
    ended(portal, job_id, [PICTURE, strange], state=JobState.FAILED, cause=Cause.SIGNAL, evidence=MARKUP, code=139)
    for shown in (page(ada, job_id), ada.part(f"/jobs/{job_id}/part/body").text):
        assert "<script>alert" not in shown
        assert "<img src=x>" not in shown
        assert text_of(shown).count(MARKUP) >= 4


def test_a_log_is_escaped_and_its_control_characters_are_signs(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    portal.start(job_id)
    followed(portal, job_id, {"stdout": f"\x1b[31m{MARKUP}\x1b[0m \u202eevil\n".encode()})
    shown = page(ada, job_id)
    assert "<script>alert" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "␛[31m" in shown
    assert "⟨U+202E⟩" in shown


# --- what its owner does ----------------------------------------------------------------------------------------------
def test_cancelling_is_asked_for_and_shown_until_it_is_proved(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    portal.start(job_id)
    assert ada.post(f"/jobs/{job_id}/cancel").headers["location"] == f"/jobs/{job_id}"
    shown = page(ada, job_id)
    assert "Cancelling was asked for; it is repeated" in text_of(shown)
    assert f"/jobs/{job_id}/cancel" not in shown
    assert portal.store.job(ada.viewer, job_id).state is JobState.RUNNING


def test_a_change_asked_for_by_a_part_is_answered_with_the_part(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    answer = ada.post_part(f"/jobs/{job_id}/cancel")
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div id="job"')
    assert text_of(answer.text).count("Cancelling was asked for; it is repeated") == 1


def test_the_owner_gives_another_name_and_other_labels(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ada.post(f"/jobs/{job_id}/change", {"name": " a better name ", "labels": 'radar, ,"alabama, 2015" '})
    job = portal.store.job(ada.viewer, job_id)
    assert (job.name, job.labels) == ("a better name", ("alabama, 2015", "radar"))


@pytest.mark.parametrize(
    ("name", "labels", "said"),
    [
        ("", "kept", "Give the job a name."),
        ("x" * 256, "kept", "This has more than the 255 characters that are permitted."),
        ("fine", "y" * 65, "has more than the 64 characters that are permitted."),
        ("fine", ",".join(map(str, range(21))), "There are 21; at most 20 are permitted."),
    ],
)
def test_a_bad_name_or_label_is_said_beside_its_field_and_nothing_typed_is_lost(
    portal: Rig, ada: Browser, name: str, labels: str, said: str
) -> None:
    job_id = atlas_job(ada.person, name="before")
    answer = ada.post(f"/jobs/{job_id}/change", {"name": name, "labels": labels})
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    assert f'value="{labels}"' in answer.text
    assert portal.store.job(ada.viewer, job_id).name == "before"


def renamed(browser: Browser, job_id: str, had: JobView, **now: str) -> httpx.Response:
    """The answer to the form of a page that was made when the job was as `had`."""
    was = {"had_name": had.name, "had_labels": write_labels(had.labels)}
    return browser.post(f"/jobs/{job_id}/change", {**was, "name": had.name, "labels": write_labels(had.labels), **now})


@pytest.mark.parametrize(("field", "mine", "theirs"), [("name", "mine", "theirs"), ("labels", "mine", "a, theirs")])
def test_who_comes_second_is_shown_what_is_stored_and_loses_nothing_of_what_they_wrote(
    portal: Rig, ada: Browser, field: str, mine: str, theirs: str
) -> None:
    chief = signed_in(portal, "chief", Role.ADMIN)
    job_id = atlas_job(ada.person, name="first", labels=["a"])
    had = portal.store.job(ada.viewer, job_id)
    assert renamed(chief, job_id, had, **{field: theirs}).status_code == 303
    answer = renamed(ada, job_id, had, **{field: mine})
    assert answer.status_code == 409
    said = text_of(answer.text)
    assert "Somebody else changed this while you were writing" in said
    assert theirs in said
    stored = portal.store.job(ada.viewer, job_id)
    assert (stored.name, write_labels(stored.labels)) == (
        ("theirs", "a") if field == "name" else ("first", "a, theirs")
    )
    fields = fields_in(answer.text, "rename-form")
    assert fields[field] == [mine]
    again = {name: value for name, value in fields.items() if name != "csrf"}
    assert ada.post(f"/jobs/{job_id}/change", again).status_code == 303  # knowing what is there
    after = portal.store.job(ada.viewer, job_id)
    assert mine in (after.name, write_labels(after.labels))


def test_what_two_people_change_of_different_things_is_both_kept(portal: Rig, ada: Browser) -> None:
    chief = signed_in(portal, "chief", Role.ADMIN)
    job_id = atlas_job(ada.person, name="first", labels=["a"])
    had = portal.store.job(ada.viewer, job_id)
    renamed(chief, job_id, had, name="theirs")
    assert renamed(ada, job_id, had, labels="b").status_code == 303
    stored = portal.store.job(ada.viewer, job_id)
    assert (stored.name, stored.labels) == ("theirs", ("b",))


def test_a_jobs_own_progress_is_no_change_by_somebody_else(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person, name="first")
    had = portal.store.job(ada.viewer, job_id)
    portal.start(job_id)
    assert renamed(ada, job_id, had, name="second").status_code == 303
    assert portal.store.job(ada.viewer, job_id).name == "second"


@pytest.mark.parametrize(("what", "words"), [("cancel", "asked to cancel it"), ("change", "called it")])
def test_what_an_administrator_does_to_anothers_job_is_written_down(
    portal: Rig, ada: Browser, what: str, words: str
) -> None:
    chief = signed_in(portal, "chief", Role.ADMIN)
    job_id = atlas_job(ada.person)
    chief.post(f"/jobs/{job_id}/{what}", {"name": "theirs", "labels": ""})
    (line,) = portal.store.audit(AuditQuery(job_id=job_id, kind=AuditKind.JOB_CHANGED_BY_ADMINISTRATOR))
    assert line.user == chief.name
    assert words in line.words
    assert words in text_of(ada.get(f"/jobs/{job_id}/sharing").text)


def test_what_somebody_does_to_their_own_job_is_not_in_the_audit(portal: Rig) -> None:
    chief = signed_in(portal, "chief", Role.ADMIN)
    job_id = atlas_job(chief.person)
    chief.post(f"/jobs/{job_id}/change", {"name": "mine", "labels": ""})
    assert portal.store.audit(AuditQuery(job_id=job_id)) == []


def test_an_ended_job_goes_into_the_archive_and_comes_back(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE])
    ada.post(f"/jobs/{job_id}/archive")
    assert portal.store.job(ada.viewer, job_id).archived_at is not None
    assert "Take out of the archive" in page(ada, job_id)
    ada.post(f"/jobs/{job_id}/archive")
    assert portal.store.job(ada.viewer, job_id).archived_at is None


def test_a_deleted_job_keeps_its_record_and_shows_no_file(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person, inputs={"threshold_dbz": 44})
    ended(portal, job_id, [PICTURE, GEOJSON])
    assert "2 output files and logs" in page(ada, job_id)
    assert ada.post(f"/jobs/{job_id}/delete").headers["location"] == "/jobs"
    shown = text_of(page(ada, job_id))
    assert "This job was deleted at" in shown
    assert "44 dBZ" in shown
    assert "Download all" not in shown
    assert ada.get(f"/jobs/{job_id}/outputs/picture/file").status_code == 404
    assert ada.get(f"/jobs/{job_id}/log/stdout").status_code == 404
    assert ada.get(f"/jobs/{job_id}/outputs.zip").status_code == 404
    assert f'action="/jobs/{job_id}' not in ada.get(f"/jobs/{job_id}").text


def test_a_job_that_has_not_ended_is_not_deleted(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    portal.start(job_id)
    assert f"/jobs/{job_id}/delete" not in page(ada, job_id)
    answer = ada.post(f"/jobs/{job_id}/delete")
    assert answer.status_code == 409
    assert "cancel it first" in text_of(answer.text)
    assert portal.store.job(ada.viewer, job_id).deleted_at is None


def test_a_change_without_the_pages_token_is_refused(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    for what in ("cancel", "change", "archive", "delete", "shares"):
        assert ada.post(f"/jobs/{job_id}/{what}", {"name": "x"}, csrf="forged").status_code == 403
    job = portal.store.job(ada.viewer, job_id)
    assert (job.cancel_requested_at, job.name) == (None, "Atlas")


# --- who sees it ------------------------------------------------------------------------------------------------------
READING: tuple[str, ...] = (
    "",
    "/events/file",
    "/part/body",
    "/part/script",
    "/part/family",
    "/outputs.zip",
    "/outputs/picture/file",
    "/log/stdout",
)
READING += ("/outputs/picture/part/view", "/log/stdout/file", "/inputs/paper/file", "/sharing")


def test_others_find_nothing_and_change_nothing(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE])
    for path in READING:
        assert bob.get(f"/jobs/{job_id}{path}").status_code == 404, path
    for what in ("cancel", "change", "archive", "delete", "shares", f"shares/{job_id}/end"):
        assert bob.post(f"/jobs/{job_id}/{what}", {"name": "taken", "labels": ""}).status_code == 404, what
    job = portal.store.job(ada.viewer, job_id)
    assert (job.name, job.archived_at, job.deleted_at) == ("Atlas", None, None)


def test_an_administrator_is_told_whose_job_it_is_and_the_owner_who_looked(portal: Rig, ada: Browser) -> None:
    chief = signed_in(portal, "chief", Role.ADMIN)
    job_id = atlas_job(ada.person)
    assert f"This is {ada.name}'s job" in text_of(page(chief, job_id))
    looked = text_of(ada.get(f"/jobs/{job_id}/sharing").text)
    assert chief.name in looked
    assert "looked at it as an administrator" in looked


def test_an_administrators_own_page_shows_their_own_family_only(portal: Rig, ada: Browser) -> None:
    chief = signed_in(portal, "chief", Role.ADMIN)
    job_id = atlas_job(chief.person)
    assert "as an administrator" not in page(chief, job_id)


def test_a_failed_jobs_page_says_what_its_program_said_last(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    wrote = [Wrote("stderr", "stderr", b"".join(b"line %d <i>\n\n" % n for n in range(9)), "text/plain")]
    ended(portal, job_id, wrote, state=JobState.FAILED, cause=Cause.EXIT_NONZERO)
    shown = page(ada, job_id)
    assert "Its last words on stderr: line 4 <i> line 5 <i> line 6 <i> line 7 <i> line 8 <i>" in text_of(shown)
    assert "line 8 &lt;i&gt;" in shown


# --- the family -------------------------------------------------------------------------------------------------------
def test_the_family_shows_what_each_job_changed_of_its_parent(portal: Rig, ada: Browser) -> None:
    first = atlas_job(ada.person, name="first")
    made = ada.person.client.post(f"/jobs/{first}/resubmit", json={"name": "second", "inputs": {"threshold_dbz": 55}})
    second = made.json()["id"]
    same = ada.person.client.post(f"/jobs/{second}/resubmit", json={"name": "third"}).json()["id"]
    shown = ada.part(f"/jobs/{first}/part/family")
    assert f'href="/compare?a={first}&amp;b={second}"' in shown.text
    said = text_of(shown.text)
    assert "Reflectivity threshold: 40 55 dBZ" in said
    assert "asked for exactly the same" in said
    assert f'href="/jobs/{same}"' in shown.text


def test_a_job_without_relatives_says_how_to_make_one(ada: Browser) -> None:
    shown = ada.part(f"/jobs/{atlas_job(ada.person)}/part/family")
    assert "Nothing was made of this job yet." in text_of(shown.text)
