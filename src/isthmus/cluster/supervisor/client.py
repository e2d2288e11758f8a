"""The controller's side of the socket: asks the supervisor, and starts one where none answers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import isthmus
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.cluster.supervisor.wire import (
    LINE_LIMIT,
    Answer,
    SupervisorStatus,
    answer_from_json,
    listed_from_json,
    open_socket,
    status_from_json,
)
from isthmus.errors import NoAnswer
from isthmus.facts import Listed

ANSWER_S = 5.0
_START_S = 30.0

_PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL"),
    *("PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "ISTHMUS_FAILPOINTS"),
)
"""The supervisor's environment: nothing secret, since programs of the same user can read it."""


class Unsent(NoAnswer):
    """The question never reached a supervisor, so nothing came of it."""


@dataclass(frozen=True, slots=True)
class SupervisorClient:
    """Asks the supervisor of one root. Every question takes a connection of its own and may be asked again."""

    root: Path
    settings: LocalSettings

    async def submit(self, tries: Iterable[tuple[str, int]]) -> dict[str, Answer]:
        """What became of each try, by tag. Unsent: nothing; NoAnswer: it is not known."""
        body = await self._ask("submit", {"tries": [list(pair) for pair in tries]}, "submitted")
        return {tag: answer_from_json(_record(answer)) for tag, answer in body.items()}

    async def list(self, tags: Iterable[str]) -> dict[str, Listed]:
        """The listing of these tags, complete: one that is missing is not there."""
        body = await self._ask("list", {"tags": list(tags)}, "listed")
        return {tag: listed_from_json(_record(line)) for tag, line in body.items()}

    async def cancel(self, tags: Iterable[str]) -> None:
        """The supervisor was told to end these."""
        await self._ask("cancel", {"tags": list(tags)}, None)

    async def status(self) -> SupervisorStatus:
        return status_from_json(await self._ask("status", {}, "status"))

    async def _ask(self, question: str, body: Mapping[str, object], key: str | None) -> Mapping[str, object]:
        line = json.dumps({"ask": question, **body}).encode() + b"\n"
        sent = False
        for again in (True, False):
            try:
                async with asyncio.timeout(ANSWER_S):
                    reader, writer = await self._connect()
                    try:
                        sent = True
                        writer.write(line)
                        answer = await reader.readline()
                    finally:
                        writer.close()
                if answer.endswith(b"\n"):
                    return _answer(answer, key)
            except TimeoutError as fault:
                raise _no_answer(f"no answer in {ANSWER_S:g} s", sent) from fault
            except OSError as fault:  # no socket, or nobody behind it
                if not again:
                    raise _no_answer(str(fault), sent) from fault
            if again:
                await asyncio.to_thread(self._start, sent)
        raise _no_answer("it went away before it answered", sent)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.root.mkdir(parents=True, exist_ok=True)
        connection, path, directory = open_socket(self.root)
        try:
            connection.setblocking(False)
            connection.connect(path)  # at once, or BlockingIOError where a frozen supervisor's backlog is full
            return await asyncio.open_unix_connection(sock=connection, limit=LINE_LIMIT)
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(directory)

    def _start(self, sent: bool) -> None:
        """A supervisor serves the root, or somebody holds its lock. NoAnswer: neither."""
        try:
            last_words = self._run()
        except subprocess.TimeoutExpired as fault:
            raise _no_answer(f"not ready in {_START_S:g} s", sent) from fault
        except OSError as fault:  # no memory for a process, no descriptor left, no log
            raise _no_answer(f"it can't be started: {fault}", sent) from fault
        if last_words is not None:
            raise _no_answer(f"it does not start: {last_words}", sent)

    def _run(self) -> str | None:
        """The program that starts a supervisor was run; returns its last words if it failed."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["PYTHONPATH"] = str(Path(isthmus.__file__).parents[1])  # ours may be relative, or not needed
        argv = [sys.executable, "-m", "isthmus.cluster.supervisor", str(self.root), self.settings.to_json()]
        log = self.root / "supervisor.log"
        with log.open("ab") as stderr:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                cwd="/",
                start_new_session=True,
                timeout=_START_S,
                check=False,
            )
        return log.read_text(errors="replace").rstrip().rpartition("\n")[2] if done.returncode else None


def _no_answer(detail: str, sent: bool) -> NoAnswer:
    kind = NoAnswer if sent else Unsent
    return kind(f"the local supervisor did not answer ({detail})", detail=detail)


def _answer(line: bytes, key: str | None) -> Mapping[str, object]:
    body = _record(json.loads(line))
    if "fault" in body:
        raise NoAnswer("the local supervisor did not understand the question", detail=str(body["fault"]))
    return body if key is None else _record(body[key])


def _record(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise NoAnswer("the local supervisor's answer could not be read", detail=repr(value)[:200])
    return value
