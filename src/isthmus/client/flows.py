"""What takes more than one request: submitting with files, waiting, following a log, fetching outputs."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from isthmus.client import calls
from isthmus.client.call import Flow, Pause, Sink, ask, next_line, open_lines, save
from isthmus.client.faults import NoConnection, unreadable
from isthmus.client.query import PAGE, JobQuery
from isthmus.client.records import JobRecord, OutputRecord, UploadRecord
from isthmus.errors import Conflict, InputFault, InvalidInput, NotFound

QUIET_S = 20.0
"""The gateway's streams say something every 15 s; one that is quiet for longer is dead, or held back by a proxy."""

PATIENCE_S = 120.0
"""How long a wait goes on while the gateway can't be reached: long enough for its restart."""

RECONNECT_S = 0.5
LOG_LOOK_S = 0.5
LOG_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class OutputOf:
    """An input that is the output of an earlier job; `path` tells between several files of one output."""

    job: str
    output: str
    path: str | None = None


FileValue: TypeAlias = "Path | BinaryIO | UploadRecord | OutputOf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a submission says beside its inputs; None and empty leave it to the gateway, or to the parent's word."""

    cluster: str | None = None
    version: str | None = None
    name: str | None = None
    labels: Sequence[str] | None = None
    resources: Mapping[str, object] = field(default_factory=dict)
    notices: str | None = None
    project: str | None = None

    def document(self) -> dict[str, object]:
        said = {"cluster": self.cluster, "version": self.version, "name": self.name}
        said |= {"notices": self.notices, "project": self.project}
        given: dict[str, object] = {key: value for key, value in said.items() if value is not None}
        if self.labels is not None:
            given["labels"] = list(self.labels)
        if self.resources:
            given["resources"] = dict(self.resources)
        return given


# --- submitting ---------------------------------------------------------------------------------------------
def submit(application: str, values: Mapping[str, object], wanted: Wanted, key: str | None) -> Flow[JobRecord]:
    """The job is accepted and durable. Files among the values are uploaded first."""
    body = {"application": application, **(yield from _body(values, wanted))}
    return (yield from ask(calls.submit(body, key or secrets.token_urlsafe(24))))


def resubmit(
    job_id: str, values: Mapping[str, object], unset: Sequence[str], wanted: Wanted, key: str | None
) -> Flow[JobRecord]:
    """A new job is accepted: the earlier one's, with these changes."""
    body = {**(yield from _body(values, wanted)), "unset": list(unset)}
    return (yield from ask(calls.resubmit(job_id, body, key or secrets.token_urlsafe(24))))


def _body(values: Mapping[str, object], wanted: Wanted) -> Flow[dict[str, object]]:
    """The request's body; what can't be said in JSON is refused before any file is uploaded."""
    inputs = {name: value for name, value in values.items() if not _is_file(value) and not _is_files(value)}
    said = {**wanted.document(), "inputs": inputs}
    _check_json(said)
    files: dict[str, object] = {}
    for name, value in values.items():
        if _is_file(value):
            files[name] = yield from _file(name, cast("FileValue", value))
        elif _is_files(value):
            several: list[object] = []
            for one in cast("Sequence[FileValue]", value):
                several.append((yield from _file(name, one)))
            files[name] = several
    return {**said, "files": files}


def _is_file(value: object) -> bool:
    return isinstance(value, Path | UploadRecord | OutputOf) or hasattr(value, "read")


def _is_files(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_file, value))


def _check_json(said: Mapping[str, object]) -> None:
    """InvalidInput: JSON has no form for these fields, such as a number that is not finite (RFC 8259, section 6)."""
    fields: dict[str, object] = {}
    for name, value in said.items():
        parts = value.items() if isinstance(value, Mapping) else ()
        fields |= {f"{name}.{part}": one for part, one in parts} if parts else {name: value}
    faults = tuple(InputFault(name, *why) for name, one in fields.items() if (why := _unsayable(one)))
    if faults:
        raise InvalidInput(f"{faults[0].field}: {faults[0].message}", faults)


def _unsayable(value: object) -> tuple[str, str] | None:
    """Why the value can't be sent as JSON, as code and words; None if it can."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "wrong_type", "holds what is no text in UTF-8"
    except TypeError:
        return "wrong_type", f"can't be sent: {type(value).__name__} is no kind of value that JSON has"
    except ValueError:
        return "not_finite", "must be a finite number"
    return None


def _file(name: str, value: FileValue) -> Flow[object]:
    if isinstance(value, UploadRecord):
        return value.id
    if isinstance(value, OutputOf):
        origin = {"job": value.job, "output": value.output}
        return origin | ({"path": value.path} if value.path else {})
    return (yield from upload(value, field=f"files.{name}")).id


def upload(source: Path | BinaryIO, name: str | None = None, *, field: str = "file") -> Flow[UploadRecord]:
    """The file is on the gateway, under its own name unless another is given."""
    if isinstance(source, Path):
        _readable(source, field)
    elif isinstance(source, io.TextIOBase):
        words = "the file is open as text; open it with mode 'rb'"
        raise InvalidInput(words, (InputFault(field, "wrong_type", words),))
    own = source.name if isinstance(source, Path) else Path(str(getattr(source, "name", "file"))).name
    return (yield from ask(calls.upload(name or own, source)))


def _readable(path: Path, field: str) -> None:
    """Tells of a missing file before anything is sent."""
    try:
        with path.open("rb"):
            return
    except OSError as fault:
        words = f"{path} {unreadable(fault)}"
        raise InvalidInput(words, (InputFault(field, "unreadable_file", words),)) from fault


# --- waiting ------------------------------------------------------------------------------------------------
def wait(record: JobRecord, until: float | None, on_change: Callable[[JobRecord], None]) -> Flow[JobRecord]:
    """The job is final. `until` is on the monotonic clock; TimeoutError when it passes first.

    `on_change` hears of every record that differs from the one before. The gateway may restart meanwhile.
    """
    ear = _Ear(record, until, on_change)
    yield from ear.look()
    away_since: float | None = None
    while not ear.record.state.is_final:
        ear.check_time()
        try:
            yield from ear.listen()
            away_since = None
        except NoConnection:
            now = time.monotonic()
            away_since = away_since or now
            if now - away_since > PATIENCE_S:
                raise
        if not ear.record.state.is_final:
            yield Pause(ear.at_most(RECONNECT_S))
    return ear.record


@dataclass(slots=True)
class _Ear:
    """Listens to one job's events; each is a hint to read the job again, so none can be believed wrongly."""

    record: JobRecord
    until: float | None
    on_change: Callable[[JobRecord], None]
    last_id: str = ""

    def check_time(self) -> None:
        if self.until is not None and time.monotonic() >= self.until:
            raise TimeoutError(f"job {self.record.id} is still {self.record.state}")

    def at_most(self, seconds: float) -> float:
        return seconds if self.until is None else max(0.0, min(seconds, self.until - time.monotonic()))

    def hear(self, record: JobRecord) -> None:
        changed = record.seq != self.record.seq or record.waiting_reason != self.record.waiting_reason
        self.record = record
        if changed:
            self.on_change(record)

    def listen(self) -> Flow[None]:
        """Ends when the job is final or the stream ends; the job is read at least once.

        A read can't be told to end earlier once it waits, so near the deadline each event gets a new stream.
        """
        quiet_s = self.at_most(QUIET_S) or 0.01
        try:
            stream = yield from open_lines(calls.event_stream(self.record.id, self.last_id, quiet_s))
            yield from self.look()
            while not self.record.state.is_final:
                line = yield from next_line(stream)
                if line is None:
                    return
                if line.startswith("id:"):
                    self.last_id = line[3:].strip()
                if line == "":
                    yield from self.look()
                    if quiet_s < QUIET_S:
                        return
        except NoConnection:
            yield from self.look()

    def look(self) -> Flow[None]:
        self.hear((yield from ask(calls.job(self.record.id))))


class JobPages:
    """Reads a list of jobs on, page by page, up to `limit` jobs."""

    def __init__(self, query: JobQuery, limit: int | None) -> None:
        self._query = query
        self._left = limit
        self._cursor: str | None = None
        self._at_end = limit == 0

    def next(self) -> Flow[tuple[JobRecord, ...]]:
        """The next page; empty at the end."""
        if self._at_end:
            return ()
        size = PAGE if self._left is None else min(PAGE, self._left)
        page = yield from ask(calls.page(self._query.params(self._cursor, size)))
        self._cursor = page.next_cursor
        self._left = None if self._left is None else self._left - len(page.jobs)
        self._at_end = page.next_cursor is None or self._left == 0
        return page.jobs


class SharedPages:
    """Reads what others show to the caller on, page by page."""

    def __init__(self) -> None:
        self._before: str | None = None
        self._at_end = False

    def next(self) -> Flow[tuple[JobRecord, ...]]:
        """The next page; empty at the end."""
        if self._at_end:
            return ()
        page = yield from ask(calls.shared(self._before))
        self._before, self._at_end = page.next_before, page.next_before is None
        return page.jobs


def share_body(user: str | None, project: str | None, link: bool, days: int | None) -> dict[str, object]:
    """What says whom a job is shown to, and for how long."""
    said = {"user": user, "project": project, "link": link or None, "days": days}
    return {key: value for key, value in said.items() if value is not None}


# --- logs and outputs ---------------------------------------------------------------------------------------
class LogReader:
    """Reads a log on from where it stands, as text; `offset` counts bytes, and from the end when negative."""

    def __init__(self, job_id: str, stream: str, *, follow: bool, offset: int = 0) -> None:
        self._job_id = job_id
        self._stream = stream
        self._follow = follow
        self._offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def next(self) -> Flow[str | None]:
        """The next piece; None at the end: of the whole log when following, else of what is there now."""
        while True:
            piece = yield from self._piece()
            if text := self._decoder.decode(piece.content):
                return text
            if piece.complete or not (self._follow or piece.content):
                return self._decoder.decode(b"", final=True) or None
            if not piece.content:
                yield Pause(LOG_LOOK_S)

    def now(self) -> Flow[str]:
        """What is new; empty when nothing is."""
        return self._decoder.decode((yield from self._piece()).content)

    def _piece(self) -> Flow[calls.LogPiece]:
        piece = yield from ask(calls.log(self._job_id, self._stream, self._offset, LOG_PIECE))
        self._offset = piece.next_offset
        return piece


def download(job_id: str, folder: Path, names: Iterable[str], overwrite: bool) -> Flow[tuple[Path, ...]]:
    """The job's outputs (those named; all, if none is) are files below the folder. NotFound: no output of a name.

    Conflict, unless `overwrite`: a file of other content is in the way; then none is fetched.
    """
    wanted = set(names)
    found = yield from ask(calls.outputs(job_id))
    if missing := wanted - {output.name for output in found}:
        there = ", ".join(sorted({output.name for output in found})) or "none"
        raise NotFound(f"job {job_id} has no output {', '.join(sorted(missing))}; its outputs: {there}")
    targets = [(_below(folder, output), output) for output in found if not wanted or output.name in wanted]
    if not overwrite:
        _check_room(targets)
    for target, output in targets:
        yield from save(calls.output_content(job_id, output), Sink(target, output.sha256))
    return tuple(target for target, _ in targets)


def _check_room(targets: Iterable[tuple[Path, OutputRecord]]) -> None:
    """Conflict: a file that is there holds something else than the output that is to go there."""
    taken = [target for target, output in targets if target.exists() and not _holds(target, output)]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise Conflict(f"nothing was fetched: {taken[0]}{more} would be overwritten, with other content")


def _holds(path: Path, output: OutputRecord) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != output.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == output.sha256
    except OSError:
        return False


def _below(folder: Path, output: OutputRecord) -> Path:
    """Where the output goes. The gateway is not trusted to name a path: one that leaves the folder is refused."""
    target = folder / (output.path or output.name)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(f"the output {output.name} names a path outside the folder: {output.path}")
    return target
