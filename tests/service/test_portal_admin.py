"""Pages of administrators over HTTP: users, one-time passwords, projects, applications, clusters, the audit, mail."""

from __future__ import annotations

import html
import re
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from isthmus.application import Json
from isthmus.config import HouseConfig
from isthmus.portal import make_site
from isthmus.store.audit import Actor, AuditKind, AuditQuery
from isthmus.store.notices import Trouble
from isthmus.store.users import Role, Scope
from tests.service.api_rig import ADMINISTRATOR, ECHO, PASSWORD, Rig, serving, write_application
from tests.service.portal_rig import Browser, csrf_in, signed_in, stranger, text_of
from tests.service.test_portal_lists import NASTY, submitted


@pytest.fixture
def root(portal: Rig) -> Browser:
    return signed_in(portal, "root", Role.ADMIN)


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def once_in(page: str) -> str:
    """The one-time password that the page shows."""
    found = re.search(r'id="once">([^<]+)<', page)
    assert found, text_of(page)
    return html.unescape(found[1])


# --- users --------------------------------------------------------------------------------------------------
def test_a_new_user_gets_a_password_that_is_shown_once_and_good_for_choosing_another(
    portal: Rig, root: Browser
) -> None:
    name = f"new-{time.monotonic_ns()}"
    answer = root.post("/admin/users", {"name": name, "role": "user"})
    password = once_in(answer.text)
    assert answer.headers["cache-control"] == "no-store"
    for path in ("/admin/users", f"/admin/users/{name}", "/admin/audit"):
        assert password not in root.get(path).text
    assert portal.store.user(name).role is Role.USER

    browser = stranger(portal)
    sent = {"name": name, "password": password, "csrf": csrf_in(browser.get("/sign-in").text)}
    assert browser.post("/sign-in", data=sent).headers["location"] == "/password"
    assert browser.get("/jobs").headers["location"] == "/password"
    chosen = {"old": password, "new": PASSWORD, "again": PASSWORD, "csrf": csrf_in(browser.get("/password").text)}
    assert browser.post("/password", data=chosen).status_code == 303
    assert browser.get("/jobs").status_code == 200


@pytest.mark.parametrize(
    ("name", "role", "field", "words"),
    [
        ("Not A Name", "user", "name", "lower-case"),
        ("", "user", "name", "lower-case"),
        ("fine", "king", "role", "one of"),
    ],
)
def test_a_user_that_cannot_be_made_is_not_and_the_field_says_why(
    portal: Rig, root: Browser, name: str, role: str, field: str, words: str
) -> None:
    before = portal.store.users()
    answer = root.post("/admin/users", {"name": name, "role": role})
    assert answer.status_code == 422
    found = re.search(rf'(?s)id="{field}-fault">(.*?)</p>', answer.text)
    assert found
    assert words in text_of(found[1])
    assert f'value="{name}"' in answer.text
    assert portal.store.users() == before


def test_a_name_that_is_taken_is_said_so(root: Browser, ada: Browser) -> None:
    answer = root.post("/admin/users", {"name": ada.name, "role": "user"})
    assert answer.status_code == 409
    assert "There is a user" in text_of(answer.text)


def test_a_disabled_user_is_let_in_by_nothing_until_enabled(portal: Rig, root: Browser, ada: Browser) -> None:
    answer = root.post(f"/admin/users/{ada.name}", {"do": "disable"})
    assert "is disabled" in text_of(root.get(answer.headers["location"]).text)
    assert ada.get("/jobs").headers["location"].startswith("/sign-in")
    assert ada.person.client.get("/me").status_code == 401
    root.post(f"/admin/users/{ada.name}", {"do": "enable"})
    assert ada.get("/jobs").status_code == 200


def test_a_role_holds_at_once(portal: Rig, root: Browser) -> None:
    other = signed_in(portal, "other", Role.ADMIN)
    root.post(f"/admin/users/{other.name}", {"do": "role", "role": "user"})
    assert other.get("/admin/users").status_code == 403
    assert portal.store.user(other.name).role is Role.USER


def test_the_last_administrator_stays_one(tmp_path: Path) -> None:
    with serving(tmp_path, make=make_site) as alone:
        root = signed_in(alone, "root", Role.ADMIN)
        for fields in ({"do": "role", "role": "user"}, {"do": "disable"}):
            answer = root.post(f"/admin/users/{root.name}", fields)
            assert answer.status_code == 409
            assert "There must be an administrator" in text_of(answer.text)
        assert root.get("/admin").status_code == 200


def test_a_new_password_ends_the_old_one_and_every_browser_of_the_user(portal: Rig, root: Browser) -> None:
    person = portal.person("eve")
    session = portal.store.create_token(person.user_id, "browser: Firefox on Linux", [Scope.READ], None)
    answer = root.post(f"/admin/users/{person.name}/password")
    password = once_in(answer.text)
    assert password not in root.get(f"/admin/users/{person.name}").text
    assert portal.client(session.text).get("/me").status_code == 401
    assert person.client.get("/me").status_code == 200  # an API token stays
    assert portal.store.verify_password(person.name, password).must_change_password
    assert portal.client().post("/tokens", auth=(person.name, PASSWORD), json={}).status_code == 401


def test_a_user_that_is_none_is_not_found(root: Browser) -> None:
    assert root.get("/admin/users/nobody").status_code == 404
    assert root.post("/admin/users/nobody", {"do": "disable"}).status_code == 404
    assert root.post("/admin/users/nobody/password").status_code == 404


def test_a_user_is_shown_with_what_they_take_up(portal: Rig, root: Browser, ada: Browser) -> None:
    portal.run_to_end(submitted(ada), {"said.txt": b"x" * 2_000_000})
    words = text_of(root.get(f"/admin/users/{ada.name}").text)
    assert "Held 1.9 MiB" in words


def test_what_administrators_do_to_users_is_written_down(portal: Rig, root: Browser, ada: Browser) -> None:
    root.post(f"/admin/users/{ada.name}", {"do": "disable"})
    (line, *_) = portal.store.audit(AuditQuery(user=root.name, kind=AuditKind.USER_CHANGED))
    assert (line.words, line.address) == (f"{ada.name}: disabled", "127.0.0.1")


# --- projects -----------------------------------------------------------------------------------------------
def test_a_project_is_made_filled_renamed_and_emptied(portal: Rig, root: Browser, ada: Browser) -> None:
    name = f"hail-{root.name}"
    answer = root.post("/admin/projects", {"name": name})
    assert answer.headers["location"].endswith(f"#project-{name}")
    root.post(f"/admin/projects/{name}", {"do": "add", "member": ada.name})
    assert portal.store.project(ADMINISTRATOR, name).members == (ada.name,)
    root.post(f"/admin/projects/{name}", {"do": "rename", "name": f"{name}-2"})
    assert f"Take {ada.name} out of {name}-2" in text_of(root.get("/admin/projects").text)
    root.post(f"/admin/projects/{name}-2", {"do": "remove", "member": ada.name})
    assert portal.store.project(ADMINISTRATOR, f"{name}-2").members == ()


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("", {"name": "Not A Name"}, "a project's name has"),
        ("/known", {"do": "add", "member": "nobody"}, "There is no user of that name"),
        ("/known", {"do": "remove", "member": "nobody"}, "There is no user of that name"),
        ("/known", {"do": "rename", "name": "<b>"}, "a project's name has"),
        ("/known", {"do": "explode"}, "reload the page"),
    ],
)
def test_what_cannot_be_done_to_a_project_is_said_beside_it(
    portal: Rig, root: Browser, path: str, fields: Mapping[str, str], words: str
) -> None:
    if all(project.name != "known" for project in portal.store.projects(ADMINISTRATOR)):
        root.post("/admin/projects", {"name": "known"})
    answer = root.post(f"/admin/projects{path}", fields)
    assert answer.status_code == 422
    said = re.search(r'(?s)class="field-error"[^>]*>(.*?)</p>', answer.text)
    assert said
    assert words.lower() in text_of(said[1]).lower()


def test_without_projects_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    with serving(tmp_path, make=make_site) as empty:
        assert "No projects yet" in text_of(signed_in(empty, "root", Role.ADMIN).get("/admin/projects").text)


# --- how the gateway stands ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway with a broken application, one that is switched off, and a cluster's file that can't be read."""
    home = tmp_path_factory.mktemp("faulty")
    write_application(home)
    write_application(home, ECHO.replace("name: echo", "name: off"), "off")
    write_application(home, "name: broken\nversion: 1.0.0\ntitle: <script>\ninputs: 3\n", "broken")
    (home / "clusters.d").mkdir()
    (home / "clusters.d" / "local.toml").write_text('kind = "local"\n')
    (home / "clusters.d" / "gone.toml").write_text('kind = "slurmish"\n')
    settings: Mapping[str, Mapping[str, Json]] = {
        "applications": {"disable": ["off"], "enable": ["missing"]},
        "mail": {"host": "mail.example.org", "sender": "isthmus@example.org", "public_url": "https://gate.example.org"},
    }
    with serving(home, settings=settings, make=make_site) as rig:
        yield rig


def test_broken_applications_are_shown_with_file_line_and_fault(faulty: Rig) -> None:
    page = signed_in(faulty, "root", Role.ADMIN).get("/admin/applications").text
    words = text_of(page)
    assert "broken.yaml" in words
    assert re.search(r"line \d+, inputs: ", words)
    assert "<script>" not in page.replace('<script type="module"', "").replace("<script src=", "")


def test_of_each_application_it_is_shown_for_whom_it_is_enabled_and_by_whose_word(faulty: Rig) -> None:
    words = text_of(signed_in(faulty, "root", Role.ADMIN).get("/admin/applications").text)
    assert "off 1.0.0 nobody isthmus.toml" in words
    assert "echo 1.0.0 everyone its own file local" in words
    assert "there is no application 'missing'" in words


def test_the_overview_says_what_to_look_at(faulty: Rig) -> None:
    words = text_of(signed_in(faulty, "root", Role.ADMIN).get("/admin").text)
    assert "broken.yaml is broken" in words
    assert "gone.toml" in words
    assert "Mails go to mail.example.org. 0 mails wait." in words


def test_mail_that_waits_is_shown_with_what_is_in_its_way(faulty: Rig) -> None:
    root, ada = signed_in(faulty, "root", Role.ADMIN), signed_in(faulty, "ada")
    assert "Empty: no mail waits" in text_of(root.get("/admin/mail").text)
    faulty.store.set_notice_choice(ada.person.user_id, "ada@example.org", "b")
    faulty.start(submitted(ada))
    (letter,) = faulty.store.due_letters(time.time() + 1, 10)
    faulty.store.mark_failed([letter.id], Trouble.SERVER, "connection refused", time.time())
    assert "1 mail waits" in text_of(root.get("/admin/mail").text)
    assert "connection refused" in text_of(root.get("/admin/mail").text)
    assert "Mail does not go out: connection refused" in text_of(root.get("/admin").text)


def test_where_no_mail_is_sent_it_is_said_how_to(root: Browser) -> None:
    shown = root.get("/admin/mail").text
    assert "No mail is sent" in text_of(shown)
    assert "handed over" not in text_of(shown)
    found = re.search(r"(?s)<pre[^>]*>(.*?)</pre>", shown)
    assert found
    mail = HouseConfig.model_validate(tomllib.loads(html.unescape(found[1]))).mail  # what it shows is complete
    assert mail.public_url.startswith("http://127.0.0.1:")


def test_administrators_find_the_clusters_among_their_pages(root: Browser, ada: Browser) -> None:
    shown = root.get("/admin/clusters").text
    assert 'href="/admin/clusters" aria-current="page"' in shown
    assert "You act as administrator" in text_of(shown)
    assert ada.get("/admin/clusters").status_code == 403
    assert "You act as administrator" not in text_of(root.get("/clusters").text)


# --- audit --------------------------------------------------------------------------------------------------
def test_the_audit_is_filtered_by_user_kind_and_job(portal: Rig, root: Browser, ada: Browser) -> None:
    root.post(f"/admin/users/{ada.name}", {"do": "disable"})
    root.post(f"/admin/users/{ada.name}", {"do": "enable"})
    job_id = submitted(ada)
    root.get(f"/jobs/{job_id}")
    assert "enabled" in text_of(root.get(f"/admin/audit?user={root.name}").text)
    words = text_of(root.get("/admin/audit?kind=user_changed&user=nobody").text)
    assert "No line fits" in words
    page = root.get(f"/admin/audit?job={job_id}").text
    assert page.count('data-head="When"') == page.count(f'href="/jobs/{job_id}"')


@pytest.mark.parametrize("query", ["kind=x", "job=x", "user=%00", "before=x", "before=-1", f"before={'9' * 40}"])
def test_an_audit_that_cannot_be_shown_says_why(root: Browser, query: str) -> None:
    answer = root.get(f"/admin/audit?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_the_audit_goes_on(portal: Rig, root: Browser, ada: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.portal.admin.AUDIT_PAGE", 2)
    for n in range(5):
        root.post("/admin/projects", {"name": f"p{n}-{root.name}"})
    page = root.get(f"/admin/audit?user={root.name}&kind=project_created").text
    seen = re.findall(rf"p(\d)-{root.name}", page)
    while found := re.search(r'hx-get="([^"]*before=[^"]*)"', page):
        page = root.part(html.unescape(found[1])).text
        seen += re.findall(rf"p(\d)-{root.name}", page)
    assert seen == ["4", "3", "2", "1", "0"]


def test_words_in_the_audit_are_shown_as_text(portal: Rig, root: Browser) -> None:
    portal.store.create_token(root.person.user_id, NASTY, [Scope.READ], None, Actor(root.person.user_id, root.name))
    page = root.get(f"/admin/audit?user={root.name}").text
    assert "<script>alert" not in page
    assert NASTY in html.unescape(page)


# --- clusters -----------------------------------------------------------------------------------------------
STATUS = (
    '{"queued": 7, "running": 12, "isolation": "bubblewrap", "notes": ["<b>GPUs</b> are counted only"],'
    ' "nodes": [{"name": "n1", "cpus": 64, "cpus_used": 16, "memory_mib": 1000, "memory_used_mib": 250},'
    ' {"name": "n2", "cpus": 64, "cpus_used": 16, "memory_mib": 1000, "memory_used_mib": 250, "gpus": 2}],'
    ' "calls_per_minute": {"observe": 4.25}, "recent_failures": [{"at": 1.0, "words": "no answer within 20 s"}],'
    ' "details": [["Framework id", "f-17"], ["Offers held", "0"]]}'
)


def test_a_cluster_is_shown_as_it_last_told_of_itself(tmp_path: Path) -> None:
    with serving(tmp_path, make=make_site) as own:
        ada = signed_in(own, "ada")
        assert "no controller has told of it" in text_of(ada.get("/clusters").text)
        submitted(ada)
        lease = own.store.take("cluster-local", "test", None)
        assert lease
        own.store.report_cluster(lease, "local", STATUS, time.time())
        time_of_look = time.monotonic() + 5
        while "It takes jobs." not in (page := ada.part("/clusters/part/cards").text):
            assert time.monotonic() < time_of_look
        words = text_of(page)
        for said in (
            "Jobs waiting there 7 Jobs running there 12 Mine waiting 1 Mine running 0",
            "CPUs 32 of 128",
            "Memory 500 MiB of 2 GiB",
            "GPUs 0 of 2",
            "2 machines",
            "this gateway turns to it: asking how jobs stand 4.2",
            "1 recent failure",
            "no answer within 20 s",
            "<b>GPUs</b> are counted only",
            "More about it (local) Framework id f-17 Offers held 0",
        ):
            assert said in words or html.escape(said) in page, said
        assert "<b>GPUs" not in page
        own.store.mark_contact(lease, "local", time.time() - 60)
        while "It does not answer." not in ada.part("/clusters/part/cards").text:
            assert time.monotonic() < time_of_look


def test_an_administrator_closes_a_cluster_with_a_reason_and_opens_it(portal: Rig, root: Browser, ada: Browser) -> None:
    answer = root.post_part("/clusters/local", {"do": "close", "reason": "moving <b>racks</b>"})
    assert "This machine takes no new jobs now" in text_of(answer.text)
    page = ada.get("/clusters").text
    assert "Closed: it takes no new jobs. moving &lt;b&gt;racks" in page
    assert "Open it" not in page
    answer = root.post("/clusters/local", {"do": "open"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/clusters")
    assert "Closed:" not in ada.get("/clusters").text


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "\x00"])
def test_a_cluster_is_not_closed_without_a_reason_to_read(portal: Rig, root: Browser, reason: str) -> None:
    answer = root.post("/clusters/local", {"do": "close", "reason": reason})
    assert answer.status_code == 422
    assert all(row.closed_reason is None for row in portal.store.clusters())


def test_only_administrators_close_clusters(portal: Rig, root: Browser, ada: Browser) -> None:
    assert ada.post("/clusters/local", {"do": "close", "reason": "mine"}).status_code == 403
    assert "Close it" not in ada.get("/clusters").text
    assert root.post("/clusters/nowhere", {"do": "close", "reason": "gone"}).status_code == 404


def test_a_clusters_broken_file_is_shown_to_administrators_only(faulty: Rig) -> None:
    assert "gone.toml" in signed_in(faulty, "root", Role.ADMIN).get("/clusters").text
    assert "gone.toml" not in signed_in(faulty, "ada").get("/clusters").text


def test_a_gateway_without_clusters_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, make=make_site) as rig:
        rig.configuration.clusters.clear()
        assert "No cluster is configured" in text_of(signed_in(rig, "ada").get("/clusters").text)
