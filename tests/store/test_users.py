"""Who may sign in, and what their tokens let them do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text

from isthmus.errors import Conflict, InvalidInput, NotFound, NotSignedIn
from isthmus.store import Role, Scope, Store, Viewer
from isthmus.store.database import Database
from isthmus.store.users import UserChanges, change_user
from tests.store.conftest import Clock
from tests.store.making import PASSWORD
from tests.store.waiting import until, waits_for_a_lock


def test_the_first_administrator_is_made_once_with_a_password_that_works(store: Store) -> None:
    password = store.ensure_administrator()

    assert password is not None
    assert store.ensure_administrator() is None
    user = store.verify_password("admin", password)
    assert (user.role, user.must_change_password) == (Role.ADMIN, True)


def test_a_gateway_that_has_users_gets_no_first_administrator(store: Store, ann: Viewer) -> None:
    assert store.ensure_administrator() is None
    with pytest.raises(NotFound):
        store.user("admin")


def test_a_password_is_checked_and_stored_nowhere(store: Store, url: str) -> None:
    store.create_user("ann", PASSWORD, Role.USER)

    assert store.verify_password("ann", PASSWORD).name == "ann"
    for name, password in (("ann", PASSWORD + "x"), ("ann", ""), ("nobody", PASSWORD), ("a\0b", PASSWORD)):
        with pytest.raises(NotSignedIn):
            store.verify_password(name, password)
    engine = create_engine(url)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT password_hash FROM users")).scalar_one()
    engine.dispose()
    assert stored.startswith("$argon2id$")


def test_a_new_password_replaces_the_old_one(store: Store) -> None:
    once = store.ensure_administrator()
    assert once is not None
    store.set_password("admin", PASSWORD)

    assert not store.verify_password("admin", PASSWORD).must_change_password
    with pytest.raises(NotSignedIn):
        store.verify_password("admin", once)


def test_a_user_without_a_password_can_not_sign_in_with_any(store: Store, ann: Viewer) -> None:
    with pytest.raises(NotSignedIn):
        store.verify_password("ann", "")


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 257])
def test_a_password_too_short_or_too_long_is_refused(store: Store, password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.create_user("ann", password, Role.USER)

    assert [fault.field for fault in refused.value.faults] == ["password"]
    assert store.users() == []


@pytest.mark.parametrize("name", ["", "Ann", "-ann", "a b", "a\n", "x" * 65, "anné", "a/b"])
def test_a_name_that_can_not_be_one_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput):
        store.create_user(name, None, Role.USER)


def test_a_name_is_given_once(store: Store, ann: Viewer) -> None:
    with pytest.raises(Conflict):
        store.create_user("ann", None, Role.USER)


def test_a_token_says_whose_it_is_and_what_it_is_good_for(store: Store, ann: Viewer) -> None:
    made = store.create_token(ann.user_id, "laptop", [Scope.READ, Scope.SUBMIT], None)

    identity = store.authenticate(made.text)

    assert (identity.user_id, identity.name, identity.role) == (ann.user_id, "ann", Role.USER)
    assert identity.scopes == {Scope.READ, Scope.SUBMIT}
    assert made.text.startswith("isthmus_")
    assert len(made.text) == len("isthmus_") + 43


def test_a_tokens_text_is_stored_nowhere(store: Store, ann: Viewer, url: str) -> None:
    made = store.create_token(ann.user_id, "laptop", [Scope.READ], None)

    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [str(tuple(row)) for row in connection.execute(text("SELECT * FROM tokens"))]
    engine.dispose()

    assert made.text not in "".join(rows)
    assert made.text[8:] not in "".join(rows)


def test_the_administrators_scope_is_worth_nothing_to_a_user(store: Store, ann: Viewer, admin: Viewer) -> None:
    asked = [Scope.READ, Scope.ADMIN]

    assert store.authenticate(store.create_token(ann.user_id, "t", asked, None).text).scopes == {Scope.READ}
    assert store.authenticate(store.create_token(admin.user_id, "t", asked, None).text).scopes == set(asked)


def test_unknown_expired_and_revoked_tokens_are_refused(store: Store, ann: Viewer, clock: Clock) -> None:
    short = store.create_token(ann.user_id, "short", [Scope.READ], clock.now + 10)
    revoked = store.create_token(ann.user_id, "revoked", [Scope.READ], None)
    store.authenticate(short.text)
    store.revoke_token(ann, revoked.token.id)
    clock.now += 10

    for words in (short.text, revoked.text, "isthmus_" + "x" * 43, "", "\0", "\ud800"):
        with pytest.raises(NotSignedIn):
            store.authenticate(words)


def test_a_disabled_user_signs_in_by_nothing_until_enabled_again(store: Store, admin: Viewer) -> None:
    user = store.create_user("ann", PASSWORD, Role.USER)
    token = store.create_token(user.id, "t", [Scope.READ], None)
    store.change_user("ann", UserChanges(disabled=True))

    with pytest.raises(NotSignedIn):
        store.authenticate(token.text)
    with pytest.raises(NotSignedIn):
        store.verify_password("ann", PASSWORD)

    store.change_user("ann", UserChanges(disabled=False))
    assert store.authenticate(token.text).name == "ann"


def test_the_last_administrator_stays_one(store: Store, admin: Viewer) -> None:
    for changes in (UserChanges(role=Role.USER), UserChanges(disabled=True)):
        with pytest.raises(Conflict):
            store.change_user("root", changes)

    assert store.user("root").role is Role.ADMIN
    assert store.user("root").disabled_at is None


def test_a_user_is_changed_as_a_whole_or_not_at_all(store: Store, admin: Viewer) -> None:
    store.set_password("root", PASSWORD)

    with pytest.raises(Conflict):
        store.change_user("root", UserChanges(password=PASSWORD + "x", role=Role.USER))

    assert store.verify_password("root", PASSWORD).name == "root"
    with pytest.raises(NotFound):
        store.change_user("nobody", UserChanges(password=PASSWORD))


def test_what_is_not_asked_of_a_user_stays(store: Store, clock: Clock, admin: Viewer) -> None:
    store.create_user("ann", PASSWORD, Role.ADMIN)
    disabled = store.change_user("ann", UserChanges(disabled=True))

    assert (disabled.role, disabled.disabled_at) == (Role.ADMIN, clock.now)
    assert store.change_user("ann", UserChanges(role=Role.USER)).disabled_at == clock.now
    assert store.change_user("ann", UserChanges(disabled=False)).role is Role.USER
    assert store.change_user("ann", UserChanges()) == store.user("ann")
    assert store.verify_password("ann", PASSWORD).name == "ann"


def test_a_role_is_changed_while_another_administrator_is_left(store: Store, admin: Viewer, ann: Viewer) -> None:
    store.change_user("ann", UserChanges(role=Role.ADMIN))

    assert store.change_user("root", UserChanges(role=Role.USER)).role is Role.USER
    assert [user.name for user in store.users()] == ["ann", "root"]


def test_nobody_revokes_anothers_token(store: Store, ann: Viewer, bob: Viewer, admin: Viewer) -> None:
    token = store.create_token(ann.user_id, "t", [Scope.READ], None)

    for id_ in (token.token.id, "0" * 20, "a\0b"):
        with pytest.raises(NotFound):
            store.revoke_token(bob, id_)
    assert store.authenticate(token.text).name == "ann"

    store.revoke_token(admin, token.token.id)
    with pytest.raises(NotSignedIn):
        store.authenticate(token.text)


def test_tokens_are_listed_with_their_last_use_and_revocation(store: Store, ann: Viewer, clock: Clock) -> None:
    old = store.create_token(ann.user_id, "old", [Scope.READ], clock.now + 9)
    clock.now += 1
    new = store.create_token(ann.user_id, "new", [], None)
    store.authenticate(old.text)
    store.revoke_token(ann, new.token.id)
    store.revoke_token(ann, new.token.id)

    listed = store.tokens(ann.user_id)

    assert [token.name for token in listed] == ["new", "old"]
    assert (listed[0].revoked_at, listed[0].last_used_at) == (clock.now, None)
    assert (listed[1].last_used_at, listed[1].expires_at) == (clock.now, old.token.expires_at)
    assert listed[1].scopes == {Scope.READ}


def test_the_use_of_a_token_is_noted_at_most_every_five_minutes(store: Store, ann: Viewer, clock: Clock) -> None:
    token = store.create_token(ann.user_id, "t", [], None)
    first = clock.now
    store.authenticate(token.text)
    clock.now += 299
    store.authenticate(token.text)
    seen = store.tokens(ann.user_id)[0].last_used_at
    clock.now += 1
    store.authenticate(token.text)

    assert seen == first
    assert store.tokens(ann.user_id)[0].last_used_at == first + 300


def test_on_postgresql_two_administrators_who_step_down_at_once_do_not_both(postgres_database: str) -> None:
    with Store.open(postgres_database) as store:
        for name in ("ann", "bob"):
            store.create_user(name, PASSWORD, Role.ADMIN)
        other, step_down = Database.at(postgres_database), UserChanges(role=Role.USER)
        with ThreadPoolExecutor(1) as thread:
            with other.write() as connection:
                change_user(connection, "ann", step_down, None, 1.0)
                second = thread.submit(store.change_user, "bob", step_down)
                until(lambda: waits_for_a_lock(postgres_database))
            assert isinstance(second.exception(30), Conflict)
        other.close()
        assert [found.role for found in store.users()] == [Role.USER, Role.ADMIN]
