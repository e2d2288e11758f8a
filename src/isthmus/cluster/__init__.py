"""One configured cluster: what the controller asks of it, whatever runs behind it.

Every method may be called twice with the same arguments without harm; its docstring says how it knows. A method
raises `NoAnswer` when the cluster did not answer, which changes nothing; answers are given per tag, and a tag that is
missing from an answer was not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from isthmus.collecting import OutputRule as OutputRule
from isthmus.facts import Claim, Facts, StagedIn, StagedOut, StagingFailed, Submitted
from isthmus.job import Resources


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input as the program meets it: `name` below the inputs directory, bytes in the file store."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a cluster needs to stage one attempt in, start it and stage it out.

    `script` is POSIX sh; it starts in the attempt's work directory with its inputs at `../inputs/NAME`.
    """

    tag: str
    job_id: str
    resources: Resources
    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputRule, ...] = ()
    network: bool = False
    isolation_required: bool = False


@dataclass(frozen=True, slots=True)
class Handle:
    """Names one attempt on its cluster: enough to submit, observe, cancel or void it."""

    tag: str
    submit_try: int
    native_id: str | None
    resources: Resources


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One machine of a cluster; memory in MiB."""

    name: str
    cpus: int
    cpus_used: int
    memory_mib: int
    memory_used_mib: int
    gpus: int = 0
    gpus_used: int = 0


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A cluster as it last described itself: lengths of its queue, its nodes, and what it can't do, in sentences.

    `details` are more of its own facts, as label and value.
    """

    queued: int
    running: int
    nodes: tuple[NodeStatus, ...]
    isolation: str
    notes: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Folders:
    """Absolute paths of one attempt as its program meets them."""

    inputs: str
    work: str


class Cluster(Protocol):
    """The controller's view of one cluster."""

    name: str

    def folders(self, tag: str) -> Folders:
        """Where the attempt's program finds its inputs and leaves its outputs; asks nobody."""

    async def open(self) -> None:
        """The cluster can be asked; nothing else is promised."""

    async def close(self) -> None:
        """Connections are closed; jobs go on."""

    async def changed(self) -> frozenset[str]:
        """Tags with news since the last call: a hint that costs by events, not by live jobs."""

    async def stage_in(self, orders: Sequence[Order]) -> Mapping[str, StagedIn | StagingFailed]:
        """Inputs and script are in each attempt's directory."""

    async def submit(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        """Each attempt was handed to the scheduler at most once for its `submit_try`."""

    async def settle(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        """The current try of each is closed; what became of it is answered as far as it can be known."""

    async def observe(self, handles: Sequence[Handle]) -> Mapping[str, Facts]:
        """Claim, end record and listing of each, as far as each answers."""

    async def cancel(self, handles: Sequence[Handle]) -> frozenset[str]:
        """The scheduler was asked to end each of these tags; nothing is known of the effect."""

    async def void(self, handles: Sequence[Handle], epoch: int) -> Mapping[str, Claim]:
        """The claim of each is held: by the gateway if it was free, else by whoever the answer says."""

    async def stage_out(self, orders: Sequence[Order]) -> Mapping[str, StagedOut | StagingFailed]:
        """Outputs, stdout and stderr of each are in the file store."""

    async def read_log(self, tag: str, stream: str, offset: int, limit: int) -> bytes:
        """Bytes of `stdout` or `stderr` from `offset`, at most `limit`; empty at the end or before the start."""

    async def discard(self, tags: Sequence[str]) -> None:
        """The attempts' directories are gone, or go when they can."""

    async def tags(self) -> frozenset[str]:
        """Every attempt that has a directory on the cluster."""

    async def status(self) -> ClusterStatus:
        """The cluster's own description of itself, now."""
