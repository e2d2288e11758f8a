"""Wakes frozen controllers beside everything else, since whoever asks something meanwhile may have to wait for them."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.crash.rig import Child

_LOOK_S = 0.05
_HELD_S = 1.0


@dataclass(slots=True)
class Guard:
    """Wakes each controller some time after it froze, as `sleep_s` says.

    One that froze inside a transaction on SQLite is woken soon: it holds the file's only write lock, so that nobody can
    take over and nobody's request is answered until it is awake, or dead. No promise is broken by that.
    """

    controllers: Callable[[], list[Child]]
    sqlite: str | None
    sleep_s: Callable[[], float]
    _wake_at: dict[int, float] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Frozen controllers are looked after."""
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nobody is woken any more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            for child in self.controllers():
                if not child.is_frozen:
                    self._wake_at.pop(child.popen.pid, None)
                    continue
                at = self._wake_at.setdefault(child.popen.pid, time.monotonic() + self.sleep_s())
                if time.monotonic() >= at or (self.sqlite and self._is_held()):
                    child.send(signal.SIGCONT)

    def _is_held(self) -> bool:
        """Nobody can write, and not only because others do so in turns."""
        deadline = time.monotonic() + _HELD_S
        with closing(sqlite3.connect(self.sqlite or "", timeout=0, isolation_level=None)) as connection:
            while time.monotonic() < deadline:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    time.sleep(_LOOK_S)
                    continue
                connection.execute("ROLLBACK")
                return False
        return True
