"""A command's connection to its gateway, and the jobs that its words mean."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from isthmus.cli.exits import Misuse, say
from isthmus.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from isthmus.client import Client, Job
    from isthmus.client.login import Login

ID_LENGTH = 20
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 52
_SLACK = timedelta(seconds=5)  # an id is made a moment before its job is stored


def connect() -> Client:
    """A client for the gateway that options, environment or login name."""
    return connect_to(the_login())


def connect_to(login: Login) -> Client:
    """A client for this gateway. Misuse: its address is none."""
    from isthmus.client import Client

    try:
        return Client(login.url, login.token)
    except InvalidInput as fault:
        raise Misuse(fault.message) from fault


def the_login() -> Login:
    """The gateway and the token that commands use; stderr tells of an ISTHMUS_HOME that names none."""
    from isthmus.client.login import find_login, passed_over_home

    login = find_login()
    if home := passed_over_home():
        say(f"isthmus: ISTHMUS_HOME={home} holds no token for you, so this goes to {login.url} ({login.origin})")
    return login


@dataclass(frozen=True, slots=True)
class Me:
    """Who the token belongs to. `sees_all`: an administrator, whose token is good for that."""

    name: str
    role: str
    scopes: tuple[str, ...]
    email: str | None = None
    notices: str = ""
    document: dict[str, object] = field(default_factory=dict)

    @property
    def sees_all(self) -> bool:
        return self.role == "admin" and "admin" in self.scopes


def who_am_i(gateway: Client) -> Me:
    """The user and the scopes of the token in use."""
    from isthmus.client import calls
    from isthmus.client.records import record

    return record(Me, gateway.request(calls.get("me")))


def find_job(gateway: Client, word: str, *, archived: bool = False) -> Job:
    """The job of this id, of the only id that begins so, or (`last`) your newest that is archived or that isn't.

    NotFound: there is none; Conflict: several ids begin so.
    """
    from isthmus.client import JobQuery

    if word == "last":
        for job in gateway.find(JobQuery(archived=archived), 1):
            return gateway.job(job.id)
        if archived:
            raise NotFound("you have no archived jobs")
        raise NotFound("you have no jobs yet; `isthmus submit` makes one")
    prefix = word.lower()
    if not re.fullmatch(f"[{_DIGITS}]{{1,{ID_LENGTH}}}", prefix):
        raise NotFound(f"{word!r} is no job's id; `isthmus jobs` lists yours")
    return gateway.job(prefix if len(prefix) == ID_LENGTH else _whole_id(gateway, prefix))


def _whole_id(gateway: Client, prefix: str) -> str:
    """Ids begin with the time they were made, so a beginning names a span of time to look through."""
    from isthmus.client import JobQuery

    after, before = made_between(prefix)
    everybody = who_am_i(gateway).sees_all
    matches = [
        job.id
        for archived in (False, True)
        for job in gateway.find(
            JobQuery(
                archived=archived, created_after=after - _SLACK, created_before=before + _SLACK, everybody=everybody
            )
        )
        if job.id.startswith(prefix)
    ]
    if len(matches) > 1:
        raise Conflict(
            f"{len(matches)} jobs have ids that begin with {prefix}: {', '.join(matches[:3])} …; give more of it"
        )
    if not matches:
        raise NotFound(f"no job of yours has an id that begins with {prefix}; `isthmus jobs` lists them")
    return matches[0]


def made_between(prefix: str) -> tuple[datetime, datetime]:
    """The earliest and the latest time at which an id that begins so can have been made."""
    return _made_at(prefix.ljust(ID_LENGTH, _DIGITS[0])), _made_at(prefix.ljust(ID_LENGTH, _DIGITS[-1]))


def _made_at(job_id: str) -> datetime:
    number = 0
    for digit in job_id:
        number = number * 32 + _DIGITS.index(digit)
    latest = datetime(9990, 1, 1, tzinfo=UTC).timestamp()
    return datetime.fromtimestamp(max(10.0, min((number >> _RANDOM_BITS) / 1000, latest)), UTC)


def letters_of(text: str | None) -> str | None:
    """What `--notify` says, as the gateway takes it: `b,e`, `be` or `none`. Misuse: it names something else."""
    if text is None or text == "none":
        return None if text is None else ""
    letters = text.replace(",", "").replace(" ", "")
    if not letters or set(letters) - set("bea"):
        raise Misuse(f"--notify takes some of b (began), e (ended) and a (aborted), or none, not {text!r}")
    return "".join(dict.fromkeys(letters))


def time_of(text: str) -> datetime:
    """What `--since` says: a date, or how long ago. Misuse: neither."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        from isthmus.application import seconds

        try:
            return datetime.now(UTC) - timedelta(seconds=seconds(text))
        except (ValueError, OverflowError):
            raise Misuse(f"--since takes a date like 2026-11-01 or a time like 2h or 7d, not {text!r}") from None
    return at.astimezone(UTC)


def pair(word: str, option: str) -> tuple[str, str]:
    """`NAME=VALUE` as two words. Misuse: it isn't of that form."""
    name, found, value = word.partition("=")
    if not (found and name):
        raise Misuse(f"{option} takes NAME=VALUE, not {word!r}")
    return name, value
