"""The agents of a cluster, as its master describes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.application.encoding import Json
from isthmus.cluster import NodeStatus
from isthmus.cluster.mesos.messages import at, attributes_of, items, milli, number, text
from isthmus.cluster.mesos.offers import Need


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: what it has in all, and what of that is in use, by whomever. `address`: its own, empty if not told."""

    id: str
    host: str
    total: Need
    used: Need
    attributes: Mapping[str, str]
    address: str = ""

    def status(self) -> NodeStatus:
        return NodeStatus(
            name=self.host,
            cpus=self.total.cpus // 1000,
            cpus_used=-(-self.used.cpus // 1000),
            memory_mib=self.total.memory // 1000,
            memory_used_mib=-(-self.used.memory // 1000),
            gpus=self.total.gpus // 1000,
            gpus_used=-(-self.used.gpus // 1000),
        )


def agents_of(answer: Json) -> tuple[Agent, ...]:
    """The active agents in an answer to GET_AGENTS, by name."""
    found = [_agent(agent) for agent in items(answer, "get_agents", "agents") if at(agent, "active") is True]
    return tuple(sorted(found, key=lambda agent: (agent.host, agent.id)))


def _agent(agent: Json) -> Agent:
    described = at(agent, "agent_info")
    return Agent(
        id=text(described, "id", "value"),
        host=text(described, "hostname"),
        total=_sum(items(agent, "total_resources")),
        used=_sum(items(agent, "allocated_resources")),
        attributes=attributes_of(described),
        address=text(agent, "pid").rpartition("@")[2].rpartition(":")[0],
    )


def _sum(resources: list[Json]) -> Need:
    sums = {"cpus": 0, "mem": 0, "disk": 0, "gpus": 0}
    for resource in resources:
        name = text(resource, "name")
        if name in sums:
            sums[name] += milli(number(resource, "scalar", "value"))
    return Need(sums["cpus"], sums["mem"], sums["disk"], sums["gpus"])
