"""How much a user may hold: their uploads and their jobs' outputs, each content once.

Asked before something new is taken in. What runs already is always collected, so a user may come to hold more than
they may; then they can't submit or upload until they have deleted something.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from isthmus.config import LimitsConfig
from isthmus.errors import TooLarge
from isthmus.store import Store
from isthmus.store.usage import Usage

T = TypeVar("T")

KEPT_S = 10.0
"""How long an answer of the store is relied on for submissions: so much later may a limit be noticed."""

GIB = 1024**3
_MAX_KEPT = 10_000


class QuotaExceeded(TooLarge):
    """The user holds as much as they may."""

    code = "quota_exceeded"


class Quota:
    """Knows what users may hold and do hold; used by any number of threads."""

    def __init__(self, store: Store, limits: LimitsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._limits, self._clock = store, limits, clock
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._keeping = threading.Lock()

    def limit_bytes(self, name: str) -> int | None:
        """The most that the user of this name may hold; None: there is no limit."""
        gib = self._limits.users.get(name, self._limits.storage_gib)
        return int(gib * GIB) if gib else None

    def usage(self, user_id: str) -> Usage:
        """What the user takes up now."""
        found = self._store.usage(user_id)
        with self._lock:
            self._kept[user_id] = (self._clock() + KEPT_S, found.held_bytes)
            self._kept.move_to_end(user_id)
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return found

    def forget(self, user_id: str | None = None) -> None:
        """What the user holds is asked anew; None: what anybody does."""
        with self._lock:
            if user_id is None:
                self._kept.clear()
            else:
                self._kept.pop(user_id, None)

    def has_room(self, user_id: str, name: str) -> bool:
        """Whether the user is known to be below their limit, without asking the store."""
        limit = self.limit_bytes(name)
        held = self._held(user_id)
        return limit is None or (held is not None and held < limit)

    def check(self, user_id: str, name: str) -> None:
        """The user may take in something new. QuotaExceeded: they hold as much as they may."""
        if not self.has_room(user_id, name):
            self.room_bytes(user_id, name)

    def room_bytes(self, user_id: str, name: str) -> int | None:
        """How much more the user may hold, at least a byte; None: there is no limit. QuotaExceeded: nothing more."""
        limit = self.limit_bytes(name)
        if limit is None:
            return None
        held = self.usage(user_id).held_bytes
        if held >= limit:
            raise QuotaExceeded(_told(held, limit))
        return limit - held

    def too_large(self, user_id: str, name: str) -> QuotaExceeded:
        """What to tell a user whose file has more bytes than they have room for."""
        limit = self.limit_bytes(name) or 0
        return QuotaExceeded(f"there is no room for this file: {_told(self.usage(user_id).held_bytes, limit)}")

    def keep(self, user_id: str, name: str, size: int, store: Callable[[], T]) -> T:
        """What `store` gives, by which the user holds so many bytes more. QuotaExceeded: there is no room any more.

        Of files that came in at the same time, each of which fitted by itself, only so many are kept as fit together.
        """
        if self.limit_bytes(name) is None:
            return store()
        with self._keeping:
            room = self.room_bytes(user_id, name)
            if room is not None and size > room:
                raise self.too_large(user_id, name)
            try:
                return store()
            finally:
                self.forget(user_id)

    def _held(self, user_id: str) -> int | None:
        with self._lock:
            until, held = self._kept.get(user_id, (float("-inf"), 0))
        return held if self._clock() < until else None


def _told(held: int, limit: int) -> str:
    return (
        f"you hold {_size(held)} and may hold {_size(limit)}. Nothing of yours is lost, and jobs that run go on."
        " To make room, delete files you uploaded (My account, or `isthmus files rm`), and jobs that have ended, with"
        " their outputs"
    )


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 1024**2:.2f} MiB"
