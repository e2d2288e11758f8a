"""Offers, and which task goes where. Pure.

All amounts are whole thousandths, as masters count. Offers of one agent and role are used together (a master refuses to
join others); what a task takes is named with the role and the reservations that stood in the offer. A task goes where
it leaves the least (best fit), so that large ones keep finding room, and to an agent with GPUs only if it wants some or
nothing else is left.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.application.encoding import Json
from isthmus.cluster.mesos.messages import Offer, Piece
from isthmus.job import Resources


@dataclass(frozen=True, slots=True)
class Need:
    """What one task takes, in thousandths of a cpu, MiB of memory and disk, and gpus."""

    cpus: int
    memory: int
    disk: int = 0
    gpus: int = 0

    def amounts(self) -> tuple[tuple[str, int], ...]:
        """By Mesos' names; what is not wanted is left out."""
        named = (("cpus", self.cpus), ("mem", self.memory), ("disk", self.disk), ("gpus", self.gpus))
        return tuple((name, milli) for name, milli in named if milli)

    def covers(self, other: Need) -> bool:
        """No less of anything than the other."""
        return (
            self.cpus >= other.cpus
            and self.memory >= other.memory
            and self.disk >= other.disk
            and self.gpus >= other.gpus
        )


def need_of(resources: Resources, memory_mib: int, disk_mib: int) -> Need:
    """What a job's task takes; `memory_mib` where the job does not say."""
    memory = memory_mib if resources.memory_mib is None else resources.memory_mib
    return Need(resources.total_cpus * 1000, memory * 1000, disk_mib * 1000, resources.gpus * 1000)


@dataclass(frozen=True, slots=True)
class Want:
    """A task to be placed. Agents in `avoid` are taken only if no other will do."""

    tag: str
    need: Need
    avoid: frozenset[str] = frozenset()


@dataclass(slots=True)
class Space:
    """What is left of the offers of one agent and role while tasks are placed."""

    agent_id: str
    host: str
    agent_url: str
    offer_ids: list[str] = field(default_factory=list)
    placed: list[tuple[Want, tuple[Json, ...]]] = field(default_factory=list)
    _left: list[tuple[Piece, int]] = field(default_factory=list)
    _totals: Counter[str] = field(default_factory=Counter)

    def add(self, offer: Offer) -> None:
        self.offer_ids.append(offer.id)
        for piece in offer.pieces:
            self._left.append((piece, piece.milli))
            self._totals[piece.name] += piece.milli

    def fits(self, need: Need) -> bool:
        return all(self._totals[name] >= milli for name, milli in need.amounts())

    def rest(self, want: Want) -> tuple[bool, int, int, int]:
        """How ill the task would stand here: less is better."""
        idle_gpus = 0 if want.need.gpus else self._totals["gpus"]
        cpus, memory = self._totals["cpus"] - want.need.cpus, self._totals["mem"] - want.need.memory
        return self.agent_id in want.avoid, idle_gpus, cpus, memory

    def take(self, want: Want) -> None:
        """The task has its resources; reserved ones are used first, since nobody else may use them."""
        taken = [resource for name, milli in want.need.amounts() for resource in self._taken(name, milli)]
        self.placed.append((want, tuple(taken)))

    def _taken(self, name: str, milli: int) -> Iterable[Json]:
        self._totals[name] -= milli
        rank = sorted(range(len(self._left)), key=lambda i: not self._left[i][0].reserved)
        for i in rank:
            piece, left = self._left[i]
            part = min(left, milli) if piece.name == name else 0
            if part:
                self._left[i] = (piece, left - part)
                milli -= part
                yield {**json.loads(piece.whole), "scalar": {"value": part / 1000}}


class Pool:
    """The offers that we hold. Every one of them dies with the connection it came on."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._wanted = {name: re.compile(pattern) for name, pattern in attributes.items()}
        self._offers: dict[str, Offer] = {}

    def __len__(self) -> int:
        return len(self._offers)

    def add(self, offers: Iterable[Offer]) -> list[str]:
        """The offers are held, but for those of agents without the wanted attributes: these ids are to be declined."""
        unfit = []
        for offer in offers:
            if self.is_wanted(offer.attributes):
                self._offers[offer.id] = offer
            else:
                unfit.append(offer.id)
        return unfit

    def is_wanted(self, attributes: Mapping[str, str]) -> bool:
        """Whether an agent with these attributes may run our tasks."""
        return all(pattern.fullmatch(attributes.get(name, "")) for name, pattern in self._wanted.items())

    def drop(self, offer_ids: Iterable[str]) -> None:
        """The offers are not ours any more."""
        for offer_id in offer_ids:
            self._offers.pop(offer_id, None)

    def drop_all(self) -> list[str]:
        """None is held any more; the ids of those that were."""
        ids = [*self._offers]
        self._offers.clear()
        return ids

    def place(self, wants: Sequence[Want]) -> list[Space]:
        """The agents that get tasks, with them; their offers leave the pool. Those who wait longest choose first."""
        spaces = self._spaces()
        failed: list[Need] = []
        for want in wants:
            if not spaces:
                break
            if any(want.need.covers(need) for need in failed):
                continue
            fitting = [space for space in spaces if space.fits(want.need)]
            if fitting:
                _best(fitting, want).take(want)
            else:
                failed.append(want.need)
        used = [space for space in spaces if space.placed]
        for space in used:
            self.drop(space.offer_ids)
        return used

    def _spaces(self) -> list[Space]:
        spaces: dict[tuple[str, str], Space] = {}
        for offer in self._offers.values():
            key = (offer.agent_id, offer.role)
            if key not in spaces:
                spaces[key] = Space(offer.agent_id, offer.host, offer.agent_url)
            spaces[key].add(offer)
        return [*spaces.values()]


def _best(spaces: Sequence[Space], want: Want) -> Space:
    return min(spaces, key=lambda space: space.rest(want))


def too_large(need: Need, agents: Collection[Need]) -> str:
    """Why no agent known can ever run this, empty if one can, or none is known: then it may still come."""
    if not agents or any(agent.covers(need) for agent in agents):
        return ""
    for name, asked, largest in (
        ("cpus", need.cpus, max(agent.cpus for agent in agents)),
        ("MiB of memory", need.memory, max(agent.memory for agent in agents)),
        ("MiB of disk", need.disk, max(agent.disk for agent in agents)),
        ("gpus", need.gpus, max(agent.gpus for agent in agents)),
    ):
        if asked > largest:
            return f"asks for {_amount(asked)} {name}; the largest agent has {_amount(largest)}"
    return f"asks for {words_of_need(need)}, and no agent has all of it"


def words_of_need(need: Need) -> str:
    """The amounts, for people."""
    gpus = f" and {_amount(need.gpus)} gpus" if need.gpus else ""
    return f"{_amount(need.cpus)} cpus with {_amount(need.memory)} MiB of memory{gpus}"


def _amount(milli: int) -> str:
    return f"{milli / 1000:.3f}".rstrip("0").rstrip(".")
