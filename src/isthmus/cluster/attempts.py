"""The attempts of a local cluster on disk: which files an attempt's directory holds, and what they say.

    attempts/<tag>/  order.json  job.sh  inputs/  work/  stdout  stderr
                     submit.<try>      link: a native id, or `close:<who>` if that try is closed
                     claim             link: `<native id>:<run>:<pid>.<start>.<boot>`, or `void:<epoch>`
                     program           pid of the program, once started
                     stop              why the supervisor ends it, `walltime` or `cancel`; there before any signal
                     exit.<run>.json   the end record
                     suppressed        wrappers that found the claim taken
    done/<tag>       link: the attempt is over for good, and its directory is gone or going

Links are made by symlink(2), which is atomic and says what it holds to whoever comes second. These files are the
truth; the supervisor keeps no other journal.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.facts import EndRecord, Voided
from isthmus.job import Resources

OVER = "this attempt is over, and its directory was discarded"
CLOSED = "close:"
VOID = "void:"
ORDER_FILE = "order.json"
SCRIPT_FILE = "job.sh"

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Malformed(ValueError):
    """A file of an attempt does not say what it should; the message names the file and the fault."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process for good: pids come again, but not with the same start (clock ticks) in the same boot."""

    pid: int
    started_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Holder:
    """The wrapper that holds a claim, and since when."""

    native_id: str
    run: int
    process: ProcessName
    since: float


@dataclass(frozen=True, slots=True)
class StagedOrder:
    """What the supervisor must know of an attempt to start it; `inputs` are bound into the sandbox, name to path."""

    tag: str
    job_id: str
    resources: Resources
    network: bool
    isolation: str
    inputs: Mapping[str, str]


def directory_of(root: Path, tag: str) -> Path:
    """Where the attempt lives. ValueError: that is no tag."""
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{tag!r} is no tag")
    return root / "attempts" / tag


def is_over(root: Path, tag: str) -> bool:
    """The attempt was discarded: nothing may stage or submit it again, however late it comes."""
    return (root / "done" / tag).is_symlink()


def hold(link: Path, words: str) -> str:
    """The link is there; returns what it holds: `words` if it was free. FileNotFoundError: no such attempt."""
    try:
        link.symlink_to(words)
    except FileExistsError:
        return str(link.readlink())
    return words


def sync(directory: Path) -> None:
    """The directory's entries are durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def native_id_of(directory: Path) -> str | None:
    """The native id that some submit marker of the attempt holds. FileNotFoundError: no such attempt."""
    with suppress(FileNotFoundError):  # nearly always the first try
        target = os.readlink(f"{directory}/submit.1")  # noqa: PTH115 (a Path costs more than the file system)
        if not target.startswith(CLOSED):
            return target
    for name in sorted(os.listdir(directory)):  # noqa: PTH208
        if name.startswith("submit."):
            target = os.readlink(f"{directory}/{name}")  # noqa: PTH115
            if not target.startswith(CLOSED):
                return target
    return None


def claim_of(directory: Path) -> Holder | Voided | None:
    """Who may start the program, None while nobody does."""
    link = f"{directory}/claim"
    try:
        return read_claim(os.readlink(link), os.lstat(link).st_mtime)  # noqa: PTH115 (as above)
    except FileNotFoundError:
        return None


def read_claim(text: str, since: float) -> Holder | Voided:
    """What a claim says. A claim nobody of ours writes is held all the same, by a process that can't be found."""
    if text.startswith(VOID):
        epoch = text.removeprefix(VOID)
        return Voided(int(epoch) if epoch.isdecimal() else 0)
    native_id, _, rest = text.partition(":")
    run, _, nonce = rest.partition(":")
    pid, _, born = nonce.partition(".")
    ticks, _, boot_id = born.partition(".")
    numbers = [int(word) if word.isdecimal() else 0 for word in (run, pid, ticks)]
    return Holder(native_id, numbers[0] or 1, ProcessName(numbers[1], numbers[2], boot_id), since)


def end_of(directory: Path, run: int) -> EndRecord | None:
    """The end record of a run, None where there is none (yet). Malformed: what lies there is no record."""
    file = directory / f"exit.{run}.json"
    try:
        body: object = json.loads(file.read_bytes())
        if not isinstance(body, dict):
            raise TypeError("no JSON object")
        return end_record_of(body)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as fault:
        raise Malformed(f"{file}: {fault!r}") from fault


def end_record_of(body: Mapping[str, object]) -> EndRecord:
    """What a wrapper wrote, read from its JSON. KeyError or TypeError: it is no end record."""
    signals = body["signals"]
    if not isinstance(signals, list):
        raise TypeError("signals is no list")
    return EndRecord(
        native_id=text_in(body, "native_id"),
        run=number_in(body, "run"),
        code=number_in(body, "code"),
        stopped_by=text_in(body, "stopped_by"),
        signals=tuple(str(name) for name in signals),
        host=text_in(body, "host"),
        started_at=_seconds_in(body, "started_at"),
        ended_at=_seconds_in(body, "ended_at"),
        cpu_s=None if body["cpu_s"] is None else _seconds_in(body, "cpu_s"),
        peak_memory_mib=None if body["peak_memory_mib"] is None else number_in(body, "peak_memory_mib"),
        oom_kills=None if body["oom_kills"] is None else number_in(body, "oom_kills"),
    )


# --- the order, as staging leaves it for the supervisor ------------------------------------------------------
def order_text(order: StagedOrder) -> str:
    """The order as the text of `order.json`."""
    return json.dumps(asdict(order), indent=1) + "\n"


def order_of(directory: Path) -> StagedOrder:
    """The order staged there. FileNotFoundError: nothing is; Malformed: it can't be read."""
    file = directory / ORDER_FILE
    try:
        body: object = json.loads(file.read_bytes())
        if not isinstance(body, dict):
            raise TypeError("no JSON object")
        resources, inputs = body["resources"], body["inputs"]
        return StagedOrder(
            tag=text_in(body, "tag"),
            job_id=text_in(body, "job_id"),
            resources=Resources(**resources),
            network=body["network"] is True,
            isolation=text_in(body, "isolation"),
            inputs={str(name): str(path) for name, path in inputs.items()},
        )
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as fault:
        raise Malformed(f"{file}: {fault!r}") from fault


# --- what JSON holds, checked -----------------------------------------------------------------------------------
def text_in(body: Mapping[str, object], key: str) -> str:
    """The text under a key. KeyError or TypeError: there is none."""
    value = body[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text: {value!r}")
    return value


def number_in(body: Mapping[str, object], key: str) -> int:
    """The whole number under a key. KeyError or TypeError: there is none."""
    value = body[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{key} is no whole number: {value!r}")
    return value


def _seconds_in(body: Mapping[str, object], key: str) -> float:
    value = body[key]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{key} is no number: {value!r}")
    return float(value)
