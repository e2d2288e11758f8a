"""What answers hold about what people do with one another: shares, projects, the audit."""

from __future__ import annotations

from isthmus.api.responses.answer import Answer, Moment
from isthmus.api.responses.jobs import JobSummaryOut
from isthmus.store.audit import AuditKind
from isthmus.store.shares import ShareKind


class ShareOut(Answer):
    """`name` is the user's or the project's; empty for a link."""

    id: str
    job: str
    kind: ShareKind
    name: str
    by: str
    created_at: Moment
    expires_at: Moment | None


class NewShareOut(ShareOut):
    """`link` is shown this once: what the portal's address and `/shared/` go before."""

    link: str | None


class ShareList(Answer):
    shares: list[ShareOut]


class SharedJobOut(Answer):
    share: ShareOut
    job: JobSummaryOut


class SharedList(Answer):
    """Jobs that others show to the caller; `next_before` is None on the last page."""

    shared: list[SharedJobOut]
    next_before: str | None


class ProjectOut(Answer):
    id: str
    name: str
    created_at: Moment
    members: list[str]


class ProjectList(Answer):
    projects: list[ProjectOut]


class AuditLineOut(Answer):
    """`user` is a user's name, or says who else it was; `words` say what it was about."""

    id: int
    at: Moment
    user: str
    kind: AuditKind
    job: str | None
    words: str
    address: str


class AuditList(Answer):
    lines: list[AuditLineOut]
    next_before: int | None
