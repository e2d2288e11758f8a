"""What can be told of a Mesos cluster before any job: who answers, who leads, which agents fit, where tasks call."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from isthmus.application.encoding import Json
from isthmus.cluster.mesos.agents import Agent, agents_of
from isthmus.cluster.mesos.offers import Pool
from isthmus.config import MesosConfig

ANSWER_S = 5.0
SHORT_FAILOVER_S = 60.0
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is as it must be, and what was seen, in a sentence."""

    good: bool
    words: str


def check(config: MesosConfig) -> list[Finding]:
    """Everything was asked once, and nothing was changed. ConfigurationError: the secret can't be read."""
    trust = ssl.create_default_context(cafile=config.ca_file)
    auth = (config.principal, config.secret()) if config.principal else None
    with httpx.Client(verify=trust, auth=auth, timeout=ANSWER_S, trust_env=False) as client:
        agents: list[Agent] | None = None
        found = []
        for master in config.masters:
            finding, told = _look_at_master(client, master)
            found.append(finding)
            agents = told if told is not None else agents
    found += [Finding(False, "no master leads: nothing can be launched")] if agents is None else _fit(config, agents)
    with httpx.Client(verify=trust, timeout=ANSWER_S, trust_env=False) as client:  # the secret is the master's
        found += _look_at_gateway(client, config.gateway_url, agents or [])
    return [*found, *_look_at_failover(config.failover_timeout_s)]


def _look_at_master(client: httpx.Client, master: str) -> tuple[Finding, list[Agent] | None]:
    """What the master answered; of one that leads, its agents."""
    try:
        answer = client.post(f"{master}/api/v1", content=json.dumps({"type": "GET_AGENTS"}), headers=_JSON)
        if answer.status_code == httpx.codes.TEMPORARY_REDIRECT:
            place = urlsplit(answer.headers.get("Location", "")).netloc
            return Finding(True, f"master {master} answers, and says that {place or 'another one'} leads"), None
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            words = f"master {master} refuses us ({answer.status_code}): see principal and secret_file"
            return Finding(False, words), None
        answer.raise_for_status()
        told: Json = answer.json()
    except (httpx.HTTPError, ValueError) as fault:
        return Finding(False, f"master {master} gives no answer: {fault or type(fault).__name__}"), None
    agents = list(agents_of(told))
    return Finding(True, f"master {master} leads, with {len(agents)} active agents"), agents


def _fit(config: MesosConfig, agents: list[Agent]) -> list[Finding]:
    """Which agents our tasks may run on."""
    if not agents:
        return [Finding(False, "no agent is active: nothing can run")]
    pool = Pool(config.attributes)
    fit = [agent for agent in agents if pool.is_wanted(agent.attributes)]
    if not fit:
        return [Finding(False, f"none of the {len(agents)} agents has the wanted attributes")]
    largest = max(fit, key=lambda agent: agent.total.cpus)
    size = f"{largest.total.cpus // 1000} CPUs, {largest.total.memory // 1000} MiB"
    words = f"{len(fit)} of {len(agents)} agents may run our tasks; the largest, {largest.host}, has {size}"
    return [Finding(True, f"{words}. Offers are asked for as {', '.join(config.roles)}")]


def _look_at_gateway(client: httpx.Client, url: str, agents: list[Agent]) -> list[Finding]:
    """Whether the gateway answers at the address that tasks are told; from here, which is not from there."""
    try:
        answer = client.get(f"{url.rstrip('/')}/healthz")
        answers = Finding(answer.is_success, f"gateway_url {url} answers this machine with {answer.status_code}")
    except httpx.HTTPError as fault:
        answers = Finding(False, f"gateway_url {url} gives no answer to this machine: {fault or type(fault).__name__}")
    if _is_loopback(urlsplit(url).hostname or "") and agents:
        words = f"{url} is this machine's own address: tasks reach it only on agents of this machine"
        return [answers, Finding(all(_is_loopback(agent.address) for agent in agents), words)]
    return [answers]


def _look_at_failover(failover_timeout_s: float) -> list[Finding]:
    if failover_timeout_s >= SHORT_FAILOVER_S:
        return []
    words = f"failover_timeout_s is {failover_timeout_s:g}: a controller that takes longer to restart loses every task"
    return [Finding(False, words)]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
