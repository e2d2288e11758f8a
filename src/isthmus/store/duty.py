"""What a controller has to do: the jobs of its cluster to look at, to let out, and what each was asked to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Integer, Select, and_, bindparam, func, not_, or_, select

from isthmus.application.encoding import Json
from isthmus.errors import NotFound
from isthmus.job import FINAL, Cause, Job, JobState
from isthmus.store.records import JobInput, JobSpec
from isthmus.store.rows import job_of, job_rows
from isthmus.store.schema import LIVE, attempts, definitions, job_inputs, jobs, submissions

IN_FLIGHT = (JobState.STAGING_IN, JobState.SUBMITTING, JobState.QUEUED)  # what `per_owner` bounds


# Built once: the controller asks them many times a second, and building costs more than asking.
_AWAITED = and_(jobs.c.cause == Cause.LOST.value, jobs.c.deleted_at.is_(None))
_HERE = jobs.c.cluster == bindparam("cluster")
_TIMELY = (
    job_rows()
    .where(_HERE, jobs.c.next_check_at <= bindparam("now"))
    .order_by(jobs.c.next_check_at)
    .limit(bindparam("most", type_=Integer()))
)
_TAGGED = job_rows().where(_HERE, or_(LIVE, _AWAITED), submissions.c.tag.in_(bindparam("tags", expanding=True)))
_LIVE = job_rows().where(_HERE, LIVE)


def due(connection: Connection, cluster: str, now: float, limit: int, tags: Sequence[str] = ()) -> list[Job]:
    """Every job whose current attempt has one of the tags, and at most `limit` others whose time has come.

    The longest due come first. Final jobs are not among them, but for lost ones.
    """
    timely = connection.execute(_TIMELY, {"cluster": cluster, "now": now, "most": limit})
    found = {row[1]: job_of(row) for row in timely}
    for part in _parts(tags):
        tagged = connection.execute(_TAGGED, {"cluster": cluster, "tags": part})
        found |= {row[1]: job_of(row) for row in tagged}
    return sorted(found.values(), key=lambda job: job.next_check_at)


def live(connection: Connection, cluster: str) -> list[Job]:
    """Every job of the cluster that is not final."""
    return [job_of(row) for row in connection.execute(_LIVE, {"cluster": cluster})]


def ended_tags(connection: Connection, cluster: str, tags: Sequence[str]) -> frozenset[str]:
    """Those of the tags whose attempt is over: its job is final (and not lost), or has a later attempt.

    A lost job may come back, unless its owner has deleted it.
    """
    final = jobs.c.state.in_([state.value for state in FINAL])
    over = or_(and_(final, not_(_AWAITED)), attempts.c.n < jobs.c.attempts)
    query = (
        select(submissions.c.tag)
        .join(attempts, attempts.c.submission_id == submissions.c.id)
        .join(jobs, jobs.c.number == attempts.c.job)
        .where(jobs.c.cluster == cluster, over)
    )
    return frozenset(
        tag for part in _parts(tags) for tag in connection.execute(query.where(submissions.c.tag.in_(part))).scalars()
    )


def live_count(connection: Connection, cluster: str) -> int:
    """How many jobs of the cluster are not final."""
    return connection.execute(
        select(func.count()).select_from(jobs).where(jobs.c.cluster == cluster, LIVE)
    ).scalar_one()


def _release() -> Select[*tuple[Any, ...]]:
    here = (_HERE, LIVE)
    flying = (
        select(jobs.c.owner_id, func.count().label("flying"))
        .where(*here, jobs.c.state.in_([state.value for state in IN_FLIGHT]))
        .group_by(jobs.c.owner_id)
        .subquery()
    )
    turn = func.row_number().over(partition_by=jobs.c.owner_id, order_by=jobs.c.number).label("turn")
    waiting = (
        select(jobs.c.number, jobs.c.owner_id, turn)
        .where(*here, jobs.c.state == JobState.ACCEPTED.value, jobs.c.cancel_requested_at.is_(None))
        .subquery()
    )
    chosen = (
        select(waiting.c.number, waiting.c.turn)
        .outerjoin(flying, flying.c.owner_id == waiting.c.owner_id)
        .where(waiting.c.turn + func.coalesce(flying.c.flying, 0) <= bindparam("per_owner", type_=Integer()))
        .order_by(waiting.c.turn, waiting.c.number)
        .limit(bindparam("most", type_=Integer()))
        .subquery()
    )
    return job_rows().join(chosen, chosen.c.number == jobs.c.number).order_by(chosen.c.turn, chosen.c.number)


_RELEASE = _release()


def release(connection: Connection, cluster: str, per_owner: int, limit: int) -> list[Job]:
    """Jobs that may leave the gateway, at most `limit`: each owner's oldest, owners taking turns.

    No owner has more than `per_owner` jobs on their way or waiting on the cluster, these included.
    """
    rows = connection.execute(_RELEASE, {"cluster": cluster, "per_owner": per_owner, "most": limit})
    return [job_of(row) for row in rows]


_ASKED = select(jobs.c.number, jobs.c.id, jobs.c.digest, jobs.c.inputs).where(
    jobs.c.id.in_(bindparam("ids", expanding=True))
)
_DIGESTS = select(jobs.c.id, jobs.c.digest).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_DEFINITION = select(definitions.c.body).where(definitions.c.digest == bindparam("wanted"))


def orders(connection: Connection, job_ids: Sequence[str]) -> list[JobSpec]:
    """What these jobs were asked to do, in no particular order; ids that are not there are left out."""
    return [spec for part in _parts(job_ids) for spec in _orders(connection, part)]


def _orders(connection: Connection, job_ids: Sequence[str]) -> Iterator[JobSpec]:
    rows = connection.execute(_ASKED, {"ids": job_ids}).all()
    files = input_files(connection, [row.number for row in rows])
    for row in rows:
        yield JobSpec(id=row.id, digest=row.digest, inputs=row.inputs, files=files[row.number])


def digests(connection: Connection, job_ids: Sequence[str]) -> dict[str, str]:
    """By job id: the definition each job was accepted with."""
    return {
        job_id: digest for part in _parts(job_ids) for job_id, digest in connection.execute(_DIGESTS, {"ids": part})
    }


def definition(connection: Connection, digest: str) -> Json:
    """The body of a remembered definition. NotFound: it was never remembered."""
    row = connection.execute(_DEFINITION, {"wanted": digest}).one_or_none()
    if row is None:
        raise NotFound("there is no such definition")
    return cast(Json, row.body)


_INPUTS = (
    select(job_inputs.c.job, *(job_inputs.c[name] for name in JobInput.__slots__))
    .where(job_inputs.c.job.in_(bindparam("numbers", expanding=True)))
    .order_by(job_inputs.c.name, job_inputs.c.position)
)


def input_files(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[JobInput, ...]]:
    """The input files of each of these jobs, by name and position; of a job without any, none."""
    found: dict[int, list[JobInput]] = defaultdict(list)
    for number, *values in connection.execute(_INPUTS, {"numbers": numbers}):
        found[number].append(JobInput(*values))
    return {number: tuple(found[number]) for number in numbers}


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """At most 1,000 at a time: statements take a bounded number of values."""
    return (values[start : start + 1000] for start in range(0, len(values), 1000))
