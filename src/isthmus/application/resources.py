"""What a job asks its cluster for: the definition's defaults, computed values, or what the user asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from isthmus.application.definition import Application, ResourceName, ResourceRule
from isthmus.application.encoding import Json
from isthmus.application.expression import BadExpression, Number, parse_expression
from isthmus.application.faults import did_you_mean
from isthmus.application.inputs import CheckedInputs
from isthmus.application.units import mebibytes, seconds
from isthmus.errors import InputFault, InvalidInput
from isthmus.job import Resources

UNITS = {
    ResourceName.MEMORY_MIB: " MiB",
    ResourceName.WALLTIME_S: " s",
}
_WORDS = ("queue", "account")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+:-]{0,63}")
_DIGITS = re.compile(r"[0-9]{1,12}")


def choose_resources(application: Application, inputs: CheckedInputs, asked: Mapping[str, Json]) -> Resources:
    """What the job gets. InvalidInput: with every fault there is, fields named `resources.cpus` and so on.

    Amounts are read by `read_amount`. A computed value below the least is raised to it, one above the most is refused:
    the job would only fail later.
    """
    faults = [_unknown(application, name) for name in asked if name not in _known(application)]
    chosen: dict[ResourceName, int] = {}
    words: dict[str, str] = {}
    for rule in application.resources:
        try:
            chosen[rule.name] = _choose(rule, inputs, asked.get(rule.name))
        except InvalidInput as refused:
            faults += refused.faults
    for name in _WORDS:
        value = asked.get(name)
        if isinstance(value, str) and _WORD.fullmatch(value):
            words[name] = value
        elif value is not None:
            faults.append(
                InputFault(f"resources.{name}", "wrong_form", "must be one word of letters, digits and _.@+:-")
            )
    if faults:
        raise _invalid(*faults)
    return _resources(chosen, words)


def read_amount(name: ResourceName, asked: Json) -> int:
    """The amount that a whole number or a text stands for: a walltime as `seconds` reads it, memory as `mebibytes`.

    InvalidInput: it stands for none; with one fault.
    """
    if isinstance(asked, int) and not isinstance(asked, bool):
        return asked
    if isinstance(asked, float) and asked.is_integer():
        return int(asked)
    try:
        return _READERS.get(name, _whole)(asked if isinstance(asked, str) else "")
    except ValueError as bad:
        raise _refused(name, "wrong_type", str(bad)) from None


def _whole(text: str) -> int:
    if not _DIGITS.fullmatch(text.strip()):
        raise ValueError("must be a whole number")
    return int(text)


_READERS = {ResourceName.WALLTIME_S: seconds, ResourceName.MEMORY_MIB: mebibytes}


def _refused(name: ResourceName, code: str, message: str) -> InvalidInput:
    return _invalid(InputFault(f"resources.{name}", code, message))


def _invalid(*faults: InputFault) -> InvalidInput:
    return InvalidInput("; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3]), faults)


def _resources(chosen: Mapping[ResourceName, int], words: Mapping[str, str]) -> Resources:
    usual = Resources()
    return replace(
        usual,
        cpus=chosen.get(ResourceName.CPUS, usual.cpus),
        memory_mib=chosen.get(ResourceName.MEMORY_MIB),
        gpus=chosen.get(ResourceName.GPUS, usual.gpus),
        walltime_s=chosen.get(ResourceName.WALLTIME_S, usual.walltime_s),
        nodes=chosen.get(ResourceName.NODES, usual.nodes),
        processes_per_node=chosen.get(ResourceName.PROCESSES_PER_NODE, usual.processes_per_node),
        queue=words.get("queue"),
        account=words.get("account"),
    )


def _known(application: Application) -> tuple[str, ...]:
    return (*(rule.name.value for rule in application.resources), *_WORDS)


def _unknown(application: Application, name: str) -> InputFault:
    if name in [kind.value for kind in ResourceName]:
        return InputFault(f"resources.{name}", "not_adjustable", "this application doesn't let it be chosen")
    message = f"there is no such resource{did_you_mean(name, _known(application))}"
    return InputFault(f"resources.{name}", "unknown_resource", message)


def _choose(rule: ResourceRule, inputs: CheckedInputs, asked: Json) -> int:
    if asked is not None:
        return _within(rule, read_amount(rule.name, asked), "")
    if not rule.computed:
        return rule.default
    try:
        computed = parse_expression(rule.computed).value(_names(inputs, rule))
    except BadExpression as bad:
        raise _refused(rule.name, "not_computable", f"can't be computed from these inputs: {bad}") from None
    return _within(rule, max(rule.min, computed), "these inputs need ")


def _within(rule: ResourceRule, value: int, why: str) -> int:
    unit = UNITS.get(rule.name, "")
    if value < rule.min:
        raise _refused(rule.name, "out_of_range", f"{value}{unit} is less than the least, {rule.min}{unit}")
    if rule.max is not None and value > rule.max:
        said = f"{why}{value}{unit}{',' if why else ' is'} more than the most, {rule.max}{unit}"
        raise _refused(rule.name, "out_of_range", said)
    return value


def _names(inputs: CheckedInputs, rule: ResourceRule) -> dict[str, Number]:
    """The numbers the rule's expression reads; a file that wasn't given counts nothing."""
    names: dict[str, Number] = {}
    for name in parse_expression(rule.computed).names:
        source, of, *what = name.split(".")
        value = inputs.values.get(of)
        if source == "inputs" and isinstance(value, int | float):
            names[name] = value
        else:
            names[name] = inputs.size_mib(of) if what == ["size_mib"] else len(inputs.files.get(of, ()))
    return names
