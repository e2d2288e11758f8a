"""Who may start next on one machine: a queue in order of native ids, over slots of cpus, memory and gpus. Pure.

Strict first in, first out: the head waits until it fits, and nobody overtakes it. That wastes places which a smaller
job could have used; on one machine that is worth less than the certainty that a large job's turn comes.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from isthmus.cluster.supervisor.settings import Capacity
from isthmus.job import Resources


@dataclass(frozen=True, slots=True)
class Need:
    """What one attempt takes while it runs."""

    cpus: int
    memory_mib: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One attempt in the queue; `trouble` says what kept it from being started, if something did."""

    tag: str
    native_id: str
    need: Need
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a running attempt has: its need, a place number of its own, and which gpus."""

    need: Need
    place: int
    gpus: tuple[int, ...] = ()


def need_of(resources: Resources) -> Need:
    """What an attempt with these resources takes of one machine; without a memory limit it counts as taking none."""
    return Need(resources.total_cpus, resources.memory_mib or 0, resources.gpus)


def native_order(native_id: str) -> tuple[int, int]:
    """Sorts native ids `<incarnation>.<counter>` by age. ValueError: that is none."""
    incarnation, _, counter = native_id.partition(".")
    return int(incarnation), int(counter)


def refusal(need: Need, capacity: Capacity) -> str | None:
    """Why an attempt can never run here, naming the limit; None if it can."""
    for name, wanted, there in (
        ("cpus", need.cpus, capacity.cpus),
        ("MiB of memory", need.memory_mib, capacity.memory_mib),
        ("gpus", need.gpus, capacity.gpus),
    ):
        if wanted > there:
            return f"the job asks for {wanted} {name}; this machine has {there} for jobs"
    return None


@dataclass(slots=True)
class Slots:
    """What is free on the machine."""

    capacity: Capacity
    held: dict[str, Allotment] = field(default_factory=dict)

    @property
    def used(self) -> Need:
        needs = [allotment.need for allotment in self.held.values()]
        return Need(sum(n.cpus for n in needs), sum(n.memory_mib for n in needs), sum(n.gpus for n in needs))

    def lack(self, need: Need) -> str | None:
        """What is missing for this need now, in words; None if it fits."""
        used = self.used
        for name, wanted, free in (
            ("cpus", need.cpus, self.capacity.cpus - used.cpus),
            ("MiB of memory", need.memory_mib, self.capacity.memory_mib - used.memory_mib),
            ("gpus", need.gpus, self.capacity.gpus - used.gpus),
        ):
            if wanted > free:
                return f"waiting for {wanted} {name}; {max(free, 0)} free"
        return None

    def take(self, tag: str, need: Need, last_place: int = -1) -> Allotment:
        """The need is held under this tag, with gpus and a place: the last one if it is free, else the lowest.

        A wrapper that comes late, from before a restart, then still finds its files with the user it was given.
        """
        places = {allotment.place for allotment in self.held.values()}
        lowest = next(n for n in range(len(places) + 1) if n not in places)
        place = last_place if last_place >= 0 and last_place not in places else lowest
        busy = {gpu for allotment in self.held.values() for gpu in allotment.gpus}
        gpus = tuple(n for n in range(self.capacity.gpus) if n not in busy)[: need.gpus]
        allotment = Allotment(need, place, gpus)
        self.held[tag] = allotment
        return allotment

    def adopt(self, tag: str, allotment: Allotment) -> None:
        """What a running attempt already has is counted, even where it is more than the machine has now."""
        self.held[tag] = allotment

    def free(self, tag: str) -> None:
        self.held.pop(tag, None)


@dataclass(slots=True)
class Queue:
    """Waiting attempts, oldest native id first."""

    _waiting: dict[str, Waiting] = field(default_factory=dict)
    _heap: list[tuple[tuple[int, int], str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, tag: str) -> bool:
        return tag in self._waiting

    def get(self, tag: str) -> Waiting | None:
        return self._waiting.get(tag)

    def add(self, waiting: Waiting) -> None:
        """The attempt stands in the queue at its native id's place; again, if it did already."""
        if waiting.tag not in self._waiting:
            heapq.heappush(self._heap, (native_order(waiting.native_id), waiting.tag))
        self._waiting[waiting.tag] = waiting

    def remove(self, tag: str) -> None:
        self._waiting.pop(tag, None)  # its entry in the heap is passed over when it comes up

    def head(self) -> Waiting | None:
        while self._heap:
            order, tag = self._heap[0]
            waiting = self._waiting.get(tag)
            if waiting and native_order(waiting.native_id) == order:
                return waiting
            heapq.heappop(self._heap)
        return None
