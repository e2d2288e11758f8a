"""The part of the store's front that is about people among themselves: shares, projects, audit, drafts, usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from isthmus.application.encoding import Json
from isthmus.store import audit, drafts, projects, shares, usage
from isthmus.store.audit import Actor, AuditKind, AuditLine, AuditQuery, AuditRow, record_audit, record_seldom
from isthmus.store.database import Database
from isthmus.store.drafts import Draft
from isthmus.store.groupwriter import GroupWriter
from isthmus.store.projects import Project
from isthmus.store.records import Viewer
from isthmus.store.shares import NewShare, Share, SharedJob, ShareWith, Shown
from isthmus.store.usage import Usage

T = TypeVar("T")


class PeopleStore:
    """Methods of `Store`; one that takes `by` writes into the audit, in its own transaction, who did it."""

    _database: Database
    _writer: GroupWriter
    _clock: Callable[[], float]

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._database.read() as connection:
            return work(connection)

    def _noted(self, work: Callable[[Connection], T], by: Actor | None, kind: AuditKind, words: str) -> T:
        """What the work gives, with a line of the audit in its transaction; `by` is None for the gateway itself."""

        def both(connection: Connection) -> T:
            done = work(connection)
            if by is not None:
                record_audit(connection, AuditLine(by, kind, words), self._clock())
            return done

        return self._writer.run(both)

    # --- shares -------------------------------------------------------------------------------------------------------
    def share(self, viewer: Viewer, job_id: str, wanted: ShareWith, by: Actor) -> NewShare:
        """The job is shown as wanted. NotFound: it is not the viewer's own; InvalidInput: to whom, or for how long."""

        def work(connection: Connection) -> NewShare:
            now = self._clock()
            number, made = shares.make_share(connection, viewer, job_id, wanted, now)
            record_audit(connection, AuditLine(by, AuditKind.JOB_SHARED, _said(made.share), number), now)
            return made

        return self._writer.run(work)

    def end_share(self, viewer: Viewer, job_id: str, share_id: str, by: Actor) -> None:
        """The share shows the job to nobody any more. NotFound: the viewer's own job has no such share."""

        def work(connection: Connection) -> None:
            now = self._clock()
            number, ended = shares.end_share(connection, viewer, job_id, share_id, now)
            record_audit(connection, AuditLine(by, AuditKind.SHARE_ENDED, _said(ended), number), now)

        self._writer.run(work)

    def shares_of(self, viewer: Viewer, job_id: str) -> list[Share]:
        """The job's shares that stand, the newest first. NotFound: it is not the viewer's own."""
        return self._read(lambda c: shares.shares_of(c, viewer, job_id, self._clock()))

    def shared_with(self, viewer: Viewer, limit: int = 50, before: str | None = None) -> list[SharedJob]:
        """Others' jobs that are shown to the viewer, the newest share first; `before` is the last share's id."""
        return self._read(lambda c: shares.shared_with(c, viewer, self._clock(), before, limit))

    def shown(self, viewer: Viewer, job_id: str) -> Shown:
        """How the job stands to the viewer. NotFound: it is neither theirs nor shown to them."""
        return self._read(lambda c: shares.shown(c, viewer, job_id, self._clock()))

    def shown_by_link(self, text: str) -> Shown:
        """How the job stands that the link shows. NotFound: it shows none, or not any more."""
        return self._read(lambda c: shares.shown_by_link(c, text, self._clock()))

    # --- audit --------------------------------------------------------------------------------------------------------
    def note(self, line: AuditLine) -> None:
        """The line is in the audit."""
        self._writer.run(lambda c: record_audit(c, line, self._clock()))

    def note_seldom(self, line: AuditLine, every_s: float) -> None:
        """The line is in the audit, or one like it that is not older than that."""
        self._writer.run(lambda c: record_seldom(c, line, self._clock(), every_s))

    def audit(self, query: AuditQuery) -> list[AuditRow]:
        """Lines of the audit, the newest first; for administrators."""
        return self._read(lambda c: audit.audit_rows(c, query))

    def audit_of_job(self, viewer: Viewer, job_id: str, limit: int = 50, before: int | None = None) -> list[AuditRow]:
        """What the audit tells of the job, the newest first. NotFound: it is not the viewer's own."""
        return self._read(lambda c: audit.audit_of_job(c, viewer, job_id, before, limit))

    # --- projects -----------------------------------------------------------------------------------------------------
    def create_project(self, name: str, by: Actor) -> Project:
        """The project is there, without members. InvalidInput, Conflict."""
        return self._noted(
            lambda c: projects.create_project(c, name, self._clock()), by, AuditKind.PROJECT_CREATED, name
        )

    def rename_project(self, name: str, new_name: str, by: Actor) -> Project:
        """The project has the new name. NotFound, InvalidInput, Conflict."""
        words = f"{name} is {new_name} now"
        return self._noted(lambda c: projects.rename_project(c, name, new_name), by, AuditKind.PROJECT_CHANGED, words)

    def add_member(self, project: str, user: str, by: Actor) -> Project:
        """The user is in the project. NotFound."""
        words = f"{user} is in {project}"
        return self._noted(lambda c: projects.add_member(c, project, user), by, AuditKind.PROJECT_CHANGED, words)

    def remove_member(self, project: str, user: str, by: Actor) -> Project:
        """The user is not in the project, and sees nothing that is shared with it. NotFound."""
        words = f"{user} is not in {project} any more"
        return self._noted(lambda c: projects.remove_member(c, project, user), by, AuditKind.PROJECT_CHANGED, words)

    def projects(self, viewer: Viewer) -> list[Project]:
        """The projects the viewer is in, for an administrator all, by name."""
        return self._read(lambda c: projects.list_projects(c, viewer))

    def project(self, viewer: Viewer, name: str) -> Project:
        """The project. NotFound: there is none, or the viewer is not in it."""
        return self._read(lambda c: projects.project(c, viewer, name))

    # --- drafts -------------------------------------------------------------------------------------------------------
    def put_draft(self, viewer: Viewer, key: str, body: Json) -> None:
        """The viewer's draft of this key is this. InvalidInput: it is too large, or can't be stored."""
        self._writer.run(lambda c: drafts.put_draft(c, viewer.user_id, key, body, self._clock()))

    def draft(self, viewer: Viewer, key: str) -> Draft | None:
        """The viewer's draft of this key; None: there is none."""
        return self._read(lambda c: drafts.draft(c, viewer.user_id, key))

    def drafts(self, viewer: Viewer) -> list[Draft]:
        """All drafts of the viewer, the newest first."""
        return self._read(lambda c: drafts.list_drafts(c, viewer.user_id))

    def drop_draft(self, viewer: Viewer, key: str) -> None:
        """The viewer has no draft of this key."""
        self._writer.run(lambda c: drafts.drop_draft(c, viewer.user_id, key))

    # --- usage --------------------------------------------------------------------------------------------------------
    def usage(self, user_id: str) -> Usage:
        """What the user takes up now."""
        return self._read(lambda c: usage.usage(c, user_id))


def _said(share: Share) -> str:
    return f"by the link {share.id}" if not share.name else f"with {share.kind.value} {share.name}"
