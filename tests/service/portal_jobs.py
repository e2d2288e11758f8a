"""Jobs as the job page meets them: a program with every kind of input and output, in each state, with a log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.facts import OutputFile
from isthmus.job import Attempt, Cause, JobState, tag_of
from isthmus.lifecycle import Decision, JobEvent
from isthmus.portal import make_site
from isthmus.store.users import Role
from tests.service.api_rig import Person, Rig, serving, write_application

ATLAS = """\
name: atlas
version: 1.0.0
title: Atlas
summary: Draws what it is told.
inputs:
  threshold_dbz:
    label: Reflectivity threshold
    unit: dBZ
    schema: {type: number, minimum: -30, maximum: 90}
    default: 40
  title:
    label: Title
    schema: {type: string, maxLength: 200}
    required: false
  paper:
    label: Paper
    file: {max_mib: 1, extensions: [.txt]}
    required: false
outputs:
  storms: {label: Storm outlines, glob: "*.geojson", media_type: application/geo+json, show: map, required: false}
  picture: {label: Reflectivity, glob: "*.png", media_type: image/png, show: picture}
  summary: {label: Summary, glob: "*.json", media_type: application/json, show: json, required: false}
  rows: {label: Rows, glob: "*.csv", media_type: text/csv, show: table, required: false}
  report: {label: Report, glob: "*.txt", media_type: text/plain, show: text, required: false}
  drawing: {label: Drawing, glob: "*.svg", media_type: image/svg+xml, required: false}
  website: {label: Website, glob: "*.html", media_type: text/html, show: text, required: false}
  earth: {label: Earth, glob: "*.kml", media_type: application/vnd.google-earth.kml+xml, required: false}
  rest: {label: The rest, glob: "*.bin", required: false}
command: [atlas, "--threshold={inputs.threshold_dbz}"]
resources:
  cpus: {default: 2, max: 64}
  memory_mib: {default: 1024, min: 10, max: 4096}
  walltime_s: {default: 600, min: 10, max: 1000}
isolation: preferred
"""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001"
    "f61738550000000049454e44ae426082"
)


@dataclass(frozen=True, slots=True)
class Wrote:
    """One file that a program left: the output's name, the file's path, its bytes."""

    name: str
    path: str
    content: bytes
    media_type: str = "application/octet-stream"


GEOJSON = Wrote(
    "storms",
    "storms.geojson",
    b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"storm":1,"max_dbz":55.5},"geometry":'
    b'{"type":"Polygon","coordinates":[[[-87,33],[-86,33],[-86,34],[-87,33]]]}},{"type":"Feature","properties":'
    b'{"storm":2,"max_dbz":47},"geometry":{"type":"Point","coordinates":[-85.5,32.5]}}]}',
    "application/geo+json",
)
PICTURE = Wrote("picture", "reflectivity.png", PNG, "image/png")


@contextmanager
def serving_atlas(folders: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway with pages and the program; like any other it has an administrator before it has users."""
    home = folders.mktemp("home")
    write_application(home, ATLAS, "atlas")
    with serving(home, make=make_site) as rig:
        rig.person("first", Role.ADMIN)
        yield rig


def atlas_job(person: Person, **body: object) -> str:
    """A job that the person submitted and nobody has moved yet."""
    answer = person.client.post("/jobs", json={"application": "atlas", **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def uploaded(person: Person, name: str, content: bytes) -> str:
    answer = person.client.post("/files", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ended(
    rig: Rig,
    job_id: str,
    files: Sequence[Wrote] = (),
    *,
    state: JobState = JobState.COMPLETED,
    cause: Cause = Cause.EXIT_ZERO,
    evidence: str = "the program ended with exit code 0",
    code: int = 0,
) -> None:
    """The job ran, left these files, and ended so."""
    rig.start(job_id)
    rig.move(job_id, JobState.STAGING_OUT)
    job = rig._job(job_id)
    assert job.attempt is not None
    now = time.time()
    attempt = replace(
        job.attempt,
        started_at=now - 50,
        ended_at=now,
        exit_code=code,
        cpu_s=40.0,
        peak_memory_mib=256,
        claimed_by="17",
        node="n12",
    )
    done = replace(job, state=state, state_at=now, cause=cause, evidence=evidence, attempt=attempt)
    body = {"from": job.state.value, "to": state.value, "cause": cause.value, "evidence": evidence}
    rig._apply(replace(Decision(done, JobEvent("state", body)), outputs=tuple(_stored(rig, one) for one in files)))


_WAY = (JobState.STAGING_IN, JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.STAGING_OUT)


def reached(rig: Rig, job_id: str, state: JobState) -> None:
    """The accepted job has come as far as this state."""
    attempt = Attempt(1, tag_of(rig.store.gateway_id, f"{job_id}.1"), native_id="17")
    for step in _WAY[: _WAY.index(state) + 1]:
        changes: dict[str, object] = {"attempt": attempt, "attempts": 1} if step is JobState.STAGING_IN else {}
        rig.move(job_id, step, **changes)


def _stored(rig: Rig, one: Wrote) -> OutputFile:
    with rig.files.writer() as writer:
        writer.write(one.content)
    stored = writer.result
    return OutputFile(one.name, one.path, stored.sha256, stored.size, one.media_type)


def followed(rig: Rig, job_id: str, logs: Mapping[str, bytes], attempt: int = 1) -> None:
    """The controller has brought this much of the running job's logs."""
    folder = Path(rig.configuration.home) / "logs" / job_id / str(attempt)
    folder.mkdir(parents=True, exist_ok=True)
    for stream, content in logs.items():
        (folder / stream).write_bytes(content)
