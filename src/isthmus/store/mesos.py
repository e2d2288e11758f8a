"""What a framework must not forget: its id, which attempts wait to be launched, and every launch there was.

A launch is stored before the master hears of it, and an update before it is acknowledged. All writes but the
operator's are made under the cluster's lease, so a controller that has lost it launches nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, and_, bindparam, delete, insert, select, update

from isthmus.errors import Conflict
from isthmus.job import Resources
from isthmus.store.conflicts import insert_or_replace
from isthmus.store.database import Database
from isthmus.store.leases import Lease, hold
from isthmus.store.rows import resources_of
from isthmus.store.schema import attempts, frameworks, jobs, launches, remote_attempts, submissions

REMOVED = "FRAMEWORK_REMOVED"  # states of a launch that no master says: with its framework, or never taken
NOT_TAKEN = "CALL_REFUSED"
_PART = 500  # tags in one statement


@dataclass(frozen=True, slots=True)
class FrameworkRow:
    """The framework of one cluster; without an id it is registered anew, with `removed_at` only by an operator."""

    framework_id: str
    removed_at: float | None
    words: str


@dataclass(frozen=True, slots=True)
class LaunchRow:
    """One handing over of an attempt's task. `state` is the master's last word, '' before the first.

    `confirmed`: some update of it came. `sandbox` is its folder as the agent's file API calls it.
    """

    tag: str
    n: int
    task_id: str
    agent_id: str
    agent_host: str
    agent_url: str
    sent_at: float
    sandbox: str
    state: str = ""
    uuid: str = ""
    reason: str = ""
    source: str = ""
    message: str = ""
    updated_at: float = 0.0
    confirmed: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """A staged attempt: what it takes, and whether it was submitted, is over (never to be launched), or withdrawn."""

    tag: str
    job_id: str
    resources: Resources
    submitted_at: float | None
    is_over: bool
    is_withdrawn: bool


class MesosRows:
    """The rows of the frameworks of all clusters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- the framework ------------------------------------------------------------------------------------------------
    def framework(self, cluster: str) -> FrameworkRow | None:
        """The cluster's framework, None before the first registration."""
        columns = (frameworks.c.framework_id, frameworks.c.removed_at, frameworks.c.words)
        with self._database.read() as connection:
            row = connection.execute(select(*columns).where(frameworks.c.cluster == cluster)).one_or_none()
        return None if row is None else FrameworkRow(*row)

    def registered(self, lease: Lease, cluster: str, framework_id: str, now: float) -> None:
        """The framework's id is stored; nothing may be launched before. LeaseLost."""

        def work(connection: Connection) -> None:
            hold(connection, lease)
            row = {"cluster": cluster, "framework_id": framework_id, "registered_at": now}
            insert_or_replace(connection, frameworks, {**row, "removed_at": None, "words": ""})

        self._database.transact(work)

    def removed(self, lease: Lease, cluster: str, words: str, now: float) -> None:
        """The framework is removed, in the master's words, and every launch of it is over. LeaseLost."""

        def work(connection: Connection) -> None:
            hold(connection, lease)
            gone = update(frameworks).where(frameworks.c.cluster == cluster, frameworks.c.removed_at.is_(None))
            connection.execute(gone.values(removed_at=now, words=words))
            ended = update(launches).where(launches.c.cluster == cluster, launches.c.ended.is_(False))
            connection.execute(ended.values(state=REMOVED, message=words, updated_at=now, ended=True))

        self._database.transact(work)

    # --- the queue ----------------------------------------------------------------------------------------------------
    def submitted(self, lease: Lease, tags: Sequence[str], now: float) -> frozenset[str]:
        """Those of the staged attempts that stand in the queue, now or since earlier. LeaseLost."""

        def work(connection: Connection) -> frozenset[str]:
            hold(connection, lease)
            _mark(connection, tags, "submitted_at", now)
            mine = select(remote_attempts.c.tag).where(remote_attempts.c.submitted_at.is_not(None))
            return frozenset(_by_tag(connection, mine, tags))

        return self._database.transact(work)

    def withdrawn(self, lease: Lease, tags: Sequence[str], now: float) -> None:
        """The attempts are not launched any more. LeaseLost."""

        def work(connection: Connection) -> None:
            hold(connection, lease)
            _mark(connection, tags, "withdrawn_at", now)

        self._database.transact(work)

    def queued(self, cluster: str, tags: Sequence[str] | None = None) -> list[QueuedRow]:
        """The cluster's staged attempts, or those with these tags, the first submitted first."""
        over = (remote_attempts.c.withdrawn_at, remote_attempts.c.claim, remote_attempts.c.end_record)
        query = (
            select(remote_attempts.c.tag, remote_attempts.c.job_id, jobs.c.resources, remote_attempts.c.submitted_at)
            .add_columns(*over)
            .join_from(remote_attempts, submissions, submissions.c.tag == remote_attempts.c.tag)
            .join(attempts, attempts.c.submission_id == submissions.c.id)
            .join(jobs, jobs.c.number == attempts.c.job)
            .where(remote_attempts.c.cluster == cluster)
            .order_by(remote_attempts.c.submitted_at, remote_attempts.c.tag)
        )
        found = []
        with self._database.read() as connection:
            for part in [None] if tags is None else _parts(tags):
                rows = connection.execute(query if part is None else query.where(remote_attempts.c.tag.in_(part)))
                found += [
                    QueuedRow(tag, job_id, resources_of(asked), since, bool(gone or claim or end), gone is not None)
                    for tag, job_id, asked, since, gone, claim, end in rows
                ]
        return found

    def discard(self, tags: Sequence[str]) -> None:
        """The launches of these attempts, which are over, are forgotten."""

        def work(connection: Connection) -> None:
            for part in _parts(tags):
                connection.execute(delete(launches).where(launches.c.tag.in_(part)))

        self._database.transact(work)

    # --- launches -----------------------------------------------------------------------------------------------------
    def launches(self, cluster: str) -> list[LaunchRow]:
        """Every launch of the cluster that is not forgotten, in order."""
        query = select(*_COLUMNS).where(launches.c.cluster == cluster).order_by(launches.c.tag, launches.c.n)
        with self._database.read() as connection:
            return [LaunchRow(*row) for row in connection.execute(query)]

    def launch(self, lease: Lease, cluster: str, wanted: Sequence[LaunchRow]) -> frozenset[str]:
        """The launches are stored, but for those of attempts that wait no more; the ids of the stored. LeaseLost."""

        def work(connection: Connection) -> frozenset[str]:
            hold(connection, lease)
            free = _by_tag(connection, select(remote_attempts.c.tag).where(_WAITS), {row.tag for row in wanted})
            rows = [row for row in wanted if row.tag in free]
            if rows:
                connection.execute(insert(launches), [_values(row) | {"cluster": cluster} for row in rows])
            return frozenset(row.task_id for row in rows)

        return self._database.transact(work)

    def adopt(self, lease: Lease, cluster: str, row: LaunchRow) -> bool:
        """A launch that the master knows and we did not is stored; false if its attempt is none of ours. LeaseLost."""

        def work(connection: Connection) -> bool:
            hold(connection, lease)
            mine = select(remote_attempts.c.tag).where(
                remote_attempts.c.cluster == cluster, remote_attempts.c.withdrawn_at.is_(None)
            )
            if not _by_tag(connection, mine, [row.tag]):
                return False
            insert_or_replace(connection, launches, _values(row) | {"cluster": cluster})
            return True

        return self._database.transact(work)

    def heard(self, lease: Lease, changed: Sequence[LaunchRow]) -> None:
        """What was heard of these launches is stored: now it may be acknowledged. LeaseLost."""

        def work(connection: Connection) -> None:
            hold(connection, lease)
            if changed:
                connection.execute(_HEARD, [_values(row) | {"which": row.task_id} for row in changed])

        self._database.transact(work)


def register(connection: Connection, cluster: str) -> None:
    """The removed framework is registered anew, under a new id. Conflict: it is not removed."""
    removed = (frameworks.c.cluster == cluster, frameworks.c.removed_at.is_not(None))
    again = update(frameworks).where(*removed).values(framework_id="", removed_at=None, words="")
    if connection.execute(again).rowcount != 1:
        raise Conflict(f"{cluster} is registered: only a framework that its master has removed is registered again")


_NAMES = tuple(LaunchRow.__dataclass_fields__)
_COLUMNS = tuple(launches.c[name] for name in _NAMES)
_CHANGING = ("agent_id", "state", "uuid", "reason", "source", "message", "updated_at", "confirmed", "ended")
_HEARD = (
    update(launches)
    .where(launches.c.task_id == bindparam("which"))
    .values(**{name: bindparam(name) for name in _CHANGING})
)
_WAITS = and_(
    remote_attempts.c.submitted_at.is_not(None),
    remote_attempts.c.withdrawn_at.is_(None),
    remote_attempts.c.claim.is_(None),
    remote_attempts.c.end_record.is_(None),
)


def _values(row: LaunchRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in _NAMES}


def _by_tag(connection: Connection, query: Select[str], tags: Iterable[str]) -> set[str]:
    """The tags that a query of tags finds among these."""
    found: set[str] = set()
    for part in _parts(tags):
        found |= set(connection.execute(query.where(remote_attempts.c.tag.in_(part))).scalars())
    return found


def _mark(connection: Connection, tags: Sequence[str], column: str, now: float) -> None:
    unmarked = remote_attempts.c[column].is_(None)
    for part in _parts(tags):
        marking = update(remote_attempts).where(remote_attempts.c.tag.in_(part), unmarked)
        connection.execute(marking.values({column: now}))


def _parts(tags: Iterable[str]) -> list[list[str]]:
    found = [*tags]
    return [found[start : start + _PART] for start in range(0, len(found), _PART)]
