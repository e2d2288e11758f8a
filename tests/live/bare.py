"""The least that a Mesos framework can be: takes an offer, runs a shell command. It imports nothing of Isthmus."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PATIENCE_S = 30.0
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class BareFramework:
    """One connection for what the master tells, one for what it is told."""

    def __init__(self, master: str, name: str = "bare", framework_id: str = "") -> None:
        """Subscribed, as the framework with that id where one is named."""
        self._place = urlsplit(master).netloc
        self._stream = http.client.HTTPConnection(self._place, timeout=PATIENCE_S)
        self._calls = http.client.HTTPConnection(self._place, timeout=PATIENCE_S)
        info: dict[str, object] = {
            "user": "root",
            "name": name,
            "roles": ["*"],
            "checkpoint": True,
            "capabilities": [{"type": "MULTI_ROLE"}],
        }
        body: dict[str, object] = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if framework_id:
            info["id"] = body["framework_id"] = {"value": framework_id}
            info["failover_timeout"] = 60.0
        self._stream.request("POST", "/api/v1/scheduler", json.dumps(body), _HEADERS)
        self._answer = self._stream.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._stream_id = self._answer.headers["Mesos-Stream-Id"]
        self.id: str = self.next("SUBSCRIBED")["subscribed"]["framework_id"]["value"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The framework is torn down, its tasks with it; a master that is gone is not told."""
        try:
            self.call("TEARDOWN")
        except OSError:
            pass
        finally:
            self.leave()

    def leave(self) -> None:
        """Nobody listens any more; the framework and its tasks live on for as long as its failover timeout."""
        self._answer.close()
        self._stream.close()
        self._calls.close()

    # Events and calls are Mesos' JSON, whose shape is the master's business.
    def events(self) -> Iterator[dict]:  # type: ignore[type-arg]
        """What the master tells, each record as it comes."""
        while length := self._answer.readline():
            yield json.loads(self._answer.read(int(length)))

    def next(self, kind: str) -> dict:  # type: ignore[type-arg]
        """The next event of that kind; others are passed over."""
        for event in self.events():
            if event["type"] == kind:
                return event
        raise ConnectionError(f"the master ended the stream before a {kind}")

    def call(self, kind: str, **said: object) -> None:
        """The master has taken the call."""
        body = {"type": kind, "framework_id": {"value": self.id}} | ({kind.lower(): said} if said else {})
        self._calls.request(
            "POST", "/api/v1/scheduler", json.dumps(body), _HEADERS | {"Mesos-Stream-Id": self._stream_id}
        )
        answer = self._calls.getresponse()
        text = answer.read()
        assert answer.status in (200, 202), text

    def run(self, command: str, cpus: float = 0.1, memory_mib: int = 32, task_id: str = "") -> str:
        """A task with the command was launched with the next offer; its id."""
        while True:
            for offer in self.next("OFFERS")["offers"]["offers"]:
                held = {one["name"]: one["scalar"]["value"] for one in offer["resources"] if one["type"] == "SCALAR"}
                if held.get("cpus", 0) >= cpus and held.get("mem", 0) >= memory_mib:
                    return self._launch(offer, command, cpus, memory_mib, task_id or str(uuid.uuid4()))
                self.call("DECLINE", offer_ids=[offer["id"]])

    def _launch(self, offer: Mapping[str, object], command: str, cpus: float, memory_mib: int, task_id: str) -> str:
        task = {
            "name": "bare",
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "command": {"value": command},
            "resources": scalars({"cpus": cpus, "mem": memory_mib}),
        }
        operation = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
        self.call("ACCEPT", offer_ids=[offer["id"]], operations=[operation], filters={"refuse_seconds": 0.0})
        return task_id

    def wait(self, *states: str) -> dict:  # type: ignore[type-arg]
        """The next update with one of the states, acknowledged like those before it."""
        while True:
            status: dict = self.next("UPDATE")["update"]["status"]  # type: ignore[type-arg]
            if "uuid" in status:
                self.call("ACKNOWLEDGE", agent_id=status["agent_id"], task_id=status["task_id"], uuid=status["uuid"])
            if status["state"] in states:
                return status


def scalars(amounts: Mapping[str, float]) -> Sequence[Mapping[str, object]]:
    """Resources of the default role, as Mesos writes them."""
    return [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": "*"}}
        for name, value in amounts.items()
    ]
