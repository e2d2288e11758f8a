"""Staging over HTTP, for nodes that reach the gateway and not its files: the controller's side.

What is to be done, who claimed it and what came of it is a row for each attempt (`store.remote`), which the web process
serves to the node behind a ticket. So all of this works on the store alone, and a node works while no controller lives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from isthmus.cluster import Folders, Order
from isthmus.cluster.attempts import end_record_of
from isthmus.cluster.sandbox_reading import SandboxReader, collect_from
from isthmus.cluster.stage_in import fault_of, script_text
from isthmus.collecting import Limits
from isthmus.errors import IsthmusError, NotFound
from isthmus.facts import (
    Claim,
    Claimed,
    EndRecord,
    OutputFile,
    StagedIn,
    StagedOut,
    StagingFailed,
    Unclaimed,
    Voided,
)
from isthmus.files import FileStore
from isthmus.scheduler import FETCH, OVER_HTTP, WRAPPER
from isthmus.store import Store
from isthmus.store.remote import VOID, RemoteAttempt, RemoteInput, RemoteOrder, RemoteOutput
from isthmus.tickets import Tickets

_log = structlog.get_logger(__name__)

OVER = "this attempt is over, and nothing can be put in for it any more"
_NO_ISOLATION = "none"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What nodes are told, in seconds, and what they may send.

    `claim_wait_s`: how long a node that hears nothing from the gateway waits before it gives up with nothing started.
    `report_s`: how long it tries to tell what came of a program that has ended. `grace_s`: from TERM to KILL.
    `curl`: more options of curl, separated by blanks, such as `--cacert /etc/site.pem`. `ends_with_parent`: the program
    ends when what started the node's script has died, since nobody would end it then.
    """

    claim_wait_s: int = 600
    report_s: int = 3600
    grace_s: int = 10
    curl: str = ""
    ends_with_parent: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """What a node runs for an attempt: `sh -c text`, with these variables besides its own."""

    text: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """What is known of an attempt by its row. `sent`: the node sends nothing more, since all that is wanted is here."""

    claim: Claim
    end: EndRecord | None
    sent: bool


class HttpStaging:
    """Staging for one cluster. Every method may be repeated: the rows say what was done."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        tickets: Tickets,
        url: str,
        cluster: str,
        settings: HttpSettings | None = None,
    ) -> None:
        """`url` is where nodes reach the web process: `http://gateway.example:8700`."""
        self._store, self._files, self._tickets = store, files, tickets
        self._url, self._cluster = url.rstrip("/"), cluster
        self._settings = settings or HttpSettings()
        scripts = {path.name: path.read_text(encoding="utf-8") for path in (OVER_HTTP, WRAPPER)}
        self._named = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in scripts.items()}
        self._texts = {self._named[name]: text for name, text in scripts.items()}
        self._fetch = FETCH.read_text(encoding="utf-8")

    def folders(self, tag: str) -> Folders:
        """Words that stand for the attempt's folders: the node puts its sandbox's path in their place."""
        return Folders(inputs=f"{token(tag)}/inputs", work=f"{token(tag)}/work")

    def command(self, tag: str, native_id: str, walltime_s: int) -> NodeCommand:
        """What starts the attempt on a node, under this native id; any number of nodes may run it."""
        said = self._settings
        environment = {
            "ISTHMUS_URL": f"{self._url}/api/v1/attempts/{tag}",
            "ISTHMUS_TICKET": self._tickets.of(tag),
            "ISTHMUS_TAG": tag,
            "ISTHMUS_NATIVE_ID": native_id,
            "ISTHMUS_WALLTIME_S": str(walltime_s),
            "ISTHMUS_GRACE_S": str(said.grace_s),
            "ISTHMUS_CLAIM_WAIT_S": str(said.claim_wait_s),
            "ISTHMUS_REPORT_S": str(said.report_s),
            "ISTHMUS_CURL": said.curl,
            "ISTHMUS_ENDS_WITH_PARENT": "1" if said.ends_with_parent else "",
        }
        return NodeCommand(self._fetch, environment)

    # --- staging in -----------------------------------------------------------------------------------------------
    def stage_in(self, orders: Sequence[Order]) -> Mapping[str, StagedIn | StagingFailed]:
        """Each attempt can be fetched by its node; one that could before is left as it is."""
        answers: dict[str, StagedIn | StagingFailed] = {}
        rows = {}
        for order in orders:
            fault = self._fault(order)
            if fault:
                answers[order.tag] = StagingFailed(fault, permanent=True)
            else:
                rows[order.tag] = self._row(order)
        staged = self._store.stage_remote(self._cluster, rows, self._texts) if rows else frozenset()
        over = StagingFailed(OVER, permanent=True)
        return answers | {tag: StagedIn() if tag in staged else over for tag in rows}

    def _fault(self, order: Order) -> str | None:
        if words := fault_of(order, _NO_ISOLATION):
            return words
        try:
            for file in order.inputs:
                self._files.path(file.sha256)
        except NotFound:
            return "the file store no longer has an input of this job"
        return None

    def _row(self, order: Order) -> RemoteOrder:
        inputs = tuple(RemoteInput(file.name, file.sha256, file.size) for file in order.inputs)
        script = script_text(replace(order, environment={**_environment(order), **order.environment}))
        return RemoteOrder(order.job_id, script, inputs, order.outputs, self._settings.limits, dict(self._named))

    # --- what the node told -----------------------------------------------------------------------------------------
    def observe(self, tags: Sequence[str]) -> Mapping[str, RemoteFacts]:
        """What is known of each attempt; one without a row is left out."""
        return {tag: _facts(found) for tag, found in self._store.observe_remote(tags).items()}

    def void(self, tags: Sequence[str], epoch: int) -> Mapping[str, Claim]:
        """The claim of each is held: by the gateway if it was free, else by whoever the answer says."""
        held = self._store.void_remote(self._cluster, tags, epoch)
        return {tag: claim_of(text, None) for tag, text in held.items()}

    # --- staging out ------------------------------------------------------------------------------------------------
    def stage_out(self, orders: Sequence[Order]) -> Mapping[str, StagedOut | StagingFailed]:
        """What each node sent; StagingFailed, for now, while it still sends, and for good if it can't be taken."""
        rows = self._store.observe_remote([order.tag for order in orders])
        return {order.tag: self._sent(order, rows.get(order.tag)) for order in orders}

    def _sent(self, order: Order, row: RemoteAttempt | None) -> StagedOut | StagingFailed:
        if row is None:
            return StagingFailed("nothing is known of this attempt any more", permanent=True)
        if row.refusal:
            return StagingFailed(row.refusal, permanent=True)
        found = self._store.remote_outputs(order.tag)
        if row.sent_at is None:
            return self._progress(found)
        return staged_out(order, found)

    def _progress(self, found: Sequence[RemoteOutput]) -> StagingFailed:
        """How far the node is with sending its files, or what keeps it from it."""
        left = [one.size for one in found if one.sha256 is None]
        if left and not self._files.has_room(sum(left)):
            full = "the gateway's disk is full; outputs are collected as soon as there is room"
            return StagingFailed(full, permanent=False)
        words = f"the node sends its files: {len(found) - len(left)} of {len(found)} are here"
        return StagingFailed(words if found else "the node sends its files", permanent=False, goes_on=True)

    def stage_out_rest(self, order: Order, reader: SandboxReader | None) -> StagedOut | StagingFailed:
        """As `stage_out`, where the node's script sends nothing more: what is missing is read from the sandbox.

        `reader` is None where the sandbox is gone for good: then only what is here already counts.
        """
        answer = self.stage_out([order])[order.tag]
        if not isinstance(answer, StagingFailed) or answer.permanent:
            return answer
        if reader is None:
            return StagingFailed("the node went away before it had sent the job's files", permanent=True)
        try:
            return collect_from(reader, order, self._settings.limits, self._files)
        except NotFound:
            return StagingFailed("the job's folder on the node is gone, and its files with it", permanent=True)
        except IsthmusError as fault:
            return StagingFailed(fault.message, permanent=not fault.can_retry)

    # --- the end ----------------------------------------------------------------------------------------------------
    def tags(self) -> frozenset[str]:
        """Every attempt of the cluster that has a row."""
        return self._store.remote_tags(self._cluster)

    def discard(self, tags: Sequence[str]) -> None:
        """The rows of these attempts, which are over, are gone: without one nothing can be claimed."""
        for tag in tags:
            self._files.drop_parts(tag)
        self._store.discard_remote(tags)


def _environment(order: Order) -> Mapping[str, str]:
    """What a program finds around it, as on this machine."""
    work = f"{token(order.tag)}/work"
    return {
        "HOME": work,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": work,
        "ISTHMUS_JOB_ID": order.job_id,
        "ISTHMUS_TAG": order.tag,
        "OMP_NUM_THREADS": str(order.resources.cpus),
    }


def token(tag: str) -> str:
    """What stands in an attempt's script for the path of its folder on the node; a path nobody has."""
    return f"/.isthmus-sandbox.{tag}"


def claim_of(text: str | None, since: float | None) -> Claim:
    """What the claim in a row says."""
    if text is None:
        return Unclaimed()
    if text.startswith(VOID):
        return Voided(int(text.removeprefix(VOID)))
    native_id, run, _ = text.split(":")
    return Claimed(native_id, int(run), since)


def staged_out(order: Order, found: Sequence[RemoteOutput]) -> StagedOut:
    """The files that are here, and the promised ones that are not."""
    files = tuple(
        OutputFile(one.name, one.path, one.sha256, one.size, one.media_type) for one in found if one.sha256 is not None
    )
    names = {file.name for file in files}
    return StagedOut(files, tuple(rule.name for rule in order.outputs if rule.required and rule.name not in names))


def _facts(found: RemoteAttempt) -> RemoteFacts:
    return RemoteFacts(claim_of(found.claim, found.claimed_at), _end(found), found.sent_at is not None)


def _end(found: RemoteAttempt) -> EndRecord | None:
    if found.end_record is None:
        return None
    body: object = json.loads(found.end_record)
    if not isinstance(body, dict):
        raise TypeError(f"the end record of {found.tag} is no JSON object")
    return end_record_of(body)
