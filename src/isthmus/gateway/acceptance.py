"""A job just accepted, as the store would show it: it is known whole, so that nothing need be read back."""

from __future__ import annotations

from isthmus.gateway.catalogue import Entry
from isthmus.gateway.clusters import KnownCluster
from isthmus.job import JobState
from isthmus.store import Accepted, NewJob, Viewer
from isthmus.store.views import JobView


def just_accepted(
    accepted: Accepted,
    new: NewJob,
    entry: Entry,
    *,
    viewer: Viewer,
    owner: str,
    cluster: KnownCluster | None,
    root_id: str,
) -> JobView:
    """The job in its first state; `owner` is the viewer's name."""
    return JobView(
        id=accepted.job_id,
        owner_id=viewer.user_id,
        owner=owner,
        project_id=None,  # one with a project is read back, for the project's name
        project=None,
        name=new.name,
        labels=tuple(sorted(set(new.labels))),
        application=new.application,
        version=new.version,
        digest=new.digest,
        definition=entry.form,
        cluster=new.cluster,
        contact_lost_since=cluster.contact_lost_since if cluster else None,
        state=JobState.ACCEPTED,
        state_at=accepted.at,
        cause=None,
        evidence="",
        waiting_reason="",
        created_at=accepted.at,
        started_at=None,
        ended_at=None,
        exit_code=None,
        cancel_requested_at=None,
        parent_id=new.parent_id,
        root_id=root_id,
        children=(),
        inputs=new.inputs,
        files=new.files,
        resources=new.resources,
        restartable=new.restartable,
        max_attempts=new.max_attempts,
        attempts=(),
        outputs=(),
        archived_at=None,
        deleted_at=None,
        seq=0,
        notices=new.notices,
        copied_from=new.copied_from,
    )
