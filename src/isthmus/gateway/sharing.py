"""Who may read a job that is another's, and that it is written down whenever they do.

    its owner · an administrator · somebody it is shared with · somebody with a link

`Access.viewer` reads that one job and nothing else of its owner's; only owners and administrators change anything.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from isthmus.store import Store, Viewer
from isthmus.store.audit import Actor, AuditKind, AuditLine
from isthmus.store.shares import Share, Shown

SELDOM_S = 600.0
"""Somebody who reads the same job again within this time is not written down again."""

_SOMEBODY = "somebody with a link"
_MAX_NOTED = 10_000


class Right(StrEnum):
    """What lets somebody read a job without a share."""

    OWNER = "owner"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class Access:
    """How one job may be read: with this viewer, by this right or share. `may_change`: it may be acted on, too."""

    job_id: str
    viewer: Viewer
    may_change: bool
    via: Right | Share


class Sharing:
    """Opens jobs for readers and audits it; used by any number of threads."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._noted: OrderedDict[tuple[str | None, str, str, AuditKind], float] = OrderedDict()
        self._lock = threading.Lock()

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
        """How the viewer, the user `by`, may read the job. NotFound: not at all.

        `download` names a file that is about to be saved, `copied` one that a job of the viewer's own is to take: each
        is written down each time. What a page fetches to show it is neither.
        """
        found = self._store.shown(viewer, job_id)
        if found.owner_id == viewer.user_id:
            return Access(job_id, viewer, True, Right.OWNER)
        actor = Actor(viewer.user_id, by, address)
        if found.share is None:
            access = Access(job_id, viewer, True, Right.ADMINISTRATOR)
            self._note(found, actor, AuditKind.JOB_READ_BY_ADMINISTRATOR, "")
        else:
            access = Access(job_id, _guest(job_id), False, found.share)
            self._note(found, actor, AuditKind.JOB_READ, _words(found.share))
        if download is not None:
            self._download(found, actor, download)
        if copied is not None:
            self._store.note(AuditLine(actor, AuditKind.INPUT_COPIED, copied, found.number))
        return access

    def access_by_link(self, text: str, *, address: str, download: str | None = None, opening: bool = True) -> Access:
        """How whoever has the link may read the job it shows. NotFound: it shows none, or not any more.

        `opening` is False for the parts of a page that was opened a moment ago: each opening is written down.
        """
        found = self._store.shown_by_link(text)
        if found.share is None:
            raise AssertionError("a link is a share")
        actor = Actor(None, _SOMEBODY, address)
        if opening:
            self._store.note(AuditLine(actor, AuditKind.LINK_OPENED, _words(found.share), found.number))
        else:
            self._note(found, actor, AuditKind.JOB_READ, _words(found.share))
        if download is not None:
            self._download(found, actor, download)
        return Access(found.job_id, _guest(found.job_id), False, found.share)

    def _download(self, found: Shown, actor: Actor, name: str) -> None:
        self._store.note(AuditLine(actor, AuditKind.OUTPUT_DOWNLOADED, name, found.number))

    def _note(self, found: Shown, actor: Actor, kind: AuditKind, words: str) -> None:
        """It is written down, unless it was a short while ago: most readers come again and again."""
        key = (actor.user_id, actor.address if actor.user_id is None else "", found.job_id, kind)
        with self._lock:
            if self._clock() < self._noted.get(key, float("-inf")):
                return
        self._store.note_seldom(AuditLine(actor, kind, words, found.number), SELDOM_S)
        with self._lock:
            self._noted[key] = self._clock() + SELDOM_S
            self._noted.move_to_end(key)
            while len(self._noted) > _MAX_NOTED:
                self._noted.popitem(last=False)


def _guest(job_id: str) -> Viewer:
    """Nobody, but for reading this job."""
    return Viewer("", job_id=job_id)


def _words(share: Share) -> str:
    return f"by the link {share.id}" if not share.name else f"shared with {share.kind.value} {share.name}"
