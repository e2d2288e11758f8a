"""Following a job: its states, why it waits, and its program's own lines, until it has ended."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from isthmus.cli.exits import ExitCode, code_of_state
from isthmus.cli.printing import console, emit, moment, shown, span, state_text
from isthmus.errors import IsthmusError
from isthmus.job import JobState

if TYPE_CHECKING:
    from rich.console import Group

    from isthmus.client import Client, Job, JobRecord

LOOK_S = 0.5
TAIL = 12
LONGEST_LINE = 2000


class Display(Protocol):
    """Shows what is learnt of one job."""

    def job(self, record: JobRecord) -> None: ...

    def line(self, text: str) -> None: ...

    def tick(self) -> None: ...

    def close(self) -> None: ...


def follow(gateway: Client, job: Job, *, as_json: bool) -> ExitCode:
    """The job has ended and all of it was shown; the code says how it ended. Ctrl-C ends the showing, not the job."""
    display: Display = _Documents() if as_json else _Screen() if console().is_terminal else _Lines()
    try:
        record = _watch(gateway, job, display)
    finally:
        display.close()
    return code_of_state(record.state)


def _watch(gateway: Client, job: Job, display: Display) -> JobRecord:
    news: queue.Queue[JobRecord | Exception] = queue.Queue()
    threading.Thread(target=_wait, args=(job, news), daemon=True).start()
    tails = [_Tail(gateway, job.id, stream, display.line) for stream in ("stdout", "stderr")]
    record = job.record
    display.job(record)
    while not record.state.is_final:
        found = _next(news, record)
        if found.started_at or found.state.is_final:
            for tail in tails:
                tail.read(to_end=found.state.is_final)
        if found != record:
            record = found
            display.job(record)
        display.tick()
    return record


def _wait(job: Job, news: queue.Queue[JobRecord | Exception]) -> None:
    try:
        job.wait(on_change=lambda changed: news.put(changed.record))
        news.put(job.record)
    except Exception as fault:  # it is raised again where it is read
        news.put(fault)


def _next(news: queue.Queue[JobRecord | Exception], record: JobRecord) -> JobRecord:
    """The next that was heard; the record itself when nothing is."""
    try:
        found = news.get(timeout=LOOK_S)
    except queue.Empty:
        return record
    if isinstance(found, Exception):
        raise found
    return found


class _Tail:
    """Reads one log on and hands its lines over, each whole."""

    def __init__(self, gateway: Client, job_id: str, stream: str, show: Callable[[str], None]) -> None:
        from isthmus.client.flows import LogReader

        self._gateway = gateway
        self._reader = LogReader(job_id, stream, follow=False)
        self._show = show
        self._rest = ""

    def read(self, *, to_end: bool) -> None:
        """What is new is shown; a last line without its end only when the log has ended."""
        try:
            while text := self._gateway.run(self._reader.now()):
                *lines, self._rest = (self._rest + text).split("\n")
                for line in lines:
                    self._show(line)
                if len(self._rest) > LONGEST_LINE:
                    self._show(self._rest)
                    self._rest = ""
        except IsthmusError:
            if to_end:  # the log of a job that never started, or whose logs are gone, is no reason to fail
                return
        if to_end and self._rest:
            self._show(self._rest)
            self._rest = ""


def ending(record: JobRecord) -> str:
    """One line on how a job stands or ended."""
    words = str(record.state)
    if record.cause and record.state in (JobState.FAILED, JobState.CANCELLED):
        words += f" ({record.cause})"
    if record.state.is_final and record.started_at and record.ended_at:
        words += f" after {span((record.ended_at - record.started_at).total_seconds())}"
    reason = record.evidence if record.state is JobState.FAILED else record.waiting_reason
    return f"{words}: {reason}" if reason else words


class _Documents:
    """One JSON document whenever the job has changed."""

    def job(self, record: JobRecord) -> None:
        emit(record.document)

    def line(self, text: str) -> None:
        """Documents only: `isthmus logs` has the lines."""

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """Nothing to put back."""


class _Lines:
    """A line for each change, and the program's own, for what is no terminal."""

    def job(self, record: JobRecord) -> None:
        print(f"{moment(record.state_at)} {ending(record)}", flush=True)

    def line(self, text: str) -> None:
        print(f"  | {shown(text)}", flush=True)

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """Nothing to put back."""


class _Screen:
    """A live picture on a terminal: the states with their durations, why it waits, the program's last lines."""

    def __init__(self) -> None:
        from rich.live import Live

        self._record: JobRecord | None = None
        self._states: dict[str, datetime] = {}
        self._lines: deque[str] = deque(maxlen=TAIL)
        self._live = Live(console=console(), auto_refresh=False)
        self._live.start()

    def job(self, record: JobRecord) -> None:
        self._record = record
        self._states.setdefault(str(record.state), record.state_at)
        self.tick()

    def line(self, text: str) -> None:
        self._lines.append(shown(text.rsplit("\r", maxsplit=1)[-1]))

    def tick(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def close(self) -> None:
        self.tick()
        self._live.stop()

    def _picture(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        record = self._record
        if record is None:
            return Group()
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        begun = list(self._states.items())
        for (state, since), (_, until) in zip(begun, [*begun[1:], ("", record.state_at)], strict=True):
            still = state == str(record.state)
            seconds = ((datetime.now(UTC) if still else until) - since).total_seconds()
            lasted = "" if still and record.state.is_final else span(seconds)
            table.add_row(moment(since), state_text(JobState(state)), lasted)
        title = Text(f"{record.application} {record.version} on {record.cluster}   {record.id}", style="bold")
        lines = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Group(title, table, Text(ending(record)), *lines)
