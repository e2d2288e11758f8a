"""What the client does, described apart from how it is done: a *flow* yields steps, a *driver* performs them.

The synchronous and the asynchronous client share every flow; each has only its own driver (`Driver.run`). A flow gets
a step's result back from `yield`, or the error it ended with.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Generic, TypeAlias, TypeVar, cast

import httpx

from isthmus.client.faults import NoConnection, unwritable
from isthmus.errors import StorageFault

T = TypeVar("T")
CHUNK = 1024 * 1024
READ_S = 30.0
RETRY_PAUSES_S = (0.1, 0.3, 0.6)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read. `repeatable`: sending it twice does no more than sending it once."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str | int | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    body: Path | BinaryIO | None = None
    password: tuple[str, str] | None = None
    repeatable: bool = False
    timeout_s: float = READ_S


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Ask for a stream of lines; the result goes into `NextLine`. It is closed when the flow ends."""

    call: Call[None]


@dataclass(frozen=True, slots=True)
class NextLine:
    """The stream's next line as text; None at its end."""

    stream: object


@dataclass(frozen=True, slots=True)
class Save:
    """Put the answer's body into the sink."""

    call: Call[None]
    sink: Sink


class Sink:
    """A file in the making: `target` appears whole, with the promised SHA-256, or not at all."""

    def __init__(self, target: Path, sha256: str) -> None:
        self.target = target
        self._expected = sha256
        self._part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")

    def __enter__(self) -> Sink:
        self._hash = hashlib.sha256()
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb")
        except OSError as fault:
            raise StorageFault(f"{self.target} {unwritable(fault)}") from fault
        return self

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as fault:
            raise StorageFault(f"{self.target} {unwritable(fault)}") from fault

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                self._finish()
        finally:
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._hash.hexdigest() != self._expected:
            raise StorageFault(f"{self.target.name} came damaged: its SHA-256 is not the gateway's; try again")
        self._part.replace(self.target)


Step: TypeAlias = "Call[object] | Pause | Open | NextLine | Save"
Flow: TypeAlias = Generator[Step, object, T]


def ask(call: Call[T]) -> Flow[T]:
    """The answer to one request, sent again after a pause when that can do no harm. NoConnection: still none."""
    return cast(T, (yield from _persist(cast("Call[object]", call), call.repeatable)))


def save(call: Call[None], sink: Sink) -> Flow[None]:
    """The sink's target holds the answer's body."""
    yield from _persist(Save(call, sink), call.repeatable)


def _persist(step: Step, repeatable: bool) -> Flow[object]:
    for pause_s in RETRY_PAUSES_S:
        try:
            return (yield step)
        except NoConnection as fault:
            if fault.was_sent and not repeatable:
                raise
        yield Pause(pause_s)
    return (yield step)


def open_lines(call: Call[None]) -> Flow[object]:
    return (yield Open(call))


def next_line(stream: object) -> Flow[str | None]:
    return cast("str | None", (yield NextLine(stream)))
