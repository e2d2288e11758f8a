"""What is known of an attempt whose wrapper is gone."""

from __future__ import annotations

import logging
from pathlib import Path

from isthmus.cluster.attempts import Holder, Malformed, end_of
from isthmus.cluster.supervisor.stop import Stop, stop_word
from isthmus.facts import EndRecord, Listed
from isthmus.job import Cause, SchedulerState

_UNRECORDED = 74
"""The exit code of a wrapper whose program ended and whose disk was full."""

_log = logging.getLogger("isthmus.supervisor")


def record_of(directory: Path, run: int) -> EndRecord | None:
    """The end record of a run; None where there is none, or none that can be read."""
    try:
        return end_of(directory, run)
    except Malformed as fault:
        _log.warning("%s", fault)
        return None


def without_record(directory: Path, holder: Holder, code: int | None, boot_id: str) -> Listed:
    """How an attempt without an end record is listed. `code` is its wrapper's, None where that was no child of ours."""
    if holder.process.boot_id != boot_id:
        return ended(holder.native_id, "machine restarted", Cause.NODE_FAILURE)
    if code == _UNRECORDED:
        return ended(holder.native_id, "ended, but its end record could not be written", None)
    killed = code is not None and code < 0  # of another's child nobody learns how it ended
    word = "killed" if killed else "ended without a record"
    match stop_word(directory):
        case Stop.WALLTIME:
            return ended(holder.native_id, word, Cause.WALLTIME)
        case Stop.CANCEL:
            return ended(holder.native_id, word, Cause.CANCELLED_ON_CLUSTER)
    return ended(holder.native_id, word, Cause.SIGNAL if killed else None)


def ended(native_id: str, word: str, cause: Cause | None) -> Listed:
    """The listing of an attempt of which nothing runs any more."""
    return Listed(native_id, SchedulerState.ENDED, word, cause=cause, proved_ended=True)
