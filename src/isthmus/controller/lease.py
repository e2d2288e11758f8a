"""Holding a lease: one controller acts for a cluster, and another takes over when it is dead or frozen.

A lease is a row: holder, epoch, beat. It may be taken
 1. when nobody holds it, or its holder gave it up;
 2. at once, when its holder ran on this machine and the kernel says it is dead (its lock file is free);
 3. when its beat stood still for `timeout_s` on our own monotonic clock, whatever its holder believes.
The epoch grows with every taking, and every write of the store checks it: a holder that wakes up late writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import LeaseLost, StorageFault
from isthmus.store import Store
from isthmus.store.leases import Lease, LeaseRow

_LOOK_S = 0.2


def this_machine() -> str:
    """Names this machine until its next restart."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()}/{boot_id}"


@dataclass(frozen=True, slots=True)
class Held:
    """A lease in our hands, and the descriptor of its lock file."""

    lease: Lease
    lock: int


@dataclass(frozen=True, slots=True)
class LeaseKeeper:
    """Takes and keeps leases for this process. `locks` is a folder on a local disk."""

    store: Store
    locks: Path
    timeout_s: float = 15.0

    @contextlib.asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[Held]:
        """The lease is ours when the block begins, and given up when it ends; waits as long as it takes to get it.

        It stays ours only while `keep` runs beside the block's work.
        """
        lock = self._open_lock(name)
        try:
            lease = await self._take(name, lock)
            try:
                yield Held(lease, lock)
            finally:
                with contextlib.suppress(LeaseLost, StorageFault):
                    await asyncio.to_thread(self.store.give_up, lease)
        finally:
            os.close(lock)

    async def keep(self, held: Held) -> None:
        """The lease is beaten until the task is cancelled. LeaseLost: another has taken over."""
        while True:
            await asyncio.sleep(self.timeout_s / 5)
            _lock_now(held.lock)  # a frozen holder before us may have kept it until now
            with contextlib.suppress(StorageFault):
                await asyncio.to_thread(self.store.beat, held.lease)

    def _open_lock(self, name: str) -> int:
        self.locks.mkdir(parents=True, exist_ok=True)
        return os.open(self.locks / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def _take(self, name: str, lock: int) -> Lease:
        me = f"{this_machine()}/{os.getpid()}/{secrets.token_hex(4)}"
        seen, still_since = None, time.monotonic()
        while True:
            row = await asyncio.to_thread(self.store.lease_row, name)
            if row != seen:
                seen, still_since = row, time.monotonic()
            stands_still = time.monotonic() - still_since >= self.timeout_s
            if (_is_free(row) or _holder_is_dead(row, lock) or stands_still) and (
                lease := await asyncio.to_thread(self.store.take, name, me, row)
            ):
                _lock_now(lock)
                return lease
            await asyncio.sleep(_LOOK_S)


def _is_free(row: LeaseRow | None) -> bool:
    return row is None or not row.holder


def _holder_is_dead(row: LeaseRow | None, lock: int) -> bool:
    """A holder of this machine holds the lock as long as it lives; one of another machine, or boot, can't be asked."""
    return row is not None and row.holder.startswith(this_machine() + "/") and _lock_now(lock)


def _lock_now(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
