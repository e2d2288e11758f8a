"""The controller as a process: a lease for each cluster and one for the gateway, each worked in a task of its own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from isthmus import log
from isthmus.cluster import Cluster
from isthmus.cluster.local import LocalCluster, settings_of
from isthmus.cluster.mesos import MesosCluster
from isthmus.cluster.remote import HttpSettings, HttpStaging
from isthmus.collecting import Limits
from isthmus.config import ClusterConfig, Configuration, MesosConfig, read_configuration
from isthmus.controller.counting import Calls, CountedCluster
from isthmus.controller.deeds import Deeds
from isthmus.controller.follow import LogFollower
from isthmus.controller.housekeeping import DAY_S, STATUS_S, TIDY_S, ClusterKeeping, HouseKeeping, repeat
from isthmus.controller.lease import LeaseKeeper
from isthmus.controller.loop import ClusterLoop
from isthmus.controller.mailing import Mailer
from isthmus.controller.orders import Orders
from isthmus.errors import LeaseLost
from isthmus.files import FileStore
from isthmus.gateway import Gateway
from isthmus.lifecycle import Policy
from isthmus.store import Store
from isthmus.store.leases import Lease
from isthmus.tickets import Tickets

_log = structlog.get_logger(__name__)

GATEWAY, MAIL = "gateway", "mail"
AGAIN_S = 0.5
AGAIN_MOST_S = 60.0  # a duty that fails, or loses its lease, again and again is tried ever more slowly
Duty = Callable[[Lease], Coroutine[None, None, None]]
THREADS = 64  # for the store and for staging, which must not keep each other waiting


@dataclass(frozen=True, slots=True)
class Controller:
    """Everything one controller process needs. Any number of them may run; each duty has one holder at a time."""

    configuration: Configuration
    store: Store
    files: FileStore
    keeper: LeaseKeeper

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT; then leases are given up, and jobs go on without it."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        duties: dict[str, Duty] = {GATEWAY: self._keep_house}
        if self.configuration.house.mail.host:
            duties[MAIL] = self._send_mails
        for name, config in self.configuration.clusters.items():
            if config.enabled:
                duties[f"cluster-{name}"] = self._duty_of(name, config)
        tasks = [asyncio.create_task(self._for_ever(name, duty)) for name, duty in duties.items()]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _for_ever(self, name: str, duty: Duty) -> None:
        """The duty is worked whenever its lease is ours; a fault of it ends the lease, not the process."""
        pause_s = AGAIN_S
        while True:
            began = time.monotonic()
            try:
                async with self.keeper.held(name) as held, asyncio.TaskGroup() as group:
                    _log.info("lease taken", lease=name, epoch=held.lease.epoch)
                    began = time.monotonic()
                    group.create_task(self.keeper.keep(held))
                    group.create_task(duty(held.lease))
            except* LeaseLost:
                _log.warning("lease lost", lease=name)
            except* Exception:
                _log.exception("a duty failed and starts again", lease=name)
            pause_s = AGAIN_S if time.monotonic() - began > AGAIN_MOST_S else min(pause_s * 2, AGAIN_MOST_S)
            await asyncio.sleep(pause_s)

    def _duty_of(self, name: str, config: ClusterConfig) -> Duty:
        async def work(lease: Lease) -> None:
            await self._work(name, config, lease)

        return work

    async def _work(self, name: str, config: ClusterConfig, lease: Lease) -> None:
        calls = Calls()
        cluster = CountedCluster(self._cluster(name, config, lease), calls)
        policy = Policy(self.store.gateway_id, settle_s=config.settle_s, lost_s=config.lost_s, check_s=config.check_s)
        orders = Orders(self.store, cluster, config.variables)
        deeds = Deeds(self.store, cluster, orders, lease.epoch)
        loop = ClusterLoop(self.store, cluster, lease, policy, deeds, config.max_waiting)
        keeping = ClusterKeeping(self.store, cluster, lease, calls)
        follower = LogFollower(self.store, cluster, self.configuration.home / "logs")
        await loop.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.run())
            group.create_task(repeat(STATUS_S, keeping.report))
            group.create_task(repeat(TIDY_S, keeping.tidy))
            group.create_task(follower.run())

    def _cluster(self, name: str, config: ClusterConfig, lease: Lease) -> Cluster:
        if config.mesos is not None and config.kind == "mesos":
            return MesosCluster(name, config.mesos, self.store, lease, self._staging(name, config.mesos))
        return LocalCluster(name, self.configuration.cluster_root(name), self.files, settings_of(config.local))

    def _staging(self, name: str, config: MesosConfig) -> HttpStaging:
        settings = HttpSettings(
            claim_wait_s=config.claim_wait_s,
            report_s=config.report_s,
            grace_s=config.grace_s,
            curl=config.curl_options,
            ends_with_parent=True,  # an executor, whose death Mesos takes for the task's
            limits=Limits(config.max_output_mib, config.max_log_mib),
        )
        tickets = Tickets.at(self.configuration.home)
        return HttpStaging(self.store, self.files, tickets, config.gateway_url, name, settings)

    async def _send_mails(self, lease: Lease) -> None:
        gateway = Gateway(self.configuration, self.store, self.files)
        await Mailer(self.store, self.configuration.house.mail, gateway.why).run()

    async def _keep_house(self, lease: Lease) -> None:
        house = HouseKeeping(self.store, self.files, self.configuration.home / "logs")
        async with asyncio.TaskGroup() as group:
            group.create_task(repeat(TIDY_S, house.free_files))
            group.create_task(repeat(DAY_S, house.free_orphans))
            group.create_task(repeat(TIDY_S, house.forget_wishes))
            group.create_task(repeat(TIDY_S, house.give_up_letters))
            group.create_task(repeat(TIDY_S, house.drop_logs))


def run(home: Path, lease_timeout_s: float = 15.0) -> None:
    """Runs a controller for the gateway in `home` until it is told to stop."""
    log.set_up("controller")
    configuration = read_configuration(home)
    for fault in configuration.broken:
        _log.error("a cluster is disabled", fault=fault.message)
    store = Store.open(configuration.database_url)
    files = FileStore(home / "files")
    keeper = LeaseKeeper(store, home / "leases", lease_timeout_s)
    try:
        asyncio.run(Controller(configuration, store, files, keeper).run())
    finally:
        store.close()
