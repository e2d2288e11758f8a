"""Attempts whose nodes don't see the gateway's files: one row each, which the web process serves to the node.

    claim        NULL: nobody's   `<native id>:<run>:<nonce>`: started there   `void:<epoch>`: can never start
    end_record   the program's end, as the node told it, with `ended_at`
    sent_at      everything wanted is here, or `refusal` says for good why not

Claiming and voiding are the same UPDATE of a claim that is NULL. There is a row only while the attempt may still be its
job's last word: `stage` looks, in the transaction that inserts it, and `discard` comes when it is over. So an attempt
without a row can't be claimed, however late a copy of its task comes.

What a node reports makes the job due (`next_check_at`), with its `seq`, as a user's wish does.
"""

from __future__ import annotations

import json
from asyncio import Future, wrap_future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, func, or_, select, update

from isthmus.collecting import STREAMS, Limits, OutputRule
from isthmus.job import Cause
from isthmus.store.conflicts import insert_missing
from isthmus.store.database import Database
from isthmus.store.filerows import keep_files
from isthmus.store.groupwriter import GroupWriter
from isthmus.store.rows import Values
from isthmus.store.schema import (
    LIVE,
    attempts,
    jobs,
    remote_attempts,
    remote_outputs,
    remote_texts,
    submissions,
)

T = TypeVar("T")
VOID = "void:"
_PART = 500  # tags in one statement


@dataclass(frozen=True, slots=True)
class RemoteInput:
    """A file that the node fetches: `name` below the inputs directory."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class RemoteOrder:
    """What the node is to do, and what of its files is wanted. `texts` are scripts of ours: name to SHA-256."""

    job_id: str
    script: str
    inputs: tuple[RemoteInput, ...] = ()
    outputs: tuple[OutputRule, ...] = ()
    limits: Limits = field(default_factory=Limits)
    texts: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As `of` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> RemoteOrder:
        """The order that `text` gave."""
        body = json.loads(text)
        return cls(
            body["job_id"],
            body["script"],
            tuple(RemoteInput(**one) for one in body["inputs"]),
            tuple(OutputRule(**one) for one in body["outputs"]),
            Limits(**body["limits"]),
            body["texts"],
        )


@dataclass(frozen=True, slots=True)
class RemoteAttempt:
    """What is known of one attempt; `is_over`: its job has ended, and not as lost, or has a later attempt."""

    tag: str
    claim: str | None
    claimed_at: float | None
    end_record: str | None
    ended_at: float | None
    refusal: str
    sent_at: float | None
    is_over: bool

    @property
    def is_void(self) -> bool:
        return self.claim is not None and self.claim.startswith(VOID)


@dataclass(frozen=True, slots=True)
class RemoteOutput:
    """A file that is wanted of a node; `sha256` is None until it is here, and then `size` is what came.

    A file that two rules name is here twice, under one `key`. The streams have their own name as path.
    """

    key: str
    name: str
    path: str
    sha256: str | None
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Listed:
    """What is wanted of the files that a program left; with a `refusal` none is, for good."""

    wanted: Sequence[RemoteOutput]
    refusal: str = ""


# --- the statements ---------------------------------------------------------------------------------------------------
_AWAITED = and_(jobs.c.cause == Cause.LOST.value, jobs.c.deleted_at.is_(None))
_TRIED = submissions.join(attempts, attempts.c.submission_id == submissions.c.id).join(
    jobs, jobs.c.number == attempts.c.job
)
_CURRENT = and_(attempts.c.n == jobs.c.attempts, or_(LIVE, _AWAITED))
_ATTEMPT = (
    *(remote_attempts.c.tag, remote_attempts.c.claim, remote_attempts.c.claimed_at, remote_attempts.c.end_record),
    *(remote_attempts.c.ended_at, remote_attempts.c.refusal, remote_attempts.c.sent_at),
)
_OUTPUT = (
    *(remote_outputs.c.key, remote_outputs.c.name, remote_outputs.c.path),
    *(remote_outputs.c.sha256, remote_outputs.c.size, remote_outputs.c.media_type),
)


def _is_current(tag: ColumnElement[str]) -> ColumnElement[bool]:
    return exists(select(1).select_from(_TRIED).where(submissions.c.tag == tag, _CURRENT))


# Statements are built once: building one takes longer than running it.
_FOUND = select(*_ATTEMPT, ~_is_current(remote_attempts.c.tag))
_MINE = remote_attempts.c.tag == bindparam("which")
_THIS = _FOUND.where(_MINE)
_ORDER = _FOUND.add_columns(remote_attempts.c.order).where(_MINE)
_OUTPUTS = select(*_OUTPUT).order_by(remote_outputs.c.name, remote_outputs.c.path)
_MY_OUTPUTS = _OUTPUTS.where(remote_outputs.c.tag == bindparam("which"))
_LOCK = (
    select(jobs.c.number).select_from(_TRIED).where(submissions.c.tag == bindparam("which")).with_for_update(of=jobs)
)
_FREE = remote_attempts.c.claim.is_(None)
_CLAIM = update(remote_attempts).where(_MINE, _FREE).values(claim=bindparam("holder"), claimed_at=bindparam("now"))
_END = update(remote_attempts).where(_MINE).values(end_record=bindparam("record"), ended_at=bindparam("now"))
_SENT = update(remote_attempts).where(_MINE).values(sent_at=bindparam("now"), refusal=bindparam("words"))
_DROP_OUTPUT = delete(remote_outputs).where(
    remote_outputs.c.tag == bindparam("which"),
    remote_outputs.c.key == bindparam("key_"),
    remote_outputs.c.name == bindparam("name_"),
)
_DUE = (
    update(jobs)
    .where(
        jobs.c.number.in_(
            select(jobs.c.number)
            .select_from(_TRIED)
            .where(submissions.c.tag == bindparam("which"), _CURRENT)
            .scalar_subquery()
        )
    )
    .values(next_check_at=0.0, seq=jobs.c.seq + 1)
)


# --- the controller's side --------------------------------------------------------------------------------------------
def stage(
    connection: Connection, cluster: str, orders: Mapping[str, RemoteOrder], texts: Mapping[str, str], now: float
) -> frozenset[str]:
    """There is a row for each of these tags whose attempt is not over, as it was if there was one; returns those tags.

    `texts` are the scripts that the orders name, by their SHA-256. The jobs are locked, so none can end meanwhile.
    """
    insert_missing(connection, remote_texts, [{"sha256": key, "body": body} for key, body in texts.items()])
    current = select(submissions.c.tag).select_from(_TRIED).where(_CURRENT, submissions.c.tag.in_(orders))
    locked = connection.execute(current.order_by(jobs.c.number).with_for_update(of=jobs, read=True))
    staged = frozenset(locked.scalars())
    rows: list[Values] = [
        {"tag": tag, "cluster": cluster, "job_id": order.job_id, "order": order.text(), "created_at": now}
        for tag, order in orders.items()
        if tag in staged
    ]
    insert_missing(connection, remote_attempts, rows)
    return staged


def void(connection: Connection, cluster: str, tags: Sequence[str], epoch: int, now: float) -> dict[str, str]:
    """Each of these claims is held, by the gateway if it was free; returns who holds it. A missing row is made void."""
    words = f"{VOID}{epoch}"
    known: Values = {"cluster": cluster, "job_id": "", "order": "", "created_at": now}
    rows: list[Values] = [{"tag": tag, "claim": words, "claimed_at": now, **known} for tag in sorted(tags)]
    insert_missing(connection, remote_attempts, rows)
    held: dict[str, str] = {}
    for part in _parts(sorted(tags)):
        free = remote_attempts.c.tag.in_(part) & remote_attempts.c.claim.is_(None)
        connection.execute(update(remote_attempts).where(free).values(claim=words, claimed_at=now))
        found = select(remote_attempts.c.tag, remote_attempts.c.claim).where(remote_attempts.c.tag.in_(part))
        held |= {row.tag: str(row.claim) for row in connection.execute(found)}
    return held


def observed(connection: Connection, tags: Sequence[str]) -> dict[str, RemoteAttempt]:
    """What is known of each of these attempts that has a row."""
    return {
        row[0]: RemoteAttempt(*row)
        for part in _parts(tags)
        for row in connection.execute(_FOUND.where(remote_attempts.c.tag.in_(part)))
    }


def remote_tags(connection: Connection, cluster: str) -> frozenset[str]:
    """Every attempt of the cluster that has a row."""
    return frozenset(
        connection.execute(select(remote_attempts.c.tag).where(remote_attempts.c.cluster == cluster)).scalars()
    )


def discard(connection: Connection, tags: Sequence[str]) -> None:
    """The rows of these attempts, which are over, are gone."""
    for part in _parts(sorted(tags)):
        connection.execute(delete(remote_outputs).where(remote_outputs.c.tag.in_(part)))
        connection.execute(delete(remote_attempts).where(remote_attempts.c.tag.in_(part)))


# --- the node's side --------------------------------------------------------------------------------------------------
def order_of(connection: Connection, tag: str) -> tuple[RemoteAttempt, RemoteOrder] | None:
    """The attempt, and what its node is to do; None: there is no row, or one that was voided before it was staged."""
    row = connection.execute(_ORDER, {"which": tag}).one_or_none()
    return None if row is None or not row[-1] else (RemoteAttempt(*row[:-1]), RemoteOrder.of(row[-1]))


def text_of(connection: Connection, sha256: str) -> str | None:
    """A script of ours that some order names."""
    return connection.execute(select(remote_texts.c.body).where(remote_texts.c.sha256 == sha256)).scalar_one_or_none()


def claim(connection: Connection, tag: str, holder: str, now: float) -> RemoteAttempt | None:
    """The claim is held, by this holder if it was free and the attempt is not over; None: there is no such row."""
    _lock_job(connection, tag)
    found = _one(connection, tag)
    if found is None or found.is_over or found.claim is not None:
        return found
    if not connection.execute(_CLAIM, {"which": tag, "holder": holder, "now": now}).rowcount:
        return _one(connection, tag)  # it was voided between the two statements
    _make_due(connection, tag)
    return replace(found, claim=holder, claimed_at=now)


def end(
    connection: Connection, tag: str, holder: str, record: str, listed: Listed | None, now: float
) -> tuple[RemoteAttempt | None, list[RemoteOutput]]:
    """The end record is kept, if the holder has the claim and none is there yet, and what is wanted is known.

    Returns the attempt (None: there is no such row) and the wanted files that are not here. Nothing changes once all
    were sent.
    """
    _lock_job(connection, tag)
    found = _one(connection, tag)
    if found is None or found.is_over or found.claim != holder:
        return found, []
    if found.ended_at is None:
        connection.execute(_END, {"which": tag, "record": record, "now": now})
        _make_due(connection, tag)
    if listed is None or found.sent_at is not None:
        return found, []
    return _want(connection, found, listed, now)


def refuse(connection: Connection, tag: str, words: str, now: float) -> None:
    """None of the attempt's files is wanted, for good, if not all of them are here."""
    _lock_job(connection, tag)
    found = _one(connection, tag)
    if found is not None and _is_receiving(found):
        _want(connection, found, Listed((), words), now)


def _want(
    connection: Connection, attempt: RemoteAttempt, listed: Listed, now: float
) -> tuple[RemoteAttempt, list[RemoteOutput]]:
    """These files are wanted, and no others; what is here of them stays."""
    tag = attempt.tag
    earlier = outputs(connection, tag) if attempt.ended_at is not None else []  # else this is the first list
    known = {(one.key, one.name): one for one in earlier}
    named = {(one.key, one.name): one for one in listed.wanted}
    for key, name in known.keys() - named.keys():
        connection.execute(_DROP_OUTPUT, {"which": tag, "key_": key, "name_": name})
    fresh = [one for one in listed.wanted if (one.key, one.name) not in known]
    keep_files(connection, [(one.sha256, one.size) for one in fresh if one.sha256], now)
    insert_missing(connection, remote_outputs, [{"tag": tag, **asdict(one)} for one in fresh])
    missing = [here for one, here in ((one, known.get(at, one)) for at, one in named.items()) if here.sha256 is None]
    if listed.refusal or not missing:
        connection.execute(_SENT, {"which": tag, "words": listed.refusal, "now": now})
        if attempt.ended_at is not None:
            _make_due(connection, tag)
        return replace(attempt, sent_at=now, refusal=listed.refusal), []
    return attempt, missing


def outputs(connection: Connection, tag: str) -> list[RemoteOutput]:
    """The files that are wanted of the node, those that are here among them."""
    return [RemoteOutput(*row) for row in connection.execute(_MY_OUTPUTS, {"which": tag})]


def output(connection: Connection, tag: str, key: str) -> RemoteOutput | None:
    """The wanted file with this key; None: it is not wanted."""
    query = select(*_OUTPUT).where(remote_outputs.c.tag == tag, remote_outputs.c.key == key).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else RemoteOutput(*row)


def outputs_size(connection: Connection, tag: str, but: str) -> int:
    """How many bytes of files other than `but` (a key) are wanted or here, logs not counted."""
    query = select(func.coalesce(func.sum(remote_outputs.c.size), 0)).where(
        remote_outputs.c.tag == tag, remote_outputs.c.key != but, remote_outputs.c.name.not_in(STREAMS)
    )
    return int(connection.execute(query).scalar_one())


def arrived(connection: Connection, tag: str, key: str, sha256: str, size: int, now: float) -> bool:
    """The wanted file with this key is in the file store, as these bytes; with the last of them all is sent.

    False: it is not wanted any more.
    """
    _lock_job(connection, tag)
    found = _one(connection, tag)
    if found is None or not _is_receiving(found):
        return False
    keep_files(connection, [(sha256, size)], now)
    this = and_(remote_outputs.c.tag == tag, remote_outputs.c.key == key)
    if not connection.execute(update(remote_outputs).where(this).values(sha256=sha256, size=size)).rowcount:
        return False
    if all(one.sha256 is not None for one in outputs(connection, tag)):
        connection.execute(_SENT, {"which": tag, "words": "", "now": now})
        _make_due(connection, tag)
    return True


def _is_receiving(found: RemoteAttempt) -> bool:
    return found.ended_at is not None and found.sent_at is None and not found.is_over


def _one(connection: Connection, tag: str) -> RemoteAttempt | None:
    row = connection.execute(_THIS, {"which": tag}).one_or_none()
    return None if row is None else RemoteAttempt(*row)


def _lock_job(connection: Connection, tag: str) -> None:
    """The job can't end, and no other node's word on it can come between, before the transaction ends."""
    if connection.dialect.name != "sqlite":  # which has one writer at a time
        connection.execute(_LOCK, {"which": tag})


def _make_due(connection: Connection, tag: str) -> None:
    """The attempt's job is looked at now, if this is the attempt that decides it."""
    connection.execute(_DUE, {"which": tag})


def _parts(tags: Sequence[str]) -> list[Sequence[str]]:
    return [tags[start : start + _PART] for start in range(0, len(tags), _PART)]


def _each(connection: Connection, works: Sequence[Callable[[Connection], T]]) -> list[T]:
    return [work(connection) for work in works]


class RemoteStore:
    """Methods of `Store`, each one transaction around the function of its name."""

    _database: Database
    _writer: GroupWriter
    _clock: Callable[[], float]

    def stage_remote(self, cluster: str, orders: Mapping[str, RemoteOrder], texts: Mapping[str, str]) -> frozenset[str]:
        """There is a row for each of these tags whose attempt is not over; returns those tags."""
        return self._database.transact(lambda c: stage(c, cluster, orders, texts, self._clock()))

    def void_remote(self, cluster: str, tags: Sequence[str], epoch: int) -> dict[str, str]:
        """Each claim is held, by the gateway if it was free; returns who holds it."""
        return self._database.transact(lambda c: void(c, cluster, tags, epoch, self._clock()))

    def observe_remote(self, tags: Sequence[str]) -> dict[str, RemoteAttempt]:
        """What is known of each of these attempts that has a row."""
        with self._database.read() as connection:
            return observed(connection, tags)

    def remote_tags(self, cluster: str) -> frozenset[str]:
        """Every attempt of the cluster that has a row."""
        with self._database.read() as connection:
            return remote_tags(connection, cluster)

    def discard_remote(self, tags: Sequence[str]) -> None:
        """The rows of these attempts, which are over, are gone."""
        self._database.transact(lambda c: discard(c, tags))

    def remote_order(self, tag: str) -> tuple[RemoteAttempt, RemoteOrder] | None:
        """The attempt, and what its node is to do; None: nothing is known of it."""
        with self._database.read() as connection:
            return order_of(connection, tag)

    def remote_text(self, sha256: str) -> str | None:
        """A script of ours that some order names."""
        with self._database.read() as connection:
            return text_of(connection, sha256)

    def claim_remote(self, tag: str, holder: str) -> RemoteAttempt | None:
        """The claim is held, by this holder if it was free and the attempt is not over."""
        return self._writer.run(lambda c: claim(c, tag, holder, self._clock()))

    def claim_remote_soon(self, tag: str, holder: str) -> Future[RemoteAttempt | None]:
        """As `claim_remote`, without a thread that waits."""
        return wrap_future(self._writer.soon(_each, lambda c: claim(c, tag, holder, self._clock())))

    def end_remote(
        self, tag: str, holder: str, record: str, listed: Listed | None = None
    ) -> tuple[RemoteAttempt | None, list[RemoteOutput]]:
        """The end record is kept, if the holder has the claim; returns the attempt and the files to be sent."""
        return self._writer.run(lambda c: end(c, tag, holder, record, listed, self._clock()))

    def end_remote_soon(
        self, tag: str, holder: str, record: str, listed: Listed | None = None
    ) -> Future[tuple[RemoteAttempt | None, list[RemoteOutput]]]:
        """As `end_remote`, without a thread that waits."""
        return wrap_future(self._writer.soon(_each, lambda c: end(c, tag, holder, record, listed, self._clock())))

    def refuse_remote(self, tag: str, words: str) -> None:
        """None of the attempt's files is wanted, for good."""
        self._writer.run(lambda c: refuse(c, tag, words, self._clock()))

    def remote_outputs(self, tag: str) -> list[RemoteOutput]:
        """The files that are wanted of the node, those that are here among them."""
        with self._database.read() as connection:
            return outputs(connection, tag)

    def remote_output(self, tag: str, key: str) -> RemoteOutput | None:
        """The wanted file with this key; None: it is not wanted."""
        with self._database.read() as connection:
            return output(connection, tag, key)

    def remote_outputs_size(self, tag: str, but: str) -> int:
        """How many bytes of files other than `but` (a key) are wanted or here, logs not counted."""
        with self._database.read() as connection:
            return outputs_size(connection, tag, but)

    def arrived_remote(self, tag: str, key: str, sha256: str, size: int) -> bool:
        """The wanted file is in the file store, as these bytes. False: it is not wanted any more."""
        return self._writer.run(lambda c: arrived(c, tag, key, sha256, size, self._clock()))
