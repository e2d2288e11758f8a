"""The part of the store's front that is about who may sign in: users and their tokens."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from isthmus.errors import NotSignedIn
from isthmus.store import users
from isthmus.store.audit import Actor, AuditKind, AuditLine
from isthmus.store.front import Front
from isthmus.store.records import Viewer
from isthmus.store.users import Identity, NewToken, Role, Scope, Token, User, UserChanges


class AccountStore(Front):
    """Methods of `Store`; one that takes `by` writes into the audit, in its own transaction, who did it."""

    def ensure_administrator(self) -> str | None:
        """There is a user; if there was none, the first administrator `admin`, whose one-time password is returned."""
        if self._read(users.has_users):
            return None
        password = secrets.token_urlsafe(15)
        hashed = users.hash_password(password)
        made = self._writer.run(lambda c: users.add_first_administrator(c, hashed, self._clock()))
        return password if made else None

    def create_user(
        self, name: str, password: str | None, role: Role, by: Actor | None = None, *, one_time: bool = False
    ) -> User:
        """The user can sign in, without a password by tokens only, with a `one_time` one to choose another.

        InvalidInput: a bad name or password; Conflict: the name is taken.
        """
        hashed = None if password is None else users.hash_password(password)
        return self._noted(
            lambda c: users.create_user(c, name, hashed, role, self._clock(), one_time=one_time),
            *(by, AuditKind.USER_CREATED, f"{name}, {role.value}"),
        )

    def user(self, name: str) -> User:
        """The user of this name. NotFound."""
        return self._read(lambda c: users.user(c, name))

    def users(self) -> list[User]:
        """Every user, by name."""
        return self._read(users.list_users)

    def verify_password(self, name: str, password: str, address: str | None = None) -> User:
        """The user, whose password this is. NotSignedIn: it isn't, or there is no such user; both take as long.

        With an `address` it is a sign-in from there, and told in the audit, well or not.
        """
        found = self._read(lambda c: users.stored_password(c, name))
        fits = users.password_fits(password, found[1] if found else None)
        user = found[0] if found and fits else None
        if address is not None:
            kind = AuditKind.SIGNED_IN if user else AuditKind.SIGN_IN_REFUSED
            self.note(AuditLine(Actor(found[0].id if found else None, name[:64], address), kind))
        if user is None:
            raise NotSignedIn("the name or the password is wrong")
        return user

    def set_password(self, name: str, password: str, by: Actor | None = None) -> None:
        """The user signs in with the new password from now on. NotFound, InvalidInput."""
        hashed = users.hash_password(password)
        self._noted(lambda c: users.set_password(c, name, hashed), by, AuditKind.PASSWORD_CHANGED, name)

    def change_user(self, name: str, changes: UserChanges, by: Actor | None = None) -> User:
        """The user is as asked, all of it. NotFound; InvalidInput; Conflict: no administrator would be left."""
        hashed = None if changes.password is None else users.hash_password(changes.password)
        return self._noted(
            lambda c: users.change_user(c, name, changes, hashed, self._clock()),
            *(by, AuditKind.USER_CHANGED, f"{name}: {changes.words}"),
        )

    def create_token(
        self, user_id: str, name: str, scopes: Iterable[Scope], expires_at: float | None, by: Actor | None = None
    ) -> NewToken:
        """The user has a token; its text can't be shown again."""
        wanted = frozenset(scopes)
        return self._noted(
            lambda c: users.create_token(c, user_id, name, wanted, expires_at, self._clock()),
            *(by, AuditKind.TOKEN_MADE, f"{name}: {' '.join(sorted(wanted)) or 'for choosing a password'}"),
        )

    def authenticate(self, text: str) -> Identity:
        """Whose token this is and what it is good for. NotSignedIn: unknown, expired, revoked, or the user disabled."""
        identity, unnoted = self._read(lambda c: users.identify(c, text, self._clock()))
        if unnoted is not None:
            self._writer.run(lambda c: users.note_use(c, unnoted, self._clock()))
        return identity

    def revoke_token(self, viewer: Viewer, token_id: str, by: Actor | None = None) -> None:
        """The token is good for nothing any more. NotFound: it is not the viewer's."""
        self._noted(
            lambda c: users.revoke_token(c, viewer, token_id, self._clock()), by, AuditKind.TOKEN_REVOKED, token_id
        )

    def tokens(self, user_id: str) -> list[Token]:
        """The user's tokens, the newest first, revoked and expired ones too."""
        return self._read(lambda c: users.list_tokens(c, user_id))
