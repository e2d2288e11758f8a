"""What a gateway does for people: the functions that the API and the portal share.

    catalogue    the application folders as they are now      submission   a request or a resubmission -> a new job
    acceptance   a job just accepted, as it is shown
    clusters     what is known of each, and choosing one      comparison   how two jobs differ
    sharing      who else may read a job             quota        how much a user may hold
    explanation  why a job waits or how it ended              logs, archive   reading what it wrote

Nothing here knows HTTP, and nothing here reaches a cluster.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.application import Application, Places, render
from isthmus.config import Configuration
from isthmus.errors import ConfigurationError, Conflict, InputFault, InvalidInput, IsthmusError, NotFound, StorageFault
from isthmus.files import FileStore
from isthmus.gateway.acceptance import just_accepted
from isthmus.gateway.catalogue import LOOK_EVERY_S, Entry, Listing, Shelf
from isthmus.gateway.clusters import KnownCluster
from isthmus.gateway.comparison import Difference, differences
from isthmus.gateway.explanation import sentences
from isthmus.gateway.logs import LogPiece, Logs, Stream
from isthmus.gateway.quota import Quota
from isthmus.gateway.sharing import Access, Sharing
from isthmus.gateway.status import read_status
from isthmus.gateway.submission import Changes, Desk, Request, checked_inputs
from isthmus.store import Accepted, NewJob, Store, Viewer
from isthmus.store.audit import Actor
from isthmus.store.views import JobView, OutputView

__all__ = ["By", "Changes", "Gateway", "Key", "Request", "Stream", "Submitted"]


_DELETED = "the job was deleted, and its files with it"


@dataclass(frozen=True, slots=True)
class Key:
    """Names a request for ever, with the digest of what it said."""

    key: str
    body_sha256: str


@dataclass(frozen=True, slots=True)
class By:
    """Who asks: a viewer, and the user's name."""

    viewer: Viewer
    name: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job a request stands for; `created` is false when an earlier request with the same key made it."""

    job: JobView
    created: bool


class Gateway:
    """One gateway as its people meet it; used by any number of threads."""

    def __init__(self, configuration: Configuration, store: Store, files: FileStore) -> None:
        self.configuration, self.store, self.files = configuration, store, files
        self.logs = Logs(store, files, configuration.home / "logs")
        self.quota = Quota(store, configuration.house.limits)
        self._sharing = Sharing(store)
        self._shelf = Shelf(configuration)
        self._remembered: set[str] = set()
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._clusters: Mapping[str, KnownCluster] = {}
        self._clusters_at = float("-inf")

    # --- what there is ------------------------------------------------------------------------------------------
    def catalogue(self) -> Listing:
        """The applications as their files say now."""
        return self._shelf.listing()

    def close_cluster(self, name: str, reason: str | None, by: Actor) -> KnownCluster:
        """The cluster takes no new jobs, for this reason (None: it does). NotFound: it is not configured."""
        if name not in self.configuration.clusters:
            raise NotFound("there is no cluster of that name")
        self.store.close_cluster(name, reason, by)
        self._clusters_at = float("-inf")
        return self.clusters()[name]

    def register_cluster(self, name: str, by: Actor) -> KnownCluster:
        """The gateway registers anew with a cluster that has removed it. NotFound; Conflict: it is registered."""
        if name not in self.configuration.clusters:
            raise NotFound("there is no cluster of that name")
        self.store.register_cluster(name, by)
        return self.clusters()[name]

    def clusters(self) -> Mapping[str, KnownCluster]:
        """The configured clusters, with what the store knew of each at most `LOOK_EVERY_S` ago."""
        kept = self._kept_clusters()
        if kept is not None:
            return kept
        with self._looking:
            if self._kept_clusters() is None:
                self._clusters = self._known_clusters()
                self._clusters_at = time.monotonic()
            return self._clusters

    def _kept_clusters(self) -> Mapping[str, KnownCluster] | None:
        return self._clusters if time.monotonic() - self._clusters_at < LOOK_EVERY_S else None

    def _known_clusters(self) -> Mapping[str, KnownCluster]:
        rows = {row.name: row for row in self.store.clusters()}
        known = {}
        for name, config in self.configuration.clusters.items():
            row = rows.get(name)
            known[name] = (
                KnownCluster(name, config)
                if row is None
                else KnownCluster(
                    name, config, read_status(row.status), row.seen_at, row.contact_lost_since, row.closed_reason
                )
            )
        return known

    # --- jobs ---------------------------------------------------------------------------------------------------
    def submit(self, by: By, request: Request, key: Key | None = None) -> Submitted:
        """The job is durable. InvalidInput, NotFound, NotAllowed: it is not there, and why.

        IdempotencyMismatch: the key was used for another request.
        """
        try:
            self.quota.check(by.viewer.user_id, by.name)
            entry, new = self._desk(by.viewer).new_job(request)
            return self._accept(by, entry, new, key)
        except IsthmusError:
            if earlier := self._made_before(by, key):
                return earlier
            raise

    async def submit_soon(self, by: By, request: Request, key: Key | None = None) -> Submitted | None:
        """As `submit`, for an event loop: no thread waits for the commit.

        None: there are files to look up, or the request is to be refused, or was made before; `submit` is to be asked.
        """
        if request.files or request.project is not None or not self.quota.has_room(by.viewer.user_id, by.name):
            return None
        listing, clusters = self._shelf.kept(), self._kept_clusters()
        if listing is None:
            listing = await asyncio.to_thread(self.catalogue)
        if clusters is None:
            clusters = await asyncio.to_thread(self.clusters)
        try:
            entry, new = Desk(self.store, by.viewer, listing, clusters).new_job(request)
        except IsthmusError:
            return None
        if not self._is_remembered(entry):
            await asyncio.to_thread(self._remember, entry)
        name, digest = (None, None) if key is None else (key.key, key.body_sha256)
        try:
            found = await self.store.accept_soon(by.viewer, new, key=name, body_sha256=digest)
        except StorageFault:
            if key is None:  # asked again, it might be taken in twice: nobody knows what became of the commit
                raise
            return None
        return self._shown(by, found, entry, new, clusters, found.job_id) if found.created else None

    def resubmit(self, by: By, parent_id: str, changes: Changes, key: Key | None = None) -> Submitted:
        """A new job made of an earlier one and the changes is durable; errors as of `submit`."""
        try:
            self.quota.check(by.viewer.user_id, by.name)
            parent = self.store.job(by.viewer, parent_id)
            entry, new = self._desk(by.viewer).again(parent, changes)
            return self._accept(by, entry, new, key, root_id=parent.root_id)
        except IsthmusError:
            if earlier := self._made_before(by, key):
                return earlier
            raise

    def _made_before(self, by: By, key: Key | None) -> Submitted | None:
        """The job that an earlier request with this key made. IdempotencyMismatch: that said something else.

        Asked only about requests that are refused: one that is repeated is answered although by now its upload is
        deleted or its cluster closed, and one that is new need not wait for the question.
        """
        job_id = None if key is None else self.store.job_of_key(by.viewer, key.key, key.body_sha256)
        return None if job_id is None else Submitted(self.store.job(by.viewer, job_id), created=False)

    def _desk(self, viewer: Viewer) -> Desk:
        return Desk(self.store, viewer, self.catalogue(), self.clusters())

    def _accept(self, by: By, entry: Entry, new: NewJob, key: Key | None, root_id: str | None = None) -> Submitted:
        self._remember(entry)
        found = self._stored(by.viewer, new, key)
        if not found.created or new.project_id is not None:
            return Submitted(self.store.job(by.viewer, found.job_id), created=found.created)
        return self._shown(by, found, entry, new, self.clusters(), root_id or found.job_id)

    @staticmethod
    def _shown(
        by: By, found: Accepted, entry: Entry, new: NewJob, clusters: Mapping[str, KnownCluster], root_id: str
    ) -> Submitted:
        cluster = clusters.get(new.cluster)
        job = just_accepted(found, new, entry, viewer=by.viewer, owner=by.name, cluster=cluster, root_id=root_id)
        return Submitted(job, created=True)

    def _stored(self, viewer: Viewer, new: NewJob, key: Key | None) -> Accepted:
        try:
            if key is None:
                return self.store.accept(viewer, new)
            return self.store.accept(viewer, new, key=key.key, body_sha256=key.body_sha256)
        except InvalidInput as invalid:  # the store names inputs; a request has its files under `files`
            faults = tuple(InputFault(f"files.{fault.field}", fault.code, fault.message) for fault in invalid.faults)
            raise InvalidInput(invalid.message, faults) from None

    def _remember(self, entry: Entry) -> None:
        """The store has the definition; it is asked once a process and definition."""
        if self._is_remembered(entry):
            return
        application = entry.application
        self.store.remember_definition(entry.digest, application.name, application.version, entry.form)
        with self._lock:
            self._remembered.add(entry.digest)

    def _is_remembered(self, entry: Entry) -> bool:
        with self._lock:
            return entry.digest in self._remembered

    def diff(self, viewer: Viewer, a: str, b: str) -> tuple[Difference, ...]:
        """How two jobs' requests differ; nothing of how they went."""
        return differences(self.store.job(viewer, a), self.store.job(viewer, b))

    def why(self, job: JobView) -> tuple[str, ...]:
        """Why the job waits or how it ended, in sentences."""
        return sentences(job, self.clusters().get(job.cluster))

    def script(self, job: JobView) -> str:
        """What the job runs, as POSIX sh; its folders, known when it is staged, are shown as /job/inputs and /job/work.

        Conflict: its definition and the site's variables don't fit any more.
        """
        application = Application.from_json(job.definition)
        deployment = application.deployment_on(job.cluster)
        config = self.configuration.clusters.get(job.cluster)
        if deployment is None or config is None:
            raise Conflict(f"cluster {job.cluster} is not configured any more, so there is no script for it")
        places = Places("/job/inputs", "/job/work", config.variables)
        try:
            return render(application, checked_inputs(application, job), job.resources, deployment, places).text()
        except ConfigurationError as fault:
            raise Conflict(fault.message if job.deleted_at is None else _DELETED) from fault

    def delete(self, viewer: Viewer, job_id: str, by: Actor | None = None) -> None:
        """The job is out of every list and its files are nobody's. Conflict: it has not ended; NotFound."""
        self.store.delete(viewer, job_id, time.time(), by)
        self.quota.forget()
        self.logs.drop(job_id)

    # --- jobs of others ------------------------------------------------------------------------------------------
    def access(
        self,
        viewer: Viewer,
        job_id: str,
        *,
        by: str,
        address: str,
        download: str | None = None,
        copied: str | None = None,
    ) -> Access:
        """How the viewer, the user `by` at this address, may read the job, which is audited. NotFound: not at all."""
        return self._sharing.access(viewer, job_id, by=by, address=address, download=download, copied=copied)

    def access_by_link(self, text: str, *, address: str, download: str | None = None, opening: bool = True) -> Access:
        """How whoever has the link may read the job it shows, which is audited. NotFound: it shows none."""
        return self._sharing.access_by_link(text, address=address, download=download, opening=opening)

    # --- what jobs wrote ----------------------------------------------------------------------------------------
    def log(self, viewer: Viewer, job_id: str, stream: Stream, offset: int, limit: int) -> LogPiece:
        """A piece of a log; a living job's is followed from now on for a while. NotFound: the job was deleted, too."""
        return self.logs.read(viewer, self.with_files(viewer, job_id), stream, offset, limit)

    def with_files(self, viewer: Viewer, job_id: str) -> JobView:
        """The job, which was not deleted. NotFound."""
        job = self.store.job(viewer, job_id)
        if job.deleted_at is not None:
            raise NotFound(_DELETED)
        return job

    def output(self, viewer: Viewer, job_id: str, name: str, path: str | None) -> OutputView:
        """The one file of an output, or the one with this path. InvalidInput: there are several; NotFound."""
        job = self.store.job(viewer, job_id)
        found = [one for one in job.outputs if one.name == name and path in (None, one.path)]
        if not found:
            raise NotFound("the job has no such output" if job.deleted_at is None else _DELETED)
        if len(found) > 1:
            message = f"output {name} has {len(found)} files; say which by its path"
            raise InvalidInput(message, (InputFault("query.path", "ambiguous", message),))
        return found[0]
