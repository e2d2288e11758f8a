"""Whom the secrets are told, and what is taken from masters and agents that say odd things."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from isthmus.cluster.mesos.checking import Finding, check
from isthmus.cluster.mesos.connection import Access, Master
from isthmus.cluster.mesos.sandbox import AgentSandbox
from isthmus.cluster.mesos.states import Launch
from isthmus.config import MesosConfig
from isthmus.errors import InvalidInput, NoAnswer
from tests.unit.test_mesos_line import listening

LAUNCH = Launch("gtag", 1, "gtag.1", "A", "node1", "", 100.0, "/sandbox")


@dataclass
class Server:
    """Gives every request the same answer, and keeps the heads it was sent."""

    answer: Callable[[], bytes]
    heads: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
        self.heads.append(head)
        writer.write(self.answer())
        await writer.drain()
        writer.close()


def answer(body: object = "", status: str = "200 OK", headers: str = "") -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()


async def subscribed(access: Access) -> Master:
    master = Master(access)
    try:
        async for _ in master.events({"type": "SUBSCRIBE"}):
            pass
    finally:
        await master.close()
    return master


def redirected(access: Access, *, to: str) -> tuple[str, list[str]]:
    """The words of the fault after a redirect to a host of this name, and the heads that came to that host."""

    async def main() -> tuple[str, list[str]]:
        leader = Server(answer)
        async with listening(leader.talk) as there:
            place = f"//{to}:{there.rpartition(':')[2]}/api/v1/scheduler"
            follower = Server(lambda: answer(status="307 Temporary Redirect", headers=f"Location: {place}\r\n"))
            async with listening(follower.talk) as here:
                with pytest.raises(NoAnswer) as fault:
                    await subscribed(replace(access, masters=(here,)))
        return fault.value.message, leader.heads

    return asyncio.run(main())


SECRET = Access((), "isthmus", "s3cret")


def test_a_master_that_sends_us_to_a_host_nobody_named_is_not_followed() -> None:
    words, heads = redirected(SECRET, to="localhost")
    assert "named neither in masters nor in redirect_hosts" in words
    assert heads == []


def test_a_named_host_is_followed_and_told_the_secret() -> None:
    _, heads = redirected(replace(SECRET, redirect_hosts=("localhost",)), to="localhost")
    assert base64.b64encode(b"isthmus:s3cret").decode() in heads[0]
    _, heads = redirected(SECRET, to="127.0.0.1")
    assert len(heads) == 1


def test_no_secret_stands_in_what_is_printed_of_a_connection() -> None:
    access = replace(SECRET, masters=("http://m1:5050",), agent_principal="reader", agent_secret="other")
    shown = repr(access) + repr(Master(access))
    assert "s3cret" not in shown
    assert "other" not in shown
    assert base64.b64encode(b"isthmus:s3cret").decode() not in shown


def asked(access: Access, reply: bytes) -> tuple[NoAnswer | bytes | None, list[str]]:
    """What reading a file from an agent with this reply gives, and the heads that came to it."""

    async def main() -> tuple[NoAnswer | bytes | None, list[str]]:
        agent, master = Server(lambda: reply), Master(access)
        async with listening(agent.talk) as place:
            try:
                return await master.read_file(place, "/sandbox/isthmus/stdout", 0, 3), agent.heads
            except NoAnswer as fault:
                return fault, agent.heads
            finally:
                await master.close()

    return asyncio.run(main())


def test_an_agent_is_told_its_own_secret_and_never_the_masters() -> None:
    data = answer({"read_file": {"data": base64.b64encode(b"abcdef").decode()}})
    found, heads = asked(SECRET, data)
    assert found == b"abc"
    assert "authorization" not in heads[0].lower()
    _, heads = asked(replace(SECRET, agent_principal="reader", agent_secret="other"), data)
    assert base64.b64encode(b"reader:other").decode() in heads[0]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(status="401 Unauthorized"), "see mesos.agent_principal"),
        (answer(status="500 Internal Server Error"), "answers 500"),
        (answer({"read_file": {"data": "%%%"}}), "what is no file"),
    ],
)
def test_an_agent_that_does_not_give_the_file_has_not_answered(reply: bytes, words: str) -> None:
    found, _ = asked(SECRET, reply)
    assert isinstance(found, NoAnswer)
    assert words in found.message
    assert found.can_retry


@pytest.mark.parametrize("path", ["/sandbox/work/..", "/sandbox/work/", "/sandbox/work/."])
def test_a_name_that_leads_elsewhere_is_refused(path: str) -> None:
    async def main() -> None:
        listing = answer({"list_files": {"file_infos": [{"path": path, "mode": 33188, "size": 1}]}})
        agent, master = Server(lambda: listing), Master(SECRET)
        async with listening(agent.talk) as place:
            sandbox = AgentSandbox(master, replace(LAUNCH, agent_url=place), asyncio.get_running_loop())
            with pytest.raises(InvalidInput, match="can't be a file"):
                await asyncio.to_thread(sandbox.list, "isthmus/work")
        await master.close()

    asyncio.run(main())


@pytest.mark.parametrize(("told", "size"), [(-5, 0), (1e300, 2**50), ("x", 0), (7, 7)])
def test_sizes_are_what_a_file_can_have(told: object, size: int) -> None:
    async def main() -> None:
        listing = answer({"list_files": {"file_infos": [{"path": "/s/a", "mode": 2**40 + 33188, "size": told}]}})
        agent, master = Server(lambda: listing), Master(SECRET)
        async with listening(agent.talk) as place:
            assert await master.list_files(place, "/s") == [("/s/a", 33188, size)]
        await master.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("config_timeout_s", "hosts", "good"),
    [(604_800, ("127.0.0.1",), True), (604_800, ("127.0.0.1", "10.1.2.3"), False), (30, ("127.0.0.1",), False)],
)
def test_a_check_says_what_agents_elsewhere_and_a_short_failover_would_suffer(
    config_timeout_s: int, hosts: tuple[str, ...], good: bool
) -> None:
    agents = [
        {"active": True, "agent_info": {"hostname": host, "id": {"value": host}}, "pid": f"slave(1)@{host}:5051"}
        for host in hosts
    ]

    async def main() -> list[Finding]:
        everything = Server(lambda: answer({"get_agents": {"agents": agents}}))
        async with listening(everything.talk) as place:
            config = MesosConfig(masters=(place,), gateway_url=place, failover_timeout_s=config_timeout_s)
            return await asyncio.to_thread(check, config)

    findings = [finding for finding in asyncio.run(main()) if "own address" in finding.words or "fail" in finding.words]
    assert all(finding.good for finding in findings) == good
