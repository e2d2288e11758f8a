"""What answers hold about users, their tokens and their files."""

from __future__ import annotations

from isthmus.api.requests import RoleName, ScopeName
from isthmus.api.responses.answer import Answer, Moment


class Me(Answer):
    """`notices`: of what mails go to `email`, unless a job says otherwise."""

    name: str
    role: RoleName
    scopes: list[ScopeName]
    email: str | None
    notices: str


class TokenOut(Answer):
    id: str
    name: str
    scopes: list[ScopeName]
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None


class NewTokenOut(TokenOut):
    """`token` is shown this once."""

    token: str
    must_change_password: bool


class TokenList(Answer):
    tokens: list[TokenOut]


class UserOut(Answer):
    id: str
    name: str
    role: RoleName
    disabled: bool
    created_at: Moment
    must_change_password: bool


class UserList(Answer):
    users: list[UserOut]


class UsageOut(Answer):
    """Each content counts once; `upload_bytes` are those that no job wrote as well. No limit: `limit_bytes` is null."""

    held_bytes: int
    limit_bytes: int | None
    upload_bytes: int
    output_bytes: int
    jobs_waiting: int
    jobs_running: int


class FileOut(Answer):
    """An upload; `jobs` is how many of the caller's jobs took a file of its content."""

    id: str
    sha256: str
    size: int
    name: str
    media_type: str
    created_at: Moment
    jobs: int


class FileList(Answer):
    """`next_before` is to be sent as `before` for the next page; null on the last."""

    files: list[FileOut]
    next_before: str | None
