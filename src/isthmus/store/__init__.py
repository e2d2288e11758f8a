"""The store: jobs, their history, people and files, durable in SQLite or PostgreSQL. The only SQL of Isthmus is here.

`Store` is a thin front: each method is one transaction around the function of the same name in the module of its
concern. What people ask for takes a `Viewer` and is filtered in SQL; others' things are NotFound, as if they were
not there. Every method may be called from any thread and blocks until the database has answered.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from isthmus import failpoint
from isthmus.application.encoding import Json
from isthmus.job import Job, JobState
from isthmus.lifecycle import Decision
from isthmus.store import (
    accepting,
    applying,
    clusterrows,
    duty,
    filerows,
    history,
    leases,
    listing,
    mesos,
    opening,
    views,
    wishes,
)
from isthmus.store.accepting import IdempotencyMismatch
from isthmus.store.accounts import AccountStore
from isthmus.store.applying import ImpossibleChange
from isthmus.store.audit import Actor, AuditKind
from isthmus.store.clusterrows import ClusterRow
from isthmus.store.database import Database
from isthmus.store.filerows import Upload
from isthmus.store.groupwriter import GroupWriter
from isthmus.store.history import EventRow, Position
from isthmus.store.leases import Lease, LeaseRow
from isthmus.store.listing import Count, JobSummary, ListQuery, Page, Sort
from isthmus.store.mesos import MesosRows
from isthmus.store.notices import Letter, Notice, NoticeChoice, NoticeKind, Outbox, Trouble
from isthmus.store.people import PeopleStore
from isthmus.store.records import Accepted, CopiedFrom, JobInput, JobSpec, NewJob, Viewer
from isthmus.store.remote import RemoteStore
from isthmus.store.users import Identity, NewToken, Role, Scope, Token, User, UserChanges
from isthmus.store.views import JobView, OutputView
from isthmus.store.watch import Watch
from isthmus.store.wishes import CancelAnswer, CancelOutcome, ChangedMeanwhile, JobChanges, Wish

__all__ = [
    "Accepted",
    "CancelAnswer",
    "CancelOutcome",
    "ChangedMeanwhile",
    "ClusterRow",
    "CopiedFrom",
    "Count",
    "EventRow",
    "IdempotencyMismatch",
    "Identity",
    "ImpossibleChange",
    "JobChanges",
    "JobInput",
    "JobSpec",
    "JobSummary",
    "JobView",
    "Lease",
    "LeaseRow",
    "Letter",
    "ListQuery",
    "NewJob",
    "NewToken",
    "Notice",
    "NoticeChoice",
    "NoticeKind",
    "Outbox",
    "OutputView",
    "Page",
    "Position",
    "Role",
    "Scope",
    "Sort",
    "Store",
    "Token",
    "Trouble",
    "Upload",
    "User",
    "UserChanges",
    "Viewer",
    "Wish",
]


class Stored(Protocol):
    """Bytes in the file store, as `isthmus.files.StoredFile` tells of them."""

    @property
    def sha256(self) -> str: ...

    @property
    def size(self) -> int: ...


class Store(AccountStore, PeopleStore, RemoteStore):
    """An open database. `clock` gives the time that people's requests are stamped with, in epoch seconds."""

    def __init__(self, database: Database, gateway_id: str, clock: Callable[[], float] = time.time) -> None:
        self.gateway_id = gateway_id
        self._database = database
        self._clock = clock
        self._writer = GroupWriter(database)
        self._watch = Watch(database)
        self.mesos = MesosRows(database)

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], float] = time.time) -> Store:
        """The store at this SQLAlchemy URL, made if it is not there, at the newest schema. ConfigurationError."""
        database = Database.at(url)
        try:
            return cls(database, opening.make_ready(database), clock)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """What was asked is done, and the database let go."""
        self._writer.close()
        self._watch.close()
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def is_at_head(self) -> bool:
        """Whether the database answers and its schema is this Isthmus' own."""
        return self._read(opening.is_at_head)

    # --- taking jobs in -----------------------------------------------------------------------------------------------
    def remember_definition(self, digest: str, name: str, version: str, body: Json) -> None:
        """Jobs may name this definition; nothing changes if it was known."""
        self._writer.run(lambda c: accepting.remember_definition(c, digest, name, version, body))

    def accept(
        self, viewer: Viewer, new: NewJob, *, key: str | None = None, body_sha256: str | None = None
    ) -> Accepted:
        """The job is durable and the viewer's; with a `key` seen before and the same body, it is the earlier one.

        IdempotencyMismatch: another body. InvalidInput: an input file is not there for the viewer. NotFound: the
        parent isn't.
        """
        return self._writer.run_together(self._accept, accepting.Asked(viewer, new, key, body_sha256))

    def accept_soon(
        self, viewer: Viewer, new: NewJob, *, key: str | None = None, body_sha256: str | None = None
    ) -> asyncio.Future[Accepted]:
        """What `accept` would give, for the running event loop: the one method that does not block."""
        asked = accepting.Asked(viewer, new, key, body_sha256)
        return asyncio.wrap_future(self._writer.soon(self._accept, asked))

    def _accept(self, connection: Connection, requests: Sequence[accepting.Asked]) -> list[Accepted]:
        return accepting.accept(connection, requests, self._clock())

    def job_of_key(self, viewer: Viewer, key: str, body_sha256: str) -> str | None:
        """The job that an earlier request with this key made; None: there was none. IdempotencyMismatch."""
        return self._read(lambda c: accepting.job_of_key(c, viewer, key, body_sha256))

    def accept_many(self, viewer: Viewer, news: Sequence[NewJob]) -> list[Accepted]:
        """Every one of these jobs is durable and the viewer's, or none."""
        return self._writer.run(lambda c: self._accept(c, [accepting.Asked(viewer, new) for new in news]))

    # --- the controller's side ----------------------------------------------------------------------------------------
    def due(
        self, cluster: str, now: float, limit: int, tags: Sequence[str] = (), latest: float = math.inf
    ) -> list[Job]:
        """Jobs with these tags, and at most `limit` others whose `next_check_at` has come, the longest due first.

        One that lies after `latest` can only be of a clock that was set back since, and has come, too.
        """
        return self._read(lambda c: duty.due(c, cluster, now, limit, tags, latest))

    def live(self, cluster: str) -> list[Job]:
        """Every job of the cluster that is not final."""
        return self._read(lambda c: duty.live(c, cluster))

    def ended_tags(self, cluster: str, tags: Sequence[str]) -> frozenset[str]:
        """Those of the tags whose attempt is over: its job is final (and not lost), or has a later attempt."""
        return self._read(lambda c: duty.ended_tags(c, cluster, tags))

    def live_count(self, cluster: str) -> int:
        """How many jobs of the cluster are not final."""
        return self._read(lambda c: duty.live_count(c, cluster))

    def release(self, cluster: str, per_owner: int, limit: int) -> list[Job]:
        """ACCEPTED jobs that may leave the gateway, owners taking turns; nothing is changed by asking."""
        return self._read(lambda c: duty.release(c, cluster, per_owner, limit))

    def orders(self, job_ids: Sequence[str]) -> list[JobSpec]:
        """What these jobs were asked to do, in no particular order."""
        return self._read(lambda c: duty.orders(c, job_ids))

    def digests(self, job_ids: Sequence[str]) -> dict[str, str]:
        """By job id: the definition each job was accepted with."""
        return self._read(lambda c: duty.digests(c, job_ids))

    def definition(self, digest: str) -> Json:
        """The body of a remembered definition. NotFound: it was never remembered."""
        return self._read(lambda c: duty.definition(c, digest))

    def apply(self, lease: Lease, decisions: Sequence[Decision], now: float) -> list[bool]:
        """Each decision answered True is durable; a False one met a job that had changed since, and left no trace.

        LeaseLost: nothing was stored, another controller acts now. ImpossibleChange: a decision that no job may
        undergo; nothing was stored.
        """

        def work(connection: Connection) -> list[bool]:
            answers = applying.apply(connection, lease, decisions, now, self.gateway_id)
            failpoint.reach("store.before_commit")
            return answers

        try:
            answers = self._database.transact(work)
        except (IntegrityError, DataError) as error:
            raise ImpossibleChange(f"a decision that the tables refuse: {error.orig}") from error
        except (OverflowError, UnicodeEncodeError) as error:  # what SQLite's driver and UTF-8 have no room for
            raise ImpossibleChange(f"a decision that no table can hold: {error}") from error
        failpoint.reach("store.after_commit")
        return answers

    # --- leases -------------------------------------------------------------------------------------------------------
    def lease_row(self, name: str) -> LeaseRow | None:
        """The lease as it stands, None if it was never taken."""
        return self._read(lambda c: leases.lease_row(c, name))

    def take(self, name: str, holder: str, seen: LeaseRow | None) -> Lease | None:
        """The lease is the holder's, with the next epoch, if it still stands as `seen`; None if it does not."""
        return self._database.transact(lambda c: leases.take(c, name, holder, seen))

    def beat(self, lease: Lease) -> None:
        """Everybody who looks sees that the holder is alive. LeaseLost: it is not the holder any more."""
        self._database.transact(lambda c: leases.beat(c, lease))

    def give_up(self, lease: Lease) -> None:
        """The lease is free for the next to take at once."""
        self._database.transact(lambda c: leases.give_up(c, lease))

    # --- clusters -----------------------------------------------------------------------------------------------------
    def report_cluster(self, lease: Lease, name: str, status_json: str, now: float) -> None:
        """The cluster's description of itself is where pages read it. LeaseLost."""
        self._database.transact(lambda c: clusterrows.report_cluster(c, lease, name, status_json, now))

    def report_calls(self, lease: Lease, name: str, calls: Mapping[str, Json]) -> None:
        """The calls made on a cluster that does not answer are where pages read them. LeaseLost."""
        self._database.transact(lambda c: clusterrows.report_calls(c, lease, name, calls))

    def mark_contact(self, lease: Lease, name: str, lost_since: float | None) -> None:
        """The cluster has not answered since then (None: it answers). LeaseLost."""
        self._database.transact(lambda c: clusterrows.mark_contact(c, lease, name, lost_since))

    def close_cluster(self, name: str, reason: str | None, by: Actor | None = None) -> None:
        """The cluster takes no new jobs, for this reason (None: it does)."""
        kind = AuditKind.CLUSTER_OPENED if reason is None else AuditKind.CLUSTER_CLOSED
        words = name if reason is None else f"{name}: {reason}"
        self._noted(lambda c: clusterrows.close_cluster(c, name, reason), by, kind, words)

    def register_cluster(self, name: str, by: Actor | None = None) -> None:
        """The framework that a cluster's master has removed is registered anew. Conflict: it is not removed."""
        self._noted(lambda c: mesos.register(c, name), by, AuditKind.CLUSTER_REGISTERED, name)

    def clusters(self) -> list[ClusterRow]:
        """Every cluster a controller ever told of, by name."""
        return self._read(clusterrows.list_clusters)

    # --- what people read ---------------------------------------------------------------------------------------------
    def page(self, viewer: Viewer, query: ListQuery) -> Page:
        """At most `query.limit` (1 to 200) of the viewer's jobs. InvalidInput: the cursor is not one of this order."""
        return self._read(lambda c: listing.page(c, viewer, query))

    def counts(self, viewer: Viewer, bound: int = 1000) -> Mapping[JobState, Count]:
        """How many of the viewer's current jobs are in each state, exactly up to `bound`."""
        return self._read(lambda c: listing.counts(c, viewer, bound))

    def job(self, viewer: Viewer, job_id: str) -> JobView:
        """The job, whole. NotFound."""
        return self._read(lambda c: views.job(c, viewer, job_id))

    def family(self, viewer: Viewer, job_id: str) -> tuple[JobSummary, ...]:
        """All jobs made from one another, this one among them, oldest first. NotFound."""
        return self._read(lambda c: views.family(c, viewer, job_id))

    def events_of(self, viewer: Viewer, job_id: str, limit: int = 1000) -> list[EventRow]:
        """The job's history, oldest first, at most `limit` lines. NotFound."""
        return self._read(lambda c: views.events_of(c, viewer, job_id, limit))

    # --- what happens, as it happens ----------------------------------------------------------------------------------
    def events_after(
        self, viewer: Viewer | None, position: Position, limit: int, job_id: str | None = None
    ) -> list[EventRow]:
        """The next events the viewer may see (None: the gateway itself, all), oldest first; none is ever missed."""
        return self._read(lambda c: history.events_after(c, viewer, position, limit, job_id))

    def standing(self, position: Position) -> Position:
        """Where an event stands now that once stood at this position, also if the database was restored since."""
        return self._read(lambda c: history.standing(c, position))

    def newest_position(self) -> Position:
        """After every event that can be read now."""
        return self._read(history.newest_position)

    def changed_marker(self) -> str:
        """Differs from the last one if anything was committed since, by whomever; costs microseconds on SQLite."""
        return self._watch.marker()

    # --- what people want ---------------------------------------------------------------------------------------------
    def request_cancel(
        self, viewer: Viewer, job_ids: Sequence[str], now: float, by: Actor | None = None
    ) -> list[CancelAnswer]:
        """Every one of the viewer's jobs named is to be cancelled if it has not ended; one answer an id, in order."""
        return self._writer.run(lambda c: wishes.request_cancel(c, viewer, job_ids, now, by))

    def change(
        self,
        viewer: Viewer,
        job_id: str,
        changes: JobChanges,
        now: float,
        *,
        expected_seq: int | None = None,
        by: Actor | None = None,
    ) -> None:
        """The job's name, labels and place are as asked. NotFound; ChangedMeanwhile: `seq` is not as expected."""
        self._writer.run(lambda c: wishes.change(c, viewer, job_id, changes, now, expected_seq, by))

    def delete(self, viewer: Viewer, job_id: str, now: float, by: Actor | None = None) -> None:
        """The ended job is out of every list and holds no file. NotFound; Conflict: it has not ended."""
        self._writer.run(lambda c: wishes.delete_job(c, viewer, job_id, now, by))

    def follow(self, viewer: Viewer, job_id: str, until_at: float) -> None:
        """The running job's log is copied to where it can be read, until then. NotFound."""
        self._writer.run(lambda c: wishes.follow(c, viewer, job_id, until_at))

    def forget_old_wishes(self, now: float) -> None:
        """Wishes whose time is over are gone."""
        self._writer.run(lambda c: wishes.forget_old_wishes(c, now))

    def wishes(self, cluster: str, now: float) -> list[Wish]:
        """Logs of the cluster's jobs that somebody follows now."""
        return self._read(lambda c: wishes.open_wishes(c, cluster, now))

    # --- files --------------------------------------------------------------------------------------------------------
    def add_upload(self, viewer: Viewer, stored: Stored, name: str, media_type: str) -> Upload:
        """The viewer has this file of the file store under a new upload id."""
        now = self._clock()
        return self._writer.run(
            lambda c: filerows.add_upload(c, viewer, stored.sha256, stored.size, name, media_type, now)
        )

    def upload(self, viewer: Viewer, upload_id: str) -> Upload:
        """The upload. NotFound."""
        return self._read(lambda c: filerows.upload(c, viewer, upload_id))

    def upload_contents(self, viewer: Viewer, ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """SHA-256 and name of each of these uploads that is or was the viewer's, deleted ones too."""
        return self._read(lambda c: filerows.upload_contents(c, viewer, ids))

    def uploads(self, viewer: Viewer, limit: int = 200, before: str | None = None) -> list[Upload]:
        """The viewer's own uploads, the newest first; `before` is the id to go on after."""
        return self._read(lambda c: filerows.list_uploads(c, viewer, limit, before))

    def delete_upload(self, viewer: Viewer, upload_id: str) -> None:
        """The upload is gone; jobs that took the file keep it. NotFound."""
        self._writer.run(lambda c: filerows.delete_upload(c, viewer, upload_id, self._clock()))

    def delete_unused_uploads(self, viewer: Viewer) -> int:
        """The viewer's own uploads are gone whose content no job of theirs took; how many were."""
        return self._writer.run(lambda c: filerows.delete_unused(c, viewer, self._clock()))

    def upload_uses(self, viewer: Viewer, found: Collection[Upload]) -> dict[str, int]:
        """By upload id: how many of the viewer's own jobs, deleted ones left out, took a file of its content."""
        by_hash = self._read(lambda c: filerows.uses(c, viewer, {one.sha256 for one in found}))
        return {one.id: by_hash[one.sha256] for one in found}

    def may_read(self, viewer: Viewer, sha256: str) -> bool:
        """Whether the file is an upload of the viewer's, or an input or output of a job they may see."""
        return self._read(lambda c: bool(filerows.readable(c, viewer, [sha256])))

    def unreferenced(self, before: float, limit: int) -> list[str]:
        """Files that nothing refers to and that were last stored before that time."""
        return self._read(lambda c: filerows.unreferenced(c, before, limit))

    def forget_files(self, hashes: Collection[str], before: float) -> list[str]:
        """Those of them that are still not referred to are forgotten, and returned: their bytes may go."""
        return self._database.transact(lambda c: filerows.forget_files(c, hashes, before))

    def known_files(self, hashes: Collection[str]) -> set[str]:
        """Those of the hashes that the store knows as files."""
        return self._read(lambda c: filerows.known_files(c, hashes))
