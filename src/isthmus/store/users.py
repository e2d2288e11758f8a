"""People who may sign in, how they prove who they are, and what their tokens let them do.

Passwords are kept as argon2 hashes, tokens as SHA-256: a token is 256 random bits, so there is nothing to guess.
Hashing takes tens of milliseconds on purpose and never happens inside a transaction.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from pwdlib import PasswordHash
from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from isthmus.errors import Conflict, InputFault, InvalidInput, NotFound, NotSignedIn
from isthmus.store.conflicts import insert_new
from isthmus.store.ids import is_id, new_id
from isthmus.store.records import Viewer
from isthmus.store.rows import Values
from isthmus.store.schema import tokens, users

MIN_PASSWORD = 12
MAX_PASSWORD = 256
TOKEN_PREFIX = "isthmus_"  # noqa: S105  (what every token begins with, so that scanners for leaked secrets find them)
FIRST_ADMINISTRATOR = "admin"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_USED_EVERY_S = 300.0  # `last_used_at` is this exact; one write a request would be too dear


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a token is good for; the user's role caps it. Without any: to read who one is, and to choose a password."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in, unless `disabled_at` is set."""

    id: str
    name: str
    role: Role
    created_at: float
    disabled_at: float | None
    must_change_password: bool
    email: str | None = None
    notices: str = ""


@dataclass(frozen=True, slots=True)
class UserChanges:
    """What a user has otherwise from now on; None stays as it is. `one_time`: the password is for choosing another."""

    password: str | None = field(default=None, repr=False)
    role: Role | None = None
    disabled: bool | None = None
    one_time: bool = False

    @property
    def words(self) -> str:
        """What changes, in words; a password itself is never told."""
        said = ["a new password"] if self.password is not None else []
        said += [f"role {self.role.value}"] if self.role is not None else []
        said += [] if self.disabled is None else ["disabled" if self.disabled else "enabled"]
        return ", ".join(said) or "nothing"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a valid token is, and what it lets them do. An administrator's scope is in it only for administrators."""

    user_id: str
    name: str
    role: Role
    scopes: frozenset[Scope]
    token_id: str
    must_change_password: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A token as its owner sees it afterwards; its text is known only when it is made."""

    id: str
    user_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made, with the text that is shown this one time."""

    token: Token
    text: str


# --- passwords (no database) ------------------------------------------------------------------------------------------
@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _hash_of_nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))


def hash_password(password: str) -> str:
    """What is stored of the password. InvalidInput: it is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        message = f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        raise InvalidInput(message, (InputFault("password", "length", message),))
    return _hasher().hash(password.encode("utf-8", "surrogatepass"))


def password_fits(password: str, stored: str | None) -> bool:
    """Whether it is the password; takes as long where there is none, so that nobody learns which users exist."""
    given = password[: MAX_PASSWORD + 1].encode("utf-8", "surrogatepass")
    return _hasher().verify(given, stored or _hash_of_nobody()) and stored is not None


# --- users ------------------------------------------------------------------------------------------------------------
_USER = (
    *(users.c.id, users.c.name, users.c.role, users.c.created_at, users.c.disabled_at, users.c.must_change_password),
    *(users.c.email, users.c.notices),
)


def create_user(
    connection: Connection, name: str, password_hash: str | None, role: Role, now: float, *, one_time: bool = False
) -> User:
    """The user is there. InvalidInput: the name can't be one; Conflict: it is taken."""
    if not _NAME.fullmatch(name):
        message = "a user's name has 1 to 64 lower-case letters, digits and . _ @ -, the first a letter or digit"
        raise InvalidInput(message, (InputFault("name", "form", message),))
    user = User(new_id(now), name, role, now, None, one_time)
    row = {column.name: getattr(user, column.name) for column in _USER} | {"password_hash": password_hash}
    if not insert_new(connection, users, row):
        raise Conflict(f"there is a user {name} already")
    return user


def user(connection: Connection, name: str) -> User:
    """The user of this name. NotFound."""
    query = select(*_USER).where(users.c.name == name)
    row = connection.execute(query).one_or_none() if _NAME.fullmatch(name) else None
    if row is None:
        raise NotFound("there is no user of that name")
    return _user(*row)


def list_users(connection: Connection) -> list[User]:
    """Every user, by name."""
    return [_user(*row) for row in connection.execute(select(*_USER).order_by(users.c.name))]


def _user(id_: str, name: str, role: str, *rest: Any) -> User:
    return User(id_, name, Role(role), *rest)


def stored_password(connection: Connection, name: str) -> tuple[User, str | None] | None:
    """The user and what is stored of the password; None if there is no such user or it is disabled."""
    if not _NAME.fullmatch(name):
        return None
    query = select(*_USER, users.c.password_hash).where(users.c.name == name, users.c.disabled_at.is_(None))
    row = connection.execute(query).one_or_none()
    return None if row is None else (_user(*row[:-1]), row[-1])


def set_password(connection: Connection, name: str, password_hash: str, *, one_time: bool = False) -> None:
    """The user signs in with the new password from now on, `one_time` only to choose another. NotFound."""
    found = user(connection, name)
    changed = update(users).where(users.c.id == found.id)
    connection.execute(changed.values(password_hash=password_hash, must_change_password=one_time))


def change_user(connection: Connection, name: str, changes: UserChanges, password_hash: str | None, now: float) -> User:
    """The user is as asked, all of it; `password_hash` is what is stored of the password.

    Who is disabled signs in by nothing, by token neither. Conflict: no administrator would be left. NotFound.
    """
    # Locked in one order, so that of two who would each leave the other as the last administrator one comes second.
    connection.execute(
        select(users.c.id).where(users.c.role == Role.ADMIN.value).order_by(users.c.id).with_for_update()
    )
    found = user(connection, name)
    if password_hash is not None:
        set_password(connection, name, password_hash, one_time=changes.one_time)
    role = found.role if changes.role is None else changes.role
    disabled_at = found.disabled_at if changes.disabled is None else now if changes.disabled else None
    connection.execute(update(users).where(users.c.id == found.id).values(role=role.value, disabled_at=disabled_at))
    if not has_administrator(connection):
        raise Conflict("there must be an administrator who can sign in")
    return user(connection, name)


def has_administrator(connection: Connection) -> bool:
    """Whether there is an administrator who is not disabled."""
    query = select(func.count()).select_from(users)
    active = query.where(users.c.role == Role.ADMIN.value, users.c.disabled_at.is_(None))
    return connection.execute(active).scalar_one() > 0


def has_users(connection: Connection) -> bool:
    """Whether anybody was ever made a user."""
    return connection.execute(select(users.c.id).limit(1)).first() is not None


def add_first_administrator(connection: Connection, password_hash: str, now: float) -> bool:
    """There is an administrator; true if this call made the first user one."""
    if has_users(connection):
        return False
    row: Values = {"id": new_id(now), "name": FIRST_ADMINISTRATOR, "role": Role.ADMIN.value, "created_at": now}
    return insert_new(connection, users, {**row, "password_hash": password_hash, "must_change_password": True})


# --- tokens -----------------------------------------------------------------------------------------------------------
_TOKEN = (
    *(tokens.c.id, tokens.c.user_id, tokens.c.name, tokens.c.scopes),
    *(tokens.c.created_at, tokens.c.expires_at, tokens.c.last_used_at, tokens.c.revoked_at),
)


def create_token(
    connection: Connection, user_id: str, name: str, scopes: Iterable[Scope], expires_at: float | None, now: float
) -> NewToken:
    """The user has the token; its text is not stored and can't be shown again."""
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = Token(new_id(now), user_id, name, frozenset(scopes), now, expires_at, None, None)
    row = {column.name: getattr(token, column.name) for column in _TOKEN}
    row |= {"scopes": " ".join(sorted(token.scopes)), "sha256": _sha256(text)}
    connection.execute(insert(tokens), row)
    return NewToken(token, text)


_VALID_TOKEN = (
    select(
        *(users.c.id, users.c.name, users.c.role, users.c.must_change_password),
        *(tokens.c.scopes, tokens.c.id, tokens.c.last_used_at),
    )
    .join(users, users.c.id == tokens.c.user_id)
    .where(tokens.c.sha256 == bindparam("hash"), tokens.c.revoked_at.is_(None), users.c.disabled_at.is_(None))
    .where(or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > bindparam("now")))
)


def identify(connection: Connection, text: str, now: float) -> tuple[Identity, str | None]:
    """Whose token it is, and the token's id if its use is to be noted. NotSignedIn: it is not, or no longer, valid."""
    row = connection.execute(_VALID_TOKEN, {"hash": _sha256(text), "now": now}).one_or_none()
    if row is None:
        raise NotSignedIn("this token is not valid, or not any more")
    user_id, name, role, must_change_password, scopes, token_id, used_at = row
    granted = _scopes(scopes) if role == Role.ADMIN else _scopes(scopes) - {Scope.ADMIN}
    note = used_at is None or now - used_at >= _USED_EVERY_S
    identity = Identity(user_id, name, Role(role), granted, token_id, must_change_password)
    return identity, token_id if note else None


def note_use(connection: Connection, token_id: str, now: float) -> None:
    connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=now))


def revoke_token(connection: Connection, viewer: Viewer, token_id: str, now: float) -> None:
    """The token is good for nothing any more. NotFound: there is none, or it is not the viewer's."""
    query = update(tokens).where(tokens.c.id == token_id)
    if not viewer.is_admin:
        query = query.where(tokens.c.user_id == viewer.user_id)
    revoked = query.values(revoked_at=func.coalesce(tokens.c.revoked_at, now))
    if not is_id(token_id) or connection.execute(revoked).rowcount != 1:
        raise NotFound("there is no such token")


def list_tokens(connection: Connection, user_id: str) -> list[Token]:
    """The user's tokens, the newest first, revoked and expired ones too."""
    query = select(*_TOKEN).where(tokens.c.user_id == user_id).order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
    return [Token(*row[:3], _scopes(row.scopes), *row[4:]) for row in connection.execute(query)]


def _scopes(words: str) -> frozenset[Scope]:
    return frozenset(Scope(word) for word in words.split())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
