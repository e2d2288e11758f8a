"""Users, passwords and tokens over HTTP."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from isthmus.api.limits import PasswordGate
from isthmus.api.problem import TooManyAttempts
from isthmus.api.responses.people import Me, NewTokenOut, TokenList, UserList, UserOut
from isthmus.errors import NotSignedIn
from isthmus.store.users import Role, Scope, hash_password
from tests.service.api_rig import PASSWORD, Person, Rig, serving, until
from tests.service.test_api_jobs import HELLO, faults


@pytest.fixture
def root(rig: Rig) -> Person:
    return rig.person("root", Role.ADMIN)


def signed_in(rig: Rig, user: str, password: str, **body: object) -> httpx.Response:
    return rig.client().post("/tokens", auth=(user, password), json=body)


# --- signing in -------------------------------------------------------------
def test_a_name_and_password_give_a_token(rig: Rig, ada: Person) -> None:
    answer = signed_in(rig, ada.name, PASSWORD, name="laptop")
    assert answer.status_code == 201
    made = NewTokenOut.model_validate(answer.json())
    assert (made.name, made.scopes, made.must_change_password) == ("laptop", ["read", "submit"], False)
    me = Me.model_validate(rig.client(made.token).get("/me").json())
    assert (me.name, me.role, me.scopes) == (ada.name, "user", ["read", "submit"])


def test_a_wrong_name_and_a_wrong_password_are_refused_alike(rig: Rig, ada: Person) -> None:
    answers = [signed_in(rig, name, "wrong password") for name in (ada.name, "nobody", "\x00", "x" * 10_000)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert all("www-authenticate" in answer.headers for answer in answers)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic eA==", "Digest x", "Bearer", ""])
def test_broken_credentials_are_no_credentials(rig: Rig, header: str) -> None:
    client = rig.client()
    assert client.post("/tokens", json={}, headers={"Authorization": header}).status_code == 401
    assert client.get("/me", headers={"Authorization": header}).status_code == 401


def test_a_password_opens_nothing_but_a_token(rig: Rig, ada: Person) -> None:
    assert rig.client().get("/me", auth=(ada.name, PASSWORD)).status_code == 401


def wrong(gate: PasswordGate, name: str, address: str) -> None:
    with pytest.raises(NotSignedIn), gate.attempt(name, address):
        raise NotSignedIn("wrong")


def test_guessing_a_name_is_slowed_down_where_it_comes_from_and_nowhere_else() -> None:
    gate = PasswordGate(burst=3, pause_s=30, clock=lambda: now)
    now = 0.0
    for _ in range(3):
        wrong(gate, "ada", "1.2.3.4")
    with pytest.raises(TooManyAttempts) as refused, gate.attempt("ada", "1.2.3.4"):
        pytest.fail("it was tried")
    assert refused.value.retry_after_s == 31
    wrong(gate, "another", "1.2.3.4")  # somebody in the same laboratory
    wrong(gate, "ada", "9.9.9.9")
    for _ in range(4):
        with gate.attempt("another", "9.9.9.9"):
            pass
    now = 31.0
    with gate.attempt("ada", "1.2.3.4"):
        pass


def test_guessing_many_names_is_slowed_down_for_the_address() -> None:
    gate = PasswordGate(burst=3, pause_s=30, clock=lambda: now)
    now = 0.0
    for n in range(3 * PasswordGate.NEIGHBOURS):
        wrong(gate, f"name {n}", "1.2.3.4")
    with pytest.raises(TooManyAttempts) as refused, gate.attempt("one more", "1.2.3.4"):
        pytest.fail("it was tried")
    assert refused.value.retry_after_s == 4
    now = 3.1
    wrong(gate, "one more", "1.2.3.4")
    with pytest.raises(TooManyAttempts), gate.attempt("one more", "1.2.3.4"):
        pytest.fail("it was tried")


def test_attempts_made_at_the_same_time_all_count_and_few_are_tried_at_once() -> None:
    gate = PasswordGate(burst=5, clock=lambda: 0.0)
    trying: set[int] = set()
    most, answers = 0, list[type[Exception]]()
    together = threading.Barrier(20)

    def guess(n: int) -> None:
        nonlocal most
        together.wait()
        try:
            with gate.attempt("ada", "1.2.3.4"):
                trying.add(n)
                most = max(most, len(trying))
                hash_password(PASSWORD)  # takes its time, as the real one does
                trying.discard(n)
                raise NotSignedIn("wrong")
        except (NotSignedIn, TooManyAttempts) as refused:
            answers.append(type(refused))

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(NotSignedIn) == 5
    assert most <= PasswordGate.AT_ONCE


def test_a_sign_in_of_many_fields_is_refused_before_it_is_read(rig: Rig) -> None:
    answer = signed_in(rig, "nobody", "x", **{str(n): 1 for n in range(1000)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_too_many_wrong_passwords_are_answered_with_when_to_try_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("home")) as rig:
        ada = rig.person("ada")
        answers = [signed_in(rig, ada.name, "wrong password") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert answers[-1].json()["code"] == "too_many_attempts"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 31
        assert signed_in(rig, ada.name, PASSWORD).status_code == 429
        assert ada.client.get("/me").status_code == 200


def test_behind_a_trusted_proxy_each_client_is_counted_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"api": {"trusted_proxies": ["127.0.0.0/8", "10.1.1.1"]}}) as rig:
        answers = [guessed(rig, "203.0.113.7") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert guessed(rig, "203.0.113.8").status_code == 401
        assert guessed(rig, "203.0.113.9, 203.0.113.7, 10.1.1.1").status_code == 429


def test_a_client_that_is_no_trusted_proxy_has_one_address_whatever_it_says(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"api": {"trusted_proxies": ["10.1.1.1"]}}) as rig:
        answers = [guessed(rig, f"203.0.113.{n}") for n in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]


def guessed(rig: Rig, forwarded_for: str) -> httpx.Response:
    """A wrong password for a name, which is counted for each address."""
    headers = {"X-Forwarded-For": forwarded_for}
    return rig.client().post("/tokens", auth=("nobody", "wrong password"), json={}, headers=headers)


def test_the_first_administrators_password_is_marked_as_one_to_change(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("home")) as rig:
        password = rig.store.ensure_administrator()
        assert password is not None
        made = NewTokenOut.model_validate(signed_in(rig, "admin", password).json())
        assert (made.must_change_password, made.scopes) == (True, [])
        newcomer, change = rig.client(made.token), {"old": password, "new": "a better password"}
        me = Me.model_validate(newcomer.get("/me").json())
        assert (me.name, me.role, me.scopes) == ("admin", "admin", [])
        same = newcomer.post("/me/password", json={**change, "new": change["old"]})
        assert faults(same) == {"new": "same_password"}
        assert newcomer.post("/me/password", json=change).status_code == 204
        assert newcomer.get("/me").status_code == 401
        then = NewTokenOut.model_validate(signed_in(rig, "admin", "a better password").json())
        assert (then.must_change_password, then.scopes) == (False, ["read", "submit", "admin"])


def test_a_token_of_a_one_time_password_ends_soon_whatever_was_asked(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        password = rig.store.ensure_administrator() or ""
        for asked in ({}, {"expires_at": "2090-01-01T00:00:00Z"}, {"scopes": ["read", "admin"]}):
            made = NewTokenOut.model_validate(signed_in(rig, "admin", password, **asked).json())
            assert made.expires_at is not None
            left = datetime.fromisoformat(made.expires_at) - datetime.now(UTC)
            assert timedelta(minutes=4) < left <= timedelta(minutes=5)
            assert made.scopes == []


def test_a_password_is_changed_by_who_knows_it(rig: Rig, ada: Person) -> None:
    wrong = ada.client.post("/me/password", json={"old": "not this one!", "new": "something longer"})
    assert (wrong.status_code, faults(wrong)) == (422, {"old": "wrong_password"})
    short = ada.client.post("/me/password", json={"old": PASSWORD, "new": "short"})
    assert (short.status_code, faults(short)) == (422, {"new": "string_too_short"})
    assert ada.client.post("/me/password", json={"old": PASSWORD, "new": "something longer"}).status_code == 204
    assert signed_in(rig, ada.name, PASSWORD).status_code == 401
    assert signed_in(rig, ada.name, "something longer").status_code == 201


# --- tokens -----------------------------------------------------------------
def test_tokens_are_listed_without_their_text_and_can_be_revoked(rig: Rig, ada: Person) -> None:
    made = NewTokenOut.model_validate(ada.client.post("/tokens", json={"name": "phone"}).json())
    phone = rig.client(made.token)
    assert phone.get("/me").status_code == 200
    listed = ada.client.get("/tokens")
    assert {token.name for token in TokenList.model_validate(listed.json()).tokens} == {"phone", "test"}
    assert made.token not in listed.text
    assert ada.client.delete(f"/tokens/{made.id}").status_code == 204
    assert phone.get("/me").status_code == 401
    assert {token.name for token in TokenList.model_validate(ada.client.get("/tokens").json()).tokens} == {"test"}


def test_the_token_in_use_can_revoke_itself(ada: Person) -> None:
    assert ada.client.delete("/tokens/current").status_code == 204
    assert ada.client.get("/me").status_code == 401


def test_another_users_token_cannot_be_revoked(rig: Rig, ada: Person) -> None:
    bob = rig.person("bob")
    (theirs,) = bob.client.get("/tokens").json()["tokens"]
    assert ada.client.delete(f"/tokens/{theirs['id']}").status_code == 404
    assert bob.client.get("/me").status_code == 200


def test_a_token_is_good_for_its_scopes_only(rig: Rig, ada: Person) -> None:
    reader = rig.client(ada.client.post("/tokens", json={"scopes": ["read"]}).json()["token"])
    assert reader.get("/jobs").status_code == 200
    refused = reader.post("/jobs", json=HELLO)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert reader.post("/tokens", json={"scopes": ["read", "submit"]}).status_code == 403
    assert NewTokenOut.model_validate(reader.post("/tokens", json={}).json()).scopes == ["read"]
    submitter = rig.person("bot", scopes=(Scope.SUBMIT,)).client
    assert (submitter.get("/jobs").status_code, submitter.post("/jobs", json=HELLO).status_code) == (403, 201)


def test_an_administrators_token_without_the_scope_sees_only_their_own_jobs(
    rig: Rig, root: Person, ada: Person
) -> None:
    ada.client.post("/jobs", json=HELLO)
    plain = rig.client(root.client.post("/tokens", json={"scopes": ["read", "submit"]}).json()["token"])
    assert plain.get("/jobs").json()["jobs"] == []
    assert plain.get("/users").status_code == 403


def test_a_token_may_be_made_for_nearly_ever(ada: Person) -> None:
    answer = ada.client.post("/tokens", json={"expires_at": "9999-12-31T23:59:58.999Z"})
    assert answer.json()["expires_at"] == "9999-12-31T23:59:58.999Z"


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_may_not_be_written_again_is_refused(ada: Person, at: str) -> None:
    answer = ada.client.post("/tokens", json={"expires_at": at})
    assert (answer.status_code, faults(answer)) == (422, {"expires_at": "value_error"})
    assert ada.client.get("/tokens").status_code == 200


def test_a_token_made_by_a_token_does_not_outlive_it(rig: Rig, ada: Person) -> None:
    end, later = "2090-01-01T00:00:00.000Z", "2091-01-01T00:00:00.000Z"
    maker = rig.client(ada.client.post("/tokens", json={"expires_at": end}).json()["token"])
    ends = [maker.post("/tokens", json=body).json()["expires_at"] for body in ({}, {"expires_at": later})]
    assert ends == [end, end]
    sooner = "2089-01-01T00:00:00.000Z"
    assert maker.post("/tokens", json={"expires_at": sooner}).json()["expires_at"] == sooner


def test_a_token_can_revoke_itself_and_no_better_one(rig: Rig, ada: Person) -> None:
    (better,) = ada.client.get("/tokens").json()["tokens"]
    made = [ada.client.post("/tokens", json={"scopes": ["read"]}).json() for _ in range(2)]
    reader = rig.client(made[0]["token"])
    refused = reader.delete(f"/tokens/{better['id']}")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert ada.client.get("/me").status_code == 200
    assert reader.delete(f"/tokens/{made[1]['id']}").status_code == 204
    assert reader.delete("/tokens/current").status_code == 204


def test_an_expired_token_is_refused(rig: Rig, ada: Person) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    short_lived = rig.client(ada.client.post("/tokens", json={"expires_at": soon}).json()["token"])
    assert short_lived.get("/me").status_code == 200
    until(lambda: short_lived.get("/me").status_code == 401, "the token expires", 4)


def test_what_another_process_revokes_is_refused_within_a_second(rig: Rig, ada: Person) -> None:
    assert ada.client.get("/me").status_code == 200
    (mine,) = rig.store.tokens(ada.user_id)
    rig.store.revoke_token(ada.viewer, mine.id)
    until(lambda: ada.client.get("/me").status_code == 401, "the token is refused", 2)


# --- users ------------------------------------------------------------------
def test_an_administrator_makes_users_and_lists_them(rig: Rig, root: Person) -> None:
    name = f"new-{time.time_ns()}"
    answer = root.client.post("/users", json={"name": name, "password": PASSWORD, "role": "user"})
    made = UserOut.model_validate(answer.json())
    assert (answer.status_code, made.name, made.disabled) == (201, name, False)
    assert made in UserList.model_validate(root.client.get("/users").json()).users
    assert root.client.post("/users", json={"name": name, "password": PASSWORD}).status_code == 409
    assert signed_in(rig, name, PASSWORD).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Ångström", "password": PASSWORD}, "name"),
        ({"name": "", "password": PASSWORD}, "name"),
        ({"name": "x", "password": "short"}, "password"),
        ({"name": "x"}, "password"),
        ({"name": "x", "password": PASSWORD, "role": "king"}, "role"),
    ],
)
def test_a_user_that_cannot_be_is_refused(root: Person, body: dict[str, str], field: str) -> None:
    answer = root.client.post("/users", json=body)
    assert (answer.status_code, set(faults(answer))) == (422, {field})


def test_a_disabled_user_is_out_at_once_and_can_come_back(rig: Rig, root: Person, ada: Person) -> None:
    assert ada.client.get("/me").status_code == 200
    assert root.client.patch(f"/users/{ada.name}", json={"disabled": True}).json()["disabled"] is True
    assert ada.client.get("/me").status_code == 401
    assert signed_in(rig, ada.name, PASSWORD).status_code == 401
    root.client.patch(f"/users/{ada.name}", json={"disabled": False})
    assert ada.client.get("/me").status_code == 200


def test_an_administrator_sets_a_password_and_a_role(rig: Rig, root: Person, ada: Person) -> None:
    change = {"password": "another long one", "role": "admin"}
    assert root.client.patch(f"/users/{ada.name}", json=change).json()["role"] == "admin"
    assert signed_in(rig, ada.name, "another long one").status_code == 201
    assert ada.client.get("/users").status_code == 200
    assert root.client.patch("/users/nobody", json={"role": "user"}).status_code == 404


def test_a_change_of_a_user_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        root = rig.person("root", Role.ADMIN)
        answer = root.client.patch(f"/users/{root.name}", json={"password": "another long one", "role": "user"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert signed_in(rig, root.name, PASSWORD).status_code == 201


def test_the_last_administrator_stays_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("home")) as rig:
        root = rig.person("root", Role.ADMIN)
        for change in ({"role": "user"}, {"disabled": True}):
            answer = root.client.patch(f"/users/{root.name}", json=change)
            assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
