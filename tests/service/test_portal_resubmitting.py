"""Submitting a job again over HTTP: filled in from it, what differs marked, and a job made of the two."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from isthmus.application import Json
from isthmus.portal import make_site
from isthmus.store import CopiedFrom, ListQuery
from isthmus.store.audit import Actor
from isthmus.store.shares import ShareKind, ShareWith
from isthmus.store.users import Role
from isthmus.store.views import JobView
from tests.service.api_rig import Rig, serving, until, write_application
from tests.service.portal_rig import Browser, fields_in, signed_in, text_of

APPLICATION = """\
name: odd
version: 1.0.0
title: Odd values
summary: Takes what forms find hard to hold.
inputs:
  words: {label: Words, schema: {type: string}, default: usual}
  size: {label: Size, unit: km, schema: {type: number, maximum: 100}, default: 4}
  smooth: {label: Smooth, schema: {type: boolean}, default: true}
  maybe: {label: Maybe, schema: {type: boolean}, required: false}
  lines: {label: Lines, schema: {type: array, items: {type: string}}, default: [usual]}
  poems: {label: Poems, schema: {type: array, items: {type: string, multiline: true}}, required: false}
  kinds:
    label: Kinds
    schema: {type: array, items: {type: string, enum: [a, b]}, uniqueItems: true}
    required: false
  paper: {label: Paper, file: {max_mib: 1}, required: false}
  notes: {label: Notes, files: {max_mib: 1, max: 3}, required: false}
command: [echo, "{inputs.words}"]
resources:
  cpus: {default: 1, max: 8}
  walltime_s: {computed: "60 * inputs.size", min: 10, max: 86400}
deployments: {"*": {}}
isolation: preferred
"""
NEWER = (
    APPLICATION.replace("1.0.0", "2.0.0")
    .replace("  maybe: {label: Maybe, schema: {type: boolean}, required: false}\n", "")
    .replace("default: 4}", "default: 5}")
    .replace("command:", "  depth: {label: Depth, schema: {type: integer}, default: 3}\ncommand:")
)
ODD: dict[str, Json] = {
    "words": "",
    "size": 2.5,
    "smooth": False,
    "lines": ["", " a ", '"b"', "c"],
    "poems": ["one\ntwo", "three"],
    "kinds": ["b", "a"],
}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("home")
    write_application(home, APPLICATION, "odd")
    with serving(home, make=make_site) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def uploaded(browser: Browser, name: str, content: bytes = b"hello") -> str:
    answer = browser.person.client.post("/files", params={"name": name}, content=content)
    return str(answer.json()["id"])


def made(portal: Rig, browser: Browser, **body: object) -> JobView:
    """A job submitted through the API."""
    answer = browser.person.client.post("/jobs", json={"application": "odd", "version": "1.0.0", **body})
    assert answer.status_code == 201, answer.text
    return portal.store.job(browser.viewer, answer.json()["id"])


def form_of(browser: Browser, job: JobView, query: str = "") -> dict[str, str | list[str]]:
    answer = browser.get(f"/jobs/{job.id}/resubmit{query}")
    assert answer.status_code == 200, text_of(answer.text)
    return dict(fields_in(answer.text, "job-form"))


def again(portal: Rig, browser: Browser, job: JobView, fields: dict[str, str | list[str]], query: str = "") -> JobView:
    answer = browser.post(f"/jobs/{job.id}/resubmit{query}", fields)
    assert answer.status_code == 303, text_of(answer.text)
    return portal.store.job(browser.viewer, answer.headers["location"].removeprefix("/jobs/"))


def look(browser: Browser, job: JobView, fields: dict[str, str | list[str]]) -> dict[str, object]:
    found: dict[str, object] = browser.post_part(f"/jobs/{job.id}/resubmit/part/look", fields).json()
    return found


def test_submitted_again_untouched_it_is_the_same_request_odd_values_and_all(portal: Rig, ada: Browser) -> None:
    files = {"paper": uploaded(ada, "p.txt"), "notes": [uploaded(ada, "n1.txt"), uploaded(ada, "n2.txt", b"2")]}
    parent = made(
        portal,
        ada,
        inputs=ODD,
        files=files,
        resources={"walltime_s": 4000},
        name="First, <b>",
        labels=["kept", "storms"],
    )
    child = again(portal, ada, parent, form_of(ada, parent))
    assert child.parent_id == parent.id
    assert portal.store.job(ada.viewer, parent.id).children == (child.id,)
    assert child.name == "First, <b> (2)"
    for name in ("inputs", "files", "resources", "cluster", "labels", "digest", "version"):
        assert getattr(child, name) == getattr(parent, name), name
    assert look(ada, parent, form_of(ada, parent))["changes"] == []


def test_what_was_changed_is_changed_and_nothing_else(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs=ODD, resources={"cpus": 3})
    fields = form_of(ada, parent) | {
        "inputs.size": "7",
        "inputs.smooth": ["false", "true"],
        "inputs.maybe": "true",
        "inputs.lines": "c",
        "resources.cpus": "",
        "resources.walltime_s": "2h",
        "name": "Second",
        "labels": "new",
    }
    child = again(portal, ada, parent, fields)
    expected = {**ODD, "size": 7, "smooth": True, "maybe": True, "lines": ["c"]}
    assert dict(child.inputs) == expected
    assert (child.resources.cpus, child.resources.walltime_s) == (1, 7200)
    assert (child.name, child.labels) == ("Second", ("new",))


def test_an_input_that_is_emptied_goes_back_to_its_default(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs=ODD)
    fields = form_of(ada, parent) | {"inputs.size": "", "inputs.poems": ["", ""], "inputs.words": "usual"}
    child = again(portal, ada, parent, fields)
    assert child.inputs["size"] == 4
    assert "poems" not in child.inputs
    assert child.inputs["words"] == "usual"
    assert child.resources.walltime_s == 240


def test_what_differs_is_told_field_by_field_with_what_was(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs=ODD, name="First", files={"paper": uploaded(ada, "p.txt")})
    fields = form_of(ada, parent) | {"inputs.size": "7", "files.paper": "", "resources.cpus": "2", "name": "Second"}
    assert look(ada, parent, fields)["changes"] == [
        {"field": "inputs.size", "label": "Size", "was": "2.5 km", "now": "7 km"},
        {"field": "files.paper", "label": "Paper", "was": "p.txt", "now": "nothing"},
        {"field": "resources.cpus", "label": "CPUs", "was": "what the application says", "now": "2"},
        {"field": "name", "label": "Name of the job", "was": "First", "now": "Second"},
    ]
    page = ada.post(f"/jobs/{parent.id}/resubmit", fields | {"inputs.size": "700"}).text
    size = page.partition('data-field="inputs.size"')[2].partition("</div>")[0]
    assert 'id="inputs-size-was" data-was>was <strong>2.5 km</strong>' in size
    assert 'data-earlier="[&#34;2.5&#34;]"' in size or "data-earlier='[\"2.5\"]'" in size
    assert 'id="inputs-smooth-was" data-was hidden>was <strong>no</strong>' in page
    assert 'id="files-paper-was" data-was>was <strong>p.txt</strong>' in page
    assert "Size : 2.5 km → 700 km" in text_of(page)


def test_the_same_value_written_otherwise_is_no_difference(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs={"size": 2, "words": "x"}, resources={"walltime_s": 3600})
    fields = form_of(ada, parent)
    assert fields["resources.walltime_s"] == ["1h"]
    fields |= {"inputs.size": "2.0", "resources.walltime_s": "60m"}
    assert look(ada, parent, fields)["changes"] == []


def test_files_can_be_kept_one_by_one_though_their_uploads_are_gone(portal: Rig, ada: Browser) -> None:
    uploads = [uploaded(ada, f"n{n}.txt", str(n).encode()) for n in range(3)]
    parent = made(portal, ada, files={"notes": uploads[:2]})
    portal.store.delete_upload(ada.viewer, uploads[0])
    fields = form_of(ada, parent)
    assert fields["files.notes"] == ["", "kept:notes:0", "kept:notes:1"]
    child = again(portal, ada, parent, fields | {"files.notes": ["", f"upload:{uploads[2]}", "kept:notes:0"]})
    assert [(file.file_name, file.sha256) for file in child.files] == [
        ("n2.txt", portal.store.upload(ada.viewer, uploads[2]).sha256),
        ("n0.txt", parent.files[0].sha256),
    ]
    emptied = again(portal, ada, parent, fields | {"files.notes": ""})
    assert emptied.files == ()


def test_what_is_wrong_stands_beside_its_field_and_no_job_is_made(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs=ODD)
    answer = ada.post(f"/jobs/{parent.id}/resubmit", form_of(ada, parent) | {"inputs.size": "101"})
    assert answer.status_code == 422
    assert "101 is out of range: at most 100 km." in text_of(answer.text)
    assert fields_in(answer.text, "job-form")["inputs.size"] == ["101"]
    assert len(portal.store.page(ada.viewer, ListQuery()).jobs) == 1


def test_sent_twice_it_is_one_job_and_without_its_token_none(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada)
    fields = form_of(ada, parent)
    assert ada.post(f"/jobs/{parent.id}/resubmit", fields, csrf="").status_code == 403
    assert again(portal, ada, parent, fields).id == again(portal, ada, parent, fields).id
    assert len(portal.store.page(ada.viewer, ListQuery()).jobs) == 2


def test_a_draft_of_it_is_kept_apart_from_the_programs_own(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada)
    ada.post_part(f"/jobs/{parent.id}/resubmit/part/draft", form_of(ada, parent) | {"inputs.size": "9"})
    assert form_of(ada, parent)["inputs.size"] == ["9"]
    assert "Your draft of" not in ada.get("/applications/odd").text
    assert ada.post(f"/jobs/{parent.id}/resubmit/afresh").headers["location"] == f"/jobs/{parent.id}/resubmit"
    assert form_of(ada, parent)["inputs.size"] == ["4"]


def test_a_deleted_jobs_values_are_still_there_and_its_files_are_asked_for_anew(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs=ODD, files={"paper": uploaded(ada, "p.txt")})
    portal.withdraw(parent.id)
    portal.store.delete(ada.viewer, parent.id, 1.0)
    page = ada.get(f"/jobs/{parent.id}/resubmit").text
    assert "its files with it: choose them anew" in text_of(page)
    fields: dict[str, str | list[str]] = dict(fields_in(page, "job-form"))
    assert fields["files.paper"] == [""]
    child = again(portal, ada, parent, fields)
    assert (dict(child.inputs), child.files) == (ODD, ())
    with_file = again(portal, ada, parent, fields | {"files.paper": f"upload:{uploaded(ada, 'q.txt')}"})
    assert [file.file_name for file in with_file.files] == ["q.txt"]


def test_a_form_from_before_its_job_was_deleted_takes_no_file_that_is_gone(portal: Rig, ada: Browser) -> None:
    parent = made(portal, ada, inputs=ODD, files={"paper": uploaded(ada, "p.txt")})
    portal.withdraw(parent.id)
    fields = dict(fields_in(ada.get(f"/jobs/{parent.id}/resubmit").text, "job-form"))
    portal.store.delete(ada.viewer, parent.id, 1.0)
    answer = ada.post(f"/jobs/{parent.id}/resubmit", fields)
    assert answer.status_code == 422
    assert "of the earlier job" in text_of(answer.text)


def test_a_strangers_job_is_not_there(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    theirs = made(portal, bob, inputs={"words": "secret"})
    for answer in (
        ada.get(f"/jobs/{theirs.id}/resubmit"),
        ada.post(f"/jobs/{theirs.id}/resubmit", {}),
        ada.post_part(f"/jobs/{theirs.id}/resubmit/part/look", {}),
        ada.post_part(f"/jobs/{theirs.id}/resubmit/part/draft", {}),
        ada.post(f"/jobs/{theirs.id}/resubmit/afresh"),
    ):
        assert answer.status_code == 404
        assert "secret" not in answer.text
    assert portal.store.page(ada.viewer, ListQuery()).jobs == ()


def test_a_job_that_was_shared_becomes_a_job_of_ones_own_with_its_files(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    theirs = made(
        portal, bob, inputs=ODD, files={"paper": uploaded(bob, "p.txt", b"shared")}, name="Shared", labels=["theirs"]
    )
    sibling = made(portal, bob, files={"paper": uploaded(bob, "secret.txt", b"secret")})
    portal.store.share(bob.person.viewer, theirs.id, ShareWith(ShareKind.USER, ada.name), bob_actor(bob))
    page = ada.get(f"/jobs/{theirs.id}/resubmit").text
    assert f"This job is {bob.name}'s, shared with you" in text_of(page)
    fields: dict[str, str | list[str]] = dict(fields_in(page, "job-form"))
    child = again(portal, ada, theirs, fields | {"inputs.size": "7"})
    assert (child.owner, child.parent_id) == (ada.name, None)
    assert (child.name, child.labels) == ("Shared", ())
    shown = ada.get(f"/jobs/{child.id}").text
    assert f"made from a job of {bob.name}" in text_of(shown)
    assert f'href="/jobs/{theirs.id}"' in shown
    assert child.copied_from == CopiedFrom(bob.name, theirs.id)
    assert dict(child.inputs) == {**ODD, "size": 7}
    assert [(file.file_name, file.sha256) for file in child.files] == [("p.txt", theirs.files[0].sha256)]
    noted = [row.words for row in portal.store.audit_of_job(bob.viewer, theirs.id) if row.user == ada.name]
    assert "input p.txt" in noted
    assert ada.get(f"/jobs/{sibling.id}/resubmit").status_code == 404
    assert portal.store.job(bob.viewer, theirs.id).children == ()


def bob_actor(browser: Browser) -> Actor:
    return Actor(browser.person.user_id, browser.name, "127.0.0.1")


def test_an_administrator_submits_anothers_job_again_as_their_own_job(portal: Rig, ada: Browser) -> None:
    theirs = made(portal, ada, inputs=ODD, files={"paper": uploaded(ada, "p.txt")})
    root = signed_in(portal, "root", Role.ADMIN)
    child = again(portal, root, theirs, form_of(root, theirs))
    assert (child.owner, child.parent_id, dict(child.inputs)) == (root.name, theirs.id, ODD)
    assert [file.sha256 for file in child.files] == [theirs.files[0].sha256]


# --- versions ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def upgraded(portal: Rig, ada: Browser) -> Iterator[JobView]:
    """A job of version 1.0.0, when there is a 2.0.0 as well."""
    parent = made(portal, ada, inputs={"maybe": True})
    path = write_application(portal.configuration.home, NEWER, "odd2")
    versions = f"/jobs/{parent.id}/resubmit"
    until(lambda: "2.0.0" in ada.get(versions).text, "the newer version is known")
    yield parent
    path.unlink()
    until(lambda: "2.0.0" not in ada.get(versions).text, "the newer version is gone")


def test_the_exact_version_of_the_earlier_job_is_run_unless_the_newest_is_chosen(
    portal: Rig, ada: Browser, upgraded: JobView
) -> None:
    page = text_of(ada.get(f"/jobs/{upgraded.id}/resubmit").text)
    assert "You run 1.0.0, exactly as the earlier job did. The newest is 2.0.0." in page
    assert "“Depth” is new; “Maybe” is gone; “Size” is by itself 5, not 4" in page
    assert again(portal, ada, upgraded, form_of(ada, upgraded)).version == "1.0.0"
    newest = "?version=latest"
    assert "You run the newest version, 2.0.0." in text_of(ada.get(f"/jobs/{upgraded.id}/resubmit{newest}").text)
    child = again(portal, ada, upgraded, form_of(ada, upgraded, newest), newest)
    assert child.version == "2.0.0"
    assert child.inputs["depth"] == 3
    assert child.inputs["size"] == 4
    assert "maybe" not in child.inputs


def test_what_was_filled_in_is_kept_when_another_version_is_chosen(ada: Browser, upgraded: JobView) -> None:
    fields = form_of(ada, upgraded) | {"inputs.size": "9", "inputs.maybe": "false"}
    ada.post_part(f"/jobs/{upgraded.id}/resubmit/part/draft", fields)
    assert form_of(ada, upgraded, "?version=latest")["inputs.size"] == ["9"]
    assert form_of(ada, upgraded)["inputs.maybe"] == ["false"]


def test_an_application_that_left_the_catalogue_says_so(portal: Rig, ada: Browser) -> None:
    text = APPLICATION.replace("name: odd", "name: short-lived")
    path = write_application(portal.configuration.home, text, "short-lived")
    until(lambda: ada.get("/applications/short-lived").status_code == 200, "it is known")
    answer: httpx.Response = ada.post("/applications/short-lived", {})
    path.unlink()
    until(lambda: ada.get("/applications/short-lived").status_code == 404, "it is gone")
    page = ada.get(f"{answer.headers['location']}/resubmit").text
    assert "The application short-lived is not in this gateway's catalogue any more" in text_of(page)
    assert ada.post(f"{answer.headers['location']}/resubmit", {}).status_code == 404


def test_labels_with_commas_come_back_as_they_were(portal: Rig, ada: Browser) -> None:
    labels = ["Ames, Iowa", "15 inch", 'a "b"']
    parent = made(portal, ada, labels=labels)
    fields = form_of(ada, parent)
    assert look(ada, parent, fields)["changes"] == []
    assert again(portal, ada, parent, fields).labels == tuple(sorted(labels))


def test_a_resource_that_a_newer_version_has_no_say_in_is_left_out_of_the_new_job(portal: Rig, ada: Browser) -> None:
    home = portal.configuration.home
    write_application(home, APPLICATION.replace("name: odd", "name: shrinking"), "shrinking")
    until(lambda: ada.get("/applications/shrinking").status_code == 200, "it is known")
    first = ada.person.client.post("/jobs", json={"application": "shrinking", "resources": {"cpus": 4}})
    newer = APPLICATION.replace("name: odd", "name: shrinking").replace("1.0.0", "2.0.0")
    write_application(home, newer.replace("  cpus: {default: 1, max: 8}\n", ""), "shrinking")
    until(lambda: "2.0.0" in ada.get("/applications/shrinking").text, "the newer is known")
    address = f"/jobs/{first.json()['id']}/resubmit?version=latest"
    page = ada.get(address).text
    assert "CPUs : 4 → not asked for" in text_of(page)
    answer = ada.post(address, {name: found for name, found in fields_in(page, "job-form").items() if name != "csrf"})
    assert answer.status_code == 303, text_of(answer.text)
    job = portal.store.job(ada.viewer, answer.headers["location"].rpartition("/")[2])
    assert (job.version, job.resources.cpus) == ("2.0.0", 1)
