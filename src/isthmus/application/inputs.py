"""A submission's inputs checked against the definition: all that is wrong with them, or the values to run with."""

from __future__ import annotations

import fnmatch
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from isthmus.application.definition import MIB, Application, FileRule, Input
from isthmus.application.encoding import Json
from isthmus.application.faults import did_you_mean
from isthmus.errors import InputFault, InvalidInput

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_FORMAT = "isthmus-file"
"""The JSON Schema format of an input file: the id of an uploaded file or of an earlier job's output."""

MAX_FAULTS = 100
"""How many faults of a submission are told; finding near names for a hundred thousand wrong ones takes long."""

MAX_INTEGER = 2**63 - 1
KIND_NAMES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of an uploaded file; `name` is the user's and never reaches a shell. `size` is in bytes."""

    sha256: str
    size: int
    name: str
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of a checked submission; `staged_name` is its name in the job's inputs folder."""

    facts: FileFacts
    staged_name: str


@dataclass(frozen=True, slots=True)
class CheckedInputs:
    """Inputs that the definition accepts, defaults filled in. An optional input without a value is in neither."""

    values: dict[str, Json]
    files: dict[str, tuple[InputFile, ...]]

    def size_mib(self, name: str) -> float:
        return sum(file.facts.size for file in self.files.get(name, ())) / MIB


def input_schema(application: Application) -> dict[str, Json]:
    """The JSON Schema 2020-12 of a submission's inputs, files as strings of the format `isthmus-file`."""
    required: list[Json] = [found.name for found in application.inputs if found.required]
    return {
        "$schema": DIALECT,
        "title": application.title,
        "type": "object",
        "properties": {found.name: _property(found) for found in application.inputs},
        "required": required,
        "additionalProperties": False,
    }


def _property(found: Input) -> dict[str, Json]:
    notes: dict[str, Json] = {
        "description": found.help,
        "default": found.default,
        "x-unit": found.unit,
        "x-order": found.order,
        "x-group": found.group,
        "x-advanced": found.advanced,
    }
    if found.file:
        notes["x-max-mib"] = found.file.max_mib
        notes["x-extensions"] = list(found.file.extensions)
        notes["x-media-types"] = list(found.file.media_types)
    return {**found.schema, "title": found.label} | {key: note for key, note in notes.items() if note not in ("", None)}


def check_inputs(
    application: Application,
    values: Mapping[str, Json],
    files: Mapping[str, FileFacts | Sequence[FileFacts]],
) -> CheckedInputs:
    """The inputs, defaults filled in; null is the same as not given. InvalidInput: with the first `MAX_FAULTS`."""
    faults = list(islice(_unknown(application, {**values, **files}), MAX_FAULTS))
    checked_values: dict[str, Json] = {}
    checked_files: dict[str, tuple[InputFile, ...]] = {}
    for found in application.inputs:
        if found.file:
            given = files.get(found.name, ())
            facts = (given,) if isinstance(given, FileFacts) else tuple(given)
            faults += [
                InputFault(found.name, *fault) for fault in islice(_files_faults(found, facts, values), MAX_FAULTS)
            ]
            checked_files |= {found.name: stage_names(found, facts)} if facts else {}
        else:
            value = normalised(found, values.get(found.name))
            value = found.default if value is None else value
            faults += [
                InputFault(found.name, *fault) for fault in islice(_given_faults(found, value, files), MAX_FAULTS)
            ]
            checked_values |= {found.name: value} if value is not None else {}
    if faults:
        said = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3])
        raise InvalidInput(f"{application.title}: {said}", tuple(faults[:MAX_FAULTS]))
    return CheckedInputs(checked_values, checked_files)


def _unknown(application: Application, given: Mapping[str, object]) -> Iterator[InputFault]:
    known = [found.name for found in application.inputs]
    for name in given:
        if name not in known:
            yield InputFault(name, "unknown_input", f"there is no such input{did_you_mean(name, known)}")


def normalised(found: Input, value: Json) -> Json:
    """The value with whole floats as integers where integers are asked for, and lines ended by a newline alone."""
    if isinstance(value, list) and found.type == "array":
        return [_normalised_one(_items(found), item) for item in value]
    return _normalised_one(found.schema, value)


def _normalised_one(schema: Mapping[str, Json], value: Json) -> Json:
    if schema.get("type") == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if schema.get("multiline") and isinstance(value, str):
        return value.replace("\r\n", "\n")
    return value


def _items(found: Input) -> Mapping[str, Json]:
    items = found.schema.get("items")
    return items if isinstance(items, dict) else {}


# Values: each fault is (code, message)


def _given_faults(found: Input, value: Json, files: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if found.name in files:
        yield "wrong_type", f"must be {KIND_NAMES[found.type]}, not a file"
    elif value is None:
        if found.required:
            yield "missing", "is required"
    else:
        yield from value_faults(found, value)


def value_faults(found: Input, value: Json) -> Iterator[tuple[str, str]]:
    """Code and message of each thing wrong with a value."""
    unsafe = list(_unsafe(value, found))
    if unsafe:
        yield from unsafe
        return
    errors = list(islice(_validator(found.schema).iter_errors(value), MAX_FAULTS))
    for error in [error for error in errors if error.validator == "type"] or errors:
        place = "".join(f"item {int(at) + 1} " for at in error.absolute_path)
        code, message = _said(error, found)
        yield code, place + message


_VALIDATORS: dict[int, Draft202012Validator] = {}
_MOST_VALIDATORS = 1000


def _validator(schema: dict[str, Json]) -> Draft202012Validator:
    """The schema's validator; making one takes longer than most checks, so it is kept under the schema's identity.

    A validator holds its schema, so that no other schema gets this identity while it is kept.
    """
    known = _VALIDATORS.get(id(schema))
    if known is None:
        if len(_VALIDATORS) >= _MOST_VALIDATORS:
            _VALIDATORS.clear()
        known = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        _VALIDATORS[id(schema)] = known
    return known


def _is_multiline(found: Input) -> bool:
    return bool(found.schema.get("multiline") or _items(found).get("multiline"))


def _unsafe(value: Json, found: Input) -> Iterator[tuple[str, str]]:
    """What no schema keeps out: characters no command should hold, numbers no program reads."""
    if isinstance(value, list):
        for item in value:
            yield from _unsafe(item, found)
    elif isinstance(value, str):
        permitted = "\n\t" if _is_multiline(found) else ""
        bad = next((char for char in value if _is_control(char) and char not in permitted), None)
        if bad == "\n":
            yield "control_character", "must be on one line"
        elif bad is not None:
            yield "control_character", f"holds a character that can't be used (U+{ord(bad):04X})"
    elif isinstance(value, float) and not math.isfinite(value):
        yield "not_finite", "must be a finite number"
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        yield "out_of_range", _beyond(found, value)


def _beyond(found: Input, value: int) -> str:
    """The input's own range where that keeps out so large a number, else the range of all."""
    schema = _items(found) if found.type == "array" else found.schema
    ends = ("maximum", "exclusiveMaximum") if value > 0 else ("minimum", "exclusiveMinimum")
    own = any(end in schema for end in ends)
    return f"is out of range: {range_text(found)}" if own else f"must be from {-MAX_INTEGER} to {MAX_INTEGER}"


def _is_control(char: str) -> bool:
    """Control characters, halves of surrogate pairs, and the two Unicode line separators."""
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _said(error: ValidationError, found: Input) -> tuple[str, str]:
    rule, limit = str(error.validator), error.validator_value
    said = {
        "type": ("wrong_type", _wrong_type(str(limit), error.instance)),
        "enum": ("not_a_choice", f"must be one of {', '.join(_words(limit))}"),
        "multipleOf": ("not_a_multiple", f"must be a multiple of {limit}{_unit(found)}"),
        "minLength": ("too_short", f"must have at least {limit} characters"),
        "maxLength": ("too_long", f"has more than the {limit} characters that are permitted"),
        "pattern": ("wrong_form", f"doesn't have the form {limit}"),
        "format": ("wrong_form", f"is not a valid {limit}"),
        "minItems": ("too_few", f"must have at least {limit} items"),
        "maxItems": ("too_many", f"has more than the {limit} items that are permitted"),
        "uniqueItems": ("repeated", "holds the same item twice"),
    }
    range_rule = ("out_of_range", f"{_shown(error.instance)} is out of range: {range_text(found)}")
    return said.get(rule, range_rule)


def _wrong_type(wanted: str, value: object) -> str:
    """What it must be, and what it is; not of a fraction sent as a text, whose writer thinks of a number."""
    said = f"must be {KIND_NAMES.get(wanted, wanted)}"
    is_fraction = wanted == "integer" and isinstance(value, str) and _FRACTION.fullmatch(value)
    return said if is_fraction else f"{said}, not {_named(value)}"


_FRACTION = re.compile(r"\s*[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?\s*")


def _words(limit: object) -> list[str]:
    return [str(choice) for choice in limit] if isinstance(limit, list) else []


def _named(value: object) -> str:
    if value is None:
        return "nothing"
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"the number {_shown(value)}")


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:40] + "…"


def _unit(found: Input) -> str:
    return f" {found.unit}" if found.unit else ""


def range_text(found: Input) -> str:
    """What numbers are permitted, with the unit: `0 to 80 dBZ`; empty if any number is."""
    schema = _items(found) if found.type == "array" else found.schema
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}{_unit(found)}"
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "below"}
    return ", ".join(f"{word} {schema[key]}{_unit(found)}" for key, word in words.items() if key in schema)


# Files


def _files_faults(found: Input, facts: Sequence[FileFacts], values: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    rule = found.file
    assert rule is not None  # noqa: S101  only called for file inputs
    if values.get(found.name) is not None:
        yield "wrong_type", "must be a file"
    elif not facts:
        if found.required:
            yield "missing", "a file is required"
    elif rule.many and not rule.min_files <= len(facts) <= rule.max_files:
        code = "too_few" if len(facts) < rule.min_files else "too_many"
        yield code, f"takes {rule.min_files} to {rule.max_files} files, not {len(facts)}"
    elif not rule.many and len(facts) > 1:
        yield "too_many", f"takes one file, not {len(facts)}"
    for one in facts:
        yield from _file_faults(rule, one)


def _file_faults(rule: FileRule, facts: FileFacts) -> Iterator[tuple[str, str]]:
    shown = ascii(facts.name)[1:-1][:80]
    if facts.size > rule.max_mib * MIB:
        yield "too_large", f"{shown} has {facts.size / MIB:.1f} MiB; at most {rule.max_mib:g} MiB are permitted"
    if rule.extensions and not _extension(rule, facts.name):
        yield "wrong_extension", f"{shown} must end in {' or '.join(rule.extensions)}"
    known = facts.media_type not in ("", "application/octet-stream")
    if rule.media_types and known and not any(fnmatch.fnmatchcase(facts.media_type, t) for t in rule.media_types):
        yield (
            "wrong_media_type",
            f"{shown} is {ascii(facts.media_type)[1:-1][:80]}, not {' or '.join(rule.media_types)}",
        )


def stage_names(found: Input, facts: Sequence[FileFacts]) -> tuple[InputFile, ...]:
    """The files with their names in the job's folder: the input's name, a number if it takes many, an extension."""
    rule = found.file or FileRule()
    numbers = [f"-{n}" if rule.many else "" for n in range(1, len(facts) + 1)]
    return tuple(
        InputFile(one, f"{found.name}{number}{_extension(rule, one.name)}")
        for one, number in zip(facts, numbers, strict=True)
    )


def _extension(rule: FileRule, name: str) -> str:
    """The longest of the rule's extensions that the name ends in; without a rule its own, if harmless; or nothing."""
    lower = name.lower()
    if rule.extensions:
        return max((e for e in rule.extensions if lower.endswith(e)), key=len, default="")
    own = re.search(r"[^.](\.[a-z0-9]{1,10}(?:\.(?:gz|bz2|xz|zst))?|\.tar\.[a-z0-9]{1,4})\Z", lower)
    return own[1] if own else ""
