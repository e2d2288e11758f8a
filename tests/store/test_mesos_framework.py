"""The framework beside a master that says just what a test wants: refusals, silence, and what comes too late."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from isthmus.application.encoding import Json
from isthmus.cluster import Handle, Order
from isthmus.cluster.mesos import ASKED_S, GIVEN_UP_S, MesosCluster
from isthmus.cluster.mesos.messages import text
from isthmus.cluster.remote import HttpStaging
from isthmus.config import MesosConfig
from isthmus.facts import Facts, Listed, StagedOut, StagingFailed
from isthmus.files import FileStore
from isthmus.job import Resources
from isthmus.store import Lease, Store, Viewer
from isthmus.store.mesos import NOT_TAKEN, REMOVED
from isthmus.tickets import Tickets
from tests.store.making import CLUSTER, held
from tests.store.test_mesos import launch_of, staged
from tests.unit.test_mesos_remains import RECORD

SUBSCRIBED: Json = {
    "type": "SUBSCRIBED",
    "subscribed": {"framework_id": {"value": "F-1"}, "heartbeat_interval_seconds": 15},
}
TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nno, never"


@dataclass
class Master:
    """Answers calls as `answers` says by their type (None: hangs up), and every subscription with these events."""

    events: list[Json] = field(default_factory=lambda: [SUBSCRIBED])
    answers: Mapping[str, bytes | None] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                    length = next(line for line in head.splitlines() if line.startswith("content-length:"))
                    call: Json = json.loads(await reader.readexactly(int(length.split(":")[1])))
                    self.calls.append(text(call, "type"))
                    if self.calls[-1] == "SUBSCRIBE":
                        writer.write(self.stream())
                    elif (answer := self.answers.get(self.calls[-1], TAKEN)) is not None:
                        writer.write(answer)
                    else:
                        break
                    await writer.drain()
        finally:
            writer.close()

    def stream(self) -> bytes:
        records = [json.dumps(event).encode() for event in self.events]
        body = b"".join(b"%d\n%s" % (len(record), record) for record in records)
        head = b"HTTP/1.1 200 OK\r\nMesos-Stream-Id: s\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + b"%x\r\n%s\r\n" % (len(body), body)


@asynccontextmanager
async def working(master: Master, store: Store, lease: Lease, home: Path) -> AsyncIterator[MesosCluster]:
    server = await asyncio.start_server(master.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = MesosConfig(masters=(url,), gateway_url=url)
    staging = HttpStaging(store, FileStore(home / "files"), Tickets.at(home), url, CLUSTER)
    cluster = MesosCluster(CLUSTER, config, store, lease, staging)
    await cluster.open()
    try:
        yield cluster
    finally:
        await cluster.close()
        server.close()


async def soon(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
def lease(store: Store) -> Lease:
    return held(store)


@pytest.fixture
def tag(store: Store, lease: Lease, ann: Viewer) -> str:
    return staged(store, lease, ann)


OFFERS: Json = {
    "type": "OFFERS",
    "offers": {
        "offers": [
            {
                "id": {"value": "O-1"},
                "agent_id": {"value": "A"},
                "hostname": "node1",
                "allocation_info": {"role": "*"},
                "resources": [
                    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 8}},
                    {"name": "mem", "type": "SCALAR", "scalar": {"value": 8192}},
                ],
            }
        ]
    },
}


def states(store: Store) -> list[str]:
    return [launch.state for launch in store.mesos.launches(CLUSTER)]


def test_a_launch_that_the_master_refuses_has_failed_in_its_words(
    store: Store, lease: Lease, tag: str, tmp_path: Path
) -> None:
    async def main() -> None:
        master = Master([SUBSCRIBED, OFFERS], {"ACCEPT": REFUSED})
        async with working(master, store, lease, tmp_path) as cluster:
            await cluster.submit([Handle(tag, 1, None, Resources())])
            await soon(lambda: NOT_TAKEN in states(store))
            assert "no, never" in store.mesos.launches(CLUSTER)[0].message
        assert master.calls.count("SUBSCRIBE") == 1

    asyncio.run(main())


def test_a_call_without_an_answer_ends_the_subscription_and_with_it_every_offer(
    store: Store, lease: Lease, tag: str, tmp_path: Path
) -> None:
    async def main() -> None:
        master = Master([SUBSCRIBED, OFFERS], {"SUPPRESS": None, "DECLINE": None, "ACCEPT": None})
        async with working(master, store, lease, tmp_path) as cluster:
            await cluster.submit([Handle(tag, 1, None, Resources())])
            await soon(lambda: master.calls.count("SUBSCRIBE") >= 2)

    asyncio.run(main())


def test_what_was_told_before_the_removal_of_the_framework_is_not_heard_after_it(
    store: Store, lease: Lease, tag: str, tmp_path: Path
) -> None:
    store.mesos.registered(lease, CLUSTER, "F-1", 1.0)
    store.mesos.submitted(lease, [tag], 10.0)
    store.mesos.launch(lease, CLUSTER, [launch_of(tag)])
    status: dict[str, Json] = {
        "task_id": {"value": f"{tag}.1"},
        "agent_id": {"value": "A"},
        "uuid": "u",
        "state": "TASK_RUNNING",
    }
    unknown: dict[str, Json] = {**status, "task_id": {"value": f"{tag}.7"}}
    updates: list[Json] = [{"type": "UPDATE", "update": {"status": one}} for one in (status, unknown)]
    removed: Json = {"type": "ERROR", "error": {"message": "Framework has been removed"}}

    async def main() -> None:
        master = Master([SUBSCRIBED, *updates, removed])
        async with working(master, store, lease, tmp_path) as cluster:
            await soon(lambda: (row := store.mesos.framework(CLUSTER)) is not None and row.removed_at is not None)
            await cluster.changed()
        assert set(states(store)) == {REMOVED}

    asyncio.run(main())


# --- what ended tasks left --------------------------------------------------------------------------------------------
def http(body: Json) -> bytes:
    told = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)


def listing(*names: str) -> bytes:
    files: list[Json] = [{"path": f"/sandbox/isthmus/{name}", "mode": 33188, "size": 9} for name in names]
    return http({"type": "LIST_FILES", "list_files": {"file_infos": files}})


@asynccontextmanager
async def agent_of(agent: Master) -> AsyncIterator[str]:
    server = await asyncio.start_server(agent.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def ended_task(store: Store, lease: Lease, tag: str, agent_url: str, ended_at: float) -> None:
    """The attempt's task held the claim and ended with 73; the gateway has no end record."""
    store.mesos.submitted(lease, [tag], 10.0)
    launch = replace(launch_of(tag), agent_url=agent_url)
    store.mesos.launch(lease, CLUSTER, [launch])
    store.claim_remote(tag, f"{launch.task_id}:1:nonce")
    message = "Command exited with status 73"
    told = replace(launch, state="TASK_FAILED", message=message, updated_at=ended_at, ended=True, confirmed=True)
    store.mesos.heard(lease, [told])


def seen(store: Store, lease: Lease, tag: str, home: Path, agent: Master, ended_at: float) -> Facts:
    async def main() -> Facts:
        async with agent_of(agent) as url:
            ended_task(store, lease, tag, url, ended_at)
            async with working(Master(), store, lease, home) as cluster:
                return (await cluster.observe([Handle(tag, 1, tag, Resources())]))[tag]

    return asyncio.run(main())


def test_a_task_that_started_nothing_is_told_from_one_whose_program_ended_with_the_same_code(
    store: Store, lease: Lease, tag: str, tmp_path: Path
) -> None:
    facts = seen(store, lease, tag, tmp_path, Master(answers={"LIST_FILES": listing("job.sh", "nonce")}), time.time())
    assert isinstance(facts.listing, Listed)
    assert (facts.end, facts.listing.never_started) == (None, True)


def test_the_end_of_a_program_that_could_not_be_reported_is_read_from_its_agent(
    store: Store, lease: Lease, tag: str, tmp_path: Path
) -> None:
    record = json.dumps(RECORD | {"native_id": f"{tag}.1"}).encode()
    read = http({"type": "READ_FILE", "read_file": {"data": base64.b64encode(record).decode()}})
    agent = Master(answers={"LIST_FILES": listing("exit.1.json", "program"), "READ_FILE": read})
    facts = seen(store, lease, tag, tmp_path, agent, time.time())
    assert facts.end is not None and isinstance(facts.listing, Listed)
    assert (facts.end.code, facts.listing.never_started) == (73, False)


@pytest.mark.parametrize(("ago_s", "is_judged"), [(0.0, False), (ASKED_S + 1, True)])
def test_an_agent_that_does_not_answer_is_asked_for_a_while_before_an_end_is_judged_without_it(
    store: Store, lease: Lease, tag: str, tmp_path: Path, ago_s: float, is_judged: bool
) -> None:
    facts = seen(store, lease, tag, tmp_path, Master(answers={"LIST_FILES": None}), time.time() - ago_s)
    assert isinstance(facts.listing, Listed)
    assert (facts.listing.proved_ended, facts.listing.never_started) == (is_judged, False)


@pytest.mark.parametrize(("ago_s", "is_given_up"), [(60.0, False), (GIVEN_UP_S + 60, True)])
def test_files_on_a_machine_that_died_are_given_up_after_an_hour(
    store: Store, lease: Lease, tag: str, tmp_path: Path, ago_s: float, is_given_up: bool
) -> None:
    async def main() -> StagedOut | StagingFailed:
        ended_task(store, lease, tag, "http://127.0.0.1:1", time.time() - ago_s)
        async with working(Master(), store, lease, tmp_path) as cluster:
            return (await cluster.stage_out([Order(tag, "", Resources(), "true")]))[tag]

    answer = asyncio.run(main())
    assert isinstance(answer, StagingFailed)
    assert answer.permanent is is_given_up
