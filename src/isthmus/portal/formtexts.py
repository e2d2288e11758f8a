"""What a page's form says, and what it stands for: texts under field names <-> a request or changes of the gateway.

    inputs.threshold_dbz=40   files.radar=upload:ID   resources.walltime_s=10m   cluster=local   name=…   labels=a, b

Field names are those of `InvalidInput`, so that a fault finds its field. A value that can't be read stays the text it
is, for the definition to refuse in its own words. Texts made of a value stand for that value again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.application import Application, Input, Json
from isthmus.application.inputs import normalised, value_faults
from isthmus.errors import InputFault
from isthmus.gateway.submission import OutputReference, UploadReference
from isthmus.portal.naming import label_faults, name_faults, read_labels

Texts: TypeAlias = Mapping[str, tuple[str, ...]]
"""What a form holds: under each field's name its texts, in order."""

YES, NO = "true", "false"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that the job which is submitted again took for this input, by its place there."""

    name: str
    position: int


FileChoice: TypeAlias = UploadReference | OutputReference | KeptFile


# --- values -----------------------------------------------------------------------------------------------------------
def texts_of_value(found: Input, value: Json) -> tuple[str, ...]:
    """How a form holds the value; nothing for none."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return (_text(value),)
    if takes_paragraphs(found):
        return tuple(_text(item) for item in value)
    return ("\n".join(_line(_text(item)) for item in value),)


def value_of_texts(found: Input, texts: Sequence[str]) -> Json:
    """The value that texts stand for; None: none is given."""
    if not texts:
        return None
    if found.type == "array":
        items = _items(found, texts)
        return normalised(found, items) if items or found.default is not None else None
    text = texts[-1]
    if text == "" and not _takes_empty(found):
        return None
    return normalised(found, _one(found.schema, text))


def takes_paragraphs(found: Input) -> bool:
    """Whether it is a list whose items may have several lines, so that a line is not an item."""
    return found.type == "array" and bool(_item_schema(found).get("multiline"))


def _takes_empty(found: Input) -> bool:
    """Whether an empty text is a value of its own: only where leaving it out would mean another."""
    return found.type == "string" and found.default is not None and not any(value_faults(found, ""))


def _items(found: Input, texts: Sequence[str]) -> list[Json]:
    schema = _item_schema(found)
    if takes_paragraphs(found):
        return [text for text in texts if text]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    if schema.get("type") in ("number", "integer"):
        lines = [word for line in lines for word in re.split(r"[\s,;]+", line)]
    return [_one(schema, _unquoted(line)) for line in lines if line]


def _item_schema(found: Input) -> Mapping[str, Json]:
    items = found.schema.get("items")
    return items if isinstance(items, dict) else {}


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return YES if value else NO
    return value if isinstance(value, str) else json.dumps(value)


def _one(schema: Mapping[str, Json], text: str) -> Json:
    match schema.get("type"):
        case "integer" | "number":
            return _number(text.strip())
        case "boolean":
            return {YES: True, "yes": True, NO: False, "no": False}.get(text.strip().lower(), text)
    return text


def _number(text: str) -> Json:
    """The number as it was written: `45` and `45.0` are equal, but people look for what they gave."""
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _line(item: str) -> str:
    """The item on a line of its own; one that a line would change or lose stands between quotes, as JSON has it."""
    return json.dumps(item, ensure_ascii=False) if _needs_quotes(item) else item


def _unquoted(line: str) -> str:
    return str(json.loads(line)) if _is_quoted(line) else line


def _needs_quotes(item: str) -> bool:
    return not item or item != item.strip() or item.splitlines() != [item] or _is_quoted(item)


def _is_quoted(line: str) -> bool:
    """Whether the line is an item that needs quotes, in quotes; other quotes are the item's own."""
    if len(line) < 2 or line[0] != '"' or line[-1] != '"':
        return False
    try:
        item = json.loads(line)
    except ValueError:
        return False
    return isinstance(item, str) and _needs_quotes(item)


# --- files ------------------------------------------------------------------------------------------------------------
def text_of_file(chosen: FileChoice) -> str:
    """How a form holds a chosen file."""
    match chosen:
        case UploadReference(upload_id):
            return f"upload:{upload_id}"
        case OutputReference(job_id, output, path):
            return f"output:{job_id}:{output}" + (f":{path}" if path is not None else "")
        case KeptFile(name, position):
            return f"kept:{name}:{position}"


def file_of_text(text: str) -> FileChoice | None:
    """The file that a form chose; None: no page of ours says so."""
    kind, _, rest = text.partition(":")
    if kind == "upload" and rest:
        return UploadReference(rest)
    if kind == "output":
        job_id, _, rest = rest.partition(":")
        output, has_path, path = rest.partition(":")
        return OutputReference(job_id, output, path if has_path else None) if job_id and output else None
    if kind == "kept":
        name, _, position = rest.partition(":")
        return KeptFile(name, int(position)) if re.fullmatch(r"[0-9]{1,6}", position) else None
    return None


# --- whole forms ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Said:
    """A form as it was read: what its fields stand for, and what is wrong with those of no definition."""

    inputs: Mapping[str, Json]
    files: Mapping[str, tuple[FileChoice, ...]]
    resources: Mapping[str, Json]
    cluster: str | None
    name: str | None
    labels: tuple[str, ...]
    project: str | None
    notices: str | None
    faults: tuple[InputFault, ...] = ()


def read(application: Application, texts: Texts) -> Said:
    """What the texts stand for in a form of this application; texts under other names count for nothing."""
    inputs: dict[str, Json] = {}
    files: dict[str, tuple[FileChoice, ...]] = {}
    for found in application.inputs:
        if found.file:
            chosen = (file_of_text(text) for text in texts.get(f"files.{found.name}", ()))
            files[found.name] = tuple(one for one in chosen if one is not None)
        elif (value := value_of_texts(found, texts.get(f"inputs.{found.name}", ()))) is not None:
            inputs[found.name] = value
    names = [*(rule.name.value for rule in application.resources), "queue", "account"]
    amounts = {name: last(texts, f"resources.{name}").strip() for name in names}
    return Said(
        inputs,
        {name: chosen for name, chosen in files.items() if chosen},
        {name: amount for name, amount in amounts.items() if amount},
        last(texts, "cluster").strip() or None,
        last(texts, "name").strip() or None,
        read_labels(last(texts, "labels")),
        last(texts, "project").strip() or None,
        _notices(texts),
        tuple(_own_faults(texts)),
    )


def _notices(texts: Texts) -> str | None:
    """The letters that were chosen; None: what the user chose for all jobs stands."""
    given = texts.get("notices", ())
    return None if not given or "usual" in given else "".join(letter for letter in "bea" if letter in given)


def last(texts: Texts, name: str) -> str:
    """The last text under the name; empty for none."""
    return next(reversed(texts.get(name, ())), "")


def _own_faults(texts: Texts) -> Iterable[InputFault]:
    """What is wrong with a job's name and labels."""
    yield from name_faults(last(texts, "name").strip())
    yield from label_faults(read_labels(last(texts, "labels")))
