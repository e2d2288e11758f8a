"""The account and the notices over HTTP: what one is told of, tokens, sessions, what one holds."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import pytest

from isthmus.portal import make_site
from isthmus.store.audit import Actor, AuditKind, AuditQuery
from isthmus.store.users import Role, Scope
from tests.service.api_rig import PASSWORD, Rig, serving
from tests.service.portal_rig import Browser, sign_in, signed_in, text_of
from tests.service.test_portal_lists import NASTY, submitted

TOKEN = {"name": "my laptop", "scope": ["read", "submit"], "days": "30", "password": PASSWORD}


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


@pytest.fixture
def eve(portal: Rig) -> Browser:
    """A user who has signed in with a password."""
    return sign_in(portal, portal.person("eve", scopes=(Scope.READ, Scope.SUBMIT)))


def fault_of(page: str, field: str) -> str:
    """What the page says is wrong with the field, to which it is tied."""
    assert re.search(rf'(?s)name="{field}"[^>]*aria-describedby="{field}-fault"', page) or field == "scope"
    found = re.search(rf'(?s)id="{field}-fault">(.*?)</p>', page)
    assert found, f"nothing is said of {field}"
    return text_of(found[1])


# --- notices ------------------------------------------------------------------------------------------------
def test_what_one_is_told_of_and_where_is_kept(portal: Rig, ada: Browser) -> None:
    answer = ada.post("/account/notices", {"notices": ["a", "b"], "email": " ada@example.org "})
    assert answer.status_code == 303
    choice = portal.store.notice_choice(ada.person.user_id)
    assert (choice.email, choice.notices) == ("ada@example.org", "ba")
    page = ada.get(answer.headers["location"]).text
    assert "Your choice of notices is kept." in text_of(page)
    assert 'value="ada@example.org"' in page
    assert page.count('name="notices" value="b" checked') == 1
    ada.post("/account/notices", {"email": ""})
    assert portal.store.notice_choice(ada.person.user_id).notices == ""
    assert portal.store.notice_choice(ada.person.user_id).email is None


def test_an_address_that_is_none_is_shown_again_with_what_is_wrong(portal: Rig, ada: Browser) -> None:
    answer = ada.post("/account/notices", {"notices": ["e"], "email": 'ada@x"><b>'})
    assert answer.status_code == 422
    assert "This is no e-mail address" in fault_of(answer.text, "email")
    assert 'value="ada@x&#34;&gt;&lt;b&gt;"' in answer.text
    assert 'value="e" checked' in answer.text
    assert portal.store.notice_choice(ada.person.user_id).notices == ""


def test_a_notice_of_a_kind_that_is_none_is_refused(portal: Rig, ada: Browser) -> None:
    answer = ada.post("/account/notices", {"notices": ["x"], "email": ""})
    assert answer.status_code == 422
    assert "letters b (began), e (ended) and a (aborted)" in answer.text
    assert portal.store.notice_choice(ada.person.user_id).notices == ""


def test_notices_are_listed_the_newest_first_and_marked_as_seen(portal: Rig, ada: Browser) -> None:
    assert "Nothing to tell" in text_of(ada.get("/notices").text)
    portal.store.set_notice_choice(ada.person.user_id, None, "be")
    job_id = submitted(ada, NASTY)
    portal.run_to_end(job_id, {})
    page = ada.get("/notices").text
    assert text_of(page).index("ended") < text_of(page).index("began to run")
    assert "<script>alert" not in page
    assert "Mark all as seen (2)" in text_of(page)
    assert "2 new notices" in text_of(ada.part("/notices/part/bell").text)
    up_to = re.search(r'name="up_to" value="(\d+)"', page)
    assert up_to
    later = submitted(ada)
    portal.start(later)
    assert ada.post("/notices/seen", {"up_to": up_to[1]}).status_code == 303
    assert "1 new notices" in text_of(ada.part("/notices/part/bell").text)  # what came meanwhile is not seen


def test_the_list_of_notices_goes_on(portal: Rig, ada: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.portal.notices.PAGE", 2)
    portal.store.set_notice_choice(ada.person.user_id, None, "b")
    for n in range(5):
        portal.start(submitted(ada, f"job {n}"))
    page = ada.get("/notices").text
    seen = re.findall(r">job (\d)</a>", page)
    while found := re.search(r'hx-get="([^"]*before=[^"]*)"', page):
        page = ada.part(html.unescape(found[1])).text
        seen += re.findall(r">job (\d)</a>", page)
    assert seen == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("path", ["/notices?before=x", "/notices?before=1e9", f"/notices?before={'9' * 30}"])
def test_a_place_in_the_notices_that_is_none_is_refused(ada: Browser, path: str) -> None:
    assert ada.get(path).status_code == 422


def test_nobody_marks_anothers_notices_as_seen(portal: Rig, ada: Browser) -> None:
    bob = signed_in(portal, "bob")
    portal.store.set_notice_choice(ada.person.user_id, None, "b")
    portal.start(submitted(ada))
    bob.post("/notices/seen", {"up_to": "999999"})
    assert portal.store.unseen_notices(ada.person.user_id) == 1


# --- tokens -------------------------------------------------------------------------------------------------
def test_a_tokens_text_is_shown_once_and_works(portal: Rig, eve: Browser) -> None:
    answer = eve.post("/account/tokens", TOKEN)
    found = re.search(r'id="made-token">([^<]+)<', answer.text)
    assert found
    assert answer.headers["cache-control"] == "no-store"
    assert portal.client(found[1]).get("/me").json()["scopes"] == ["read", "submit"]
    assert found[1] not in eve.get("/account").text
    (token,) = [one for one in portal.store.tokens(eve.person.user_id) if one.name == "my laptop"]
    assert token.expires_at is not None
    assert 29 < (token.expires_at - time.time()) / 86400 <= 30
    (line, *_) = portal.store.audit(AuditQuery(user=eve.name, kind=AuditKind.TOKEN_MADE))
    assert "my laptop" in line.words
    assert found[1] not in line.words


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "says later what the token is for"),
        ("name", "x" * 65, "says later what the token is for"),
        ("name", "browser: mine", "are those of browsers"),
        ("scope", [], "Choose at least one"),
        ("scope", ["read", "admin"], "Choose at least one"),
        ("days", "100000", "Choose one of these"),
        ("password", "wrong", "This is not your password"),
    ],
)
def test_a_token_asked_for_wrongly_is_not_made_and_the_field_says_why(
    portal: Rig, ada: Browser, field: str, value: str | list[str], words: str
) -> None:
    before = len(portal.store.tokens(ada.person.user_id))
    answer = ada.post("/account/tokens", {**TOKEN, field: value})
    assert answer.status_code == 422
    assert words in fault_of(answer.text, field)
    assert len(portal.store.tokens(ada.person.user_id)) == before
    assert PASSWORD not in answer.text


def test_wrong_passwords_make_the_next_try_wait(tmp_path: Path) -> None:
    with serving(tmp_path, make=make_site) as own:  # they count for an address, too
        ada = signed_in(own, "ada")
        for _ in range(10):
            ada.post("/account/tokens", {**TOKEN, "password": "wrong"})
        answer = ada.post("/account/tokens", TOKEN)
    assert "Too many wrong passwords" in fault_of(answer.text, "password")


def test_only_administrators_make_tokens_for_administrators(portal: Rig, ada: Browser) -> None:
    assert 'value="admin"' not in ada.get("/account").text
    root = sign_in(portal, portal.person("root", Role.ADMIN))
    answer = root.post("/account/tokens", {**TOKEN, "scope": ["admin"]})
    found = re.search(r'id="made-token">([^<]+)<', answer.text)
    assert found
    assert portal.store.authenticate(found[1]).scopes == {Scope.ADMIN}


def test_a_revoked_token_is_good_for_nothing(portal: Rig, ada: Browser) -> None:
    made = portal.store.create_token(ada.person.user_id, NASTY, [Scope.READ], None)
    page = ada.get("/account").text
    assert "<script>alert" not in page
    assert NASTY in html.unescape(page)
    assert ada.post(f"/account/tokens/{made.token.id}/revoke").status_code == 303
    assert portal.client(made.text).get("/me").status_code == 401
    assert NASTY not in html.unescape(ada.get("/account").text)


@pytest.mark.parametrize("as_administrator", [False, True])
def test_anothers_token_is_not_found_and_stays(portal: Rig, ada: Browser, as_administrator: bool) -> None:
    bob = signed_in(portal, "bob", Role.ADMIN if as_administrator else Role.USER)
    made = portal.store.create_token(ada.person.user_id, "ada's", [Scope.READ], None)
    assert bob.post(f"/account/tokens/{made.token.id}/revoke").status_code == 404
    assert portal.client(made.text).get("/me").status_code == 200


# --- sessions -----------------------------------------------------------------------------------------------
def test_every_other_browser_is_signed_out_and_tokens_stay(portal: Rig, eve: Browser) -> None:
    other = sign_in(portal, eve.person)
    assert other.get("/account").status_code == 200
    assert "Sign out everywhere else" in eve.get("/account").text
    eve.post("/account/sessions/end")
    assert other.get("/account").headers["location"].startswith("/sign-in")
    assert eve.get("/account").status_code == 200
    assert "Sign out everywhere else" not in eve.get("/account").text
    assert eve.person.client.get("/me").status_code == 200


def test_one_browser_is_signed_out_by_itself(portal: Rig, eve: Browser) -> None:
    second, third = sign_in(portal, eve.person), sign_in(portal, eve.person)
    sessions = re.findall(r'action="/account/sessions/([^/"]+)/end"', third.get("/account").text)
    assert len(sessions) == 2  # the one that looks has no button
    third.post(f"/account/sessions/{sessions[0]}/end")
    still = [browser.get("/account").status_code == 200 for browser in (eve, second, third)]
    assert sorted(still) == [False, True, True]
    assert still[2]
    assert third.post(f"/account/sessions/{sessions[0]}/end").status_code == 404


def test_a_session_of_somebody_else_is_not_found_and_stays(portal: Rig, ada: Browser, eve: Browser) -> None:
    session = next(one for one in portal.store.tokens(eve.person.user_id) if one.name.startswith("browser:"))
    assert ada.post(f"/account/sessions/{session.id}/end").status_code == 404
    assert eve.get("/account").status_code == 200


# --- uploads ------------------------------------------------------------------------------------------------
def test_uploads_are_listed_with_who_took_them_and_can_be_deleted(portal: Rig, ada: Browser) -> None:
    sent = {}
    for name in ("taken.txt", "unused.txt", "third.txt"):
        answer = ada.person.client.post(f"/files?name={name}", content=name.encode())
        sent[name] = answer.json()["id"]
    body = {"application": "echo", "inputs": {"words": "a"}, "files": {"paper": sent["taken.txt"]}}
    assert ada.person.client.post("/jobs", json=body).status_code == 201
    shown = text_of(ada.get("/account").text).partition("My uploads")[2]
    assert re.search(r"taken\.txt 9 bytes .*? 1 job Delete", shown)
    assert re.search(r"unused\.txt 10 bytes .*? no job Delete", shown)
    ada.post(f"/account/uploads/{sent['third.txt']}/delete")
    assert "third.txt" not in ada.get("/account").text
    ada.post("/account/uploads/unused/delete")
    shown = ada.get("/account").text
    assert "taken.txt" in shown
    assert "unused.txt" not in shown


def test_an_upload_of_somebody_else_is_not_found_and_stays(ada: Browser, eve: Browser) -> None:
    upload = eve.person.client.post("/files?name=mine.txt", content=b"x").json()["id"]
    assert ada.post(f"/account/uploads/{upload}/delete").status_code == 404
    ada.post("/account/uploads/unused/delete")
    assert eve.person.client.get(f"/files/{upload}").status_code == 200


def test_the_list_of_uploads_goes_on(ada: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.portal.account.UPLOADS_PAGE", 1)
    for name in ("first.txt", "second.txt"):
        ada.person.client.post(f"/files?name={name}", content=name.encode())
    newest = ada.get("/account").text
    following = re.search(r'href="(/account\?uploads_before=[^#"]+)#uploads"', newest)
    assert following
    earlier = ada.get(following[1]).text
    assert ["second.txt" in newest, "first.txt" in newest] == [True, False]
    assert ["second.txt" in earlier, "first.txt" in earlier] == [False, True]


def test_the_present_browser_is_marked(portal: Rig, eve: Browser) -> None:
    sign_in(portal, eve.person)
    assert text_of(eve.get("/account").text).count("this one") == 1


# --- what one holds -----------------------------------------------------------------------------------------
def test_what_one_holds_is_shown_with_what_holds_most(portal: Rig, ada: Browser) -> None:
    large, small = submitted(ada, "large"), submitted(ada, "small")
    portal.run_to_end(large, {"said.txt": b"x" * 3_000_000})
    portal.run_to_end(small, {"said.txt": b"y"})
    words = text_of(ada.get("/account").text)
    assert "2.9 MiB; there is no limit" in words
    assert words.index("large 2.9 MiB") < words.index("small 1 byte")


def test_who_holds_as_much_as_they_may_is_told_what_to_do(tmp_path: Path) -> None:
    limits = {"limits": {"storage_gib": 0.001}}
    with serving(tmp_path, settings=limits, make=make_site) as small:
        ada = signed_in(small, "ada")
        small.run_to_end(submitted(ada), {"said.txt": b"x" * 2_000_000})
        page = ada.get("/account").text
        assert "1.9 MiB of 1.0 MiB" in text_of(page)
        assert "can't upload or submit until you delete uploads or jobs" in text_of(page)
        assert "<meter" in page


def test_ones_projects_are_shown_and_no_others(portal: Rig, ada: Browser) -> None:
    by = Actor(None, "test")
    for name in ("hail", "snow"):
        portal.store.create_project(f"{name}-{ada.name}", by)
    portal.store.add_member(f"hail-{ada.name}", ada.name, by)
    words = text_of(ada.get("/account").text)
    assert f"hail-{ada.name} with nobody else yet" in words
    assert "snow" not in words


@pytest.mark.parametrize(("theme", "shown"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"')])
def test_the_theme_is_kept_in_the_browser(ada: Browser, theme: str, shown: str) -> None:
    ada.post("/account/theme", {"theme": theme})
    assert shown in ada.get("/account").text
    ada.post("/account/theme", {"theme": '"><script>'})
    assert "data-theme=" not in ada.get("/account").text
