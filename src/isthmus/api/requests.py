"""What requests may say: bodies, query and path, checked before any of our own code sees them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Header, Path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)

from isthmus.store.audit import AuditKind
from isthmus.store.notices import LETTERS
from isthmus.store.users import MAX_PASSWORD, MIN_PASSWORD

MAX_LABELS = 20
MAX_BULK = 500
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""No control characters and no line ends: the same words for Pydantic, for JSON Schema and for Python."""

MAX_FIELDS = 32
MAX_MEMBERS = 1000
MAX_ITEMS = 10_000
MAX_DEPTH = 100
"""The most a body has: fields of its own, members and items of what stands in them, and levels. No request needs
more, and without a bound a refusal can cost a thousand times what sending it did."""

_END_OF_TIME = 253_402_300_799.0
_TIME = r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$"


def _epoch(text: object) -> float:
    """Epoch seconds of an RFC 3339 time."""
    if not isinstance(text, str) or not re.fullmatch(_TIME, text, re.ASCII):
        raise ValueError("must be a time like 2026-01-31T12:00:00Z")
    try:
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper())).astimezone(UTC).timestamp()
    except OverflowError:
        at = math.inf
    if at >= _END_OF_TIME:  # the year's last second may round up to a time that can't be written any more
        raise ValueError("must be in the years 1 to 9999 in UTC")
    return at


_NO_NUL = r"^[^\x00]+$"
_ID = r"^[0-9a-hjkmnp-tv-z]{20}$"
_KEY = r"^[!-~]([ -~]{0,253}[!-~])?$"
_USER_NAME = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
_LETTERS = f"^[{LETTERS}]{{0,{len(LETTERS)}}}$"
PATTERN_WORDS = {
    _ONE_LINE: "must be one line, without control characters",
    _NO_NUL: "must not hold a NUL character",
    _ID: "is not an id: 20 digits and lower-case letters",
    _KEY: "must be 1 to 255 visible ASCII characters, with spaces only between them",
    _USER_NAME: "must be 1 to 64 lower-case letters, digits, . _ @ and -, a letter or digit first",
    _LETTERS: "must be some of the letters b (began), e (ended) and a (aborted), or none",
}
"""What each pattern asks for, for people."""

Line = Annotated[str, Field(min_length=1, max_length=255, pattern=_ONE_LINE)]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=_ONE_LINE)]
Phrase = Annotated[str, Field(max_length=1000, pattern=_ONE_LINE)]
OutputPath = Annotated[str, Field(min_length=1, max_length=4096, pattern=_NO_NUL)]
"""A file's path as a program named it: anything but NUL, up to the most that Linux permits."""
Password = Annotated[str, Field(min_length=1, max_length=1024)]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]
Time = Annotated[float, BeforeValidator(_epoch), WithJsonSchema({"type": "string", "format": "date-time"})]
"""Epoch seconds, sent as RFC 3339."""
Id = Annotated[str, Field(pattern=_ID)]
Labels = Annotated[list[Word], Field(max_length=MAX_LABELS, fail_fast=True)]
Amount = Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[float, Field(allow_inf_nan=False)] | Line
Resources = Annotated[dict[Word, Amount | None], Field(max_length=20)]
Inputs = dict[str, JsonValue]
Letters = Annotated[str, Field(pattern=_LETTERS)]
"""What a person is told of by mail: `b` that a job began, `e` that it ended, `a` that it was aborted."""

IdInPath = Annotated[str, Path(pattern=_ID)]
WordInPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=_KEY,
        description="Names this request for ever: sent again with the same body it makes nothing new.",
    ),
]


class Body(BaseModel):
    """A request's body: unknown fields are refused, and so is what no database or file can hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _holds_only_text(cls, form: object) -> object:
        if isinstance(form, dict) and len(form) > MAX_FIELDS:
            raise ValueError(f"has more than {MAX_FIELDS} fields")
        _check(form)
        return form


def _check(form: object) -> None:
    """The form can be stored and sent back. ValueError: what it holds that can't. Walks without recursion."""
    left = [(form, 0)]
    while left:
        value, depth = left.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{_place_of(value, form)} is a number that is not finite")
        elif isinstance(value, dict | list):
            if depth >= MAX_DEPTH:
                raise ValueError(f"has more than {MAX_DEPTH} levels")
            if len(value) > (MAX_MEMBERS if isinstance(value, dict) else MAX_ITEMS):
                raise ValueError(f"holds an object of more than {MAX_MEMBERS} or a list of more than {MAX_ITEMS}")
            if isinstance(value, dict):
                for key in value:
                    _check_text(str(key))
            left += [(one, depth + 1) for one in (value.values() if isinstance(value, dict) else value)]


def _place_of(wanted: object, form: object) -> str:
    """The way from the form to the very object: `inputs.threshold`, `inputs.levels.2`."""
    left = [(form, "")]
    while left:
        value, way = left.pop()
        if value is wanted:
            return way[1:]
        if isinstance(value, dict | list):
            members = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(one, f"{way}.{key}") for key, one in members]
    return "the body"


def _check_text(text: str) -> None:
    if "\0" in text or not _is_unicode(text):
        raise ValueError("holds a NUL character, or half of a character (a lone surrogate)")


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


class OutputReference(Body):
    """An output of an earlier job as an input: `path` is needed where the output has several files."""

    job: Id
    output: Word
    path: OutputPath | None = None


FileReference = Id | OutputReference
Files = Annotated[
    dict[Word, FileReference | Annotated[list[FileReference], Field(max_length=1000, fail_fast=True)]],
    Field(max_length=100),
]


class SubmitBody(Body):
    """A new job. `cluster` and `version` are chosen where they are left out; `files` names uploads or outputs.

    `notices` left out: its owner is told of what they chose for all their jobs. `project` is one the caller is in.
    """

    application: Word
    version: Word | None = None
    cluster: Word | None = None
    name: Line | None = None
    labels: Labels = []
    inputs: Inputs = {}
    files: Files = {}
    resources: Resources = {}
    notices: Letters | None = None
    project: Word | None = None


class ChangesBody(Body):
    """What a resubmitted job has otherwise than its parent; `version` may be `latest`."""

    inputs: Inputs = {}
    unset: Annotated[list[Word], Field(max_length=1000, fail_fast=True)] = []
    files: Files = {}
    resources: Resources = {}
    cluster: Word | None = None
    version: Word | None = None
    name: Line | None = None
    labels: Labels | None = None
    notices: Letters | None = None


JobIds = Annotated[list[Id], Field(min_length=1, max_length=MAX_BULK, fail_fast=True)]


class BulkCancelBody(Body):
    jobs: JobIds


class BulkResubmitBody(ChangesBody):
    jobs: JobIds


class JobPatch(Body):
    """What a person may change of a job: how it is called, and whether it stands among the current ones."""

    name: Line | None = None
    labels: Labels | None = None
    archived: bool | None = None


State = Literal[
    "ACCEPTED",
    "STAGING_IN",
    "SUBMITTING",
    "QUEUED",
    "RUNNING",
    "STAGING_OUT",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
]


class JobQuery(BaseModel):
    """Which jobs, in which order. Several states, applications or clusters: any of them; several labels: all.

    They are the caller's own, unless an administrator asks for those of one `owner` or of `everybody`.
    """

    model_config = ConfigDict(extra="forbid")

    state: list[State] = []
    application: Annotated[list[Word], Field(max_length=50)] = []
    cluster: Annotated[list[Word], Field(max_length=50)] = []
    label: Annotated[list[Word], Field(max_length=20)] = []
    text: Phrase = ""
    created_after: Time | None = None
    created_before: Time | None = None
    owner: Word | None = None
    everybody: bool = False
    archived: bool = False
    sort: Literal["created", "state_at", "name", "application", "state"] = "created"
    descending: bool = True
    cursor: Annotated[str, Field(max_length=2000, pattern=_ONE_LINE)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


ScopeName = Literal["read", "submit", "admin"]
RoleName = Literal["user", "admin"]


class TokenBody(Body):
    """A new token. It can do what its scopes say and its user's role permits."""

    name: Line = "token"
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=3)] | None = None
    expires_at: Time | None = None


class PasswordBody(Body):
    old: Password
    new: NewPassword


class MePatch(Body):
    """The caller's own settings; what is null or left out stays, and an empty `email` is none."""

    email: Annotated[str, Field(max_length=254)] | None = None
    notices: Letters | None = None


class NewUserBody(Body):
    """A new user, who signs in with this password."""

    name: Annotated[str, Field(pattern=_USER_NAME)]
    password: NewPassword
    role: RoleName = "user"


class UserPatch(Body):
    disabled: bool | None = None
    password: NewPassword | None = None
    role: RoleName | None = None


class ShareBody(Body):
    """Whom a job is shown to: one of `user`, `project` and `link`. A link lives for `days`, 7 if it isn't said."""

    user: Word | None = None
    project: Word | None = None
    link: bool = False
    days: Annotated[int, Field(ge=1, le=3650)] | None = None


class AuditParameters(BaseModel):
    """Which lines of the audit: of one user, of one kind, of one job, since then; `before` is the id to go on after."""

    model_config = ConfigDict(extra="forbid")

    user: Word | None = None
    kind: AuditKind | None = None
    job: Id | None = None
    since: Time | None = None
    before: Annotated[int, Field(ge=1, le=2**53)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ProjectBody(Body):
    """A project's name."""

    name: Annotated[str, Field(pattern=_USER_NAME)]


class ClusterPatch(Body):
    """`closed`: the cluster takes no new jobs, for the `reason` that users are told."""

    closed: bool
    reason: Line | None = None
