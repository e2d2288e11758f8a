"""An attempt's files on its agent, read through the agent's file API, which has them until it cleans up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

from isthmus.cluster.mesos.connection import Master
from isthmus.cluster.mesos.states import Launch
from isthmus.cluster.sandbox_reading import SandboxEntry
from isthmus.errors import InvalidInput, NotFound

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AgentSandbox:
    """Reads one launch's sandbox, from any thread but the loop's own."""

    master: Master
    launch: Launch
    loop: asyncio.AbstractEventLoop

    def list(self, path: str) -> Sequence[SandboxEntry]:
        """What is in the folder. NotFound; NoAnswer; InvalidInput: the agent says what can't be."""
        found = self._wait(self.master.list_files(self.launch.agent_url, f"{self.launch.sandbox}/{path}"))
        if found is None:
            raise NotFound(f"the sandbox has no folder {path}")
        return [SandboxEntry(_name_of(path), mode, size) for path, mode, size in found]

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of the file from `offset`, at most `length`; empty at its end. NotFound; NoAnswer."""
        found = self._wait(
            self.master.read_file(self.launch.agent_url, f"{self.launch.sandbox}/{path}", offset, length)
        )
        if found is None:
            raise NotFound(f"the sandbox has no file {path}")
        return found

    def _wait(self, asked: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result()


def _name_of(path: str) -> str:
    """The last part of the path. InvalidInput: it is no file's name."""
    name = path.rpartition("/")[2]
    if name in ("", ".", "..") or "\0" in name:
        raise InvalidInput(f"the agent lists {path!r}, which can't be a file")
    return name
