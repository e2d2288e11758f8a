"""Places where the crash suite may stop a process: nothing happens unless ISTHMUS_FAILPOINTS is set.

    ISTHMUS_FAILPOINTS="controller.after_apply=kill:3,supervisor.before_start=freeze"

`kill:3` sends SIGKILL to the process when it reaches the place for the third time; `freeze` sends SIGSTOP (the suite
wakes it later); a number is optional and defaults to 1. A place fires once a process.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


def _armed(text: str) -> dict[str, tuple[signal.Signals, int]]:
    armed = {}
    for entry in filter(None, text.split(",")):
        place, _, what = entry.partition("=")
        deed, _, count = what.partition(":")
        armed[place] = (_SIGNALS[deed], int(count or 1))
    return armed


_ARMED = _armed(os.environ.get("ISTHMUS_FAILPOINTS", ""))
_REACHED: Counter[str] = Counter()


def reach(place: str) -> None:
    """The process goes on, unless the crash suite has armed this place."""
    if place not in _ARMED:
        return
    deed, count = _ARMED[place]
    _REACHED[place] += 1
    if _REACHED[place] == count:
        os.kill(os.getpid(), deed)
