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
from isthmus.store import Store, Wish

_log = structlog.get_logger(__name__)

LOOK_S = 0.25
CHUNK = 256 * 1024
MOST_A_LOOK = 8 * CHUNK  # a chatty program must not hold the loop up; the rest comes at the next look
MOST_AT_ONCE = 50  # jobs whose logs are looked at, or are waited for
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class LogFollower:
    """Copies the followed logs of one cluster; `folder` holds one folder a job."""

    store: Store
    cluster: Cluster
    folder: Path

    async def run(self) -> None:
        """Followed logs grow until the task is cancelled; a cluster that does not answer is asked again.

        Each job's log is looked at by itself, so that a node which does not answer holds no other's up.
        """
        looks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(LOOK_S)
                looks = {tag: look for tag, look in looks.items() if not look.done()}
                for wish in await asyncio.to_thread(self.store.wishes, self.cluster.name, time.time()):
                    if wish.tag not in looks and len(looks) < MOST_AT_ONCE:
                        looks[wish.tag] = group.create_task(self._look(wish))

    async def _look(self, wish: Wish) -> None:
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
