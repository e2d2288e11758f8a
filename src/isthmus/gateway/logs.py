"""stdout and stderr: while a job lives, as much as its controller has fetched; afterwards, the collected outputs.

The web process can't ask a cluster. Reading a living job's log stores the wish that somebody follows it, and the
controller that holds the cluster's lease brings the increments to `<home>/logs/JOB/N/STREAM`, where N is the attempt's
number.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from isthmus.files import FileStore
from isthmus.store import Store, Viewer
from isthmus.store.views import JobView

FOLLOW_S = 20.0
"""How long a log is followed after somebody last read it."""
RENEW_S = 5.0

_MAX_REMEMBERED = 10_000


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Bytes of a log from `offset`; `complete` says that nothing will ever follow `next_offset`."""

    content: bytes
    offset: int
    next_offset: int
    complete: bool


class Logs:
    """Reads logs for people; used by any number of threads."""

    def __init__(
        self, store: Store, files: FileStore, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._files, self._folder, self._clock = store, files, folder, clock
        self._renewed: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, viewer: Viewer, job: JobView, stream: Stream, offset: int, limit: int) -> LogPiece:
        """At most `limit` bytes from `offset`, counted from the end where it is negative.

        A piece never begins before the offset asked for, also when the log is shorter: a reader who goes on where
        the last piece ended reads nothing twice although the followed copy is dropped, or another attempt begins.
        """
        if not job.state.is_final:
            self._follow(viewer, job.id)
        path = self._path(job, stream)
        try:
            with path.open("rb") as log:
                size = log.seek(0, 2)
                start = max(size + offset, 0) if offset < 0 else offset
                log.seek(start)
                content = log.read(limit)
        except FileNotFoundError:
            size, start, content = 0, max(offset, 0), b""
        end = start + len(content)
        return LogPiece(content, start, end, complete=job.state.is_final and end >= size)

    def drop(self, job_id: str) -> None:
        """The followed copies of the job's logs are gone, or housekeeping sees to what can't go now."""
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def _path(self, job: JobView, stream: Stream) -> Path:
        collected = [output for output in job.outputs if output.name == stream]
        if collected:
            return self._files.path(collected[-1].sha256)
        newest = max((attempt.n for attempt in job.attempts), default=0)
        return self._folder / job.id / str(newest) / stream

    def _follow(self, viewer: Viewer, job_id: str) -> None:
        with self._lock:
            if self._clock() - self._renewed.get(job_id, float("-inf")) < RENEW_S:
                return
            self._renewed[job_id] = self._clock()
            self._renewed.move_to_end(job_id)
            while len(self._renewed) > _MAX_REMEMBERED:
                self._renewed.popitem(last=False)
        self._store.follow(viewer, job_id, time.time() + FOLLOW_S)
