"""The supervisor's side of the socket: reads what is asked, asks the engine, answers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from isthmus.cluster.supervisor.engine import Engine
from isthmus.cluster.supervisor.sandbox import NONE, UID
from isthmus.cluster.supervisor.wire import (
    LINE_LIMIT,
    SOCKET,
    SupervisorStatus,
    answer_to_json,
    listed_to_json,
    open_socket,
)
from isthmus.failpoint import reach

_EVENTS_KEPT_BYTES = 8 * 1024 * 1024
_TIDY_S = 5.0
_log = logging.getLogger("isthmus.supervisor")


@dataclass(slots=True)
class Server:
    """Serves one engine until it is told to stop, or nobody has asked for `idle_s` while there was nothing to do."""

    engine: Engine
    idle_s: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _busy_at: float = field(default_factory=time.monotonic)

    async def serve(self, root: Path, ready: int) -> None:
        """Answers on the root's socket; `ready` is a descriptor that is closed as soon as it does."""
        listening, path, directory = open_socket(root)
        (root / SOCKET).unlink(missing_ok=True)  # a dead supervisor's: the lock says that there is no other
        listening.bind(path)
        (root / SOCKET).chmod(0o600)
        server = await asyncio.start_unix_server(self._converse, sock=listening, limit=LINE_LIMIT, backlog=128)
        os.close(directory)
        os.close(ready)
        async with server:
            tidying = asyncio.create_task(self._tidy(root))
            await self.stopping.wait()
            tidying.cancel()
            server.close()
            for writer in self._connections:
                writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                self._busy_at = time.monotonic()
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as fault:  # gone, or a line beyond the limit
            _log.warning("connection dropped: %s", fault)
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            body: object = json.loads(line)
            if not isinstance(body, dict):
                raise TypeError("not a JSON object")
            return self._respond(body)
        except (ValueError, TypeError, KeyError) as fault:
            return {"fault": repr(fault)}

    def _respond(self, body: Mapping[str, object]) -> Mapping[str, object]:
        match body["ask"]:
            case "submit":
                tries = [_try(pair) for pair in _items(body, "tries")]
                answers = self.engine.submit(tries)
                reach("supervisor.before_answer")
                return {"submitted": {tag: answer_to_json(answer) for tag, answer in answers.items()}}
            case "list":
                listed = self.engine.listing(map(str, _items(body, "tags")))
                return {"listed": {tag: listed_to_json(line) for tag, line in listed.items()}}
            case "cancel":
                self.engine.cancel(map(str, _items(body, "tags")))
                return {}
            case "status":
                return {"status": asdict(self._status())}
        raise ValueError(f"{body['ask']!r} is no question")

    def _status(self) -> SupervisorStatus:
        engine, capacity, used = self.engine, self.engine.slots.capacity, self.engine.slots.used
        return SupervisorStatus(
            pid=os.getpid(),
            queued=engine.waiting_count,
            running=len(engine.running),
            cpus=capacity.cpus,
            cpus_used=used.cpus,
            memory_mib=capacity.memory_mib,
            memory_used_mib=used.memory_mib,
            gpus=capacity.gpus,
            gpus_used=used.gpus,
            isolation=engine.launcher.sandbox.isolation,
            notes=tuple(self._notes()),
        )

    def _notes(self) -> list[str]:
        launcher, notes = self.engine.launcher, []
        if launcher.groups is None:
            notes.append("memory limits are not enforced here")
        if launcher.sandbox.isolation in (NONE, UID):
            notes.append("jobs are not isolated here: only programs of the catalogue run")
        if launcher.sandbox.isolation == NONE and os.geteuid() == 0:
            notes.append("programs run as root")
        return notes

    async def _tidy(self, root: Path) -> None:
        """Now and then: a long events file is set aside, and a supervisor that nobody needs ends."""
        while True:
            await asyncio.sleep(min(_TIDY_S, self.idle_s / 2))
            events = root / "events"
            with suppress(FileNotFoundError):
                if events.stat().st_size > _EVENTS_KEPT_BYTES:
                    events.replace(root / "events.1")
            if not self.engine.is_idle:
                self._busy_at = time.monotonic()
            elif time.monotonic() - self._busy_at > self.idle_s:
                self.stopping.set()


def _try(pair: object) -> tuple[str, int]:
    match pair:
        case [str(tag), int(number)]:
            return tag, number
    raise TypeError(f"{pair!r} is no tag and try")


def _items(body: Mapping[str, object], key: str) -> list[object]:
    value = body[key]
    if not isinstance(value, list):
        raise TypeError(f"{key} is no list")
    return value
