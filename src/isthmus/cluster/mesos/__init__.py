"""A Mesos cluster: no queue to hand jobs to, so the queue is ours, and the framework here works it off.

A submission is an attempt's place in that queue, durable before the answer, so it is never in doubt; its native id is
the tag. What may be in doubt are launches (`states`), and that stays inside. Files go over HTTP (`cluster.remote`), so
claims, end records and outputs need neither the master nor a controller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from isthmus.cluster import ClusterStatus, Folders, Handle, Order
from isthmus.cluster.mesos import messages
from isthmus.cluster.mesos.connection import Access, Master
from isthmus.cluster.mesos.framework import Framework
from isthmus.cluster.mesos.launcher import Launcher, Tasks
from isthmus.cluster.mesos.ledger import MOST_FAILURES, Ledger
from isthmus.cluster.mesos.offers import Pool
from isthmus.cluster.mesos.reconciler import Reconciler
from isthmus.cluster.mesos.remains import remains_of
from isthmus.cluster.mesos.sandbox import AgentSandbox
from isthmus.cluster.mesos.states import (
    UNREAD,
    Launch,
    Phase,
    Remains,
    listing_of,
    may_linger,
    meaning_of,
    started_listing,
)
from isthmus.cluster.remote import HttpStaging, RemoteFacts
from isthmus.collecting import STREAMS
from isthmus.config import MesosConfig
from isthmus.errors import NoAnswer, StorageFault
from isthmus.facts import (
    Accepted,
    Claim,
    Claimed,
    Facts,
    Listed,
    Listing,
    NeverSubmitted,
    Rejected,
    StagedIn,
    StagedOut,
    StagingFailed,
    Submitted,
    Unclaimed,
    Unlisted,
)
from isthmus.job import SchedulerState
from isthmus.store import Store
from isthmus.store.leases import Lease

GIVEN_UP_S = 3600.0  # how long files are waited for on a node that does not answer after its program's end
LOOK_S = 5.0  # for what ended tasks left, at all their agents
ASKED_S = 60.0  # how long an agent is asked how a task ended that left no end record, before that is judged without
REPORTING_S = 60.0  # beside its own grace, what a killed task has to tell its end and send its files
_NO_ISOLATION = "none"  # as far as the gateway knows: what agents do to keep tasks apart is their operator's business
_GONE = frozenset({"TASK_GONE", "TASK_GONE_BY_OPERATOR"})


@dataclass(slots=True)
class MesosCluster:
    """One Mesos cluster, for as long as this controller holds `lease`."""

    name: str
    config: MesosConfig
    store: Store
    lease: Lease
    staging: HttpStaging
    _master: Master = field(init=False)
    _ledger: Ledger = field(init=False)
    _framework: Framework = field(init=False)
    _work: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        said = self.config
        self._master = Master(access_of(said))
        self._ledger = Ledger(self.store.mesos, self.lease, self.name)
        tasks = Tasks(said.memory_mib, said.disk_mib, said.grace_s + REPORTING_S)
        pool = Pool(said.attributes)
        launcher = Launcher(self._ledger, self.staging, pool, tasks, said.roles, self._send, self._launch, self._news)
        reconciler = Reconciler(self._ledger, self._send)
        about = messages.Introduction(
            name=f"isthmus-{self.name}",
            user=said.user,
            roles=said.roles,
            principal=said.principal,
            failover_timeout_s=said.failover_timeout_s,
            gpus=said.gpus,
            url=said.gateway_url,
        )
        self._framework = Framework(
            about, self._master, self._ledger, launcher, reconciler, self._mark_contact, said.grace_s
        )

    async def _send(self, message: messages.Message) -> bool:
        return await self._framework.send(message)

    async def _launch(self, accept: messages.Message, launches: Sequence[Launch]) -> None:
        await self._framework.launch(accept, launches)

    def _news(self, tags: Iterable[str]) -> None:
        self._framework.add_news(tags)

    async def _mark_contact(self, lost_since: float | None) -> None:
        with suppress(StorageFault):
            await asyncio.to_thread(self.store.mark_contact, self.lease, self.name, lost_since)

    def folders(self, tag: str) -> Folders:
        return self.staging.folders(tag)

    async def open(self) -> None:
        """What is stored is known, and the framework at work. It does not wait for a master: jobs end without one."""
        if self._work is None:
            await self._ledger.load()
            self._work = asyncio.create_task(self._framework.run())

    async def close(self) -> None:
        """The stream ends, which the master bears for as long as `failover_timeout_s`; tasks run on."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        await self._master.close()

    async def changed(self) -> frozenset[str]:
        """Tags of which a master told something. A group with LeaseLost: another controller is the framework now."""
        if self._work is not None and self._work.done():
            self._work.result()
        return self._framework.take_news()

    # --- staging ------------------------------------------------------------------------------------------------------
    async def stage_in(self, orders: Sequence[Order]) -> Mapping[str, StagedIn | StagingFailed]:
        """Each attempt is a row from which its node fetches everything; there is one at most."""
        return await asyncio.to_thread(self.staging.stage_in, orders)

    async def stage_out(self, orders: Sequence[Order]) -> Mapping[str, StagedOut | StagingFailed]:
        """What the nodes sent; of a node that sends nothing more, what its agent still has."""
        answers = dict(await asyncio.to_thread(self.staging.stage_out, orders))
        left = [order for order in orders if _is_partial(answers.get(order.tag))]
        facts = await asyncio.to_thread(self.staging.observe, [order.tag for order in left])
        loop = asyncio.get_running_loop()
        for order in left:
            known = facts.get(order.tag)
            launch = self._holder(known)
            if _is_silent(launch, known):
                reader = AgentSandbox(self._master, launch, loop) if launch and await self._answers(launch) else None
                answers[order.tag] = await asyncio.to_thread(self.staging.stage_out_rest, order, reader)
        return answers

    def _holder(self, known: RemoteFacts | None) -> Launch | None:
        if known is None or not isinstance(known.claim, Claimed):
            return None
        return self._ledger.launch_of(known.claim.native_id)

    async def _answers(self, launch: Launch) -> bool:
        """Whether its sandbox may be read, now or later: not of a machine that has said nothing for too long."""
        if _is_gone(launch):
            return False
        if time.time() - launch.updated_at > GIVEN_UP_S:
            with suppress(NoAnswer):
                await self._master.list_files(launch.agent_url, launch.sandbox)
                return True
            return False
        return True

    # --- submission ---------------------------------------------------------------------------------------------------
    async def submit(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        """Each stands in our own queue, where a second submission finds it."""
        refused: dict[str, Submitted] = {handle.tag: no for handle in handles if (no := self._refusal(handle))}
        asked = {handle.tag: handle.resources for handle in handles if handle.tag not in refused}
        stored = await self._ledger.submit(asked, time.time())
        self._framework.launcher.came(stored)
        return refused | {tag: Accepted(tag) for tag in stored}

    def _refusal(self, handle: Handle) -> Rejected | None:
        if handle.resources.nodes > 1:
            return Rejected("a Mesos task runs on one node: ask for one")
        if handle.resources.gpus and not self.config.gpus:
            return Rejected("this cluster is not set up for GPUs: ask for none, or choose another cluster")
        return None

    async def settle(self, handles: Sequence[Handle]) -> Mapping[str, Submitted]:
        """What stands in the queue was submitted; what does not never was, since only we could have put it there."""
        entries = {handle.tag: self._ledger.entry(handle.tag) for handle in handles}
        return {
            tag: Accepted(tag) if entry and entry.is_submitted else NeverSubmitted() for tag, entry in entries.items()
        }

    async def cancel(self, handles: Sequence[Handle]) -> frozenset[str]:
        """None of them is launched any more, and KILL was sent for those that were; until it works, it is repeated."""
        tags = [handle.tag for handle in handles]
        left = await self._ledger.withdraw(tags, time.time())
        await self._framework.reconciler.kill(left)
        return frozenset(tags)

    async def void(self, handles: Sequence[Handle], epoch: int) -> Mapping[str, Claim]:
        """The claim is one guarded update of the attempt's row, so voiding again finds it held."""
        return await asyncio.to_thread(self.staging.void, [handle.tag for handle in handles], epoch)

    # --- observation --------------------------------------------------------------------------------------------------
    async def observe(self, handles: Sequence[Handle]) -> Mapping[str, Facts]:
        """Claim and end record as the node told them, the listing from what the master told."""
        # The launches first: an end record that came before a task's end is then always seen.
        launches = {handle.tag: self._launches(handle.tag) for handle in handles}
        known = await asyncio.to_thread(self.staging.observe, [*launches])
        unexplained = {tag: one for tag in launches if (one := _unexplained(launches[tag], known.get(tag)))}
        remains = await self._remains(unexplained) if unexplained else {}
        return {tag: self._facts(tag, launches[tag], known.get(tag), remains.get(tag, UNREAD)) for tag in launches}

    def _launches(self, tag: str) -> Sequence[Launch]:
        entry = self._ledger.entry(tag)
        return tuple(entry.launches) if entry else ()

    async def _remains(self, launches: Mapping[str, Launch]) -> Mapping[str, Remains | None]:
        """What each left; None: its agent has not answered and may do so soon. One that is slow holds no other up."""
        looks = {tag: asyncio.create_task(self._look(launch)) for tag, launch in launches.items()}
        _, slow = await asyncio.wait(looks.values(), timeout=LOOK_S)
        for look in slow:
            look.cancel()
        now = time.time()
        return {tag: _unread(launches[tag], now) if look in slow else look.result() for tag, look in looks.items()}

    async def _look(self, launch: Launch) -> Remains | None:
        if may_linger(launch, time.time(), self.config.grace_s):
            return UNREAD
        try:
            return await remains_of(self._master, launch)
        except NoAnswer:
            return _unread(launch, time.time())

    def _facts(self, tag: str, launches: Sequence[Launch], known: RemoteFacts | None, remains: Remains | None) -> Facts:
        if known is None:
            return Facts(claim=None, listing=Unlisted())
        if not isinstance(known.claim, Unclaimed):
            self._ledger.over(tag, known.claim.native_id if isinstance(known.claim, Claimed) else "")
        end = known.end or (remains.end if remains else None)
        return Facts(claim=known.claim, end=end, listing=self._listing(tag, launches, known.claim, remains))

    def _listing(self, tag: str, launches: Sequence[Launch], claim: Claim, remains: Remains | None) -> Listing | None:
        entry = self._ledger.entry(tag)
        if entry is None or not entry.is_submitted:
            return Unlisted()
        if isinstance(claim, Claimed):
            holder = next((one for one in launches if one.task_id == claim.native_id), None)
            if remains is None and holder:
                return _asked_for(holder)
            read = remains or UNREAD
            listing = started_listing(holder, claim.started_at, read, time.time(), self.config.grace_s)
        else:
            listing = listing_of(launches, claim, self._reason(tag), MOST_FAILURES)
        is_ours_to_say = not launches or launches[-1].ended or not isinstance(claim, Claimed | Unclaimed)
        return listing if self._framework.connected_since or is_ours_to_say else None

    def _reason(self, tag: str) -> str:
        framework = self._framework
        if framework.removed:
            return "waits for an administrator: the cluster has removed this gateway, which must be registered again"
        if framework.connected_since is None:
            return "waits for the cluster, which does not answer"
        return framework.launcher.reason(tag)

    async def read_log(self, tag: str, stream: str, offset: int, limit: int) -> bytes:
        """As the agent has it. NoAnswer: the agent does not answer."""
        if stream not in STREAMS:
            raise ValueError(f"{stream!r} is no stream of a job")
        entry = self._ledger.entry(tag)
        launch = entry.launch if entry else None
        if launch is None or not launch.agent_url:
            return b""
        return (
            await self._master.read_file(launch.agent_url, f"{launch.sandbox}/isthmus/{stream}", offset, limit) or b""
        )

    async def status(self) -> ClusterStatus:
        framework = self._framework
        waiting, launched = self._ledger.counts()
        nodes = tuple(agent.status() for agent in framework.launcher.agents)
        return ClusterStatus(waiting, launched, nodes, _NO_ISOLATION, self._notes(), self._details())

    def _notes(self) -> tuple[str, ...]:
        framework = self._framework
        if framework.removed:
            again = f"isthmus clusters register {self.name}"
            return (
                f"The master has removed the gateway's framework ({framework.removed}). Its tasks are lost, and nothing"
                f" is launched until an administrator registers the gateway again: {again}",
            )
        return (f"No Mesos master: {framework.trouble}.",) if framework.trouble else ()

    def _details(self) -> tuple[tuple[str, str], ...]:
        framework, launcher = self._framework, self._framework.launcher
        since = framework.connected_since
        faults = [("Fault of the cluster", f"{_clock(one.at)} {one.words}") for one in framework.faults]
        return (
            ("Framework id", framework.framework_id or "none yet"),
            ("Connection", f"{self._master.leader} since {_clock(since)}" if since else "none"),
            ("Roles", ", ".join(self.config.roles)),
            ("Offers held", str(len(launcher.pool))),
            ("Offers wanted", "no" if launcher.is_suppressed else "yes"),
            ("Launches in doubt", str(framework.reconciler.doubts)),
            ("Calls made", str(self._master.calls_made)),
            ("Launches that failed by the cluster's fault", str(framework.fault_count)),
            *faults,
        )

    # --- the attempts -------------------------------------------------------------------------------------------------
    async def tags(self) -> frozenset[str]:
        return await asyncio.to_thread(self.staging.tags)

    async def discard(self, tags: Sequence[str]) -> None:
        """The attempts' rows are gone, so none can be claimed; what is left of their tasks was told to end.

        A task that did not hear it is ended as one that nobody wants, when the master next tells of it.
        """
        left = await self._ledger.withdraw(tags, time.time())
        await self._framework.reconciler.kill(left)
        await self._ledger.forget(tags)  # first, since an attempt whose row is left is met again here, a launch is not
        await asyncio.to_thread(self.staging.discard, tags)


def access_of(said: MesosConfig) -> Access:
    """How the cluster's masters and agents are reached. ConfigurationError: a secret can't be read."""
    return Access(
        masters=said.masters,
        principal=said.principal,
        secret=said.secret(),
        ca_file=str(said.ca_file or ""),
        agent_principal=said.agent_principal,
        agent_secret=said.agent_secret(),
        redirect_hosts=said.redirect_hosts,
    )


def _is_partial(answer: StagedOut | StagingFailed | None) -> bool:
    return isinstance(answer, StagingFailed) and not answer.permanent


def _is_silent(launch: Launch | None, known: RemoteFacts | None) -> bool:
    """Its node sends nothing more: the task is over, or out of sight (or not known to us) for too long."""
    if launch is None:
        ended_at = known.end.ended_at if known and known.end else None
        return ended_at is not None and time.time() - ended_at > GIVEN_UP_S
    is_absent = meaning_of(launch.state).phase is Phase.ABSENT
    return launch.ended or (is_absent and time.time() - launch.updated_at > GIVEN_UP_S)


def _is_gone(launch: Launch) -> bool:
    """Nobody can read its sandbox any more."""
    is_absent = meaning_of(launch.state).phase is Phase.ABSENT
    return is_absent or launch.state in _GONE or not launch.agent_url


def _unexplained(launches: Sequence[Launch], known: RemoteFacts | None) -> Launch | None:
    """The launch that held the claim, if it has ended and the gateway does not know how."""
    if known is None or known.end or not isinstance(known.claim, Claimed):
        return None
    native_id = known.claim.native_id
    launch = next((one for one in launches if one.task_id == native_id), None)
    return launch if launch and launch.ended and not _is_gone(launch) else None


def _unread(launch: Launch, now: float) -> Remains | None:
    """What is known of a sandbox whose agent does not answer: nothing, or None while it is waited for."""
    return None if 0 <= now - launch.updated_at < ASKED_S else UNREAD


def _asked_for(launch: Launch) -> Listed:
    words = f"it has ended on {launch.agent_host}; asking there how"
    return Listed(launch.task_id, SchedulerState.UNKNOWN, launch.state, words, node=launch.agent_host)


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
