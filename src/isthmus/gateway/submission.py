"""From what a person asks to a job the store accepts: definition, inputs, files, cluster and resources, all checked.

A resubmission is a submission made of an earlier job and what the person changed; both go the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TypeAlias

from isthmus.application import (
    Application,
    CheckedInputs,
    FileFacts,
    Json,
    check_inputs,
    choose_resources,
    did_you_mean,
)
from isthmus.application.inputs import stage_names
from isthmus.errors import InputFault, InvalidInput, NotAllowed
from isthmus.gateway.catalogue import Entry, Listing
from isthmus.gateway.clusters import KnownCluster, check_fits, choose_cluster
from isthmus.job import Resources
from isthmus.store import CopiedFrom, JobInput, NewJob, Store, Viewer
from isthmus.store.notices import checked_letters
from isthmus.store.views import JobView

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class UploadReference:
    """An upload as an input file."""

    upload_id: str


@dataclass(frozen=True, slots=True)
class OutputReference:
    """An output of an earlier job as an input file; all of its files where `path` is None."""

    job_id: str
    output: str
    path: str | None = None


FileReference: TypeAlias = UploadReference | OutputReference


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for. None leaves the choice to the gateway; `copied_from` is the gateway's own word."""

    application: str
    version: str | None = None
    cluster: str | None = None
    name: str | None = None
    labels: tuple[str, ...] = ()
    inputs: Mapping[str, Json] = field(default_factory=dict)
    files: Mapping[str, Sequence[FileReference]] = field(default_factory=dict)
    resources: Mapping[str, Json] = field(default_factory=dict)
    notices: str | None = None
    project: str | None = None
    copied_from: CopiedFrom | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a resubmitted job has otherwise than its parent; `unset` names inputs that go back to their default.

    `notices` None is what its owner chose for all their jobs, as in a new request, whatever was said of the parent.
    """

    inputs: Mapping[str, Json] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    files: Mapping[str, Sequence[FileReference]] = field(default_factory=dict)
    resources: Mapping[str, Json] = field(default_factory=dict)
    cluster: str | None = None
    version: str | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    notices: str | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    """Everything a job is made of, before it is checked."""

    entry: Entry
    cluster: str | None
    name: str
    labels: tuple[str, ...]
    inputs: Mapping[str, Json]
    files: Mapping[str, tuple[JobInput, ...]]
    resources: Mapping[str, Json]
    notices: str | None
    project_id: str | None = None
    parent_id: str | None = None
    copied_from: CopiedFrom | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests are checked: for one viewer, by one reading of the catalogue and of the clusters."""

    store: Store
    viewer: Viewer
    listing: Listing
    clusters: Mapping[str, KnownCluster]

    def new_job(self, request: Request) -> tuple[Entry, NewJob]:
        """The job and the definition it runs. InvalidInput, NotFound, NotAllowed: and nothing was changed."""
        entry = self.listing.find(request.application, request.version)
        self._may_run(entry)
        files = {name: self._files(name, references) for name, references in request.files.items()}
        name = request.name or entry.application.title
        given = _Given(
            *(entry, request.cluster, name, request.labels, request.inputs, files, request.resources, request.notices),
            project_id=None if request.project is None else self._project(request.project),
            copied_from=request.copied_from,
        )
        return entry, self._checked(given)

    def again(self, parent: JobView, changes: Changes) -> tuple[Entry, NewJob]:
        """The parent with these changes, as a job of the viewer's and the definition it runs."""
        entry = self._entry_for(parent, changes.version)
        old = _entry_of(parent)
        taken = {*changes.unset, *changes.inputs, *changes.files}
        if unknown := [name for name in changes.unset if old.application.input(name) is None]:
            known = did_you_mean(unknown[0], [found.name for found in old.application.inputs])
            message = f"there is no input '{unknown[0]}'{known}"
            raise InvalidInput(message, (InputFault("unset", "unknown_input", message),))
        _refuse_deleted_files(parent, old.application, taken)
        inputs = {name: value for name, value in parent.inputs.items() if name not in taken}
        files = {name: found for name, found in files_by_input(parent).items() if name not in taken}
        new_files = {name: self._files(name, references) for name, references in changes.files.items()}
        given = _Given(
            entry=entry,
            cluster=changes.cluster or parent.cluster,
            name=changes.name or parent.name,
            labels=parent.labels if changes.labels is None else changes.labels,
            inputs={**inputs, **changes.inputs},
            files={**files, **new_files},
            resources=_without_none({**asked_resources(old.application, parent), **changes.resources}),
            notices=changes.notices,
            project_id=self._still_in(parent.project_id),
            parent_id=parent.id,
            copied_from=None if parent.owner_id == self.viewer.user_id else CopiedFrom(parent.owner, parent.id),
        )
        return entry, self._checked(given)

    def _entry_for(self, parent: JobView, version: str | None) -> Entry:
        """The parent's exact definition, unless another version is asked for; the catalogue says who may run it."""
        newest = self.listing.find(parent.application)
        self._may_run(newest)
        if version in (None, parent.version):
            return _entry_of(parent)
        entry = newest if version == LATEST else self.listing.find(parent.application, version)
        self._may_run(entry)
        return entry

    def _may_run(self, entry: Entry) -> None:
        if not entry.is_open_to(administrator=self.viewer.is_admin):
            raise NotAllowed(self._closed(entry.application.name))

    def _closed(self, name: str) -> str:
        said = f"{name} is not enabled for you on this gateway"
        if not self.viewer.is_admin:
            return said
        how = f'write enable = ["{name}"] under [applications] in isthmus.toml, take it out of disable there'
        return f"{said}; to enable it, {how}, and restart the gateway"

    def _checked(self, given: _Given) -> NewJob:
        application = given.entry.application
        facts = {name: [_facts(file) for file in found] for name, found in given.files.items()}
        with _fields_under_their_part(application, given.files):
            inputs = check_inputs(application, given.inputs, facts)
        cluster = choose_cluster(application, self.clusters, given.cluster)
        resources = choose_resources(application, inputs, given.resources)
        check_fits(resources, cluster)
        return NewJob(
            cluster=cluster.name,
            application=application.name,
            version=application.version,
            digest=given.entry.digest,
            name=given.name,
            resources=resources,
            inputs=inputs.values,
            files=tuple(file for found in given.files.values() for file in found),
            labels=given.labels,
            restartable=application.restartable,
            max_attempts=application.max_attempts,
            project_id=given.project_id,
            parent_id=given.parent_id,
            copied_from=given.copied_from,
            notices=None if given.notices is None else checked_letters(given.notices),
        )

    # --- projects -------------------------------------------------------------------------------------------------
    def _project(self, name: str) -> str:
        """The project of this name that the viewer is in, an administrator too. InvalidInput."""
        mine = {project.name: project.id for project in self.store.projects(Viewer(self.viewer.user_id))}
        if name not in mine:
            message = f"you are in no project of that name{did_you_mean(name, list(mine))}"
            raise InvalidInput(message, (InputFault("project", "unknown_project", message),))
        return mine[name]

    def _still_in(self, project_id: str | None) -> str | None:
        """The parent's project, unless whoever resubmits is not in it, or not any more."""
        if project_id is None:
            return None
        mine = {project.id for project in self.store.projects(Viewer(self.viewer.user_id))}
        return project_id if project_id in mine else None

    # --- files ----------------------------------------------------------------------------------------------------
    def _files(self, name: str, references: Sequence[FileReference]) -> tuple[JobInput, ...]:
        found = [file for reference in references for file in self._referred(name, reference)]
        return tuple(replace(file, position=position) for position, file in enumerate(found))

    def _referred(self, name: str, reference: FileReference) -> list[JobInput]:
        """The files a reference stands for. NotFound: there is no such upload or job for the viewer."""
        if isinstance(reference, UploadReference):
            upload = self.store.upload(self.viewer, reference.upload_id)
            return [JobInput(name, 0, upload.sha256, upload.name, upload.size, upload_id=upload.id)]
        earlier = self.store.job(self.viewer, reference.job_id)
        outputs = [
            output
            for output in earlier.outputs
            if output.name == reference.output and reference.path in (None, output.path)
        ]
        if not outputs:
            message = f"job {reference.job_id} has no such output{did_you_mean(reference.output, _names(earlier))}"
            if earlier.deleted_at is not None:
                message = f"job {reference.job_id} was deleted, and its outputs with it"
            raise InvalidInput(message, (InputFault(f"files.{name}", "unknown_output", message),))
        return [
            JobInput(
                name, 0, one.sha256, one.path.rpartition("/")[2], one.size, from_job=earlier.id, from_output=one.path
            )
            for one in outputs
        ]


def _names(earlier: JobView) -> list[str]:
    return sorted({output.name for output in earlier.outputs})


def _facts(file: JobInput) -> FileFacts:
    return FileFacts(file.sha256, file.size, file.file_name)


@contextmanager
def _fields_under_their_part(application: Application, files: Mapping[str, object]) -> Iterator[None]:
    """Faults name the way in the request: `inputs.threshold`, `files.radar`."""
    try:
        yield
    except InvalidInput as invalid:
        faults = tuple(replace(f, field=f"{_part(application, files, f.field)}.{f.field}") for f in invalid.faults)
        raise InvalidInput(invalid.message, faults) from None


def _part(application: Application, files: Mapping[str, object], name: str) -> str:
    found = application.input(name)
    is_file = name in files if found is None else found.file is not None
    return "files" if is_file else "inputs"


def _without_none(asked: Mapping[str, Json]) -> dict[str, Json]:
    """What is asked for; taken back with None, a resource may also be one that the version run now doesn't have."""
    return {name: amount for name, amount in asked.items() if amount is not None}


# --- what an earlier job was made of ------------------------------------------------------------
def _entry_of(job: JobView) -> Entry:
    application = Application.from_json(job.definition)
    return Entry(application, job.digest, application.to_json(), application.enabled_for)


def _refuse_deleted_files(parent: JobView, application: Application, taken: Collection[str]) -> None:
    """The bytes of a deleted job's files are gone. InvalidInput: the inputs that had some are not all in `taken`."""
    if parent.deleted_at is None:
        return
    had, words = files_by_input(parent), "its files were deleted with the job: give them anew"
    faults = tuple(
        InputFault(f"files.{found.name}", "deleted", words if found.required else f"{words}, or unset {found.name}")
        for found in application.inputs
        if found.file and found.name not in taken and (found.required or found.name in had)
    )
    if faults:
        raise InvalidInput("; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3]), faults)


def files_by_input(job: JobView) -> dict[str, tuple[JobInput, ...]]:
    """The job's input files under their inputs' names, in order."""
    by_name: dict[str, list[JobInput]] = {}
    for file in sorted(job.files, key=lambda one: one.position):
        by_name.setdefault(file.name, []).append(file)
    return {name: tuple(found) for name, found in by_name.items()}


def checked_inputs(application: Application, job: JobView) -> CheckedInputs:
    """The inputs as they were checked when the job was accepted."""
    files = {
        name: stage_names(found, [_facts(file) for file in given])
        for name, given in files_by_input(job).items()
        if (found := application.input(name))
    }
    return CheckedInputs(dict(job.inputs), files)


def asked_resources(application: Application, job: JobView) -> dict[str, Json]:
    """What its owner asked for: where the job got something else than its definition gives by itself.

    So a resubmission with another input gets newly computed resources, unless they were chosen by hand.
    """
    got = _amounts(job.resources)
    try:
        usual = _amounts(choose_resources(application, checked_inputs(application, job), {}))
    except InvalidInput:
        usual = {}
    names = {*(rule.name.value for rule in application.resources), "queue", "account"}
    return {
        name: value for name, value in got.items() if name in names and value is not None and value != usual.get(name)
    }


def _amounts(resources: Resources) -> dict[str, Json]:
    return asdict(resources)
