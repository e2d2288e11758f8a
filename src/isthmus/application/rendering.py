"""A checked submission as what a cluster runs: the command's words, the shell text, and what goes around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from isthmus.application.definition import Application, Condition, Deployment
from isthmus.application.encoding import Json
from isthmus.application.inputs import CheckedInputs
from isthmus.application.quoting import quote
from isthmus.application.script import render_script
from isthmus.application.words import BadWord, Scope, fill, fill_command, fill_one, holds
from isthmus.errors import ConfigurationError
from isthmus.job import Resources


@dataclass(frozen=True, slots=True)
class Places:
    """Where a job's files are for the program, and the site's own variables. The folders are absolute."""

    inputs_dir: str
    outputs_dir: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.inputs_dir, self.outputs_dir):
            if not PurePosixPath(folder).is_absolute():
                raise ValueError(f"not an absolute folder: {folder!r}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a job runs. `argv` is None for a script; `script` is POSIX sh for both, launcher and prefix included."""

    argv: tuple[str, ...] | None
    script: str
    environment: dict[str, str]
    path: tuple[str, ...]
    modules: tuple[str, ...]
    setup: str
    network: bool

    def text(self) -> str:
        """The whole POSIX sh text: set-up, modules, environment, path, then the program in the shell's place."""
        lines = [self.setup.rstrip("\n")] if self.setup.strip() else []
        lines += [f"module load {quote(name)} || exit 1" for name in self.modules]
        lines += [f"export {name}={quote(value)}" for name, value in self.environment.items()]
        if self.path:
            lines.append(f"PATH={':'.join(map(quote, self.path))}:$PATH; export PATH")
        lines.append(self.script.rstrip("\n") if self.argv is None else f"exec {self.script}")
        return "\n".join(lines) + "\n"


def render(
    application: Application, inputs: CheckedInputs, resources: Resources, deployment: Deployment, places: Places
) -> Rendered:
    """What runs, every placeholder filled. ConfigurationError: the site lacks a variable that the deployment uses."""
    site = scope_of_deployment(resources, places.variables)
    try:
        return _render(application, deployment, site, scope_of_submission(application, inputs, places))
    except BadWord as bad:
        where = f"{application.name} {application.version} on cluster {deployment.cluster}"
        raise ConfigurationError(f"{where}: {bad}") from bad


def _render(application: Application, deployment: Deployment, site: Scope, submission: Scope) -> Rendered:
    launcher = _all_words(deployment.launcher, site)
    prefix = _all_words(deployment.prefix, site)
    variables: dict[str, Json] = {name: fill_one(text, site) for name, text in deployment.variables.items()}
    plain: dict[str, Json] = {**submission[""], "launcher": list(launcher), "prefix": list(prefix)}
    scope = {**submission, "resources": site["resources"], "deployment": variables, "": plain}
    argv = (*launcher, *prefix, *fill_command(application.command, scope)) if application.command else None
    script = render_script(application.script, scope) if argv is None else " ".join(map(quote, argv))
    network = application.network
    return Rendered(
        argv,
        script,
        environment={name: fill_one(text, site) for name, text in deployment.environment.items()},
        path=tuple(fill_one(text, site) for text in deployment.path),
        modules=deployment.modules,
        setup=render_script(deployment.setup, site),
        network=holds(network, scope) if isinstance(network, Condition) else network,
    )


def _all_words(words: tuple[str, ...], scope: Scope) -> tuple[str, ...]:
    return tuple(word for text in words for word in fill(text, scope))


def scope_of_deployment(resources: Resources, variables: Mapping[str, str]) -> Scope:
    """What a deployment's own words may name."""
    amounts: dict[str, Json] = {
        "cpus": resources.cpus,
        "memory_mib": resources.memory_mib,
        "gpus": resources.gpus,
        "walltime_s": resources.walltime_s,
        "nodes": resources.nodes,
        "processes_per_node": resources.processes_per_node,
        "processes": resources.nodes * resources.processes_per_node,
    }
    return {"site": dict(variables), "resources": amounts, "": {}}


def scope_of_submission(application: Application, inputs: CheckedInputs, places: Places) -> Scope:
    """What a command may name of a submission; an optional input without a value is None."""
    values: dict[str, Json] = {i.name: inputs.values.get(i.name) for i in application.inputs if not i.file}
    files: dict[str, Json] = {}
    for found in application.inputs:
        if found.file:
            paths: list[Json] = [f"{places.inputs_dir}/{file.staged_name}" for file in inputs.files.get(found.name, ())]
            files[found.name] = paths if found.is_list else next(iter(paths), None)
    folders: dict[str, Json] = {"inputs_dir": places.inputs_dir, "outputs_dir": places.outputs_dir}
    return {"inputs": values, "files": files, "": folders}
