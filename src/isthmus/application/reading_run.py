"""The half of an application file that says what is run: command or script, resources, deployments, network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from isthmus.application.definition import Application, Choice, Condition, Deployment, Input, ResourceName, ResourceRule
from isthmus.application.encoding import Json
from isthmus.application.expression import BadExpression, known_names, parse_expression
from isthmus.application.faults import did_you_mean
from isthmus.application.script import render_script, script_faults, script_placeholders
from isthmus.application.section import Section
from isthmus.application.words import BadWord, Placeholder, Scope, parse_condition, parse_word, placeholders

LIMITS = {
    ResourceName.CPUS: (1, 4096),
    ResourceName.MEMORY_MIB: (1, 2**24),
    ResourceName.GPUS: (0, 64),
    ResourceName.WALLTIME_S: (1, 366 * 24 * 3600),
    ResourceName.NODES: (1, 10_000),
    ResourceName.PROCESSES_PER_NODE: (1, 4096),
}
_AMOUNTS = frozenset({*(name.value for name in ResourceName), "processes"})
_FOLDERS = frozenset({"inputs_dir", "outputs_dir"})
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ENVIRONMENT = re.compile(r"[A-Z_][A-Z0-9_]*")
_OWNED = frozenset(
    (
        *("PATH", "HOME", "USER", "SHELL", "ENV", "BASH_ENV", "IFS", "PS4", "SHELLOPTS", "BASHOPTS"),
        *("LD_PRELOAD", "LD_AUDIT", "LD_DEBUG", "GLIBC_TUNABLES"),
    )
)
_OWNED_PREFIXES = ("ISTHMUS_", "BASH_FUNC_", "SLURM_", "SBATCH_", "PBS_", "SGE_", "MESOS_")
_MODULE = re.compile(r"[A-Za-z0-9][\w.+/@:=-]{0,127}", re.ASCII)
_CLUSTER = re.compile(r"\*|[a-z0-9][a-z0-9._-]{0,62}")

Report: TypeAlias = Callable[[str], None]


def read_run(top: Section, application: Application) -> Application:
    """The application with what is run; its inputs must be read before."""
    application = replace(application, resources=_resources(top, application))
    application = replace(application, deployments=_deployments(top, application))
    known = _Known(application)
    command, script = _command(top, known), top.text("script", most=100_000, lines=True)
    if bool(command) == bool(script.strip()):
        top.fault("command", "the file must have either a command or a script, and not an empty one")
    if script:
        _check_script(top, known, script)
    return replace(application, command=command, script=script, network=_network(top, known))


@dataclass(frozen=True, slots=True)
class _Known:
    """What a command may name, and what is wrong with what it does name."""

    application: Application

    def fault(self, placeholder: Placeholder) -> str:
        """Why the placeholder means nothing in a command, or nothing."""
        match placeholder.source:
            case "inputs" | "files":
                return self._input_fault(placeholder)
            case "resources":
                return self.amount_fault(placeholder)
            case "deployment":
                return self._variable_fault(placeholder.name)
            case "site":
                return "a command doesn't know the site; give the deployments a variable"
            case "" if placeholder.name in _FOLDERS:
                return ""
        return f"nothing is known as '{placeholder}'{did_you_mean(str(placeholder), self._all())}"

    def _all(self) -> set[str]:
        names = {f"{'files' if one.file else 'inputs'}.{one.name}" for one in self.application.inputs}
        return names | {f"resources.{name}" for name in _AMOUNTS} | _FOLDERS

    def _input_fault(self, placeholder: Placeholder) -> str:
        found = self.application.input(placeholder.name)
        if found is None or bool(found.file) != (placeholder.source == "files"):
            return f"nothing is known as '{placeholder}'{did_you_mean(str(placeholder), self._all())}"
        return ""

    def amount_fault(self, placeholder: Placeholder) -> str:
        if placeholder.name not in _AMOUNTS:
            return f"nothing is known as '{placeholder}'{did_you_mean(placeholder.name, _AMOUNTS)}"
        if placeholder.name == "memory_mib" and self.application.resource(ResourceName.MEMORY_MIB) is None:
            return "resources.memory_mib has no value: the file's resources don't state it"
        return ""

    def _variable_fault(self, name: str) -> str:
        lacking = [one.cluster for one in self.application.deployments if name not in one.variables]
        return f"the deployment for {', '.join(lacking)} has no variable '{name}'" if lacking else ""

    def condition_fault(self, condition: Condition) -> str:
        return self._input_fault(Placeholder(condition.source, condition.name))


# Command


def _command(top: Section, known: _Known) -> tuple[str | Choice, ...]:
    command: list[str | Choice] = []
    for item in top.listed("command"):
        if isinstance(item, str):
            _check_word(item, known, None, lambda message: top.fault("command", message))
            command.append(item)
        elif (choice := _choice(item, known)) is not None:
            command.append(choice)
    return tuple(command)


def _choice(section: Section, known: _Known) -> Choice | None:
    condition = _condition(section, "if", known)
    then, otherwise = section.texts("then"), section.texts("else")
    if not then:
        section.fault("then", "must be a list of words")
    section.finish()
    if condition is None:
        return None
    for key, words in (("then", then), ("else", otherwise)):
        given = condition if (key == "then") is not condition.negated else None
        for word in words:
            _check_word(word, known, given, lambda message, key=key: section.fault(key, message))  # type: ignore[misc]
    return Choice(condition, then, otherwise)


def _condition(section: Section, key: str, known: _Known) -> Condition | None:
    try:
        condition = parse_condition(section.text(key, required=True))
    except BadWord as bad:
        section.fault(key, str(bad))
        return None
    if fault := known.condition_fault(condition):
        section.fault(key, fault)
        return None
    return condition


def _check_word(word: str, known: _Known, given: Condition | None, report: Report) -> None:
    """`given` is the condition under which the word stands there, so its input has a value."""
    try:
        parts = parse_word(word)
    except BadWord as bad:
        report(f"'{word}': {bad}")
        return
    for part in (part for part in parts if isinstance(part, Placeholder)):
        if fault := known.fault(part) or _use_fault(part, known, given, alone=len(parts) == 1):
            report(f"'{word}': {fault}")


def _use_fault(placeholder: Placeholder, known: _Known, given: Condition | None, *, alone: bool) -> str:
    if placeholder.source not in ("inputs", "files"):
        return ""
    found = known.application.input(placeholder.name)
    if found is not None and found.is_list and not alone:
        return f"{placeholder} is a list and must stand alone in its word"
    is_given = given is not None and (given.source, given.name) == (placeholder.source, placeholder.name)
    if found is not None and found.may_be_missing and not is_given:
        return f"{placeholder} may have no value; put the word under {{if: {placeholder}, then: […]}}"
    return ""


# Script


def _check_script(top: Section, known: _Known, script: str) -> None:
    names = {"launcher", "prefix"}

    def check(placeholder: Placeholder, tested: bool) -> str:
        if str(placeholder) in names:
            return ""
        found = known.application.input(placeholder.name)
        if tested and found and found.type in ("number", "integer"):
            return f"zero counts as no: write {placeholder} is not none"
        return known.fault(placeholder)

    faults = script_faults(script, check)
    for line, message in faults:
        top.fault_at("script", top.line("script") + line - 1, message)
    if not faults:
        _try_script(top, known.application, script)
        _check_launching(top, known.application, {str(placeholder) for placeholder in script_placeholders(script)})


def _check_launching(top: Section, application: Application, used: set[str]) -> None:
    """A launcher that the script doesn't mention would be passed over in silence."""
    for deployment in application.deployments:
        for name, words in (("launcher", deployment.launcher), ("prefix", deployment.prefix)):
            if words and name not in used:
                top.fault("deployments", f"{deployment.cluster} has a {name}, but the script has no {{{{ {name} }}}}")


def _try_script(top: Section, application: Application, script: str) -> None:
    """Render it as it would be with each optional input left out in turn, all others given."""
    missing: list[str] = [one.name for one in application.inputs if one.may_be_missing]
    for left_out in ("", *missing):
        try:
            render_script(script, _sample_scope(application, left_out))
        except BadWord as bad:
            when = f"without {left_out}: {bad}; put it inside {{% if %}}" if left_out else str(bad)
            top.fault("script", when)
            return


def _sample_scope(application: Application, left_out: str) -> Scope:
    samples = {one.name: None if one.name == left_out else _sample(one) for one in application.inputs}
    variables = {name for deployment in application.deployments for name in deployment.variables}
    return {
        "inputs": {one.name: samples[one.name] for one in application.inputs if not one.file},
        "files": {one.name: samples[one.name] for one in application.inputs if one.file},
        "resources": dict.fromkeys(_AMOUNTS, 1),
        "deployment": dict.fromkeys(variables, "x"),
        "": {"inputs_dir": "/in", "outputs_dir": "/out", "launcher": ["x"], "prefix": ["x"]},
    }


def _sample(found: Input) -> Json:
    if found.default is not None:
        return found.default
    if found.is_list:
        return ["x"]
    samples: Mapping[str, Json] = {"boolean": True, "integer": 1, "number": 1.5}
    return samples.get(found.type, "x")


# Resources


def _resources(top: Section, application: Application) -> tuple[ResourceRule, ...]:
    section = top.section("resources")
    if section is None:
        top.fault("resources", "is missing: at least walltime_s must be stated")
        return ()
    rules = tuple(_resource(section, name, application) for name in ResourceName if section.has(name.value))
    if not section.has("walltime_s"):
        section.fault("walltime_s", "is missing: how long may it run?")
    for key in section.names():
        if key not in list(ResourceName):
            section.fault(key, f"unknown resource{did_you_mean(key, [name.value for name in ResourceName])}")
    return rules


def _resource(section: Section, name: ResourceName, application: Application) -> ResourceRule:
    """A number alone is a fixed amount; a mapping has default or computed, and limits."""
    least, most = LIMITS[name]
    if not section.is_mapping(name.value):
        fixed = section.whole(name.value, least, least=least, most=most)
        return ResourceRule(name, default=fixed, min=fixed, max=fixed)
    inner = section.section(name.value)
    assert inner is not None  # noqa: S101  is_mapping says so
    rule = ResourceRule(
        name,
        default=inner.whole("default", least, least=least, most=most),
        min=inner.whole("min", least, least=least, most=most),
        max=inner.whole("max", most, least=least, most=most) if inner.knows("max") else None,
        computed=inner.text("computed", most=500),
    )
    _check_rule(inner, rule, application)
    inner.finish()
    return rule


def _check_rule(section: Section, rule: ResourceRule, application: Application) -> None:
    if section.has("default") == section.has("computed"):
        section.fault("", "must have either a default or a computed value")
    if rule.max is not None and rule.min > rule.max:
        section.fault("min", "is more than max")
    elif section.has("default") and not rule.min <= rule.default <= (rule.default if rule.max is None else rule.max):
        section.fault("default", "is outside min and max")
    if rule.computed:
        for message in _expression_faults(rule.computed, application):
            section.fault("computed", message)


def _expression_faults(text: str, application: Application) -> Iterator[str]:
    try:
        names = parse_expression(text).names
    except BadExpression as bad:
        yield str(bad)
        return
    known = known_names(application)
    for name in names:
        found = application.input(name.split(".")[1])
        if name not in known:
            yield f"no number is known as '{name}'{did_you_mean(name, known)}"
        elif found is not None and found.file is None and found.may_be_missing:
            yield f"{name} may have no value; give it a default"


# Deployments


def _deployments(top: Section, application: Application) -> tuple[Deployment, ...]:
    if not top.has("deployments"):
        top.section("deployments")
        return (Deployment(),)
    return tuple(_deployment(cluster, section, application) for cluster, section in top.named("deployments"))


def _deployment(cluster: str, section: Section, application: Application) -> Deployment:
    if not _CLUSTER.fullmatch(cluster):
        section.fault("", f"'{cluster}' is not the name of a cluster, nor *")
    deployment = Deployment(
        cluster=cluster,
        variables=section.table("variables"),
        path=section.texts("path"),
        environment=section.table("environment"),
        modules=section.texts("modules"),
        setup=section.text("setup", most=20_000, lines=True),
        launcher=section.texts("launcher"),
        prefix=section.texts("prefix"),
    )
    _check_deployment_words(section, deployment, _Known(application))
    _check_deployment_names(section, deployment)
    section.finish()
    return deployment


def _check_deployment_names(section: Section, deployment: Deployment) -> None:
    for name in deployment.variables:
        if not _VARIABLE.fullmatch(name):
            section.fault("variables", f"'{name}' must be lower-case letters, digits and underscores, a letter first")
    for name in deployment.environment:
        if not _ENVIRONMENT.fullmatch(name):
            section.fault("environment", f"'{name}' must be upper-case letters, digits and underscores")
        elif name in _OWNED or name.startswith(_OWNED_PREFIXES):
            hint = "; use path" if name == "PATH" else ""
            section.fault("environment", f"{name} can't be set by an application{hint}")
    for name in deployment.modules:
        if not _MODULE.fullmatch(name):
            section.fault("modules", f"'{name}' is not the name of a module")
    for folder in deployment.path:
        if ":" in folder or not folder.startswith(("/", "{site.")):
            section.fault("path", f"'{folder}' must be one absolute folder, or start with a {{site.name}}")


def _check_deployment_words(section: Section, deployment: Deployment, known: _Known) -> None:
    def check(placeholder: Placeholder, _: bool = False) -> str:
        if placeholder.source == "site":
            return ""
        if placeholder.source == "resources":
            return known.amount_fault(placeholder)
        return f"'{placeholder}' can't be used in a deployment; site.name and resources.name can"

    words = {
        "variables": deployment.variables.values(),
        "environment": deployment.environment.values(),
        "path": deployment.path,
        "launcher": deployment.launcher,
        "prefix": deployment.prefix,
    }
    for key, texts in words.items():
        for text in texts:
            try:
                found = [check(placeholder) for placeholder in placeholders(text)]
            except BadWord as bad:
                found = [f"'{text}': {bad}"]
            for fault in filter(None, found):
                section.fault(key, fault)
    for line, message in script_faults(deployment.setup, check):
        section.fault_at("setup", section.line("setup") + line - 1, message)


# Network


def _network(top: Section, known: _Known) -> bool | Condition:
    """True, false, or the input on whose presence it depends."""
    if top.is_flag("network") or not top.has("network"):
        return top.flag("network")
    return _condition(top, "network", known) or False
