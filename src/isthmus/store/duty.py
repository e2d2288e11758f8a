"""What a controller has to do: the jobs of its cluster to look at, to let out, and what each was asked to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Integer, Select, and_, bindparam, func, not_, or_, select

from isthmus.application.encoding import Json
from isthmus.errors import NotFound
from isthmus.job import FINAL, Cause, Job, JobState
from isthmus.store.records import JobInput, JobSpec
from isthmus.store.rows import job_of, job_rows
from isthmus.store.schema import LIVE, attempts, definitions, job_inputs, jobs, submissions

T = TypeVar("T")

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
_MISTIMED = (
    job_rows()
    .where(_HERE, jobs.c.next_check_at > bindparam("latest"))
    .order_by(jobs.c.next_check_at)
    .limit(bindparam("most", type_=Integer()))
)
_TAGGED = job_rows().where(_HERE, or_(LIVE, _AWAITED), submissions.c.tag.in_(bindparam("tags", expanding=True)))
_LIVE = job_rows().where(_HERE, LIVE)


def due(
    connection: Connection, cluster: str, now: float, limit: int, tags: Sequence[str] = (), latest: float = inf
) -> list[Job]:
    """Every job whose current attempt has one of the tags, and at most `limit` others whose time has come.

    So has that of a job to be looked at after `latest`: the clock was set back since that was stored. The longest due
    come first. Final jobs are not among them, but for lost ones.
    """
    timely = connection.execute(_TIMELY, {"cluster": cluster, "now": now, "most": limit})
    found = {row[1]: job_of(row) for row in timely}
    if latest < inf and len(found) < limit:
        mistimed = connection.execute(_MISTIMED, {"cluster": cluster, "latest": latest, "most": limit - len(found)})
        found |= {row[1]: job_of(row) for row in mistimed}
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


def _owners() -> Select[*tuple[Any, ...]]:
    """Each owner of live jobs here with how many are in flight, found by steps from owner to owner in the index.

    Looking at every job that waits would cost more the longer the queue is, many times a second. With many hundred
    owners at once, whose jobs are asked for one by one, another statement for all of them would be due.
    """
    first = select(func.min(jobs.c.owner_id).label("id")).where(_HERE, LIVE).cte("owners", recursive=True)
    after = select(func.min(jobs.c.owner_id)).where(_HERE, LIVE, jobs.c.owner_id > first.c.id).scalar_subquery()
    owners = first.union_all(select(after).where(first.c.id.is_not(None)))
    in_flight = jobs.c.state.in_([state.value for state in IN_FLIGHT])
    flying = select(func.count()).where(_HERE, LIVE, jobs.c.owner_id == owners.c.id, in_flight).scalar_subquery()
    return select(owners.c.id, flying).where(owners.c.id.is_not(None))


_OWNERS = _owners()
_WAITING = (
    select(jobs.c.number)
    .where(_HERE, LIVE, jobs.c.owner_id == bindparam("owner"), jobs.c.state == JobState.ACCEPTED.value)
    .where(jobs.c.cancel_requested_at.is_(None))
    .order_by(jobs.c.number)
    .limit(bindparam("most", type_=Integer()))
)
_NUMBERED = job_rows().where(jobs.c.number.in_(bindparam("numbers", expanding=True)))


def release(connection: Connection, cluster: str, per_owner: int, limit: int) -> list[Job]:
    """Jobs that may leave the gateway, at most `limit`: each owner's oldest, owners taking turns.

    No owner has more than `per_owner` jobs on their way or waiting on the cluster, these included.
    """
    turns: list[tuple[int, int]] = []
    for owner, flying in connection.execute(_OWNERS, {"cluster": cluster}).all():
        if flying < per_owner:
            most = min(per_owner - flying, limit)
            waiting = connection.execute(_WAITING, {"cluster": cluster, "owner": owner, "most": most})
            turns += enumerate(waiting.scalars())
    numbers = [number for _, number in sorted(turns)[:limit]]
    parts = (connection.execute(_NUMBERED, {"numbers": part}) for part in _parts(numbers))
    found = {row[0]: job_of(row) for rows in parts for row in rows}
    return [found[number] for number in numbers]


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


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """At most 1,000 at a time: statements take a bounded number of values."""
    return (values[start : start + 1000] for start in range(0, len(values), 1000))
