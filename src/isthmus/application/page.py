"""An application's reference page in Markdown, made from nothing but its definition."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from itertools import groupby

from isthmus.application.definition import Application, Condition, Example, Input, ResourceRule
from isthmus.application.encoding import Json, canonical
from isthmus.application.inputs import range_text
from isthmus.application.resources import UNITS
from isthmus.application.words import as_text

_KINDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list"}


def page(application: Application) -> str:
    """The page: what it does, its inputs, outputs, resources and examples."""
    parts = [
        f"# {_cell(application.title)}",
        _cell(application.summary),
        f"Application `{application.name}`, version {application.version}.",
        application.description.strip(),
        *_inputs(application),
        *_outputs(application),
        *_resources(application),
        *_ways(application),
        *(_example(application, example) for example in application.examples),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    """The text on one line, fit for a table."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def _table(headings: str, rows: Iterable[tuple[str, ...]]) -> str:
    count = headings.count("|") + 1
    lines = [f"| {headings} |", "|" + " --- |" * count]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _inputs(application: Application) -> Iterator[str]:
    if application.inputs:
        yield "## Inputs"
    for group, found in groupby(application.inputs, key=lambda one: one.group):
        if group:
            yield f"### {_cell(group)}"
        rows = ((f"`{i.name}`", _cell(i.label), _takes(i), _given(i), _cell(i.help)) for i in found)
        yield _table("Name | Label | Takes | Given | Help", rows)


def _takes(found: Input) -> str:
    if found.file:
        ends = f" ending in {', '.join(found.file.extensions)}" if found.file.extensions else ""
        number = f"{found.file.min_files} to {found.file.max_files} files" if found.file.many else "file"
        return f"{number}{ends}, at most {found.file.max_mib:g} MiB"
    choices = found.schema.get("enum")
    kind = (
        " or ".join(f"`{choice}`" for choice in choices)
        if isinstance(choices, list)
        else _KINDS.get(found.type, found.type)
    )
    unit = f" in {found.unit}" if found.unit else ""
    return _cell(", ".join(part for part in (kind, range_text(found) or unit.strip()) if part))


def _given(found: Input) -> str:
    if found.required:
        return "required"
    return f"default `{canonical(found.default)}`" if found.default is not None else "optional"


def _outputs(application: Application) -> Iterator[str]:
    if application.outputs:
        yield "## Outputs"
        rows = (
            (f"`{o.name}`", _cell(o.label), f"`{_cell(o.glob)}`", o.media_type, "always" if o.required else "sometimes")
            for o in application.outputs
        )
        yield _table("Name | Label | File | Media type | There", rows)


def _resources(application: Application) -> Iterator[str]:
    yield "## Resources"
    yield _table("Resource | Usual | Least | Most", (_resource_row(rule) for rule in application.resources))


def _resource_row(rule: ResourceRule) -> tuple[str, ...]:
    unit = UNITS.get(rule.name, "")
    usual = f"`{_cell(rule.computed)}`" if rule.computed else f"{rule.default}{unit}"
    most = "the cluster's limit" if rule.max is None else f"{rule.max}{unit}"
    return f"`{rule.name}`", usual, f"{rule.min}{unit}", most


def _ways(application: Application) -> Iterator[str]:
    if application.restartable:
        yield "It may be started again after a failure of its node: a second start does no harm."
    if isinstance(application.network, Condition):
        yield f"It may use the network while it runs, if `{application.network}` is given."
    elif application.network:
        yield "It may use the network while it runs."


def _example(application: Application, example: Example) -> str:
    given: dict[str, tuple[Json, ...]] = {**example.files}
    given |= {name: tuple(value) if isinstance(value, list) else (value,) for name, value in example.inputs.items()}
    words = [f"--{name.replace('_', '-')}={_text(one)}" for name, values in given.items() for one in values]
    command = shlex.join(["isthmus", "submit", application.name, *words])
    return f"## Example: {_cell(example.title or example.name)}\n\n```sh\n{command}\n```"


def _text(value: Json) -> str:
    """As a flag takes it; what no flag takes is shown as it stands in the file, since a page is made of any file."""
    return as_text(value) if isinstance(value, bool | int | float | str) else canonical(value)
