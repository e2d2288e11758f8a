"""What an ended task left in its sandbox, read from its agent, where the gateway has no end record of it.

The node's script writes the record before it reports it, so a task that could not report (a gateway out of reach, an
executor killed) still tells its end. A sandbox whose script ended in order without a record has started nothing.
"""

from __future__ import annotations

import json
from math import isfinite

from isthmus.cluster.attempts import end_record_of
from isthmus.cluster.mesos.connection import Master
from isthmus.cluster.mesos.states import UNREAD, Launch, Remains
from isthmus.errors import NoAnswer
from isthmus.facts import EndRecord

_RECORD, _PROGRAM, _STOP = "exit.1.json", "program", "stop"  # as wrapper.sh and over_http.sh call them
_MOST_BYTES = 16 * 1024  # of an end record
_SIGNALS = 1000


async def remains_of(master: Master, launch: Launch) -> Remains:
    """What its sandbox shows; UNREAD if its folder is not there any more. NoAnswer."""
    folder = f"{launch.sandbox}/isthmus"
    found = await master.list_files(launch.agent_url, folder)
    if found is None:
        return UNREAD
    names = {path.rpartition("/")[2] for path, _, _ in found}
    if _RECORD not in names:
        return Remains(is_read=True, has_program=_PROGRAM in names)
    told = await _read(master, launch, _RECORD)
    word = await _read(master, launch, _STOP) if _STOP in names else b""
    return Remains(is_read=True, end=end_in(told, word, launch.task_id), has_program=True)


async def _read(master: Master, launch: Launch, name: str) -> bytes:
    found = await master.read_file(launch.agent_url, f"{launch.sandbox}/isthmus/{name}", 0, _MOST_BYTES)
    if found is None:
        raise NoAnswer(f"the agent at {launch.agent_url} lists {name} and does not have it")
    return found


def end_in(told: bytes, stop: bytes, task_id: str) -> EndRecord | None:
    """The end record in these bytes, None if that is none of this task's. `stop` is why the script ended the program.

    The program may write there as it likes, so nothing is taken that a record could not say.
    """
    try:
        body: object = json.loads(told)
        if not isinstance(body, dict):
            return None
        word = stop.decode().strip()
        if word in ("walltime", "cancel") and body.get("stopped_by") == "" and _is_cut(body):
            body["stopped_by"] = word  # TERM had come to wrapper.sh before the script could say why
        record = end_record_of(body)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return record if record.native_id == task_id and _is_sound(record) else None


def _is_cut(body: dict[str, object]) -> bool:
    code = body.get("code")
    return bool(body.get("signals")) or (isinstance(code, int) and code > 128)


def _is_sound(record: EndRecord) -> bool:
    seconds = (record.started_at, record.ended_at, record.cpu_s)
    counts = (record.peak_memory_mib, record.oom_kills)
    return (
        record.run == 1
        and 0 <= record.code <= 255
        and record.stopped_by in ("", "walltime", "cancel")
        and len(record.host) <= 255
        and record.host.isprintable()
        and len(record.signals) <= _SIGNALS
        and all(one is None or (isfinite(one) and 0 <= one < 1e11) for one in seconds)
        and all(one is None or 0 <= one < 2**31 for one in counts)
    )
