"""The same work by several processes at once, begun together."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Protocol

TURN_S = 180.0
WARM_UP = 5  # turns of each process that are not counted: connections, caches, imports


class Worker(Protocol):
    """Built in the process that uses it."""

    def turn(self, number: int) -> None:
        """One piece of the work is done."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How long each turn took, all processes together; `seconds` from the first begun to the last ended."""

    taken_s: tuple[float, ...]
    seconds: float

    @property
    def per_s(self) -> float:
        return len(self.taken_s) / self.seconds


def together(make: Callable[[int], Worker], workers: int, turns: int, every_s: float = 0.0) -> Turns:
    """`workers` processes each took `turns` turns; one begins every `every_s` seconds, or as soon as the last ended.

    `make` is given the process's index; it is sent to the process, so it has to be picklable.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [
        context.Process(target=_work, args=(make, index, turns, every_s, barrier, pipes[index][1]), daemon=True)
        for index in range(workers)
    ]
    for process, (_, sending) in zip(processes, pipes, strict=True):
        process.start()
        sending.close()  # the process has its own; with ours open, its death would not be seen
    try:
        spans = [_received(process, pipe[0]) for process, pipe in zip(processes, pipes, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.join()
    begun = min(start for taken in spans for start, _ in taken)
    ended = max(end for taken in spans for _, end in taken)
    return Turns(tuple(end - start for taken in spans for start, end in taken), ended - begun)


def _received(process: multiprocessing.process.BaseProcess, pipe: Connection) -> Sequence[tuple[float, float]]:
    if not pipe.poll(TURN_S):
        raise RuntimeError(f"a client has not finished within {TURN_S:.0f} s")
    try:
        spans: Sequence[tuple[float, float]] = pipe.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"a client ended with {process.exitcode}; its words are above") from None
    return spans


def _work(
    make: Callable[[int], Worker], index: int, turns: int, every_s: float, barrier: Barrier, pipe: Connection
) -> None:
    try:
        worker = make(index)
        barrier.wait(TURN_S)  # a connection that waits long for others to come is closed by its server
        for number in range(WARM_UP):
            worker.turn(-1 - number)
    except BaseException:
        barrier.abort()  # the others wait for nobody
        raise
    barrier.wait(TURN_S)
    spans = []
    # Clients with a pace don't all knock in the same millisecond.
    begin = time.monotonic() + every_s * index / max(1, barrier.parties)
    for number in range(turns):
        time.sleep(max(0.0, begin + number * every_s - time.monotonic()))
        start = time.monotonic()
        worker.turn(number)
        spans.append((start, time.monotonic()))
    pipe.send(spans)
