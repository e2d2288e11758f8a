"""A job's name and labels as people write them: one reader and one writer for every form.

    radar, 15 inch, "Ames, Iowa"        three labels: commas and line ends part them

A label that would not be read as itself stands between double quotes, where a double quote is written twice, as in CSV.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import count

from isthmus.api.requests import MAX_LABELS, PATTERN_WORDS
from isthmus.errors import InputFault

MAX_NAME, MAX_LABEL = 255, 64

_ONE_LINE = next(pattern for pattern, words in PATTERN_WORDS.items() if words.startswith("must be one line"))
_LINE_WORDS = PATTERN_WORDS[_ONE_LINE]
_BLANKS, _END = r"[^\S\r\n]*", r"(?:[,\r\n]|\Z)"
_NUMBERED = re.compile(r" \(([1-9][0-9]{0,5})\)\Z")
_LABEL = re.compile(rf'{_BLANKS}"(?P<quoted>(?:[^"\r\n]|"")+)"{_BLANKS}{_END}|(?P<plain>[^,\r\n]*){_END}')


def read_labels(text: str) -> tuple[str, ...]:
    """The labels that the text stands for, each once, in order; without quotes several blanks count as one."""
    return tuple(dict.fromkeys(label for label in map(_label, _LABEL.finditer(text)) if label))


def _label(found: re.Match[str]) -> str:
    quoted = found["quoted"]
    return " ".join(found["plain"].split()) if quoted is None else quoted.replace('""', '"')


def write_labels(labels: Iterable[str]) -> str:
    """The text that stands for these labels."""
    return ", ".join(map(_written, labels))


def _written(label: str) -> str:
    """The label in quotes, unless it is read as itself wherever it stands; what begins with a quote opens one."""
    is_plain = not label.startswith('"') and read_labels(label) == (label,)
    return label if is_plain else '"' + label.replace('"', '""') + '"'


def next_name(name: str, taken: Iterable[str]) -> str:
    """The name with the next number that nobody has yet: “Radar (2)” of “Radar”."""
    known = {*taken, name}
    stem = _NUMBERED.sub("", name)
    first = int(found[1]) + 1 if (found := _NUMBERED.search(name)) else 2
    endings = (f" ({n})" for n in count(first))
    return next(one for one in (stem[: MAX_NAME - len(ending)] + ending for ending in endings) if one not in known)


def name_faults(name: str) -> Iterator[InputFault]:
    """What is wrong with a job's name."""
    if len(name) > MAX_NAME:
        yield InputFault("name", "too_long", f"has more than the {MAX_NAME} characters that are permitted")
    if not re.fullmatch(_ONE_LINE, name):
        yield InputFault("name", "wrong_form", _LINE_WORDS)


def label_faults(labels: tuple[str, ...]) -> Iterator[InputFault]:
    """What is wrong with a job's labels."""
    if len(labels) > MAX_LABELS:
        yield InputFault("labels", "too_many", f"there are {len(labels)}; at most {MAX_LABELS} are permitted")
    if long := next((label for label in labels if len(label) > MAX_LABEL), None):
        said = f"“{long[:20]}…” has more than the {MAX_LABEL} characters that are permitted"
        yield InputFault("labels", "too_long", said)
    if not all(re.fullmatch(_ONE_LINE, label) for label in labels):
        yield InputFault("labels", "wrong_form", _LINE_WORDS)
