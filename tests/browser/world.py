"""A gateway that has something to show: jobs of every kind, one of them on real radar data."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.client import Job
from isthmus.job import JobState
from tests.browser.portal import Portal, radar_file

DEADLINE_S = 60
LONG_NAME = "A name as long as names may become when somebody writes down all that they have in mind at that time"


@dataclass(frozen=True, slots=True)
class World:
    """Ids of Ada's jobs, each ended but for `running`; the first is shared with Bob, and by a link."""

    storms: str
    weaker: str
    failed: str
    cancelled: str
    running: str
    link: str


def settled(portal: Portal) -> World:
    """Ada has jobs in every state that lasts, and notices of some; Bob has none, but sees one of hers."""
    with portal.client(portal.ada) as gateway:
        storms = gateway.submit("storm-clustering", job_name="A storm over Alabama", radar=radar_file())
        failed = gateway.submit(
            "counting", job_name=LONG_NAME, labels=["kept", "spring"], code=3, upto=4, notices="bea"
        )
        cancelled = gateway.submit("counting", job_name="Not wanted any more", linger_s=600)
        running = gateway.submit("ticking", job_name="Ticks for long", lines=10_000, every_s=1, labels=["spring"])
        cancelled.cancel()
        weaker = _completed(storms).resubmit(job_name="Weaker echoes too", threshold_dbz=30)
        for job in (failed, cancelled, _completed(weaker)):
            job.wait(DEADLINE_S)
        storms.share("bob")
        link = storms.share(link=True).link
    assert link
    return World(storms.id, weaker.id, failed.id, cancelled.id, running.id, link.rpartition("/")[2])


def _completed(job: Job) -> Job:
    assert job.wait(DEADLINE_S).state is JobState.COMPLETED, job.why()
    return job
