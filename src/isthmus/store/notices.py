"""Telling people of their jobs: a notice is a row, written in the transaction of the change that it tells of.

The letters are those of batch systems: `b` tells that a job began, `e` that it ended by itself, `a` that it was
aborted. What other people do, a user is told without having chosen it: that an administrator cancelled, archived or
deleted their job, that somebody shares one with them; a mail of it goes to who has chosen to be told of anything. The
rows with `next_try_at` are the outbox: each is a mail that is still to be handed to a mail server, under a Message-ID
that was made with the row, so that a mail sent twice after a crash is known as one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from sqlalchemy import (
    Connection,
    Double,
    Integer,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from isthmus.errors import InputFault, InvalidInput
from isthmus.job import FINAL, Cause, JobState
from isthmus.store.ids import new_id
from isthmus.store.rows import Values
from isthmus.store.schema import events, gateway, jobs, notices, shares, users

LETTERS = "bea"
KEPT_S = 86_400.0
"""How long a mail is tried: what nobody could deliver for a day is no news any more."""

PAUSES_S = (60.0, 300.0, 900.0, 3600.0)
"""How long a mail rests after it could not be sent for the first time, the second, …; the last holds for all others."""

UNSEEN_MOST = 100

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,254}}$)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_NAME}(?:\.{_NAME})*", re.ASCII)


class NoticeKind(StrEnum):
    """What a notice tells of."""

    BEGAN = "began"  # the program was started, for the first time
    ENDED = "ended"  # the program ended by itself, well or not
    ABORTED = "aborted"  # it was cancelled, or something else than the program put an end to it
    CANCEL_ASKED = "cancel_asked"  # an administrator, not the owner, asked to cancel it
    ARCHIVED = "archived"  # an administrator archived it
    DELETED = "deleted"  # an administrator deleted it
    SHARED = "shared"  # its owner, or an administrator, shows it to the user

    @property
    def letter(self) -> str:
        """What the user has chosen to be told of it; of what others do with a job, everybody is told."""
        return self.value[0] if self in (NoticeKind.BEGAN, NoticeKind.ENDED, NoticeKind.ABORTED) else ""


class Trouble(Enum):
    """Why a mail could not be handed over."""

    MAIL = auto()  # it alone: it is tried again, ever more slowly
    SERVER = auto()  # no mail goes out: all stay due, and it is noted what is in the way
    REFUSED = auto()  # the server says that it will never take it


@dataclass(frozen=True, slots=True)
class NoticeChoice:
    """What a user is told of and where: the letters, in the order of `LETTERS`, and an address, if there is one."""

    email: str | None
    notices: str


@dataclass(frozen=True, slots=True)
class Telling:
    """A change that the job's owner wants to be told of."""

    job: int
    owner_id: str
    kind: NoticeKind
    state: JobState
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a user was told, as a page shows it; `state` is the job's by now. `mail_to` is None where no mail goes.

    `by` is the name of who did it, where another person did.
    """

    id: int
    job_id: str
    job_name: str
    state: JobState
    kind: NoticeKind
    at: float
    mail_to: str | None
    sent_at: float | None
    fault: str
    seen_at: float | None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that is due. `owner` is the name of who is told, `by` of the other person who did it, if one did."""

    id: int
    job_id: str
    owner_id: str
    owner: str
    kind: NoticeKind
    at: float
    message_id: str
    mail_to: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The mails not yet handed over: how many, since when the oldest waits, and why, where that is known."""

    waiting: int
    oldest_at: float | None
    fault: str


# --- what people choose -----------------------------------------------------------------------------------------------
def checked_letters(given: str, field: str = "notices") -> str:
    """The letters, each once, in the order of `LETTERS`. InvalidInput: there are others."""
    if set(given) - set(LETTERS):
        message = "what to be told of are the letters b (began), e (ended) and a (aborted), or none"
        raise InvalidInput(message, (InputFault(field, "letters", message),))
    return "".join(letter for letter in LETTERS if letter in given)


def checked_address(given: str, field: str = "email") -> str:
    """The address. InvalidInput: no mail could go there."""
    if not _ADDRESS.fullmatch(given):
        message = "this is no e-mail address: write one like ann@example.org, in plain letters"
        raise InvalidInput(message, (InputFault(field, "address", message),))
    return given


def choice(connection: Connection, user_id: str) -> NoticeChoice:
    """What the user has chosen."""
    return NoticeChoice(*connection.execute(select(users.c.email, users.c.notices).where(users.c.id == user_id)).one())


def set_choice(connection: Connection, user_id: str, wanted: NoticeChoice) -> NoticeChoice:
    """The user is told of this from now on, there; mails on their way still go where they were sent. InvalidInput."""
    email = None if wanted.email is None else checked_address(wanted.email)
    letters = checked_letters(wanted.notices)
    connection.execute(update(users).where(users.c.id == user_id).values(email=email, notices=letters))
    return NoticeChoice(email, letters)


# --- writing ----------------------------------------------------------------------------------------------------------
def kind_of(state: JobState, cause: Cause | None) -> NoticeKind | None:
    """What a job that comes to this state, with this cause if it is final, is told of as; None: of nothing."""
    if state is JobState.RUNNING:
        return NoticeKind.BEGAN
    if not state.is_final:
        return None
    by_itself = cause in (Cause.EXIT_ZERO, Cause.EXIT_NONZERO, Cause.SIGNAL)
    return NoticeKind.ENDED if by_itself else NoticeKind.ABORTED


def tell(connection: Connection, gateway_id: str, changes: Sequence[Telling], now: float) -> None:
    """The owners are told of these changes, once they are stored. Call it before their events are recorded.

    Nobody is told twice that a job began, nor that it came to an end in which it was before it came back (`lost`).
    """
    before = _earlier(connection, {change.job for change in changes})
    fresh = [change for change in changes if (change.state, change.kind) not in before[change.job]]
    if not fresh:
        return
    whose = {"ids": list({change.owner_id for change in fresh})}
    addresses: Mapping[str, str | None] = {row[0]: row[1] for row in connection.execute(_ADDRESSES, whose)}
    rows = [_row(one.job, one.owner_id, one.kind, gateway_id, addresses[one.owner_id], now) for one in fresh]
    connection.execute(_INSERT, rows)


def tell_of_act(
    connection: Connection, kind: NoticeKind, of: Sequence[tuple[int, str]], by_name: str, now: float
) -> None:
    """For each job's number and user's id: the user is told that the person of this name did that with the job."""
    gateway_id = connection.execute(select(gateway.c.id)).scalar_one()
    chosen = {row.id: row for row in connection.execute(_CHOICES, {"ids": list({user_id for _, user_id in of})})}
    rows = [
        _row(number, user_id, kind, gateway_id, chosen[user_id].email if chosen[user_id].notices else None, now)
        for number, user_id in of
    ]
    connection.execute(_INSERT, [{**row, "by_name": by_name} for row in rows])


def untell_of_share(connection: Connection, number: int, user_id: str) -> None:
    """The user's notices that the job was shared with them are gone, with mails of it that wait."""
    theirs = (notices.c.job == number, notices.c.user_id == user_id, notices.c.kind == NoticeKind.SHARED.value)
    connection.execute(delete(notices).where(*theirs))


def _row(
    number: int, user_id: str, kind: NoticeKind, gateway_id: str, address: str | None, now: float
) -> dict[str, object]:
    return {
        "user_id": user_id,
        "job": number,
        "kind": kind.value,
        "at": now,
        "message_id": f"<notice-{new_id(now)}.{gateway_id}@isthmus>",
        "mail_to": address,
        "tries": 0,
        "next_try_at": None if address is None else now,
        "fault": "",
    }


def _earlier(connection: Connection, numbers: Collection[int]) -> Mapping[int, set[tuple[JobState, NoticeKind]]]:
    """By job: the states it was in before, as what they were to be told."""
    found: dict[int, set[tuple[JobState, NoticeKind]]] = defaultdict(set)
    for number, body in connection.execute(_STATES, {"numbers": list(numbers)}):
        state = JobState(body["to"])
        cause = Cause(body["cause"]) if body.get("cause") else None
        if kind := kind_of(state, cause):
            found[number].add((state, kind))
    return found


# --- sending ----------------------------------------------------------------------------------------------------------
def due(connection: Connection, now: float, limit: int) -> list[Letter]:
    """At most `limit` mails whose time has come, the longest due first."""
    rows = connection.execute(_DUE, {"now": now, "oldest": now - KEPT_S, "most": limit})
    return [Letter(*row[:4], NoticeKind(row[4]), *row[5:]) for row in rows]


def mark_sent(connection: Connection, ids: Collection[int], now: float) -> None:
    """These mails are not due any more. It needs no lease: whoever says so has the server's word for it."""
    done = update(notices).where(notices.c.id.in_(ids), notices.c.sent_at.is_(None))
    connection.execute(done.values(sent_at=now, next_try_at=None, fault=""))


def mark_failed(connection: Connection, ids: Collection[int], trouble: Trouble, fault: str, now: float) -> None:
    """These mails are due again, or never if they were refused for good; the fault is kept beside them."""
    rest = case(*((notices.c.tries == n, pause_s) for n, pause_s in enumerate(PAUSES_S)), else_=PAUSES_S[-1])
    after: Mapping[Trouble, Values] = {
        Trouble.MAIL: {"next_try_at": now + rest, "tries": notices.c.tries + 1},
        Trouble.SERVER: {},
        Trouble.REFUSED: {"next_try_at": None, "tries": notices.c.tries + 1},
    }
    failed = update(notices).where(notices.c.id.in_(ids), notices.c.sent_at.is_(None))
    connection.execute(failed.values({**after[trouble], "fault": fault}))


def give_up_old(connection: Connection, now: float) -> int:
    """Mails that could not be sent for a day are given up, with what was in their way; how many were."""
    old = and_(notices.c.next_try_at.is_not(None), notices.c.at <= now - KEPT_S)
    why = case((notices.c.fault == "", "no mail server took it within a day"), else_=notices.c.fault)
    return connection.execute(update(notices).where(old).values(next_try_at=None, fault=why)).rowcount


def outbox(connection: Connection) -> Outbox:
    """The mails not yet handed over."""
    waiting = notices.c.next_try_at.is_not(None)
    count, oldest_at = connection.execute(select(func.count(), func.min(notices.c.at)).where(waiting)).one()
    faulty = select(notices.c.fault).where(waiting, notices.c.fault != "").order_by(notices.c.next_try_at.desc())
    return Outbox(count, oldest_at, connection.execute(faulty.limit(1)).scalar_one_or_none() or "")


# --- reading ----------------------------------------------------------------------------------------------------------
def notices_of(connection: Connection, user_id: str, limit: int, before: int | None, now: float) -> list[Notice]:
    """At most `limit` of what the user was told, the newest first; `before` is the id to go on after.

    That a job was shared with them is told for as long as it is.
    """
    query = (
        select(
            *(notices.c.id, jobs.c.id, jobs.c.name, jobs.c.state, notices.c.kind, notices.c.at),
            *(notices.c.mail_to, notices.c.sent_at, notices.c.fault, notices.c.seen_at, notices.c.by_name),
        )
        .join(jobs, jobs.c.number == notices.c.job)
        .where(notices.c.user_id == user_id, _STANDS)
        .order_by(notices.c.id.desc())
        .limit(limit)
    )
    rows = connection.execute(query if before is None else query.where(notices.c.id < before), {"now": now})
    return [
        Notice(id_, job_id, name, JobState(state), NoticeKind(kind), *rest)
        for id_, job_id, name, state, kind, *rest in rows
    ]


def unseen(connection: Connection, user_id: str, now: float) -> int:
    """How many notices the user has not seen; `UNSEEN_MOST` stands for that many or more."""
    mine = (notices.c.user_id == user_id, notices.c.seen_at.is_(None), _STANDS)
    some = select(notices.c.id).join(jobs, jobs.c.number == notices.c.job).where(*mine).limit(UNSEEN_MOST)
    return connection.execute(select(func.count()).select_from(some.subquery()), {"now": now}).scalar_one()


def mark_seen(connection: Connection, user_id: str, up_to: int, now: float) -> None:
    """The user has seen the notice with this id and those before it."""
    mine = update(notices).where(notices.c.user_id == user_id, notices.c.seen_at.is_(None), notices.c.id <= up_to)
    connection.execute(mine.values(seen_at=now))


# --- the statements -----------------------------------------------------------------------------------------
WANTED = func.coalesce(jobs.c.notices, select(users.c.notices).where(users.c.id == jobs.c.owner_id).scalar_subquery())
"""The letters that hold for a job: its own, or else its owner's."""

_INSERT = insert(notices)
_ADDRESSES = select(users.c.id, users.c.email).where(users.c.id.in_(bindparam("ids", expanding=True)))
_CHOICES = select(users.c.id, users.c.email, users.c.notices).where(users.c.id.in_(bindparam("ids", expanding=True)))
_TOLD_STATES = [JobState.RUNNING.value, *sorted(FINAL)]
_STATES = select(events.c.job, events.c.body).where(
    events.c.job.in_(bindparam("numbers", expanding=True)),
    events.c.kind == "state",
    events.c.body["to"].as_string().in_(_TOLD_STATES),
)
_SHARE_STANDS = exists().where(
    shares.c.job == notices.c.job,
    shares.c.user_id == notices.c.user_id,
    shares.c.revoked_at.is_(None),
    or_(shares.c.expires_at.is_(None), shares.c.expires_at > bindparam("now", type_=Double())),
)
_STANDS = or_(notices.c.kind != NoticeKind.SHARED.value, and_(jobs.c.deleted_at.is_(None), _SHARE_STANDS))
"""Whoever a job is no longer shared with is told nothing more of it."""

_DUE = (
    select(
        *(notices.c.id, jobs.c.id, jobs.c.owner_id, users.c.name),
        *(notices.c.kind, notices.c.at, notices.c.message_id, notices.c.mail_to, notices.c.by_name),
    )
    .join(jobs, jobs.c.number == notices.c.job)
    .join(users, users.c.id == notices.c.user_id)
    .where(notices.c.next_try_at <= bindparam("now"), notices.c.at > bindparam("oldest"), _STANDS)
    .order_by(notices.c.next_try_at, notices.c.id)
    .limit(bindparam("most", type_=Integer()))
)
