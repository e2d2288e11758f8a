"""The local cluster: this machine, through its supervisor where it answers, through its files where that is enough.

What may have started, what ended and what was submitted is on disk, so settling, voiding and reading records work
with the supervisor dead; only the listing and new submissions need it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from isthmus.cluster import ClusterStatus, Folders, Handle, NodeStatus, Order
from isthmus.cluster.attempts import (
    CLOSED,
    VOID,
    Holder,
    Malformed,
    claim_of,
    directory_of,
    end_of,
    hold,
    is_over,
    native_id_of,
    read_claim,
    sync,
)
from isthmus.cluster.stage_in import StoredFiles, stage_in
from isthmus.cluster.stage_out import FileKeeper, stage_out
from isthmus.cluster.supervisor.client import SupervisorClient, Unsent
from isthmus.cluster.supervisor.processes import is_alive
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.cluster.tail import EventsTail
from isthmus.collecting import STREAMS, Limits
from isthmus.config import LocalConfig
from isthmus.errors import NoAnswer
from isthmus.facts import (
    Accepted,
    Claim,
    Claimed,
    EndRecord,
    Facts,
    Indeterminate,
    Listed,
    NeverSubmitted,
    StagedIn,
    StagedOut,
    StagingFailed,
    Submitted,
    Unclaimed,
    Unlisted,
    Voided,
)

_log = structlog.get_logger(__name__)

_Asked = TypeVar("_Asked", Order, Handle)
_Answer = TypeVar("_Answer")

_DISCARDED_AT_ONCE = 100
_STAGING_LIFE_S = 3600.0  # a staging that takes longer is thought dead


class Files(StoredFiles, FileKeeper, Protocol):
    """What the cluster asks of the file store."""


def settings_of(config: LocalConfig) -> LocalSettings:
    """The settings that a cluster file asks for."""
    return LocalSettings(
        cpus=config.cpus,
        memory_mib=config.memory_mib,
        gpus=config.gpus,
        isolation=config.isolation,
        readable=tuple(str(path) for path in config.readable),
        grace_s=config.grace_s,
        max_output_mib=config.max_output_mib,
        max_log_mib=config.max_log_mib,
        boot_id_path=str(config.boot_id_path),
    )


@dataclass(slots=True)
class LocalCluster:
    """This machine as a cluster, with everything it keeps below `root`, which is `<home>/clusters/<name>`."""

    name: str
    root: Path
    files: Files
    settings: LocalSettings
    _supervisor: SupervisorClient = field(init=False)
    _tail: EventsTail = field(init=False)
    _isolation: str | None = None

    def __post_init__(self) -> None:
        self.root = self.root.absolute()
        self._supervisor = SupervisorClient(self.root, self.settings)
        self._tail = EventsTail(self.root / "events")

    def folders(self, tag: str) -> Folders:
        directory = directory_of(self.root, tag)
        return Folders(inputs=str(directory / "inputs"), work=str(directory / "work"))

    async def open(self) -> None:
        """A supervisor answers. Jobs that changed before are not news any more: observe every live one once."""
        self._tail.start()
        self._isolation = (await self._supervisor.status()).isolation
        await asyncio.to_thread(self._sweep)

    async def close(self) -> None:
        self._tail.close()

    async def changed(self) -> frozenset[str]:
        return self._tail.tags()

    # --- staging ----------------------------------------------------------------------------------------------
    async def stage_in(self, orders: Sequence[Order]) -> Mapping[str, StagedIn | StagingFailed]:
        """Each attempt's directory appears whole, by a rename; one that is there already is left as it is."""
        isolation = self._isolation or (await self._supervisor.status()).isolation
        self._isolation = isolation

        def stage() -> dict[str, StagedIn | StagingFailed]:
            answers = _answers(orders, lambda order: stage_in(self.root, order, self.files, isolation))
            try:
                sync(self.root / "attempts")
            except OSError as fault:  # nothing is answered, so all are staged again
                _log.warning("what was staged may not be durable", cluster=self.name, fault=str(fault))
                return {}
            return answers

        return await asyncio.to_thread(stage)

    async def stage_out(self, orders: Sequence[Order]) -> Mapping[str, StagedOut | StagingFailed]:
        """Reads only, and the file store keeps equal bytes once: so it may be done again."""
        limits = Limits(self.settings.max_output_mib, self.settings.max_log_mib)

        def collect() -> dict[str, StagedOut | StagingFailed]:
            return _answers(orders, lambda order: stage_out(self.root, order, self.files, limits))

        return await asyncio.to_thread(collect)

    # --- submission ---------------------------------------------------------------------------------------------
    async def submit(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        """Each attempt stands in the queue once: its submit marker, made atomically, answers whoever asks again."""
        try:
            answers = await self._supervisor.submit((handle.tag, handle.submit_try) for handle in handles)
        except Unsent:
            raise
        except NoAnswer as fault:
            return {handle.tag: Indeterminate(fault.message) for handle in handles}
        closed = Indeterminate("this try was closed by another")
        return {tag: closed if isinstance(answer, NeverSubmitted) else answer for tag, answer in answers.items()}

    async def settle(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        """Each try holds a native id or is closed for good, by the same atomic link; asks no supervisor."""
        return await self._for_each(handles, self._settle)

    def _settle(self, handle: Handle) -> Submitted:
        directory = directory_of(self.root, handle.tag)
        try:
            if native_id := native_id_of(directory):
                return Accepted(native_id)
            held = hold(directory / f"submit.{handle.submit_try}", f"{CLOSED}{socket.gethostname()}:{os.getpid()}")
        except FileNotFoundError:
            return Indeterminate("the attempt's directory is missing")
        return NeverSubmitted() if held.startswith(CLOSED) else Accepted(held)

    async def void(self, handles: Sequence[Handle], epoch: int) -> Mapping[str, Claim]:
        """The claim is one atomic link, so voiding again finds it held. Without a directory a tombstone is as good."""

        def void(handle: Handle) -> Claim | None:
            link = directory_of(self.root, handle.tag) / "claim"
            try:
                held = read_claim(hold(link, f"{VOID}{epoch}"), link.lstat().st_mtime)
            except FileNotFoundError:
                return self._bar(handle.tag, epoch)
            return _claim(held)

        answers = await self._for_each(handles, void)
        return {tag: claim for tag, claim in answers.items() if claim}

    def _bar(self, tag: str, epoch: int) -> Voided | None:
        """The attempt, which has no directory, can never be staged or submitted; None where that can't be made sure."""
        if not (self.root / "attempts").is_dir():
            return None  # the disk with all of them may be away
        with suppress(FileNotFoundError):
            hold(self.root / "done" / tag, str(int(time.time())))
            return None if directory_of(self.root, tag).exists() else Voided(epoch)  # else staged in this moment
        return None

    async def cancel(self, handles: Sequence[Handle]) -> frozenset[str]:
        """An attempt that waits leaves the queue, one that runs gets TERM and later KILL; once, however often asked."""
        tags = [handle.tag for handle in handles]
        await self._supervisor.cancel(tags)
        return frozenset(tags)

    # --- observation ----------------------------------------------------------------------------------------------
    async def observe(self, handles: Sequence[Handle]) -> Mapping[str, Facts]:
        """Claim and end record from the files, the listing from the supervisor: None there if it does not answer."""
        listing: Mapping[str, Listed] | None
        try:
            listing = await self._supervisor.list(handle.tag for handle in handles)
        except NoAnswer as fault:
            _log.warning("no listing", cluster=self.name, fault=fault.message)
            listing = None
        # After the listing: a record that was written before an end was listed is then always seen.
        answers = await self._for_each(handles, lambda handle: self._observe(handle, listing))
        if listing is None and not any(facts.claim for facts in answers.values()):
            raise NoAnswer("the local cluster did not answer: no supervisor, and no attempt's directory")
        return answers

    def _observe(self, handle: Handle, listing: Mapping[str, Listed] | None) -> Facts:
        listed = None if listing is None else listing.get(handle.tag, Unlisted())
        directory = directory_of(self.root, handle.tag)
        try:
            held = claim_of(directory)
            if held is None and not directory.is_dir():
                return Facts(claim=None if listed is None else self._missing(handle.tag), listing=listed)
        except OSError as fault:
            _log.warning("an attempt can't be read", tag=handle.tag, fault=str(fault))
            return Facts(listing=listed)
        end = self._end(directory, held) if isinstance(held, Holder) else None
        return Facts(claim=Unclaimed() if held is None else _claim(held), end=end, listing=listed)

    def _missing(self, tag: str) -> Claim | None:
        """What the attempt's missing directory says of its claim: nobody holds one, and if it is over nobody ever will.

        None: all directories are missing, so nothing is known of any.
        """
        if not (self.root / "attempts").is_dir():
            return None
        return Voided(0) if is_over(self.root, tag) else Unclaimed()

    def _end(self, directory: Path, holder: Holder) -> EndRecord | None:
        try:
            return end_of(directory, holder.run)
        except (Malformed, OSError) as fault:
            _log.warning("an end record can't be read", fault=str(fault))
            return None

    async def read_log(self, tag: str, stream: str, offset: int, limit: int) -> bytes:
        if stream not in STREAMS:
            raise ValueError(f"{stream!r} is no stream of a job")
        return await asyncio.to_thread(_read_log, directory_of(self.root, tag) / stream, offset, limit)

    async def status(self) -> ClusterStatus:
        status = await self._supervisor.status()
        node = NodeStatus(
            name=socket.gethostname(),
            cpus=status.cpus,
            cpus_used=status.cpus_used,
            memory_mib=status.memory_mib,
            memory_used_mib=status.memory_used_mib,
            gpus=status.gpus,
            gpus_used=status.gpus_used,
        )
        return ClusterStatus(status.queued, status.running, (node,), status.isolation, status.notes)

    # --- the attempts' directories -----------------------------------------------------------------------------
    async def tags(self) -> frozenset[str]:
        return frozenset(await asyncio.to_thread(lambda: [name for name in self._names() if not name.startswith(".")]))

    async def discard(self, tags: Sequence[str]) -> None:
        """Each attempt is over for good and its directory gone, but for one that still runs: left for another time."""
        for start in range(
            0, len(tags), _DISCARDED_AT_ONCE
        ):  # in parts, between which a controller that stops can stop
            await asyncio.to_thread(self._discard_all, tags[start : start + _DISCARDED_AT_ONCE])

    def _discard_all(self, tags: Sequence[str]) -> None:
        for tag in tags:
            self._discard(tag)

    def _discard(self, tag: str) -> None:
        directory = directory_of(self.root, tag)
        with suppress(OSError):
            claim = claim_of(directory)
            if isinstance(claim, Holder) and is_alive(claim.process, self._boot_id()):
                return
            hold(self.root / "done" / tag, str(int(time.time())))
            gone = directory.with_name(f".gone.{tag}.{secrets.token_hex(4)}")
            directory.rename(gone)  # at once and whole, so that nobody ever meets half an attempt
            _remove(gone)

    def _sweep(self) -> None:
        """What a killed `discard` left is gone, and what a killed `stage_in` left, if it is old."""
        before = time.time() - _STAGING_LIFE_S
        for name in self._names():
            left = self.root / "attempts" / name
            with suppress(FileNotFoundError):
                if name.startswith(".gone.") or (name.startswith(".") and left.lstat().st_mtime < before):
                    _remove(left)

    def _names(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [entry.name for entry in (self.root / "attempts").iterdir()]
        return []

    def _boot_id(self) -> str:
        return Path(self.settings.boot_id_path).read_text(encoding="ascii").strip()

    async def _for_each(self, handles: Iterable[Handle], answer: Callable[[Handle], _Answer]) -> dict[str, _Answer]:
        """The answers by tag, all worked out in one other thread."""
        return await asyncio.to_thread(_answers, handles, answer)


def _answers(asked: Iterable[_Asked], answer: Callable[[_Asked], _Answer]) -> dict[str, _Answer]:
    """The answers by tag; one that can't be worked out is left out, and spoils no other."""
    answers = {}
    for one in asked:
        try:
            answers[one.tag] = answer(one)
        except Exception:
            _log.exception("no answer for an attempt", tag=one.tag)
    return answers


def _claim(held: Holder | Voided) -> Claim:
    return held if isinstance(held, Voided) else Claimed(held.native_id, held.run, held.since)


def _read_log(path: Path, offset: int, limit: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(file, limit, offset) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)


def _remove(directory: Path) -> None:
    """The directory is gone, also where its program took away its own right to enter folders."""
    try:
        shutil.rmtree(directory)
    except OSError:
        for folder, _, _ in os.walk(directory):
            with suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(directory, ignore_errors=True)
