"""From a stored job to the order that its cluster can stage: the exact definition it was accepted with, rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from isthmus.application import (
    Application,
    CheckedInputs,
    FileFacts,
    Isolation,
    Places,
    render,
)
from isthmus.application.inputs import stage_names
from isthmus.cluster import Cluster, InputFile, Order, OutputRule
from isthmus.errors import ConfigurationError
from isthmus.facts import StagingFailed
from isthmus.job import Job
from isthmus.store import Store
from isthmus.store.records import JobSpec

REMEMBERED = 200  # definitions kept decoded; a catalogue has fewer


@dataclass(slots=True)
class Orders:
    """Makes orders for one cluster's jobs; `variables` are what the operator lets deployments name."""

    store: Store
    cluster: Cluster
    variables: Mapping[str, str]
    _definitions: dict[str, Application] = field(default_factory=dict)

    async def to_stage_in(self, jobs: Sequence[Job]) -> Mapping[str, Order | StagingFailed]:
        """By job id: the order, or why none can be made (for good: the definition and the site don't fit)."""
        by_id = {job.id: job for job in jobs}
        specs = await asyncio.to_thread(self.store.orders, list(by_id))
        applications = await self._applications({spec.digest for spec in specs})
        return {spec.id: self._rendered(by_id[spec.id], spec, applications[spec.digest]) for spec in specs}

    async def to_stage_out(self, jobs: Sequence[Job]) -> Mapping[str, Order]:
        """By job id: the order without its script, which has done its work."""
        digests = await asyncio.to_thread(self.store.digests, [job.id for job in jobs])
        applications = await self._applications(set(digests.values()))
        return {job.id: self._order(job, applications[digests[job.id]]) for job in jobs if job.id in digests}

    async def _applications(self, digests: Collection[str]) -> Mapping[str, Application]:
        """The definitions with these digests, decoded once as long as they are in use."""
        if len(self._definitions) > REMEMBERED:
            self._definitions.clear()
        found = {}
        for digest in digests:
            if digest not in self._definitions:
                body = await asyncio.to_thread(self.store.definition, digest)
                self._definitions[digest] = Application.from_json(body)
            found[digest] = self._definitions[digest]
        return found

    def _rendered(self, job: Job, spec: JobSpec, application: Application) -> Order | StagingFailed:
        order = self._order(job, application)
        deployment = application.deployment_on(job.cluster)
        if deployment is None:
            words = f"{application.name} {application.version} has no deployment on cluster {job.cluster}"
            return StagingFailed(words, permanent=True)
        folders = self.cluster.folders(order.tag)
        inputs = _checked(application, spec)
        try:
            places = Places(folders.inputs, folders.work, self.variables)
            rendered = render(application, inputs, job.resources, deployment, places)
        except ConfigurationError as fault:
            return StagingFailed(fault.message, permanent=True)
        return replace(order, script=rendered.text(), inputs=_staged(inputs), network=rendered.network)

    def _order(self, job: Job, application: Application) -> Order:
        if job.attempt is None:
            raise ValueError(f"job {job.id} is staged without an attempt")
        return Order(
            tag=job.attempt.tag,
            job_id=job.id,
            resources=job.resources,
            script="",
            outputs=tuple(
                OutputRule(output.name, output.glob, output.media_type, output.required)
                for output in application.outputs
            ),
            isolation_required=application.isolation is Isolation.REQUIRED,
        )


def _staged(inputs: CheckedInputs) -> tuple[InputFile, ...]:
    return tuple(
        InputFile(file.staged_name, file.facts.sha256, file.facts.size)
        for files in inputs.files.values()
        for file in files
    )


def _checked(application: Application, spec: JobSpec) -> CheckedInputs:
    """The inputs as they were checked when the job was accepted; they are not checked against today's catalogue."""
    given: dict[str, list[FileFacts]] = {}
    for file in spec.files:
        given.setdefault(file.name, []).append(FileFacts(file.sha256, file.size, file.file_name))
    files = {found.name: stage_names(found, given[found.name]) for found in application.inputs if found.name in given}
    return CheckedInputs(dict(spec.inputs), files)
