"""Words of a command with `{placeholders}`, and the scope that fills them. Nothing is quoted here: words are words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.application.definition import Choice, Condition, Source
from isthmus.application.encoding import Json

Scope: TypeAlias = Mapping[str, Mapping[str, Json]]
"""What placeholders stand for: `inputs.x` is scope["inputs"]["x"]; a name without a dot is in scope[""]."""

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|(?P<brace>[{}])|[^{}]+")
_NAME = re.compile(r"(?:([a-z]+)\.)?([A-Za-z_][A-Za-z0-9_]*)")
_CONDITION = re.compile(r"(not )?(inputs|files)\.([a-z][a-z0-9_]*)")


class BadWord(ValueError):
    """The template can't be understood, or can't be filled; the text says why."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{source.name}`; source is empty for names without a dot."""

    source: str
    name: str

    def __str__(self) -> str:
        return f"{self.source}.{self.name}" if self.source else self.name


def parse_word(text: str) -> tuple[str | Placeholder, ...]:
    """The literal parts and placeholders of a word; `{{` and `}}` are literal braces."""
    return tuple(_part(match) for match in _TOKEN.finditer(text))


def _part(match: re.Match[str]) -> str | Placeholder:
    if match["brace"]:
        raise BadWord(f"a lone '{match['brace']}'; write it twice for a literal brace")
    if match["name"] is None:
        return {"{{": "{", "}}": "}"}.get(match[0], match[0])
    name = _NAME.fullmatch(match["name"])
    if name is None:
        raise BadWord(f"'{match[0]}' is not a placeholder like {{inputs.name}}")
    return Placeholder(name[1] or "", name[2])


def placeholders(text: str) -> Iterator[Placeholder]:
    return (part for part in parse_word(text) if isinstance(part, Placeholder))


def as_text(value: Json) -> str:
    """A number, truth value or text as a program reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value)
    raise BadWord("there is no value" if value is None else "a list must stand alone in its word")


def as_words(value: Json) -> tuple[str, ...]:
    """A list gives a word each, anything else one."""
    return tuple(as_text(item) for item in value) if isinstance(value, list) else (as_text(value),)


def look_up(scope: Scope, placeholder: Placeholder) -> Json:
    try:
        return scope[placeholder.source][placeholder.name]
    except KeyError:
        if placeholder.source == "site":
            raise BadWord(f"the site's configuration sets no variable '{placeholder.name}'") from None
        raise BadWord(f"nothing is known as '{placeholder}'") from None


def fill(text: str, scope: Scope) -> tuple[str, ...]:
    """The words the template stands for: one, unless it is a lone placeholder of a list."""
    parts = parse_word(text)
    if len(parts) == 1 and isinstance(parts[0], Placeholder):
        return as_words(look_up(scope, parts[0]))
    return ("".join(as_text(look_up(scope, p)) if isinstance(p, Placeholder) else p for p in parts),)


def fill_one(text: str, scope: Scope) -> str:
    """The one word the template stands for."""
    return "".join(as_text(look_up(scope, p)) if isinstance(p, Placeholder) else p for p in parse_word(text))


def fill_command(command: tuple[str | Choice, ...], scope: Scope) -> tuple[str, ...]:
    """The argv the command stands for, choices made."""
    return tuple(word for part in command for text in _chosen(part, scope) for word in fill(text, scope))


def _chosen(part: str | Choice, scope: Scope) -> tuple[str, ...]:
    if isinstance(part, str):
        return (part,)
    return part.then if holds(part.condition, scope) else part.otherwise


def parse_condition(text: str) -> Condition:
    """`inputs.x`, `files.x`, or either after `not `."""
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise BadWord(f"'{text}' is not a condition like inputs.name or not files.name")
    return Condition(Source(match[2]), match[3], negated=bool(match[1]))


def holds(condition: Condition, scope: Scope) -> bool:
    value = scope[condition.source].get(condition.name)
    has_value = value is not None and value is not False and value not in ("", [])
    return has_value is not condition.negated
