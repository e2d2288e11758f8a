"""Why a job waits, or how it ended, in sentences for its owner."""

from __future__ import annotations

import time
from collections.abc import Iterator

from isthmus.gateway.clusters import KnownCluster
from isthmus.gateway.logs import Stream
from isthmus.job import Cause, JobState
from isthmus.store.views import JobView

_STATES = {
    JobState.ACCEPTED: "It is stored and waits in the gateway.",
    JobState.STAGING_IN: "Its inputs are being copied to the cluster.",
    JobState.SUBMITTING: "It is being handed to the cluster's scheduler.",
    JobState.QUEUED: "The cluster has it and will start it when there is room.",
    JobState.RUNNING: "Its program was started.",
    JobState.STAGING_OUT: "Its program has ended; outputs are being collected.",
    JobState.COMPLETED: "It completed: the program ended with exit code 0 and every promised output is here.",
    JobState.FAILED: "It failed.",
    JobState.CANCELLED: "It was cancelled.",
}
_CAUSES = {
    Cause.EXIT_NONZERO: "The program ended with an error.",
    Cause.SIGNAL: "The program was ended by a signal: it crashed, or somebody killed it.",
    Cause.WALLTIME: "The program reached its longest run time: ask for a longer one, or give it less to do.",
    Cause.CPU_LIMIT: "The program used up the CPU time it was permitted.",
    Cause.OUT_OF_MEMORY: "The program needed more memory than the job had asked for: ask for more memory.",
    Cause.NODE_FAILURE: "The machine it ran on failed.",
    Cause.PREEMPTED: "The cluster took its place away for other jobs.",
    Cause.LAUNCH_FAILED: "The program could not be started: the operator should look at the deployment.",
    Cause.REJECTED: "The cluster's scheduler refused it.",
    Cause.STAGE_IN_FAILED: "Its inputs could not be copied to the cluster.",
    Cause.STAGE_OUT_FAILED: "The program ended well, but outputs it promised were not there or could not be collected.",
    Cause.CANCELLED_BY_USER: "A user asked for it.",
    Cause.CANCELLED_ON_CLUSTER: "It was cancelled on the cluster itself, not through this gateway.",
    Cause.DEPENDENCY_FAILED: "A job it depends on failed.",
    Cause.LOST: "The cluster does not know it any more and its end was never recorded; an operator should look.",
}


def administrator_words(name: str) -> str:
    """Who it was, for a job's owner; `name` is empty where it was not kept."""
    return f"an administrator, {name}" if name else "an administrator"


def sentences(job: JobView, cluster: KnownCluster | None) -> tuple[str, ...]:
    """What is known of the job's present state, the most telling first."""
    return tuple(_sentences(job, cluster))


def _sentences(job: JobView, cluster: KnownCluster | None) -> Iterator[str]:
    yield _STATES[job.state]
    if job.cause is Cause.CANCELLED_BY_USER and job.cancelled_by:
        yield f"It was {administrator_words(job.cancelled_by)}, who asked for it."
    elif job.cause in _CAUSES:
        yield _CAUSES[job.cause]
    if job.cause is Cause.EXIT_NONZERO and any(one.name == Stream.STDERR and one.size for one in job.outputs):
        yield "Its own messages are in stderr."
    if job.evidence:
        yield f"Evidence: {job.evidence}."
    if job.state.is_final:
        return
    if job.waiting_reason:
        yield f"It waits because: {job.waiting_reason}."
    if job.cancel_requested_at is not None:
        by = f" by {administrator_words(job.cancelled_by)}" if job.cancelled_by else ""
        yield f"Cancelling was asked for{by}; it is repeated until the cluster's answer proves it."
    yield from _of_cluster(job, cluster)


def _of_cluster(job: JobView, cluster: KnownCluster | None) -> Iterator[str]:
    if cluster is None:
        yield f"Cluster {job.cluster} is not configured any more: an operator should put its file back."
        return
    if not cluster.config.enabled:
        yield f"Cluster {cluster.title} is disabled."
    if cluster.closed_reason:
        yield f"Cluster {cluster.title} is closed: {cluster.closed_reason}."
    lost_since = job.contact_lost_since or cluster.contact_lost_since
    if lost_since is not None:
        minutes = (time.time() - lost_since) / 60
        yield f"Cluster {cluster.title} has not answered for {minutes:.0f} min: what is said here was known before."
        yield "The job itself may well go on, and nothing is lost: the gateway keeps asking."
    if cluster.status is None and lost_since is None:
        yield f"No controller has reported on cluster {cluster.title} yet: is one running?"
    elif cluster.status and job.state in (JobState.ACCEPTED, JobState.QUEUED):
        yield f"On cluster {cluster.title} {cluster.status.running} run and {cluster.status.queued} wait."
