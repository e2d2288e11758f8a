"""What a framework and a master say to each other, typed: events as they come in, calls as they go out. Pure.

JSON is protobuf's: ids are {"value": …}, bytes are base64, enums are names, 64-bit numbers may be text. Fields, events
and enum values that are not known here are ignored or kept as their raw word, so that newer masters can be spoken to.
Source: include/mesos/v1/scheduler/scheduler.proto of Mesos 1.11; every event below was recorded from a real master.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from isthmus.application.encoding import Json

Message = dict[str, Json]
_MOST_WORDS = 1000  # letters of what a master says of a task


# --- events ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Piece:
    """A scalar resource of an offer, in thousandths; `whole` is its JSON without the amount.

    A task must name resources exactly as they were offered (role, reservations), so they are kept as they came.
    """

    name: str
    milli: int
    whole: str
    reserved: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """Resources of one agent that the master holds for us until they are accepted, declined or rescinded."""

    id: str
    agent_id: str
    host: str
    agent_url: str
    role: str
    pieces: tuple[Piece, ...]
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Subscribed:
    framework_id: str
    heartbeat_s: float
    version: str = ""


@dataclass(frozen=True, slots=True)
class Offers:
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Rescind:
    offer_id: str


@dataclass(frozen=True, slots=True)
class Update:
    """A task's state, in the master's words. An empty `uuid` must not be acknowledged."""

    task_id: str
    state: str
    uuid: str = ""
    agent_id: str = ""
    source: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An agent is gone, or (with an executor's id) an executor has ended; news of tasks comes by itself."""

    agent_id: str
    executor_id: str = ""


@dataclass(frozen=True, slots=True)
class Error:
    """The subscription is over, in these words."""

    words: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A heartbeat, or an event that means nothing to us."""

    kind: str


Event = Subscribed | Offers | Rescind | Update | Failure | Error | Ignored


def event_of(record: bytes) -> Event:
    """The event that a record holds. ValueError: it is no JSON object."""
    body: Json = json.loads(record)
    if not isinstance(body, dict):
        raise ValueError("an event that is no object")
    kind = text(body, "type")
    match kind:
        case "SUBSCRIBED":
            found = at(body, "subscribed")
            heartbeat_s = number(found, "heartbeat_interval_seconds") or 15.0
            return Subscribed(text(found, "framework_id", "value"), heartbeat_s, text(found, "master_info", "version"))
        case "OFFERS":
            return Offers(tuple(offer_of(offer) for offer in items(body, "offers", "offers")))
        case "RESCIND":
            return Rescind(text(body, "rescind", "offer_id", "value"))
        case "UPDATE":
            return update_of(at(body, "update", "status"))
        case "FAILURE":
            found = at(body, "failure")
            return Failure(text(found, "agent_id", "value"), text(found, "executor_id", "value"))
        case "ERROR":  # the documentation shows the message at the top, a real master does not
            return Error(text(body, "error", "message") or text(body, "message"))
    return Ignored(kind)


def update_of(status: Json) -> Update:
    """The update that a TaskStatus is."""
    return Update(
        task_id=text(status, "task_id", "value"),
        state=text(status, "state"),
        uuid=text(status, "uuid"),
        agent_id=text(status, "agent_id", "value"),
        source=text(status, "source"),
        reason=text(status, "reason"),
        message=_printable(text(status, "message")),
    )


def _printable(words: str) -> str:
    """The words, as they may stand in a database and on a page."""
    return "".join(letter if letter.isprintable() else " " for letter in words[:_MOST_WORDS])


def offer_of(offer: Json) -> Offer:
    """The offer, with what of it a task can take."""
    return Offer(
        id=text(offer, "id", "value"),
        agent_id=text(offer, "agent_id", "value"),
        host=text(offer, "hostname"),
        agent_url=url_of(at(offer, "url")),
        role=text(offer, "allocation_info", "role"),
        pieces=tuple(piece for resource in items(offer, "resources") for piece in _pieces(resource)),
        attributes=attributes_of(offer),
    )


def url_of(url: Json) -> str:
    """Where an agent answers, which its host's name does not say; empty if not told."""
    host = text(url, "address", "ip") or text(url, "address", "hostname")
    port = number(url, "address", "port")
    return (
        f"{text(url, 'scheme') or 'http'}://{_bracketed(host)}:{port:.0f}{text(url, 'path')}" if host and port else ""
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def attributes_of(holder: Json) -> dict[str, str]:
    """An offer's or agent's attributes as text, a number without needless zeros."""
    return {text(attribute, "name"): _attribute(attribute) for attribute in items(holder, "attributes")}


def _attribute(attribute: Json) -> str:
    if isinstance(at(attribute, "scalar"), dict):
        return f"{number(attribute, 'scalar', 'value'):.3f}".rstrip("0").rstrip(".")
    if isinstance(at(attribute, "text"), dict):
        return text(attribute, "text", "value")
    found = items(attribute, "set", "item")
    return ",".join(one for one in found if isinstance(one, str))


def _pieces(resource: Json) -> Iterable[Piece]:
    """The resource, if it is an amount that may be taken from: no volume, nothing revocable or shared."""
    if not isinstance(resource, dict) or text(resource, "type") != "SCALAR":
        return
    if {"revocable", "shared", "disk"} & resource.keys():
        return
    rest = {name: value for name, value in resource.items() if name != "scalar"}
    reserved = bool(items(resource, "reservations"))
    yield Piece(text(resource, "name"), milli(number(resource, "scalar", "value")), json.dumps(rest), reserved)


def milli(amount: float) -> int:
    """The amount in thousandths, the most exact that a master counts with."""
    return round(amount * 1000)


# --- calls ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Introduction:
    """What the master is told of us at every subscription."""

    name: str
    user: str
    roles: tuple[str, ...]
    principal: str
    failover_timeout_s: float
    gpus: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """The container a task runs in: `kind` is MESOS or DOCKER."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Task:
    """One launch as the master is told of it; `resources` are as `offers.Pool` took them from the offers."""

    task_id: str
    name: str
    agent_id: str
    command: str
    environment: Mapping[str, str]
    resources: tuple[Json, ...]
    labels: Mapping[str, str]
    kill_grace_s: float
    image: Image | None = None


_CAPABILITIES = ("PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE", "RESERVATION_REFINEMENT")


def subscribe(framework: Introduction, framework_id: str, *, suppressed: bool) -> Message:
    """SUBSCRIBE; with an id it takes up the framework of that id, which must then stand in both places."""
    capabilities = [*_CAPABILITIES, *(["GPU_RESOURCES"] if framework.gpus else [])]
    info: Message = {
        "user": framework.user,
        "name": framework.name,
        "roles": [*framework.roles],
        "failover_timeout": framework.failover_timeout_s,
        "checkpoint": True,
        "capabilities": [{"type": capability} for capability in capabilities],
    }
    if framework.principal:
        info["principal"] = framework.principal
    if framework.url:
        info["webui_url"] = framework.url
    body: Message = {"framework_info": info}
    if suppressed:
        body["suppressed_roles"] = [*framework.roles]
    call: Message = {"type": "SUBSCRIBE", "subscribe": body}
    if framework_id:
        call["framework_id"] = info["id"] = _value(framework_id)
    return call


def accept(offer_ids: Iterable[str], tasks: Iterable[Task], refuse_s: float) -> Message:
    """ACCEPT of offers of one agent and role; what the tasks leave is refused for so long."""
    launch: Message = {"task_infos": [_task_info(task) for task in tasks]}
    return {
        "type": "ACCEPT",
        "accept": {
            "offer_ids": [_value(offer_id) for offer_id in offer_ids],
            "operations": [{"type": "LAUNCH", "launch": launch}],
            "filters": {"refuse_seconds": refuse_s},
        },
    }


def _task_info(task: Task) -> Json:
    variables: list[Json] = [{"name": name, "value": value} for name, value in task.environment.items()]
    labels: list[Json] = [{"key": key, "value": value} for key, value in task.labels.items()]
    info: Message = {
        "name": task.name,
        "task_id": _value(task.task_id),
        "agent_id": _value(task.agent_id),
        "resources": [*task.resources],
        "command": {"shell": True, "value": task.command, "environment": {"variables": variables}},
        "labels": {"labels": labels},
        "kill_policy": {"grace_period": {"nanoseconds": round(task.kill_grace_s * 1_000_000_000)}},
    }
    if task.image:
        info["container"] = _container(task.image)
    return info


def _container(image: Image) -> Json:
    if image.kind == "DOCKER":
        return {"type": "DOCKER", "docker": {"image": image.name, "network": "HOST"}}
    return {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": image.name}}}}


def decline(offer_ids: Iterable[str], refuse_s: float) -> Message:
    ids: list[Json] = [_value(offer_id) for offer_id in offer_ids]
    return {"type": "DECLINE", "decline": {"offer_ids": ids, "filters": {"refuse_seconds": refuse_s}}}


def suppress(roles: Sequence[str]) -> Message:
    return {"type": "SUPPRESS", "suppress": {"roles": [*roles]}}


def revive(roles: Sequence[str]) -> Message:
    return {"type": "REVIVE", "revive": {"roles": [*roles]}}


def acknowledge(update: Update) -> Message:
    ids = {"agent_id": _value(update.agent_id), "task_id": _value(update.task_id)}
    return {"type": "ACKNOWLEDGE", "acknowledge": {**ids, "uuid": update.uuid}}


def kill(task_id: str, agent_id: str) -> Message:
    return {"type": "KILL", "kill": _named(task_id, agent_id)}


def reconcile(tasks: Iterable[tuple[str, str]]) -> Message:
    """RECONCILE of these task and agent ids; of none: every task the master knows of ours is told."""
    named: list[Json] = [_named(task_id, agent_id) for task_id, agent_id in tasks]
    return {"type": "RECONCILE", "reconcile": {"tasks": named}}


def _named(task_id: str, agent_id: str) -> Json:
    return {"task_id": _value(task_id)} | ({"agent_id": _value(agent_id)} if agent_id else {})


def _value(of: str) -> Json:
    return {"value": of}


# --- JSON as it comes -----------------------------------------------------------------------------------------------
def at(body: Json, *way: str) -> Json:
    """What stands there; None if nothing does."""
    for name in way:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def text(body: Json, *way: str) -> str:
    """The text that stands there; empty if none does."""
    found = at(body, *way)
    return found if isinstance(found, str) else ""


def number(body: Json, *way: str) -> float:
    """The finite number that stands there, also if it is written as text; 0 if none does."""
    found = at(body, *way)
    try:
        value = float(found) if isinstance(found, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return value if isfinite(value) else 0.0


def items(body: Json, *way: str) -> list[Json]:
    """The list that stands there; empty if none does."""
    found = at(body, *way)
    return found if isinstance(found, list) else []
