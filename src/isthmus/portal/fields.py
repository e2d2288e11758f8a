"""The fields of a form as they are drawn: which control, with what in it, what it permits in words, what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from isthmus.application import Application, FileRule, Input, Json
from isthmus.application.inputs import range_text
from isthmus.errors import InputFault
from isthmus.portal.formtexts import NO, YES, Texts, takes_paragraphs, texts_of_value, value_of_texts
from isthmus.portal.patterns import pattern_words

MOST_RADIOS = 4
_NUMBER_WORDS = {"number": "write it with a point, like 4.5", "integer": "write digits alone, like 10000"}
"""A comma is never guessed at: 4,500 is four and a half to one reader and four thousand five hundred to another."""
LONGEST_PLAIN = 200
"""A text that may have more characters, and several lines, is given room for them."""


class Control(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    LONG_TEXT = "long_text"
    SWITCH = "switch"
    RADIOS = "radios"
    SELECT = "select"
    CHECKBOXES = "checkboxes"
    LINES = "lines"
    PARAGRAPHS = "paragraphs"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of several; `value` is what the form sends."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Earlier:
    """The job that is submitted again: what a form would hold for it, and the names of its files."""

    texts: Texts
    files: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Was:
    """What the earlier job has in this field; `texts` bring it back."""

    words: str
    texts: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form; `name` is the one that faults name."""

    name: str
    label: str
    control: Control
    text: str = ""
    texts: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    help: str = ""
    unit: str = ""
    hint: str = ""
    usual: str = ""
    required: bool = False
    is_whole: bool = False
    rows: int = 3
    longest: int | None = None
    rule: FileRule | None = None
    fault: str = ""
    was: Was | None = None

    @property
    def id(self) -> str:
        return self.name.replace(".", "-")

    @property
    def described_by(self) -> str:
        """The ids of all that is said of the field."""
        parts = (("help", self.help), ("hint", self.hint_words), ("was", self.was), ("fault", True))
        return " ".join(f"{self.id}-{part}" for part, there in parts if there)

    @property
    def hint_words(self) -> str:
        """What stands below the field: what is permitted, and what is usual."""
        how = {Control.LINES: "One a line.", Control.PARAGRAPHS: "One in each box; empty boxes don't count."}
        permitted = f"{self.hint[:1].upper()}{self.hint[1:]}." if self.hint else ""
        usual = f"Usually {self.usual}." if self.usual else ""
        return " ".join(part for part in (how.get(self.control, ""), permitted, usual) if part)

    @property
    def is_set(self) -> bool:
        """Whether the field is several controls under one name, which a legend names."""
        return self.control in (Control.RADIOS, Control.CHECKBOXES, Control.PARAGRAPHS, Control.FILES)

    @property
    def accepts(self) -> str:
        """The `accept` of a browser's file dialog; it knows only the last ending of a name."""
        rule = self.rule or FileRule()
        endings = [f".{extension.rpartition('.')[2]}" for extension in rule.extensions]
        return ",".join(dict.fromkeys((*endings, *rule.media_types)))


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Fields under one heading; those in `advanced` are folded away unless `is_open`."""

    title: str
    fields: tuple[Field, ...]
    advanced: tuple[Field, ...] = field(default=())

    @property
    def is_open(self) -> bool:
        return any(one.fault or (one.was and one.was.differs) for one in self.advanced)


def groups(
    application: Application, texts: Texts, faults: Mapping[str, str], earlier: Earlier | None = None
) -> tuple[FieldGroup, ...]:
    """The definition's inputs in their groups; `earlier` is the job that is submitted again."""
    drawn = []
    for title, found in groupby(_together(application.inputs), key=lambda one: one.group):
        pairs = [(one, field_of(one, texts, faults, earlier)) for one in found]
        plain = tuple(field for one, field in pairs if not one.advanced)
        drawn.append(FieldGroup(title, plain, tuple(field for one, field in pairs if one.advanced)))
    return tuple(drawn)


def _together(inputs: Sequence[Input]) -> list[Input]:
    """Inputs of one group stand together, where the first of them stands."""
    places = {title: place for place, title in enumerate(dict.fromkeys(one.group for one in inputs))}
    return sorted(inputs, key=lambda one: places[one.group])


def name_of(found: Input) -> str:
    return f"{'files' if found.file else 'inputs'}.{found.name}"


def field_of(found: Input, texts: Texts, faults: Mapping[str, str], earlier: Earlier | None = None) -> Field:
    """The input with what the form holds for it."""
    name = name_of(found)
    given = texts.get(name, ())
    control = control_of(found, given)
    text = plain(found, given)
    if control is Control.SWITCH and not text:
        text = texts_of_value(found, found.default)[0]
    return Field(
        name=name,
        label=found.label,
        control=control,
        text=text,
        texts=given,
        options=tuple(_options(found, control, given)),
        help=found.help,
        unit=found.unit,
        hint="" if control is Control.CHECKBOXES else hint(found),
        usual=_usual(found, control),
        required=found.required,
        is_whole=found.type == "integer",
        rows=min(max(text.count("\n") + 2, 3), 20),
        longest=_whole(found.schema.get("maxLength")) if control in (Control.TEXT, Control.LONG_TEXT) else None,
        rule=found.file,
        fault=faults.get(name, ""),
        was=None if earlier is None else was(found, given, earlier),
    )


def _usual(found: Input, control: Control) -> str:
    """The default in words, where the control does not show that it is one."""
    shown = control in (Control.SWITCH, Control.CHECKBOXES, Control.SELECT, Control.RADIOS, Control.FILES)
    return "" if shown or found.default in (None, "", []) else words(found, texts_of_value(found, found.default))


def was(found: Input, given: Sequence[str], earlier: Earlier) -> Was:
    """What the earlier job had, and whether the form says something else."""
    name = name_of(found)
    before = earlier.texts.get(name, ())
    said = ", ".join(earlier.files.get(name, ())) or "nothing" if found.file else words(found, before)
    return Was(said, json.dumps(list(before)), not same(found, given, before))


def same(found: Input, a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether both stand for one value; no text at all stands for the default."""
    if found.file:
        return filled(a) == filled(b)
    if plain(found, a) == plain(found, b):
        return True
    values = [value_of_texts(found, one) for one in (a, b)]
    first, second = (found.default if value is None else value for value in values)
    return first == second


def filled(texts: Sequence[str]) -> tuple[str, ...]:
    """The texts without the empty ones that only say that a field was there."""
    return tuple(text for text in texts if text)


def plain(found: Input, texts: Sequence[str]) -> str:
    """The texts as one, whatever control they came from."""
    return "\n".join(text for text in texts if text) if found.is_list else texts[-1] if texts else ""


def control_of(found: Input, given: Sequence[str]) -> Control:
    """The control that suits the schema, and that can hold what is given."""
    if found.file:
        return Control.FILES
    if found.type == "array":
        return _list_control(found, given)
    if found.type == "boolean":
        return Control.SWITCH if found.default is not None else Control.RADIOS
    if choices := choices_of(found.schema):
        many = len(choices) > MOST_RADIOS or any(len(choice) > 40 for choice in choices)
        return Control.SELECT if many or not found.required else Control.RADIOS
    if found.type in ("number", "integer"):
        return Control.NUMBER
    if found.schema.get("multiline"):
        return Control.LONG_TEXT
    text = plain(found, given)
    is_date = found.schema.get("format") == "date" and (not text or re.fullmatch(r"\d{4}-\d\d-\d\d", text))
    return Control.DATE if is_date else Control.TEXT


def _list_control(found: Input, given: Sequence[str]) -> Control:
    if takes_paragraphs(found):
        return Control.PARAGRAPHS
    choices = choices_of(_items(found))
    lines = plain(found, given).splitlines()
    in_order = [choice for choice in choices if choice in lines]
    return Control.CHECKBOXES if choices and found.schema.get("uniqueItems") and in_order == lines else Control.LINES


def choices_of(schema: Mapping[str, Json]) -> list[str]:
    """The values of an enum as a form sends them."""
    choices = schema.get("enum")
    as_any = Input("choice", "", {key: rule for key, rule in schema.items() if key == "type"})
    return [texts_of_value(as_any, choice)[0] for choice in choices or []] if isinstance(choices, list) else []


def _options(found: Input, control: Control, given: Sequence[str]) -> Iterable[Option]:
    text = plain(found, given)
    if found.type == "boolean" and control is Control.RADIOS:
        choices = [(YES, "Yes"), (NO, "No")] + ([] if found.required else [("", "Not given")])
    elif control is Control.CHECKBOXES:
        lines = text.splitlines()
        yield from (Option(choice, choice, choice in lines) for choice in choices_of(_items(found)))
        return
    else:
        choices = [(choice, choice) for choice in choices_of(found.schema)]
        nothing = "Choose one" if found.required else "Not given" if found.default is None else ""
        if control is Control.SELECT and nothing and "" not in dict(choices):
            choices = [("", nothing), *choices]
        elif control is Control.SELECT and not text and found.default is not None:
            text = texts_of_value(found, found.default)[0]
        if control is Control.SELECT and text not in dict(choices):
            choices.append((text, f"{text} (not one of the choices)"))
    yield from (Option(value, label, value == text) for value, label in choices)


# --- words ------------------------------------------------------------------------------------------------------------
def words(found: Input, texts: Sequence[str]) -> str:
    """What the form holds, for people: `40 dBZ`, `yes`, `1, 2, 3`."""
    text = plain(found, texts)
    if not text:
        return "nothing"
    if found.type == "boolean":
        text = {YES: "yes", NO: "no"}.get(text, text)
    said = ", ".join(text.splitlines())
    said = said if len(said) <= LONGEST_PLAIN else f"{said[:LONGEST_PLAIN]}…"
    return f"{said} {found.unit}" if found.unit else said


def hint(found: Input) -> str:
    """What is permitted, in words, where the control does not show it."""
    if found.file:
        return _file_hint(found.file)
    if found.type == "array":
        return _list_hint(found)
    return ", ".join(
        _text_rules(found.schema) if found.type == "string" else [part for part in (range_text(found),) if part]
    )


def _file_hint(rule: FileRule) -> str:
    number = f"{rule.min_files} to {rule.max_files} files" if rule.many else ""
    ends = f"ending in {' or '.join(rule.extensions)}" if rule.extensions else ""
    kinds = " or ".join(rule.media_types)
    return ", ".join(
        part for part in (number, ends, kinds, f"at most {rule.max_mib:g} MiB{' each' if rule.many else ''}") if part
    )


def _list_hint(found: Input) -> str:
    items, least, most = _items(found), _whole(found.schema.get("minItems")), _whole(found.schema.get("maxItems"))
    number = f"{least or 0} to {most} of them" if most is not None and most < 1000 else ""
    number = number or (f"at least {least} of them" if least else "")
    choices = choices_of(items)
    one_of = f"each one of {', '.join(choices)}" if choices else ""
    rules = _text_rules(items) if items.get("type") == "string" else [range_text(found)]
    return ", ".join(part for part in (number, one_of, *rules) if part)


def _text_rules(schema: Mapping[str, Json]) -> list[str]:
    pattern, form = schema.get("pattern"), schema.get("format")
    least, most = _whole(schema.get("minLength")), _whole(schema.get("maxLength"))
    return [
        *([pattern_words(pattern) or f"of the form {pattern}"] if isinstance(pattern, str) else []),
        *([f"a valid {form}"] if isinstance(form, str) else []),
        *([f"at least {least} characters"] if least else []),
        *([f"at most {most} characters"] if most is not None and most < LONGEST_PLAIN else []),
    ]


def fault_words(application: Application, fault: InputFault) -> str:
    """What is wrong with a field, as a sentence that stands beside it."""
    found = application.input(fault.field.rpartition(".")[2])
    said = fault.message
    if fault.code == "missing":
        said = "choose a file" if fault.field.startswith("files.") else "this is needed: fill it in"
    elif fault.code == "wrong_type" and said.endswith("not a text") and found and found.type in _NUMBER_WORDS:
        said = f"{said}: {_NUMBER_WORDS[found.type]}"
    elif fault.code == "wrong_form" and found is not None:
        pattern = (_items(found) if found.type == "array" else found.schema).get("pattern")
        form = pattern_words(pattern) if isinstance(pattern, str) else ""
        place = re.match(r"item \d+ ", said)
        said = f"{place[0] if place else ''}must be {form}" if form else said
    begins_with_a_name = fault.code in ("too_large", "wrong_extension", "wrong_media_type", "gone")
    return f"{said if begins_with_a_name else said[:1].upper() + said[1:]}."


def _items(found: Input) -> Mapping[str, Json]:
    items = found.schema.get("items")
    return items if isinstance(items, dict) else {}


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) else None
