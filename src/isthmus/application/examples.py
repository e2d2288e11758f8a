"""The examples of a definition, tried against the definition itself: `isthmus apps check` shows what they come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from isthmus.application.definition import Application, Example
from isthmus.application.inputs import FileFacts, check_inputs
from isthmus.application.resources import choose_resources
from isthmus.errors import InputFault, InvalidInput

_NO_CONTENT = "0" * 64


def check_examples(application: Application) -> tuple[InputFault, ...]:
    """Every fault of the examples, their fields as `examples.NAME.field`; an example's files count as small ones."""
    return tuple(fault for example in application.examples for fault in _faults(application, example))


def _faults(application: Application, example: Example) -> Iterator[InputFault]:
    files = {name: [FileFacts(_NO_CONTENT, 1, one) for one in names] for name, names in example.files.items()}
    try:
        checked = check_inputs(application, example.inputs, files)
        choose_resources(application, checked, example.resources)
    except InvalidInput as invalid:
        for fault in invalid.faults:
            yield replace(fault, field=f"examples.{example.name}.{fault.field}")
