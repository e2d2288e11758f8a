"""A form looked at before it is sent: everything wrong with it, what the job would get, and the script it would run.

The words are the gateway's own, and the gateway checks again when the form is sent; here all parts are looked at, so
that nobody mends one fault to be told of the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from isthmus.application import (
    Application,
    CheckedInputs,
    FileFacts,
    Input,
    Json,
    Places,
    check_inputs,
    choose_resources,
    render,
)
from isthmus.application.inputs import value_faults
from isthmus.errors import ConfigurationError, InputFault, InvalidInput
from isthmus.gateway.clusters import KnownCluster, check_fits, choose_cluster
from isthmus.job import Resources
from isthmus.portal.amounts import LABELS
from isthmus.portal.chosen import ChosenFile, faults_of
from isthmus.portal.formtexts import Said

_PLACES = ("/job/inputs", "/job/work")
_STAND_IN = "0" * 64
OTHER_LABELS = {"cluster": "Cluster", "name": "Name of the job", "labels": "Labels", "project": "Project"}
"""Fields that every form has."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a form comes to; `resources` and `script` are None while something they rest on is wrong."""

    faults: tuple[InputFault, ...]
    cluster: KnownCluster | None
    resources: Resources | None
    script: str | None
    script_words: str


def look(
    application: Application,
    said: Said,
    chosen: Mapping[str, Sequence[ChosenFile]],
    clusters: Mapping[str, KnownCluster],
) -> Look:
    """The form as it is now, against the definition and the clusters; nothing is stored."""
    facts = {name: [fact for one in files for fact in _facts(one)] for name, files in chosen.items() if files}
    faults = [*said.faults, *faults_of(chosen), *_input_faults(application, said, facts)]
    cluster, cluster_faults = _cluster(application, said, clusters)
    whole = _with_stand_ins(application, said, facts)
    resources, resource_faults = _resources(application, said, whole)
    if cluster is not None and resources is not None:
        asked = {f"resources.{name}" for name in said.resources}
        fit_faults = _fit_faults(resources, cluster)
        resource_faults += [fault for fault in fit_faults if whole is not None or fault.field in asked]
    if whole is None:
        resources = None  # what follows from the inputs is not known
    all_faults = _in_order(application, [*faults, *cluster_faults, *resource_faults])
    script, words = _script(application, whole, resources, cluster)
    return Look(all_faults, cluster, resources, script, words or _still_wrong(application, all_faults))


def _facts(one: ChosenFile) -> list[FileFacts]:
    """A fact for each file; several outputs chosen at once share the size of all."""
    each = replace(one, size=one.size // one.count) if one.count > 1 else one
    return [each.facts] * one.count if not one.fault else []


def _in_order(application: Application, faults: Sequence[InputFault]) -> tuple[InputFault, ...]:
    """The first fault of each field, as the fields stand on the page."""
    fields = [_field(application, found.name) for found in application.inputs]
    places = {name: place for place, name in enumerate([*fields, "cluster"])}
    firsts = {fault.field: fault for fault in reversed(faults)}.values()
    return tuple(sorted(firsts, key=lambda fault: (places.get(fault.field, len(places)), fault.field)))


def _input_faults(
    application: Application, said: Said, facts: Mapping[str, Sequence[FileFacts]]
) -> tuple[InputFault, ...]:
    try:
        check_inputs(application, said.inputs, facts)
    except InvalidInput as invalid:
        return tuple(replace(fault, field=_field(application, fault.field)) for fault in invalid.faults)
    return ()


def _field(application: Application, name: str) -> str:
    found = application.input(name)
    return f"files.{name}" if found and found.file else f"inputs.{name}"


def _with_stand_ins(
    application: Application, said: Said, facts: Mapping[str, Sequence[FileFacts]]
) -> CheckedInputs | None:
    """The inputs as if the files still to be chosen were there, small ones; None: there are other faults."""
    files = dict(facts)
    for found in application.inputs:
        if found.file and found.required and not files.get(found.name):
            ending = next(iter(found.file.extensions), "")
            files[found.name] = [FileFacts(_STAND_IN, 1, f"file{ending}")] * found.file.min_files
    try:
        return check_inputs(application, said.inputs, files)
    except InvalidInput:
        return None


def _good_values(application: Application, said: Said) -> CheckedInputs:
    """Those of the inputs that are good, for resources that don't rest on the others."""
    values = {found.name: said.inputs.get(found.name, found.default) for found in application.inputs if not found.file}
    return CheckedInputs(
        {name: value for name, value in values.items() if _is_good(application.input(name), value)}, {}
    )


def _is_good(found: Input | None, value: Json) -> bool:
    return found is not None and value is not None and not any(value_faults(found, value))


def _resources(
    application: Application, said: Said, inputs: CheckedInputs | None
) -> tuple[Resources | None, list[InputFault]]:
    try:
        resources = choose_resources(application, inputs or _good_values(application, said), said.resources)
    except InvalidInput as invalid:
        asked = {f"resources.{name}" for name in said.resources}
        return None, [fault for fault in invalid.faults if inputs is not None or fault.field in asked]
    return resources, []


def _cluster(
    application: Application, said: Said, clusters: Mapping[str, KnownCluster]
) -> tuple[KnownCluster | None, list[InputFault]]:
    try:
        return choose_cluster(application, clusters, said.cluster), []
    except InvalidInput as invalid:
        return None, list(invalid.faults)


def _fit_faults(resources: Resources, cluster: KnownCluster) -> list[InputFault]:
    try:
        check_fits(resources, cluster)
    except InvalidInput as invalid:
        return list(invalid.faults)
    return []


def _script(
    application: Application, inputs: CheckedInputs | None, resources: Resources | None, cluster: KnownCluster | None
) -> tuple[str | None, str]:
    """The script, and what to say of it; nothing is said while the form is not complete."""
    if inputs is None or resources is None or cluster is None:
        return None, ""
    deployment = application.deployment_on(cluster.name)
    if deployment is None:
        return None, f"{application.title} does not run on {cluster.title}."
    try:
        places = Places(*_PLACES, cluster.config.variables)
        return render(application, inputs, resources, deployment, places).text(), f"As it would run on {cluster.title}."
    except ConfigurationError as fault:
        return None, f"It can't be shown: {fault.message}."


def _still_wrong(application: Application, faults: Sequence[InputFault]) -> str:
    labels = {f"{part}.{found.name}": found.label for found in application.inputs for part in ("inputs", "files")}
    labels |= {f"resources.{name}": label for name, label in LABELS.items()} | OTHER_LABELS
    names = dict.fromkeys(labels.get(fault.field, fault.field) for fault in faults)
    return f"It appears here once these are right: {', '.join(names)}."
