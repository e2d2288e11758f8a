"""The mail that tells somebody of their job: what it says, as RFC 5322 has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from isthmus.job import JobState
from isthmus.store.notices import Letter, NoticeKind, kind_of
from isthmus.store.views import JobView

_POLICY = SMTP.clone(cte_type="7bit")  # not every server on the way takes 8 bits
_LONGEST_NAME = 100
_HAPPENED = {
    NoticeKind.BEGAN: "began",
    NoticeKind.ENDED: "ended",
    NoticeKind.ABORTED: "was aborted",
    NoticeKind.CANCEL_ASKED: "is to be cancelled, as an administrator, {by}, asked",
    NoticeKind.ARCHIVED: "was archived by an administrator, {by}",
    NoticeKind.DELETED: "was deleted with its files by an administrator, {by}",
    NoticeKind.SHARED: "was shared with you by {by}",
}
_ENDS = {JobState.COMPLETED: "completed", JobState.FAILED: "failed", JobState.CANCELLED: "was cancelled"}
_TEXT = """\
{whose} job "{name}" {happened} at {at} UTC.

{words}

Job:          {id}
Application:  {application} {version}
Cluster:      {cluster}

{url}/jobs/{id}

You asked to be told of jobs by mail. Choose what you are told of at {url}/account
"""


def compose(
    letter: Letter, job: JobView, words: Sequence[str], *, gateway_id: str, sender: str, public_url: str
) -> EmailMessage:
    """The letter as a mail; the same letter has the same Message-ID and Date, however often it is sent.

    `words` are sentences on the job as it is now. Mails about one job refer to the same thread (RFC 5322, 3.6.4), and
    robots don't answer them (RFC 3834). Nothing that a name holds can end a header.
    """
    name, happened, at = _line(job.name)[:_LONGEST_NAME], _happened(letter, job), datetime.fromtimestamp(letter.at, UTC)
    thread = f"<job-{job.id}.{gateway_id}@isthmus>"
    mail = EmailMessage(policy=_POLICY)
    mail["Subject"] = f"{name} {happened}"
    mail["From"] = Address("Isthmus", addr_spec=sender)
    mail["To"] = Address(addr_spec=letter.mail_to)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = letter.message_id
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        _TEXT.format(
            whose="The" if letter.kind is NoticeKind.SHARED else "Your",
            name=name,
            happened=happened,
            at=f"{at:%Y-%m-%d %H:%M:%S}",
            words="\n".join(map(_line, words)),
            id=job.id,
            application=_line(job.application),
            version=_line(job.version),
            cluster=_line(job.cluster),
            url=public_url.rstrip("/"),
        )
    )
    return mail


def _happened(letter: Letter, job: JobView) -> str:
    """In a word what the letter tells of: exactly, unless the job has moved on since."""
    still = kind_of(job.state, job.cause) is letter.kind
    happened = _HAPPENED[letter.kind].format(by=_line(letter.by))
    return _ENDS.get(job.state, happened) if still else happened


def _line(text: str) -> str:
    """The text as one line, without what ends a header, moves a cursor or can't be written in UTF-8."""
    return "".join(char if char.isprintable() else " " for char in text)
