"""A job's life as stretches of time, one a state, drawn as a bar and told as a list; pure functions of its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isthmus.gateway.explanation import administrator_words
from isthmus.job import JobState
from isthmus.store.history import EventRow

WIDTH = 1000
"""The drawing's width in its own units."""
LEAST = 12
"""How wide the shortest stretch is drawn, so that seconds beside days can still be seen and pointed at."""
SHORT_S = 1.0
"""Steps that took less stand in one line with their neighbours."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One state from its event to the next one's; `until` is None for the state the job is in.

    `attempt` is 0 before the first one; `notes` is what became known with the change and while it lasted.
    """

    state: JobState
    since: float
    until: float | None
    attempt: int
    notes: tuple[str, ...]

    def lasted_s(self, now: float) -> float | None:
        """How long; None: it is a final state's, which doesn't pass."""
        if self.state.is_final and self.until is None:
            return None
        return max((now if self.until is None else self.until) - self.since, 0)


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a stretch is drawn, in the drawing's units."""

    x: float
    width: float
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Band:
    """Where an attempt is drawn."""

    x: float
    width: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the list: a stretch, or several short ones that followed one another."""

    stretches: tuple[Stretch, ...]

    @property
    def last(self) -> Stretch:
        return self.stretches[-1]

    @property
    def since(self) -> float:
        return self.stretches[0].since

    @property
    def notes(self) -> tuple[str, ...]:
        """What became known meanwhile, each once."""
        return tuple(dict.fromkeys(note for one in self.stretches for note in one.notes))

    def lasted_s(self, now: float) -> float | None:
        """How long all of them took; None: it is a final state."""
        lengths = [one.lasted_s(now) for one in self.stretches]
        return None if None in lengths else sum(length or 0.0 for length in lengths)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stretches in order, how they are told, and how they are drawn."""

    stretches: tuple[Stretch, ...]
    steps: tuple[Step, ...]
    bars: tuple[Bar, ...]
    bands: tuple[Band, ...]


def timeline_of(created_at: float, events: Sequence[EventRow], now: float) -> Timeline:
    """The states of a job accepted then, as its events tell of them."""
    stretches = tuple(_stretches(created_at, events))
    bars = tuple(_bars(stretches, now))
    return Timeline(stretches, tuple(_steps(stretches)), bars, tuple(_bands(bars)))


def _stretches(created_at: float, events: Sequence[EventRow]) -> Iterator[Stretch]:
    state, since, attempt = JobState.ACCEPTED, created_at, 0
    notes: list[str] = []
    for row in events:
        if row.kind != "state":
            notes += _notes_of(row)
            continue
        yield Stretch(state, since, row.at, attempt, tuple(notes))
        state, since, notes = JobState(str(row.body["to"])), row.at, _notes_of(row)
        attempt += state is JobState.STAGING_IN
    yield Stretch(state, since, None, attempt, tuple(notes))


def _notes_of(row: EventRow) -> list[str]:
    if row.kind in ("state", "waiting", "cancel_requested"):
        return list(event_words(row))
    return []


_NATIVE, _CODE = "native_id", "exit_code"


def event_words(row: EventRow) -> tuple[str, ...]:
    """What an event tells beside the state, in phrases."""
    return tuple(_words(row))


def _words(row: EventRow) -> Iterator[str]:
    body = row.body
    if row.kind == "waiting":
        yield f"waits: {body['reason']}" if body.get("reason") else "waits for nothing any more"
    if row.kind == "cancel_requested":
        who = row.body.get("administrator")
        yield f"cancelling was asked for by {administrator_words(str(who))}" if who else "cancelling was asked for"
    if row.kind == "changed":
        yield str(body.get("what") or f"called “{body.get('name', '')}” from now on, or its labels or place changed")
    if row.kind == "deleted":
        yield "deleted, and its files with it"
    if row.kind == "accepted":
        yield "stored by the gateway"
    if row.kind == "state":
        yield from _state_words(row)


def _state_words(row: EventRow) -> Iterator[str]:
    body = row.body
    if body.get(_NATIVE):
        yield f"known on the cluster as {body[_NATIVE]}"
    if isinstance(run := body.get("run"), int) and run > 1:
        yield f"run {run}"
    if body.get("evidence"):
        yield str(body["evidence"])
    elif body.get(_CODE) is not None:
        yield f"the program ended with exit code {body[_CODE]}"
    if body.get("word"):
        yield f"the cluster's word: {body['word']}"
    if body.get("reason"):
        yield str(body["reason"])


def _steps(stretches: Sequence[Stretch]) -> Iterator[Step]:
    """Short steps of one attempt, and of what led to it, stand together; running always stands by itself."""
    together: list[Stretch] = []
    for one in stretches:
        fits = not together or together[-1].attempt in (0, one.attempt)
        if _is_short(one) and fits:
            together.append(one)
            continue
        if together:
            yield Step(tuple(together))
        together = [one] if _is_short(one) else []
        if not together:
            yield Step((one,))
    if together:
        yield Step(tuple(together))


def _is_short(one: Stretch) -> bool:
    return one.state is not JobState.RUNNING and one.until is not None and one.until - one.since < SHORT_S


def _bars(stretches: Sequence[Stretch], now: float) -> Iterator[Bar]:
    """Each stretch as wide as it lasted, but none narrower than `LEAST`; a final state has just that."""
    lengths = [stretch.lasted_s(now) or 0.0 for stretch in stretches]
    whole = sum(lengths) or 1.0
    left = max(WIDTH - LEAST * len(stretches), 0)
    x = 0.0
    for stretch, length in zip(stretches, lengths, strict=True):
        width = min(LEAST, WIDTH / len(stretches)) + left * length / whole
        yield Bar(round(x, 1), round(width, 1), stretch)
        x += width


def _bands(bars: Sequence[Bar]) -> Iterator[Band]:
    for attempt in sorted({bar.stretch.attempt for bar in bars} - {0}):
        mine = [bar for bar in bars if bar.stretch.attempt == attempt and bar.stretch.state is not JobState.ACCEPTED]
        if mine:
            yield Band(mine[0].x, round(mine[-1].x + mine[-1].width - mine[0].x, 1), attempt)
