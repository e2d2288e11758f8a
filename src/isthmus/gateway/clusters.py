"""The configured clusters as people meet them, and the choice of one for a new job.

What a cluster last said of itself is in the store, put there by the controller: nobody asks a cluster because somebody
looks at a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.application import Application, Isolation
from isthmus.application.script import script_placeholders
from isthmus.application.words import placeholders
from isthmus.config import ClusterConfig
from isthmus.errors import InputFault, InvalidInput
from isthmus.gateway.status import Status
from isthmus.job import Resources

_WEAK_ISOLATION = frozenset({"none", "uid"})


@dataclass(frozen=True, slots=True)
class Limits:
    """The most one node has, and how many there are; None where it is not known."""

    cpus: int | None = None
    memory_mib: int | None = None
    gpus: int | None = None
    nodes: int | None = None


@dataclass(frozen=True, slots=True)
class KnownCluster:
    """One cluster: what its file says, and what it last said of itself (nothing, if it never did)."""

    name: str
    config: ClusterConfig
    status: Status | None = None
    seen_at: float | None = None
    contact_lost_since: float | None = None
    closed_reason: str | None = None

    @property
    def title(self) -> str:
        return self.config.title or self.name

    @property
    def limits(self) -> Limits:
        if self.status and self.status.nodes:
            nodes = self.status.nodes
            return Limits(
                max(n.cpus for n in nodes), max(n.memory_mib for n in nodes), max(n.gpus for n in nodes), len(nodes)
            )
        local = self.config.local
        return Limits(local.cpus, local.memory_mib, None, 1 if self.config.kind == "local" else None)

    def refusal(self, application: Application) -> tuple[str, str] | None:
        """Why a new job of the application can't go there, as code and message; None: it can."""
        if not self.config.enabled:
            return "cluster_disabled", f"cluster {self.name} is disabled"
        if application.deployment_on(self.name) is None:
            return "not_deployed", f"{application.name} {application.version} is not deployed on cluster {self.name}"
        if self.closed_reason:
            return "cluster_closed", f"cluster {self.name} takes no new jobs: {self.closed_reason}"
        if unset := _unset_variables(application, self):
            names = " and ".join(unset)
            said = f"cluster {self.name} sets no variable {names}, which {application.name} needs there"
            return "not_deployed", f"{said}: set it under [variables] in clusters.d/{self.name}.toml"
        weak = self.status is not None and self.status.isolation in _WEAK_ISOLATION
        if application.isolation is Isolation.REQUIRED and weak:
            return "not_isolated", f"cluster {self.name} can't keep jobs apart, which {application.name} requires"
        return None


def _unset_variables(application: Application, cluster: KnownCluster) -> tuple[str, ...]:
    """The site's variables that the application's deployment names and the cluster's file doesn't set."""
    deployment = application.deployment_on(cluster.name)
    if deployment is None:
        return ()
    texts = (
        *deployment.variables.values(),
        *deployment.environment.values(),
        *deployment.path,
        *deployment.launcher,
        *deployment.prefix,
    )
    named = [*(found for text in texts for found in placeholders(text)), *script_placeholders(deployment.setup)]
    site = {found.name for found in named if found.source == "site"}
    return tuple(sorted(site - cluster.config.variables.keys()))


def runs_on(application: Application, clusters: Iterable[KnownCluster]) -> tuple[str, ...]:
    """The clusters that take new jobs of the application, in the order in which one is chosen."""
    fit = [cluster for cluster in clusters if cluster.refusal(application) is None]
    return tuple(cluster.name for cluster in sorted(fit, key=lambda one: one.contact_lost_since is not None))


def choose_cluster(application: Application, clusters: Mapping[str, KnownCluster], asked: str | None) -> KnownCluster:
    """The cluster asked for, else the first that takes the job, one in contact before one that is not.

    InvalidInput with field `cluster`: it can't go there, or nowhere.
    """
    if asked is None:
        return clusters[_first(application, list(clusters.values()))]
    chosen = clusters.get(asked)
    if chosen is None:
        known = ", ".join(clusters)
        raise _refused("unknown_cluster", f"there is no cluster of that name; there is {known or 'none'}")
    if fault := chosen.refusal(application):
        raise _refused(*fault)
    return chosen


def _first(application: Application, clusters: Sequence[KnownCluster]) -> str:
    fit = runs_on(application, clusters)
    if not fit:
        reasons = "; ".join(refusal[1] for cluster in clusters if (refusal := cluster.refusal(application)))
        raise _refused("no_cluster", f"no cluster takes this job: {reasons or 'none is configured'}")
    return fit[0]


def _refused(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, (InputFault("cluster", code, message),))


def check_fits(resources: Resources, cluster: KnownCluster) -> None:
    """The cluster has a node that large. InvalidInput: it has none, so that the job would wait for ever."""
    limits = cluster.limits
    asked = (
        ("cpus", resources.cpus * resources.processes_per_node, limits.cpus, " cpus"),
        ("memory_mib", resources.memory_mib or 0, limits.memory_mib, " MiB"),
        ("gpus", resources.gpus, limits.gpus, " gpus"),
        ("nodes", resources.nodes, limits.nodes, " nodes"),
    )
    faults = tuple(
        InputFault(
            f"resources.{name}",
            "exceeds_cluster",
            f"{amount}{unit} are asked for; cluster {cluster.name} has at most {most}",
        )
        for name, amount, most, unit in asked
        if most is not None and amount > most
    )
    if faults:
        raise InvalidInput("; ".join(fault.message for fault in faults), faults)
