"""(a) How long POST /jobs takes with 8 clients, beside 8 processes that only put the same bytes on the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.connection import Connection, submission
from bench.figures import Figure, Peer, Target, percentile
from bench.gateway import WORK, Gateway, House, database_url, gateway
from bench.options import Options
from bench.together import WARM_UP, Turns, together

CLIENTS = 8
PACE_S = 0.2  # of one client: together 40 a second
BODY = submission("bench-true", "a submission", threshold_dbz=41.5, eps_km=3.5, title="the same bytes for everybody")
TARGETS = {"p50": Target(10.0), "p99": Target(40.0)}
SHARES = {"p50": 0.50, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Submitter:
    """A client that submits one job a turn."""

    connection: Connection
    index: int

    def turn(self, number: int) -> None:
        self.connection.post("/jobs", BODY, f"bench-{os.getpid()}-{self.index}-{number}")


@dataclass(frozen=True, slots=True)
class Appender:
    """Puts the same bytes on the disk, durably, and gives them their name: the least a submission has to do."""

    folder: Path
    index: int

    def turn(self, number: int) -> None:
        written = self.folder / f"{self.index}.writing"
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, BODY)
        os.fsync(descriptor)
        os.close(descriptor)
        written.rename(self.folder / f"{self.index}.{number}")


def _submitter(port: int, token: str, index: int) -> Submitter:
    return Submitter(Connection(port, token), index)


def measure(options: Options) -> Iterator[Figure]:
    """Figures of submitting without pause, with the controller off and on, and at a pace."""
    turns = options.samples(150, 40)
    for kind in options.on("sqlite"):
        with _scratch() as folder:
            raw = together(partial(Appender, folder), CLIENTS, turns)
        with database_url(kind) as url, gateway(House(url)) as ours:
            ours.start_api()
            name = f"submit.{kind}"
            yield from _figures(f"{name}.no_pause", *_submitted(ours, turns), raw, "controller off")
            pace = f"controller off, a turn every {PACE_S} s a client"
            yield from _figures(f"{name}.paced", *_submitted(ours, options.samples(60, 20), PACE_S), raw, pace)
            ours.start_controller()
            working = "controller on, running what was taken"
            yield from _figures(f"{name}.no_pause_working", *_submitted(ours, turns), raw, working)


def _submitted(ours: Gateway, turns: int, every_s: float = 0.0) -> tuple[Turns, float]:
    """How the clients fared, and the gateway's processor milliseconds for each of their requests."""
    before_s = ours.cpu_s()
    found = together(partial(_submitter, ours.port, ours.token), CLIENTS, turns, every_s)
    return found, 1000 * (ours.cpu_s() - before_s) / (CLIENTS * (turns + WARM_UP))


def _figures(name: str, ours: Turns, cpu_ms: float, raw: Turns, note: str) -> Iterator[Figure]:
    words = f"{CLIENTS} clients, {len(ours.taken_s)} requests, {ours.per_s:.0f}/s, {cpu_ms:.1f} ms CPU each; {note}"
    for label, share in SHARES.items():
        beside = Peer(f"append, fsync, rename {label}", 1000 * percentile(raw.taken_s, share))
        value = 1000 * percentile(ours.taken_s, share)
        yield Figure(f"{name}.{label}", value, "ms", beside, TARGETS[label], words)


@contextmanager
def _scratch() -> Iterator[Path]:
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="raw-", dir=WORK) as folder:
        yield Path(folder)
