"""What LocalCluster and its supervisor say to each other: one JSON object a line, over a Unix socket.

    {"ask": "submit", "tries": [["gabc", 1]]}    {"submitted": {"gabc": {"accepted": "3.17"}}}
    {"ask": "list", "tags": ["gabc"]}            {"listed": {"gabc": {"native_id": "3.17", "state": "RUNNING", …}}}
    {"ask": "cancel", "tags": ["gabc"]}          {}
    {"ask": "status"}                            {"status": {…}}

An answer `{"fault": words}` means that the question was not understood. Questions may be asked again without harm.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.cluster.attempts import number_in, text_in
from isthmus.facts import Accepted, Listed, NeverSubmitted, Rejected
from isthmus.job import Cause, SchedulerState

SOCKET = "supervisor.sock"
LINE_LIMIT = 64 * 1024 * 1024
"""Bytes of one line: enough for a listing of a hundred thousand attempts."""

Body = Mapping[str, object]
Answer = Accepted | Rejected | NeverSubmitted


@dataclass(frozen=True, slots=True)
class SupervisorStatus:
    """The supervisor's description of itself and its machine; memory in MiB."""

    pid: int
    queued: int
    running: int
    cpus: int
    cpus_used: int
    memory_mib: int
    memory_used_mib: int
    gpus: int
    gpus_used: int
    isolation: str
    notes: tuple[str, ...]


def socket_path(directory: int) -> str:
    """The socket below an open directory: a path that stays below the 108 bytes a socket's may have."""
    return f"/proc/self/fd/{directory}/{SOCKET}"


def open_socket(root: Path) -> tuple[socket.socket, str, int]:
    """An unconnected socket, its path, and the directory's descriptor that the path needs until it is used."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), socket_path(directory), directory


# --- submissions ---------------------------------------------------------------------------------------------
def answer_to_json(answer: Answer) -> dict[str, str]:
    match answer:
        case Accepted(native_id):
            return {"accepted": native_id}
        case Rejected(words):
            return {"rejected": words}
        case NeverSubmitted():
            return {"closed": ""}


def answer_from_json(body: Body) -> Answer:
    """The answer that `answer_to_json` wrote. KeyError: it did not."""
    if "accepted" in body:
        return Accepted(text_in(body, "accepted"))
    if "rejected" in body:
        return Rejected(text_in(body, "rejected"))
    text_in(body, "closed")
    return NeverSubmitted()


# --- listings --------------------------------------------------------------------------------------------------
def listed_to_json(listed: Listed) -> dict[str, object]:
    return asdict(listed)


def listed_from_json(body: Body) -> Listed:
    """The line of a listing that `listed_to_json` wrote. KeyError, TypeError or ValueError: it did not."""
    cause = body["cause"]
    return Listed(
        native_id=text_in(body, "native_id"),
        state=SchedulerState(text_in(body, "state")),
        word=text_in(body, "word"),
        reason=text_in(body, "reason"),
        cause=None if cause is None else Cause(str(cause)),
        proved_ended=body["proved_ended"] is True,
    )


# --- status ------------------------------------------------------------------------------------------------------
def status_from_json(body: Body) -> SupervisorStatus:
    """The status that was sent as a dict of its fields. KeyError or TypeError: it was not."""
    notes = body["notes"]
    if not isinstance(notes, list):
        raise TypeError("notes is no list")
    return SupervisorStatus(
        pid=number_in(body, "pid"),
        queued=number_in(body, "queued"),
        running=number_in(body, "running"),
        cpus=number_in(body, "cpus"),
        cpus_used=number_in(body, "cpus_used"),
        memory_mib=number_in(body, "memory_mib"),
        memory_used_mib=number_in(body, "memory_used_mib"),
        gpus=number_in(body, "gpus"),
        gpus_used=number_in(body, "gpus_used"),
        isolation=text_in(body, "isolation"),
        notes=tuple(str(note) for note in notes),
    )
