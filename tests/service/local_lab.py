"""A real local cluster in a folder of its own, for tests: real supervisor, real wrappers, real programs.

Programs append to a ledger outside their attempts, which says how often they really ran.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.cluster import Handle, InputFile, Order, OutputRule
from isthmus.cluster.attempts import Holder, claim_of
from isthmus.cluster.local import LocalCluster
from isthmus.cluster.supervisor.cgroup import find_memory_groups
from isthmus.cluster.supervisor.processes import marked
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.facts import Accepted, EndRecord, Facts, Listed, StagedIn, Submitted
from isthmus.files import FileStore, StoredFile
from isthmus.job import Resources, SchedulerState

DEADLINE_S = 20.0
SMALL = Resources(cpus=1, walltime_s=600)


def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """The condition holds; AssertionError if it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited too long for: {what}"
        time.sleep(0.01)


@dataclass(slots=True)
class Lab:
    """One cluster under test, and what a controller would do with it."""

    home: Path
    settings: LocalSettings
    files: FileStore
    cluster: LocalCluster = field(init=False)
    tags: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cluster = LocalCluster("local", self.home / "clusters" / "local", self.files, self.settings)

    @property
    def root(self) -> Path:
        return self.cluster.root

    @property
    def ledger(self) -> Path:
        """Where programs write that they ran; below /tmp's parent folder of the test, so only without isolation."""
        return self.home / "ledger"

    def directory(self, tag: str) -> Path:
        return self.root / "attempts" / tag

    def put(self, text: str) -> StoredFile:
        with self.files.writer() as out:
            out.write(text.encode())
        return out.result

    def order(
        self,
        tag: str,
        script: str,
        *,
        resources: Resources = SMALL,
        inputs: Mapping[str, str] | None = None,
        outputs: tuple[OutputRule, ...] = (),
        environment: Mapping[str, str] | None = None,
        isolation_required: bool = False,
    ) -> Order:
        stored = {name: self.put(text) for name, text in (inputs or {}).items()}
        self.tags.add(tag)
        return Order(
            tag=tag,
            job_id=f"job-{tag}",
            resources=resources,
            script=script,
            environment=environment or {},
            inputs=tuple(InputFile(name, file.sha256, file.size) for name, file in stored.items()),
            outputs=outputs,
            isolation_required=isolation_required,
        )

    def handle(self, tag: str, submit_try: int = 1) -> Handle:
        return Handle(tag, submit_try, None, SMALL)

    async def stage(self, *orders: Order) -> None:
        answers = await self.cluster.stage_in(orders)
        assert set(answers.values()) == {StagedIn()}, answers

    async def submit(self, tag: str, submit_try: int = 1) -> Submitted:
        return (await self.cluster.submit([self.handle(tag, submit_try)]))[tag]

    async def run(self, order: Order) -> EndRecord:
        """The job was staged and submitted and has ended."""
        await self.start(order)
        return await self.end(order.tag)

    async def start(self, *orders: Order) -> None:
        """The jobs were staged and accepted."""
        await self.stage(*orders)
        answers = await self.cluster.submit([self.handle(order.tag) for order in orders])
        assert all(isinstance(answer, Accepted) for answer in answers.values()), answers

    async def observe(self, tag: str) -> Facts:
        return (await self.cluster.observe([self.handle(tag)]))[tag]

    async def end(self, tag: str) -> EndRecord:
        """The end record, once there is one."""
        facts = await self.wait(tag, lambda facts: facts.end is not None)
        assert facts.end is not None
        return facts.end

    async def listed_as_ended(self, tag: str) -> Listed:
        """What the listing says, once it says that the attempt ended."""
        facts = await self.wait(tag, lambda facts: _state(facts) is SchedulerState.ENDED)
        assert isinstance(facts.listing, Listed)
        return facts.listing

    async def wait(self, tag: str, known: Callable[[Facts], bool]) -> Facts:
        end = time.monotonic() + DEADLINE_S
        while not known(facts := await self.observe(tag)):
            assert time.monotonic() < end, facts
            await asyncio.sleep(0.02)
        return facts

    async def running(self, tag: str) -> None:
        """The program has been started, and has written its first line to stdout."""
        await self.wait(tag, lambda _: bool(self.stdout(tag)))

    def stdout(self, tag: str) -> str:
        with suppress(FileNotFoundError):
            return (self.directory(tag) / "stdout").read_text()
        return ""

    def stderr(self, tag: str) -> str:
        return (self.directory(tag) / "stderr").read_text()

    def ran(self, tag: str) -> int:
        """How often the program of the attempt wrote to the ledger."""
        return self.ledger.read_text().split().count(tag) if self.ledger.exists() else 0

    def noting(self, tag: str, script: str) -> str:
        """A script that notes its run in the ledger first."""
        return f"echo {tag} >>{self.ledger}\n{script}"

    # --- the supervisor -----------------------------------------------------------------------------------------
    def supervisor_pid(self) -> int:
        return int((self.root / "supervisor.lock").read_text())

    def signal_supervisor(self, number: signal.Signals) -> None:
        os.kill(self.supervisor_pid(), number)

    def kill_supervisor(self) -> None:
        """The supervisor is gone, without a chance to say anything."""
        pid = self.supervisor_pid()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_there(pid), "the supervisor's end")

    def wrapper_pid(self, tag: str) -> int:
        claim = claim_of(self.directory(tag))
        assert isinstance(claim, Holder)
        return claim.process.pid

    def kill_everything(self) -> None:
        """Nothing of this cluster runs: supervisor, wrappers, programs."""
        with suppress(OSError, ValueError):
            os.kill(self.supervisor_pid(), signal.SIGKILL)
        marks = [f"ISTHMUS_TAG={tag}" for tag in self.tags]
        for _ in range(3):
            for pid in marked(marks):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        until(lambda: not list(marked(marks)), "the end of every program")
        if self.root.exists() and (groups := find_memory_groups(self.root)):
            groups.remove_all()

    def accounting(self, deed: str, tag: str) -> int:
        lines = (self.root / "accounting").read_text().splitlines()
        return sum(f'"deed": "{deed}"' in line and f'"tag": "{tag}"' in line for line in lines)


def is_there(pid: int) -> bool:
    """The process is there and no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def _state(facts: Facts) -> SchedulerState | None:
    return facts.listing.state if isinstance(facts.listing, Listed) else None


@contextmanager
def local_lab(home: Path, settings: LocalSettings) -> Iterator[Lab]:
    """A lab that leaves no process behind. Without isolation unless the settings ask for it: most tests need none."""
    if settings.isolation == "auto":
        settings = replace(settings, isolation="none")
    lab = Lab(home, settings, FileStore(home / "files"))
    try:
        yield lab
    finally:
        lab.kill_everything()


def commands_before(folder: Path, **scripts: str) -> str:
    """A PATH where these commands come first, for wrappers too: without busybox, which has its own."""
    folder.mkdir()
    for name, text in {"busybox": "exit 1", **scripts}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def passable(folder: Path) -> None:
    """Other users can pass through the test's folders, which pytest makes for its own user only."""
    folder.chmod(0o755)
    for above in folder.parents:
        if any(part.startswith("pytest") for part in above.parts):
            above.chmod(0o755)


def real(command: str) -> str:
    """The full path of a command."""
    found = shutil.which(command)
    assert found
    return found


def play(story: Callable[[], Awaitable[None]]) -> None:
    """The story was told to its end, in a loop of its own."""

    async def whole() -> None:
        async with asyncio.timeout(60):
            await story()

    asyncio.run(whole())
