"""The independent witness: what really happened, beside what Isthmus says of it.

It imports nothing of Isthmus. What happened, it reads from the *ledger* that the programs themselves write, and from
the scheduler's own record; what Isthmus says, by plain SELECTs. `judge` holds the two against each other and counts

    lost        accepted, and unknown or without a final state when everything had time to end
    run_twice   two starts of one attempt, or a start of another attempt that was not allowed
    wrong       a word about a job that the ledger contradicts
    duplicates  one request that became two jobs, or one submission with two native ids
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import inf
from pathlib import Path

import psycopg

CLOCK_S = 0.1
"""How far two readings of the machine's clocks may lie apart: the ledger's is cut to hundredths of a second."""

START_S = 2.0
"""How long a busy machine may take from a claim to the first line of the program."""

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
NEEDS_A_START = frozenset({"RUNNING", "STAGING_OUT", "COMPLETED"})


class Kind(StrEnum):
    """What a ledger program does; see program.sh."""

    QUICK = "quick"
    NAP = "nap"
    FAIL = "fail"
    POLITE = "polite"
    ENDLESS = "endless"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a user's, and every answer it got: the same job's id, however often it was repeated."""

    name: str
    kind: Kind
    answers: tuple[str, ...] = ()
    cancelled: bool = False
    restartable: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A program told that it starts."""

    tag: str
    uuid: str
    at: float
    pid: int


@dataclass(frozen=True, slots=True)
class End:
    """A program told that it ends, with which code, and whether of itself."""

    tag: str
    uuid: str
    at: float
    code: int
    natural: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every start, and the end of those that got so far, by the uuid of the start."""

    starts: tuple[Start, ...] = ()
    ends: Mapping[str, End] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One state that was shown, and when it was decided."""

    at: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One job as Isthmus shows it."""

    id: str
    name: str
    state: str
    cause: str | None
    evidence: str
    exit_code: int | None
    tags: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the scheduler's own record."""

    at: float
    deed: str
    tag: str
    native_id: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that `judge` needs. `struck` are the tags whose wrapper or program was killed from outside."""

    asked: Sequence[Asked]
    shown: Sequence[Shown]
    ledger: Ledger
    accounting: Sequence[Entry] = ()
    struck: Collection[str] = frozenset()
    alive: Callable[[Start], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, in sentences; all empty when every promise was kept."""

    lost: tuple[str, ...] = ()
    run_twice: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.run_twice or self.wrong or self.duplicates)

    def __str__(self) -> str:
        found = (("lost", self.lost), ("run twice", self.run_twice), ("wrong", self.wrong), ("twice", self.duplicates))
        return "\n".join(f"{name}: {sentence}" for name, sentences in found for sentence in sentences)


def judge(evidence: Evidence) -> Verdict:
    """Every broken promise, in sentences."""
    by_id = {job.id: job for job in evidence.shown}
    return Verdict(
        lost=tuple(_lost(evidence.asked, by_id)),
        run_twice=tuple(_run_twice(evidence)),
        wrong=tuple(sentence for job in evidence.shown for sentence in _wrong(job, evidence)),
        duplicates=tuple(_duplicates(evidence)),
    )


# --- lost, run twice, duplicates ------------------------------------------------------------------------------
def _lost(asked: Iterable[Asked], shown: Mapping[str, Shown]) -> Iterator[str]:
    for request in asked:
        for job_id in request.answers[:1]:
            if job_id not in shown:
                yield f"{request.name} was accepted as {job_id}, which nobody knows"
            elif shown[job_id].state not in FINAL:
                yield f"{request.name} ({request.kind}) stays {shown[job_id].state}"


def _run_twice(evidence: Evidence) -> Iterator[str]:
    by_tag = defaultdict(list)
    for start in evidence.ledger.starts:
        by_tag[start.tag].append(start)
    for tag, starts in by_tag.items():
        if len(starts) > 1:
            yield f"the program of {tag} was started {len(starts)} times"
    restartable = {request.name for request in evidence.asked if request.restartable}
    for job in evidence.shown:
        starts = sorted((s for tag in job.tags for s in by_tag.get(tag, ())), key=lambda start: start.at)
        if len(starts) > 1 and job.name not in restartable:
            yield f"{job.name} was started {len(starts)} times, and is not restartable"
        yield from _overlaps(job, starts, evidence)


def _overlaps(job: Shown, starts: Sequence[Start], evidence: Evidence) -> Iterator[str]:
    """A restart must come after the end of the one before: as the program told it, or the scheduler's record."""
    for earlier, later in pairwise(starts):
        end = evidence.ledger.ends.get(earlier.uuid)
        over = [entry.at for entry in evidence.accounting if entry.deed == "end" and entry.tag == earlier.tag]
        ended_at = end.at if end else min(over, default=inf)
        if ended_at > later.at + CLOCK_S:
            yield f"{job.name} was started again before {earlier.tag} had ended"


def _duplicates(evidence: Evidence) -> Iterator[str]:
    names = defaultdict(list)
    for job in evidence.shown:
        names[job.name].append(job.id)
    for request in evidence.asked:
        if len(jobs := {*names[request.name], *request.answers}) > 1:
            yield f"{request.name} was asked for once and became {len(jobs)} jobs"
    native_ids = defaultdict(set)
    for entry in evidence.accounting:
        if entry.deed == "submit":
            native_ids[entry.tag].add(entry.native_id)
    for tag, ids in native_ids.items():
        if len(ids) > 1:
            yield f"{tag} was submitted {len(ids)} times: {', '.join(sorted(ids))}"


# --- false words ----------------------------------------------------------------------------------------------
def _wrong(job: Shown, evidence: Evidence) -> Iterator[str]:
    starts = [start for start in evidence.ledger.starts if start.tag in job.tags]
    ends = [evidence.ledger.ends[start.uuid] for start in starts if start.uuid in evidence.ledger.ends]
    struck = any(tag in evidence.struck for tag in job.tags)
    asked = next((request for request in evidence.asked if job.id in request.answers), None)
    yield from _wrong_steps(job)
    yield from _wrong_times(job, starts, ends, evidence.alive)
    if not struck:
        stops = [entry.at for entry in evidence.accounting if entry.deed == "stop" and entry.tag in job.tags]
        yield from _wrong_progress(job, starts, ends, min(stops, default=inf))
    if job.state in FINAL:
        if not job.cause or not job.evidence:
            yield f"{job.name} is {job.state} without a cause or evidence"
        yield from _wrong_end(job, starts, ends, asked, struck)


def _wrong_steps(job: Shown) -> Iterator[str]:
    before = "ACCEPTED"
    for step in job.steps:
        if before in FINAL:
            yield f"{job.name} was shown {step.after} after it was {before}"
        elif step.before != before:
            yield f"{job.name} went from {step.before}, though {before} was shown"
        before = step.after
    if before != job.state:
        yield f"{job.name} is {job.state}, though {before} was shown last"


def _wrong_times(
    job: Shown, starts: Sequence[Start], ends: Sequence[End], alive: Callable[[Start], bool]
) -> Iterator[str]:
    final_at = next((step.at for step in job.steps if step.after in FINAL), None)
    if final_at is None:
        return
    ended = {end.uuid for end in ends}
    for start in starts:
        if start.at > final_at + CLOCK_S:
            yield f"the program of {job.name} started {start.at - final_at:.2f} s after {job.state} was decided"
        if start.uuid not in ended and alive(start):
            yield f"{job.name} is {job.state}, and its program still runs"
    for end in ends:
        if end.at > final_at + CLOCK_S:
            yield f"the program of {job.name} ended {end.at - final_at:.2f} s after {job.state} was decided"


def _wrong_progress(job: Shown, starts: Sequence[Start], ends: Sequence[End], stopped_at: float) -> Iterator[str]:
    """Words about a program that nobody hit: it was started when that is said, and had ended when that is said.

    One that the scheduler stopped as it started may have got its TERM before its first line. Stopped later, or shown
    as COMPLETED, it must have told of its start.
    """
    shown_at = min((step.at for step in job.steps if step.after in NEEDS_A_START), default=inf)
    excused = job.state != "COMPLETED" and stopped_at <= shown_at + START_S
    for step in job.steps:
        if step.after in NEEDS_A_START and not starts and not excused:
            yield f"{job.name} was shown {step.after}, and its program never started"
        if step.after == "STAGING_OUT" and ends and min(end.at for end in ends) > step.at + CLOCK_S:
            yield f"{job.name} was shown STAGING_OUT before its program ended"


def _wrong_end(
    job: Shown, starts: Sequence[Start], ends: Sequence[End], asked: Asked | None, struck: bool
) -> Iterator[str]:
    codes = {end.code for end in ends}
    natural = {end.code for end in ends if end.natural}
    match job.state:
        case "COMPLETED" if codes != {0} or not starts:
            yield f"{job.name} is COMPLETED, and its program told {sorted(codes) or 'no end'}"
        case "FAILED" if not struck and (0 in natural or not codes):
            yield f"{job.name} is FAILED ({job.cause}), and its program told {sorted(codes) or 'no end'}"
        case "CANCELLED" if asked is not None and not asked.cancelled:
            yield f"{job.name} is CANCELLED, and nobody asked for that"
        case "CANCELLED" if 0 in natural and not struck:
            yield f"{job.name} is CANCELLED, and its program ended by itself with 0"
    if codes and job.exit_code is not None and job.exit_code not in codes and not struck:
        yield f"{job.name} shows exit code {job.exit_code}, and its program gave {sorted(codes)}"


# --- reading --------------------------------------------------------------------------------------------------
def read_ledger(path: Path) -> Ledger:
    """What the programs told, in their own words; ValueError where a line is not one of theirs."""
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    starts, ends = [], {}
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        match line.split():
            case ["start", tag, uuid, uptime, pid]:
                starts.append(Start(tag, uuid, booted_at + float(uptime), int(pid)))
            case ["end", tag, uuid, uptime, code, why]:
                ends[uuid] = End(tag, uuid, booted_at + float(uptime), int(code), why == "natural")
            case _:
                raise ValueError(f"{path}: not a line of a ledger: {line!r}")
    return Ledger(tuple(starts), ends)


def read_accounting(path: Path) -> list[Entry]:
    """The scheduler's record; a line that its writer's death cut short is none."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            body = json.loads(line)
        except ValueError:
            continue
        entries.append(Entry(body["at"], body["deed"], body["tag"], body["native_id"]))
    return entries


def read_struck(path: Path) -> frozenset[str]:
    """The tags hit by a deed that may have cut off a wrapper or a program; a delay cuts nothing off."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else ()
    return frozenset(line.split()[1] for line in lines if "kill" in line.split()[0])


def runs_still(ledger: Path) -> Callable[[Start], bool]:
    """Whether the process of a start is there and is a program that writes to this ledger."""

    def alive(start: Start) -> bool:
        try:
            return str(ledger).encode() in Path(f"/proc/{start.pid}/cmdline").read_bytes()
        except OSError:
            return False

    return alive


_JOBS = "SELECT number, id, name, state, cause, evidence, exit_code FROM jobs ORDER BY number"
_TAGS = "SELECT a.job, s.tag FROM attempts a JOIN submissions s ON s.id = a.submission_id ORDER BY a.job, a.n"
_STEPS = "SELECT job, at, body FROM events WHERE kind = 'state' ORDER BY id"


def read_shown(database_url: str) -> list[Shown]:
    """Every job as the database shows it, with the states that were shown before."""
    jobs, tags, steps = select(database_url, (_JOBS, _TAGS, _STEPS))
    tags_of, steps_of = defaultdict(list), defaultdict(list)
    for number, tag in tags:
        tags_of[number].append(str(tag))
    for number, at, text in steps:
        body = json.loads(text) if isinstance(text, str) else text
        assert isinstance(at, float) and isinstance(body, dict)
        steps_of[number].append(Step(at, str(body["from"]), str(body["to"])))
    return [
        Shown(
            id=str(job_id),
            name=str(name),
            state=str(state),
            cause=None if cause is None else str(cause),
            evidence=str(evidence or ""),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            tags=tuple(tags_of[number]),
            steps=tuple(steps_of[number]),
        )
        for number, job_id, name, state, cause, evidence, exit_code in jobs
    ]


def read_states(database_url: str) -> dict[str, str]:
    """Each job's state by its name: the little of `read_shown` that can be asked for often."""
    (rows,) = select(database_url, ("SELECT name, state FROM jobs",))
    return {str(name): str(state) for name, state in rows}


def select(database_url: str, statements: Sequence[str]) -> list[list[tuple[object, ...]]]:
    """The rows of each statement, all as of one moment."""
    kind, _, rest = database_url.partition("://")
    if kind.startswith("postgresql"):
        with psycopg.connect(f"postgresql://{rest}", autocommit=False) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return [list(connection.execute(statement.encode())) for statement in statements]
    with closing(sqlite3.connect(f"file:{rest.removeprefix('/')}?mode=ro", uri=True, isolation_level=None)) as lite:
        lite.execute("BEGIN")
        return [list(lite.execute(statement)) for statement in statements]
