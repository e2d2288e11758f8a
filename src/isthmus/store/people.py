"""The part of the store's front about people: shares, projects, the audit, what they are told, drafts, usage."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from isthmus.application.encoding import Json
from isthmus.store import audit, drafts, notices, projects, shares, usage
from isthmus.store.audit import Actor, AuditKind, AuditLine, AuditQuery, AuditRow, record_audit, record_seldom
from isthmus.store.drafts import Draft
from isthmus.store.front import Front
from isthmus.store.notices import Letter, Notice, NoticeChoice, Outbox, Trouble
from isthmus.store.projects import Project
from isthmus.store.records import Viewer
from isthmus.store.shares import NewShare, Share, SharedJob, ShareWith, Shown
from isthmus.store.usage import Usage


class PeopleStore(Front):
    """Methods of `Store`; one that takes `by` writes into the audit, in its own transaction, who did it."""

    # --- shares -------------------------------------------------------------------------------------------------------
    def share(self, viewer: Viewer, job_id: str, wanted: ShareWith, by: Actor) -> NewShare:
        """The job is shown as wanted. NotFound: it is not the viewer's own; InvalidInput: to whom, or for how long."""

        def work(connection: Connection) -> NewShare:
            now = self._clock()
            number, made = shares.make_share(connection, viewer, job_id, wanted, by.name, now)
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
    def note_seldom(self, line: AuditLine, every_s: float) -> None:
        """The line is in the audit, or one like it that is not older than that."""
        self._writer.run(lambda c: record_seldom(c, line, self._clock(), every_s))

    def audit(self, query: AuditQuery) -> list[AuditRow]:
        """Lines of the audit, the newest first; for administrators."""
        return self._read(lambda c: audit.audit_rows(c, query))

    def audit_of_job(
        self,
        viewer: Viewer,
        job_id: str,
        limit: int = 50,
        before: int | None = None,
        kinds: tuple[AuditKind, ...] = (),
    ) -> list[AuditRow]:
        """What the audit tells of the job, the newest first; of these kinds, if any. NotFound: it is not their own."""
        return self._read(lambda c: audit.audit_of_job(c, viewer, job_id, before, limit, kinds))

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

    def drop_draft(self, viewer: Viewer, key: str) -> None:
        """The viewer has no draft of this key."""
        self._writer.run(lambda c: drafts.drop_draft(c, viewer.user_id, key))

    # --- what people are told -----------------------------------------------------------------------------------------
    def notice_choice(self, user_id: str) -> NoticeChoice:
        """What the user wants to be told of, and where."""
        return self._read(lambda c: notices.choice(c, user_id))

    def set_notice_choice(self, user_id: str, email: str | None, letters: str) -> NoticeChoice:
        """The user is told of this from now on, there. InvalidInput: no address, or other letters than b, e, a."""
        return self._writer.run(lambda c: notices.set_choice(c, user_id, NoticeChoice(email, letters)))

    def notices(self, user_id: str, limit: int = 50, before: int | None = None) -> list[Notice]:
        """What the user was told, the newest first; `before` is the id to go on after."""
        return self._read(lambda c: notices.notices_of(c, user_id, limit, before, self._clock()))

    def unseen_notices(self, user_id: str) -> int:
        """How many notices the user has not seen; 100 stands for that many or more."""
        return self._read(lambda c: notices.unseen(c, user_id, self._clock()))

    def mark_notices_seen(self, user_id: str, up_to: int) -> None:
        """The user has seen the notice with this id and those before it."""
        self._writer.run(lambda c: notices.mark_seen(c, user_id, up_to, self._clock()))

    def due_letters(self, now: float, limit: int) -> list[Letter]:
        """Mails whose time has come, the longest due first."""
        return self._read(lambda c: notices.due(c, now, limit))

    def mark_sent(self, ids: Collection[int], now: float) -> None:
        """The mail server has these mails: they are not due any more."""
        self._database.transact(lambda c: notices.mark_sent(c, ids, now))

    def mark_failed(self, ids: Collection[int], trouble: Trouble, fault: str, now: float) -> None:
        """These mails are due again, later unless it was the server's fault, or never if they were refused for good."""
        self._database.transact(lambda c: notices.mark_failed(c, ids, trouble, fault, now))

    def give_up_old_letters(self, now: float) -> int:
        """Mails that could not be sent for a day are given up; how many were."""
        return self._database.transact(lambda c: notices.give_up_old(c, now))

    def outbox(self) -> Outbox:
        """The mails not yet handed over, and what is in their way."""
        return self._read(notices.outbox)

    # --- usage --------------------------------------------------------------------------------------------------------
    def usage(self, user_id: str) -> Usage:
        """What the user takes up now."""
        return self._read(lambda c: usage.usage(c, user_id))


def _said(share: Share) -> str:
    return f"by the link {share.id}" if not share.name else f"with {share.kind.value} {share.name}"
