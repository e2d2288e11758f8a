"""The wire to a Mesos cluster: one subscription to the leading master, calls to it, and the files of its agents.

A master that does not lead answers 307 and says who does, perhaps by a name that can't be resolved here, and while one
is elected two may point at each other: so the hops are counted, and the configured list is tried in turn. A stream
that is silent for longer than two heartbeats is dead, whatever TCP says (a frozen master sends no end).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from isthmus.application.encoding import Json
from isthmus.cluster.mesos.line import CallLine
from isthmus.cluster.mesos.messages import Event, Message, Subscribed, event_of, items, number, text
from isthmus.cluster.mesos.recordio import BrokenStream, Records
from isthmus.errors import NoAnswer

ANSWER_S = 10.0  # for the head of an answer, and for the first event
CONNECT_S = 5.0
SILENT_BEATS = 2.2  # of silence after which the stream is given up
MOST_HOPS = 4
MOST_SIZE = 2.0**50  # of a file, whatever an agent says
MOST_READ = 64 * 1024  # an agent reads at most 16 pages at once, whatever is asked for


class CallRefused(NoAnswer):
    """The master has understood and won't: asking again without a change is of no use."""

    code = "refused"
    can_retry = False


class NotPermitted(CallRefused):
    """The master takes nothing of the kind from us, whatever it says."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a Mesos cluster is reached. Without a secret nobody is named to the masters, or to the agents.

    `redirect_hosts` are the hosts, besides those of `masters`, to which a master may send us on.
    """

    masters: tuple[str, ...]
    principal: str = ""
    secret: str = field(default="", repr=False)
    ca_file: str = ""
    agent_principal: str = ""
    agent_secret: str = field(default="", repr=False)
    redirect_hosts: tuple[str, ...] = ()


@dataclass(slots=True)
class Master:
    """The leading master, once it is found; `leader` is its address, empty before."""

    access: Access
    leader: str = ""
    calls_made: int = 0
    _stream_id: str = ""
    _client: httpx.AsyncClient = field(init=False)
    _agents: httpx.AsyncClient = field(init=False)
    _line: CallLine = field(init=False)
    _credentials: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        access = self.access
        trust = ssl.create_default_context(cafile=access.ca_file or None)
        auth = (access.principal, access.secret) if access.secret else None
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=8)
        self._client = httpx.AsyncClient(auth=auth, verify=trust, timeout=timeout, limits=limits, trust_env=False)
        if access.secret:
            pair = base64.b64encode(f"{access.principal}:{access.secret}".encode()).decode()
            self._credentials = {"Authorization": f"Basic {pair}"}
        self._line = CallLine(trust)
        to_agents = (access.agent_principal, access.agent_secret) if access.agent_secret else None
        self._agents = httpx.AsyncClient(auth=to_agents, verify=trust, timeout=timeout, limits=limits, trust_env=False)

    async def close(self) -> None:
        """Connections are closed. The framework lives on."""
        await self._line.close()
        await self._client.aclose()
        await self._agents.aclose()

    # --- the stream -------------------------------------------------------------------------------------------------
    async def events(self, subscribe: Message) -> AsyncGenerator[Event, None]:
        """Subscribes, and gives what comes. NoAnswer: it is over, or never began, and why; CallRefused: for good."""
        response = await self._find_leader("/api/v1/scheduler", subscribe)
        try:
            self._stream_id = response.headers.get("Mesos-Stream-Id", "")
            async for event in _read(response):
                yield event
        except (httpx.HTTPError, httpx.StreamError) as fault:
            raise NoAnswer(f"the stream of events broke ({fault or type(fault).__name__})") from fault
        except (BrokenStream, ValueError) as fault:
            raise NoAnswer(f"the stream of events can't be read ({fault})") from fault
        finally:
            self._stream_id = ""
            await response.aclose()

    async def _find_leader(self, path: str, body: Message) -> httpx.Response:
        """The open answer of the master that leads. NoAnswer: none does, and what each said."""
        said = []
        for master in dict.fromkeys(filter(None, (self.leader, *self.access.masters))):
            try:
                return await self._follow(master, path, body)
            except CallRefused:
                raise
            except NoAnswer as fault:
                said.append(f"{master}: {fault.message}")
        self.leader = ""
        raise NoAnswer("no Mesos master answers: " + "; ".join(said))

    async def _follow(self, master: str, path: str, body: Message) -> httpx.Response:
        for _ in range(MOST_HOPS):
            response = await self._open(master, path, body)
            if response.status_code == 200:
                self.leader = master
                return response
            told = await _told(response)
            if response.status_code != 307:
                raise _fault(response.status_code, told)
            master = self._place_of(response.headers.get("Location", ""), master)
        raise NoAnswer("the masters point at each other")

    def _place_of(self, location: str, before: str) -> str:
        """Where a redirect leads. NoAnswer: to none of the configured hosts, which is told no secret and no ticket."""
        place = _origin(location, before)
        known = {urlsplit(master).hostname for master in self.access.masters} | {*self.access.redirect_hosts}
        if urlsplit(place).hostname not in known:
            raise NoAnswer(f"says that {place} leads, which is named neither in masters nor in redirect_hosts")
        if before.startswith("https:") and not place.startswith("https:"):
            raise NoAnswer(f"says that {place} leads, which is reached without TLS")
        return place

    async def _open(self, master: str, path: str, body: Message) -> httpx.Response:
        request = self._client.build_request(
            "POST", master + path, content=json.dumps(body), headers=_JSON, timeout=_STREAMING
        )
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as fault:
            raise NoAnswer(str(fault) or "no answer in time") from fault

    # --- calls ------------------------------------------------------------------------------------------------------
    async def call(self, framework_id: str, message: Message) -> None:
        """The master has received the call, which says nothing of what it does. NoAnswer; CallRefused: not as it is."""
        if not self._stream_id:
            raise NoAnswer("not subscribed to a Mesos master")
        headers = {**_JSON, **self._credentials, "Mesos-Stream-Id": self._stream_id}
        body: Message = {**message, "framework_id": {"value": framework_id}}
        self.calls_made += 1
        answer = await self._line.post(self.leader, "/api/v1/scheduler", headers, json.dumps(body).encode())
        if answer.status not in (200, 202):
            raise _fault(answer.status, answer.text)

    async def ask(self, kind: str) -> Json:
        """The leading master's answer to an operator's call without arguments. NoAnswer, CallRefused."""
        self.calls_made += 1
        return _json(await self._post(self.leader + "/api/v1", {"type": kind}))

    async def read_file(self, agent_url: str, path: str, offset: int, length: int) -> bytes | None:
        """Bytes of a file of an agent's sandbox, fewer if it ends; None: there is none. NoAnswer."""
        most = min(length, MOST_READ)
        asked: Message = {"path": path, "offset": offset, "length": most}
        answer = await self._ask_agent(agent_url, {"type": "READ_FILE", "read_file": asked})
        if answer is None:
            return None
        try:
            return base64.b64decode(text(answer, "read_file", "data"), validate=True)[:most]
        except binascii.Error as fault:
            raise NoAnswer(f"the agent at {agent_url} answers what is no file ({fault})") from fault

    async def list_files(self, agent_url: str, path: str) -> list[tuple[str, int, int]] | None:
        """Path, mode and size of what is in a folder of an agent's sandbox; None: there is no such folder. NoAnswer."""
        answer = await self._ask_agent(agent_url, {"type": "LIST_FILES", "list_files": {"path": path}})
        if answer is None:
            return None
        found = items(answer, "list_files", "file_infos")
        return [(text(one, "path"), int(number(one, "mode")) & 0xFFFF, _size(number(one, "size"))) for one in found]

    async def _ask_agent(self, agent_url: str, body: Message) -> Json:
        """The agent's answer, None if it has no such file. It is told its own secret, not the masters'. NoAnswer."""
        self.calls_made += 1
        try:
            response = await self._agents.post(agent_url + "/api/v1", content=json.dumps(body), headers=_JSON)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise NoAnswer(f"the agent at {agent_url} does not answer ({fault or type(fault).__name__})") from fault
        if response.status_code == 404:
            return None
        if response.status_code in (401, 403):
            raise NoAnswer(
                f"the agent at {agent_url} asks for other credentials ({response.status_code}):"
                " see mesos.agent_principal and mesos.agent_secret_file"
            )
        if response.status_code != 200:
            raise NoAnswer(f"the agent at {agent_url} answers {response.status_code} {response.text.strip()[:300]}")
        return _json(response)

    async def _post(self, url: str, body: Message) -> httpx.Response:
        try:
            response = await self._client.post(url, content=json.dumps(body), headers=_JSON)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise NoAnswer(f"the Mesos master does not answer ({fault or type(fault).__name__})") from fault
        if response.status_code != 200:
            raise _fault(response.status_code, response.text)
        return response


_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_STREAMING = httpx.Timeout(CONNECT_S, read=None)


async def _read(response: httpx.Response) -> AsyncIterator[Event]:
    records, silence_s = Records(), ANSWER_S
    pieces = response.aiter_raw()
    while True:
        try:
            async with asyncio.timeout(silence_s):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise NoAnswer(f"the Mesos master was silent for {silence_s:.0f} s") from None
        if piece is None:
            raise NoAnswer("the Mesos master ended the stream of events")
        for record in records.feed(piece):
            event = event_of(record)
            if isinstance(event, Subscribed):
                silence_s = event.heartbeat_s * SILENT_BEATS
            yield event


async def _told(response: httpx.Response) -> str:
    try:
        async with asyncio.timeout(ANSWER_S):
            return (await response.aread()).decode(errors="replace").strip()
    except (httpx.HTTPError, TimeoutError):
        return ""
    finally:
        await response.aclose()


_NOT_SUBSCRIBED = re.compile(r"stream id|not subscribed", re.IGNORECASE)


def _fault(status: int, told: str) -> NoAnswer:
    words = f"{status} {told.strip()[:300]}".strip()
    match status:
        case 401:
            return NotPermitted("the Mesos master does not take the principal and secret (401): see mesos.principal")
        case 400 | 403 if _NOT_SUBSCRIBED.search(told):
            return NoAnswer(f"the Mesos master does not know of our subscription ({words})")
        case 403:
            return NotPermitted(f"the Mesos master does not permit it ({words})")
        case 400 | 405 | 406 | 415:
            return CallRefused(f"the Mesos master refuses what it was told ({words})")
    return NoAnswer(f"the Mesos master answers {words}")


def _size(told: float) -> int:
    return int(min(max(told, 0.0), MOST_SIZE))


def _origin(location: str, before: str) -> str:
    """Scheme, host and port of a redirect, whose Location begins with `//` and has a path of its own."""
    parts = urlsplit(location)
    if not parts.netloc:
        raise NoAnswer("redirected, but not whereto")
    return f"{parts.scheme or urlsplit(before).scheme}://{parts.netloc}"


def _json(response: httpx.Response) -> Json:
    try:
        found: Json = response.json()
    except ValueError as fault:
        raise NoAnswer("an answer that is no JSON") from fault
    return found
