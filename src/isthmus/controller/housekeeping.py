"""What can wait: the cluster's description of itself, left directories, followed logs, files nothing refers to.

Everything here may be missed for days without harm, and killed at any line.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from isthmus.application.encoding import Json
from isthmus.cluster import Cluster
from isthmus.controller.counting import Calls
from isthmus.errors import IsthmusError, LeaseLost, NoAnswer
from isthmus.files import FileStore
from isthmus.store import Store
from isthmus.store.leases import Lease

_log = structlog.get_logger(__name__)

STATUS_S = 2.0
TIDY_S = 60.0
DAY_S = 86_400.0
LOG_KEPT_S = 600.0  # a followed log outlives its last growth by this: by then it is an output, or nobody looks


async def repeat(every_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """The work is done again and again; a fault of it is logged and waits for the next time. LeaseLost ends it."""
    while True:
        try:
            await work()
        except LeaseLost:
            raise
        except (IsthmusError, OSError) as fault:
            _log.warning("left for later", work=getattr(work, "__qualname__", ""), fault=str(fault))
        await asyncio.sleep(every_s)


@dataclass(frozen=True, slots=True)
class ClusterKeeping:
    """The slow duties towards one cluster, under its lease."""

    store: Store
    cluster: Cluster
    lease: Lease
    calls: Calls = field(default_factory=Calls)

    async def report(self) -> None:
        """The cluster's description of itself is where pages read it, with the calls that were made on it.

        NoAnswer: it is not heard of; the calls are told all the same, beside its last description.
        """
        try:
            status = asdict(await self.cluster.status())
        except NoAnswer:
            await asyncio.to_thread(self.store.report_calls, self.lease, self.cluster.name, self._counted())
            raise
        told = json.dumps(status | self._counted())
        await asyncio.to_thread(self.store.report_cluster, self.lease, self.cluster.name, told, time.time())

    def _counted(self) -> dict[str, Json]:
        failures: list[Json] = [{"at": one.at, "words": one.words} for one in self.calls.failures()]
        return {"calls_per_minute": dict(self.calls.per_minute()), "recent_failures": failures}

    async def tidy(self) -> None:
        """Directories of ended attempts are gone; many at once, since deleting files slows down who makes new ones."""
        tags = await self.cluster.tags()
        over = await asyncio.to_thread(self.store.ended_tags, self.cluster.name, sorted(tags))
        if over:
            await self.cluster.discard(sorted(over))


@dataclass(frozen=True, slots=True)
class HouseKeeping:
    """The duties towards the gateway itself, under its own lease."""

    store: Store
    files: FileStore
    logs: Path

    async def free_files(self) -> None:
        """Bytes that no job, upload or output refers to are gone from the file store."""
        await asyncio.to_thread(self.files.collect_garbage, self.store, time.time())

    async def free_orphans(self) -> None:
        """Bytes that no row ever came to are gone too; it reads the whole file store, so once a day will do."""
        await asyncio.to_thread(self.files.collect_orphans, self.store)

    async def forget_wishes(self) -> None:
        """Wishes whose time is over are forgotten."""
        await asyncio.to_thread(self.store.forget_old_wishes, time.time())

    async def give_up_letters(self) -> None:
        """Mails that nobody could send for a day, also since there is no mail server, are not tried any more."""
        await asyncio.to_thread(self.store.give_up_old_letters, time.time())

    async def drop_logs(self) -> None:
        """Followed logs that nobody has needed for a while are gone."""
        await asyncio.to_thread(self._drop_logs)

    def _drop_logs(self) -> None:
        for folder in self.logs.iterdir() if self.logs.is_dir() else ():
            newest = max((path.stat().st_mtime for path in folder.rglob("*") if path.is_file()), default=0.0)
            if time.time() - newest > LOG_KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
