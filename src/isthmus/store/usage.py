"""What a user takes up: bytes held, each content once, and jobs that have not ended.

Nothing is summed up beforehand, so nothing can drift: `ix_outputs_owner_id_sha256_size` gives a user's contents in
order without reading the outputs themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, BindParameter, Connection, Select, Subquery, bindparam, cast, exists, func, select

from isthmus.job import LIVE, JobState
from isthmus.store.schema import CURRENT, jobs, outputs, uploads

_RUNNING = frozenset({JobState.RUNNING, JobState.STAGING_OUT})


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a user's uploads and of their jobs' outputs, and how many jobs wait and run.

    A content counts once, however often it was uploaded or written; `upload_bytes` are those no job wrote as well.
    """

    upload_bytes: int
    output_bytes: int
    jobs_waiting: int
    jobs_running: int

    @property
    def held_bytes(self) -> int:
        return self.upload_bytes + self.output_bytes


def _sum(contents: Subquery) -> Select[int]:
    return select(cast(func.coalesce(func.sum(contents.c.size), 0), BigInteger))


_WHOSE: BindParameter[str] = bindparam("whose")
_WRITTEN = select(outputs.c.sha256, outputs.c.size).where(outputs.c.owner_id == _WHOSE).distinct().subquery()
_UPLOADED = (
    select(uploads.c.sha256, uploads.c.size)
    .where(uploads.c.owner_id == _WHOSE, uploads.c.deleted_at.is_(None))
    .where(~exists().where(outputs.c.owner_id == _WHOSE, outputs.c.sha256 == uploads.c.sha256))
    .distinct()
    .subquery()
)
_WRITTEN_BYTES, _UPLOADED_BYTES = _sum(_WRITTEN), _sum(_UPLOADED)
_JOBS = (
    select(jobs.c.state, func.count())
    .where(CURRENT, jobs.c.owner_id == _WHOSE, jobs.c.state.in_([state.value for state in LIVE]))
    .group_by(jobs.c.state)
)


def usage(connection: Connection, user_id: str) -> Usage:
    """What the user takes up now."""
    whose = {"whose": user_id}
    written = int(connection.execute(_WRITTEN_BYTES, whose).scalar_one())
    uploaded = int(connection.execute(_UPLOADED_BYTES, whose).scalar_one())
    counts = {JobState(state): n for state, n in connection.execute(_JOBS, whose)}
    running = sum(n for state, n in counts.items() if state in _RUNNING)
    return Usage(uploaded, written, sum(counts.values()) - running, running)
