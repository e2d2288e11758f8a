"""A command's connection to its gateway, and the jobs that its words mean."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from isthmus.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from isthmus.client import Client, Job

ID_LENGTH = 20
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 52
_SLACK = timedelta(seconds=5)  # an id is made a moment before its job is stored


def connect() -> Client:
    """A client for the gateway that arguments, environment or login name."""
    from isthmus.client import Client

    return Client()


def find_job(gateway: Client, word: str) -> Job:
    """The job of this id, of the only id that begins so, or your newest that isn't archived (`last`).

    NotFound: there is none; Conflict: several ids begin so.
    """
    from isthmus.client import JobQuery

    if word == "last":
        for job in gateway.find(JobQuery(owner=_own_name_if_admin(gateway)), 1):
            return gateway.job(job.id)
        raise NotFound("you have no jobs yet; `isthmus submit` makes one")
    prefix = word.lower()
    if not re.fullmatch(f"[{_DIGITS}]{{1,{ID_LENGTH}}}", prefix):
        raise NotFound(f"{word!r} is no job's id; `isthmus jobs` lists yours")
    return gateway.job(prefix if len(prefix) == ID_LENGTH else _whole_id(gateway, prefix))


def _whole_id(gateway: Client, prefix: str) -> str:
    """Ids begin with the time they were made, so a beginning names a span of time to look through."""
    from isthmus.client import JobQuery

    after, before = made_between(prefix)
    matches = [
        job.id
        for archived in (False, True)
        for job in gateway.find(
            JobQuery(archived=archived, created_after=after - _SLACK, created_before=before + _SLACK)
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


def _own_name_if_admin(gateway: Client) -> str | None:
    """An administrator sees everybody's jobs; `last` still means their own."""
    from isthmus.client import calls

    me = gateway.request(calls.get("me"))
    return str(me["name"]) if me.get("role") == "admin" else None


def pair(word: str, option: str) -> tuple[str, str]:
    """`NAME=VALUE` as two words."""
    name, found, value = word.partition("=")
    if not (found and name):
        raise InvalidInput(f"{option} takes NAME=VALUE, not {word!r}")
    return name, value
