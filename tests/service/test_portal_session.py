"""Signing in by the page, what a session may do, and what other sites can't make it do."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from isthmus.portal import make_site
from isthmus.portal.session import csrf_of, safe_next
from isthmus.store.users import Scope, UserChanges
from tests.service.api_rig import PASSWORD, Rig, serving
from tests.service.portal_rig import csrf_in, sign_in, signed_in, stranger, text_of

NEW_PASSWORD = "another good password"


def test_a_stranger_is_sent_to_sign_in_and_from_there_to_where_they_wanted(portal: Rig) -> None:
    browser = stranger(portal)
    sent = browser.get("/jobs?state=FAILED")
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/jobs%3Fstate%3DFAILED")
    person = portal.person("eve")
    fields = {"name": person.name, "password": PASSWORD, "next": "/jobs?state=FAILED"}
    answer = browser.post("/sign-in", data={**fields, "csrf": csrf_in(browser.get("/sign-in").text)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=FAILED")


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/sign-out", "/\nx"]
)
def test_signing_in_leads_to_no_other_site(next_: str) -> None:
    assert safe_next(next_) == "/"


def test_the_cookie_is_shown_to_no_script_and_sent_to_no_other_site(portal: Rig) -> None:
    person = portal.person("eve")
    browser = stranger(portal)
    fields = {"name": person.name, "password": PASSWORD, "csrf": csrf_in(browser.get("/sign-in").text)}
    cookie = browser.post("/sign-in", data=fields).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert PASSWORD not in cookie


def test_a_wrong_password_is_said_and_the_name_kept(portal: Rig) -> None:
    browser = stranger(portal)
    fields = {"name": "nobody<b>", "password": "wrong", "csrf": csrf_in(browser.get("/sign-in").text)}
    answer = browser.post("/sign-in", data=fields)
    assert answer.status_code == 401
    assert "Name or password is wrong." in text_of(answer.text)
    assert 'value="nobody&lt;b&gt;"' in answer.text


def test_guessing_passwords_is_slowed_down(tmp_path: Path) -> None:
    with serving(tmp_path, make=make_site) as rig:
        browser = stranger(rig)
        fields = {"name": "guessed", "password": "wrong", "csrf": csrf_in(browser.get("/sign-in").text)}
        statuses = [browser.post("/sign-in", data=fields).status_code for _ in range(11)]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_nobody_is_signed_in_by_a_form_of_another_site(portal: Rig) -> None:
    person = portal.person("eve")
    fields = {"name": person.name, "password": PASSWORD}
    browser = stranger(portal)
    csrf = csrf_in(browser.get("/sign-in").text)
    assert browser.post("/sign-in", data={**fields, "csrf": "made-up"}).status_code == 403
    foreign = browser.post("/sign-in", data={**fields, "csrf": csrf}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert "isthmus=" not in foreign.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_another_site_changes_nothing_even_with_the_token(portal: Rig, headers: dict[str, str]) -> None:
    ada = signed_in(portal, "ada")
    answer = ada.client.post("/sign-out", data={"csrf": ada.csrf}, headers=headers)
    assert answer.status_code == 403
    assert ada.get("/").status_code == 200


@pytest.mark.parametrize("csrf", ["", "made-up", "0" * 40])
def test_a_change_without_the_sessions_token_is_not_made(portal: Rig, csrf: str) -> None:
    ada = signed_in(portal, "ada")
    assert ada.post("/sign-out", csrf=csrf).status_code == 403
    assert ada.get("/").status_code == 200


@pytest.mark.parametrize("scopes", [(), (Scope.READ,), (Scope.SUBMIT,)])
def test_a_token_that_is_good_for_less_than_a_session_makes_none(portal: Rig, scopes: tuple[Scope, ...]) -> None:
    person = portal.person("ada", scopes=scopes)
    browser = stranger(portal)
    browser.cookies.set("isthmus", person.token)
    assert browser.get("/").status_code == 303
    assert browser.post("/sign-out", headers={"X-CSRF-Token": csrf_of(person.token)}).status_code == 303
    assert person.client.get("/me").status_code == 200


def test_an_upload_is_not_read_to_look_for_its_token(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    assert ada.client.post("/uploads", data={"csrf": ada.csrf}).status_code == 403


def test_another_users_token_proves_nothing(portal: Rig) -> None:
    ada, eve = signed_in(portal, "ada"), signed_in(portal, "eve")
    assert ada.post("/sign-out", csrf=eve.csrf).status_code == 403


def test_signing_out_ends_the_session_also_where_its_cookie_was_copied(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    copied = dict(ada.client.cookies)
    assert ada.post("/sign-out").status_code == 303
    thief = stranger(portal)
    thief.cookies.update(copied)
    assert thief.get("/").status_code == 303


def test_a_part_of_a_page_sends_the_whole_page_to_sign_in(portal: Rig) -> None:
    answer = stranger(portal).get("/part/lists", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/sign-in")


def test_who_came_with_a_one_time_password_must_choose_another(portal: Rig) -> None:
    user = portal.person("new")
    portal.store.change_user(user.name, UserChanges(password=PASSWORD, one_time=True))
    browser = sign_in(portal, user)
    assert browser.get("/").headers["location"] == "/password"
    assert browser.get("/jobs").headers["location"] == "/password"
    wrong = browser.post("/password", {"old": PASSWORD, "new": NEW_PASSWORD, "again": "different"})
    assert wrong.status_code == 422
    assert "This is not what you wrote above." in text_of(wrong.text)
    done = browser.post("/password", {"old": PASSWORD, "new": NEW_PASSWORD, "again": NEW_PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert browser.get("/").status_code == 200
    assert sign_in(portal, user, NEW_PASSWORD).get("/").status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("not it", NEW_PASSWORD, "This is not your password."),
        (PASSWORD, PASSWORD, "Choose another than the present one."),
        (PASSWORD, "short", "password"),
    ],
)
def test_a_password_that_cannot_be_set_is_said_beside_its_field(portal: Rig, old: str, new: str, said: str) -> None:
    ada = signed_in(portal, "ada")
    answer = ada.post("/password", {"old": old, "new": new, "again": new})
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    assert 'aria-invalid="true"' in answer.text


def test_every_page_says_what_browsers_may_do_with_it(portal: Rig) -> None:
    answers: list[httpx.Response] = [stranger(portal).get("/sign-in"), signed_in(portal, "ada").get("/nothing-there")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_what_is_not_there_is_a_page_for_people_and_a_problem_for_programs(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    page = ada.get("/nothing-there")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page." in text_of(page.text)
    problem = ada.client.get("/api/v1/nothing-there")
    assert problem.headers["content-type"] == "application/problem+json"


def test_a_form_that_is_too_large_is_refused_with_words(portal: Rig) -> None:
    ada = signed_in(portal, "ada")

    def pieces() -> object:
        yield f"csrf={ada.csrf}&old=".encode()
        for _ in range(300):
            yield b"x" * 8192

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ada.client.post("/password", content=pieces(), headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert "Nothing was stored." in text_of(answer.text)
