"""What somebody can do about how their job stands, each as a sentence and a link that does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from isthmus.application import Application
from isthmus.application.definition import ResourceName
from isthmus.job import Cause, JobState
from isthmus.store.views import JobView


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: why, and the link's words and target."""

    words: str
    action: str
    href: str


_KEPT = "Its inputs and its log are kept."
_TRY_AGAIN = {
    Cause.NODE_FAILURE: "The machine failed, not your program: the same job may well work the next time.",
    Cause.PREEMPTED: "The cluster needed the place: the same job can be run again.",
    Cause.STAGE_IN_FAILED: "Nothing was run. Look at the evidence, then try it again.",
    Cause.CANCELLED_ON_CLUSTER: "Somebody stopped it on the cluster. Ask there before you run it again.",
}
_LOOK_AT_LOG = (Cause.EXIT_NONZERO, Cause.SIGNAL, Cause.LAUNCH_FAILED, Cause.STAGE_OUT_FAILED)


def advice_for(job: JobView, application: Application, *, may_act: bool) -> tuple[Advice, ...]:
    """What to do next, the most helpful first; without `may_act` only what a reader can do."""
    if not job.state.is_final or job.deleted_at is not None:
        return ()
    return (*_for_readers(job), *(_for_owners(job, application) if may_act else ()))


def _for_readers(job: JobView) -> Iterator[Advice]:
    if job.cause in _LOOK_AT_LOG:
        yield Advice("What the program said before it ended stands in its log.", "Read stderr", "?log=stderr#log")


def _for_owners(job: JobView, application: Application) -> Iterator[Advice]:
    again = f"/jobs/{job.id}/resubmit"
    if job.cause is Cause.WALLTIME:
        yield _more(job, application, ResourceName.WALLTIME_S, job.resources.walltime_s, "time", again)
    elif job.cause is Cause.OUT_OF_MEMORY and job.resources.memory_mib:
        yield _more(job, application, ResourceName.MEMORY_MIB, job.resources.memory_mib, "memory", again)
    elif job.cause in _TRY_AGAIN:
        yield Advice(_TRY_AGAIN[job.cause], "Run it again", again)
    elif job.cause is Cause.REJECTED:
        yield Advice(
            "The cluster said why it refused; change what it objects to, or choose another cluster.",
            "Change and run again",
            again,
        )
    elif job.cause is Cause.LOST:
        yield Advice(
            "It comes back by itself if the cluster finds it again. Ask your operator before you run it a second time.",
            "See the clusters",
            "/clusters",
        )
    elif job.state is JobState.FAILED:
        yield Advice(f"{_KEPT} Change what was wrong and run it again.", "Edit and run again", again)


def _more(job: JobView, application: Application, name: ResourceName, had: int, thing: str, again: str) -> Advice:
    """Twice as much, as far as the application permits."""
    rule = application.resource(name)
    most = rule.max if rule and rule.max is not None else had * 2
    amount = min(had * 2, most)
    if amount <= had:
        words = f"It had the most {thing} that {application.title} may have: give it less to do, or ask your operator."
        return Advice(words, "Edit and run again", again)
    filled = urlencode({f"resources.{name.value}": amount})
    return Advice(
        f"{_KEPT} Ask for more {thing}: twice as much is filled in.",
        f"Run again with more {thing}",
        f"{again}?{filled}",
    )
