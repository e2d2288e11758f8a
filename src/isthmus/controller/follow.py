"""Live logs: what somebody follows is copied from the cluster into a file that the web process can read.

The web process holds no access to any cluster; it writes the wish and reads `<home>/logs/JOB/ATTEMPT/STREAM`. A follow
costs one read of new bytes a look, however many people look.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from isthmus.cluster import Cluster
from isthmus.errors import NoAnswer
from isthmus.store import Store

_log = structlog.get_logger(__name__)

LOOK_S = 0.25
CHUNK = 256 * 1024
MOST_A_LOOK = 8 * CHUNK  # a chatty program must not hold the loop up; the rest comes at the next look
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class LogFollower:
    """Copies the followed logs of one cluster; `folder` holds one folder a job."""

    store: Store
    cluster: Cluster
    folder: Path

    async def run(self) -> None:
        """Followed logs grow until the task is cancelled; a cluster that does not answer is asked again."""
        while True:
            await asyncio.sleep(LOOK_S)
            for wish in await asyncio.to_thread(self.store.wishes, self.cluster.name, time.time()):
                try:
                    for stream in STREAMS:
                        await self._copy(wish.tag, self.folder / wish.job_id / str(wish.attempt) / stream)
                except (NoAnswer, OSError) as fault:
                    _log.warning("a log could not be followed", job=wish.job_id, fault=str(fault))

    async def _copy(self, tag: str, path: Path) -> None:
        offset = start = path.stat().st_size if path.exists() else 0
        while offset - start < MOST_A_LOOK:
            piece = await self.cluster.read_log(tag, path.name, offset, CHUNK)
            if not piece:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as log:
                log.write(piece)
            offset += len(piece)
