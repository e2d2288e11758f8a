"""Flags made from an application's definition: `--threshold-dbz 45` for its input `threshold_dbz`.

They are a second command line, read by Typer from what the first left over, so that help, spelling hints and usage
errors are the usual ones. Values are only told apart here by type; whether they are good is the gateway's to say.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.exits import Misuse

if TYPE_CHECKING:
    from isthmus.client import ApplicationRecord, InputRecord

_METAVARS = {"integer": "INTEGER", "number": "NUMBER", "array": "VALUE", "file": "FILE", "string": "TEXT"}
_MORE = "Cluster, resources, name, labels and whether to wait: see `isthmus submit --help`."


def read_flags(application: ApplicationRecord, words: Sequence[str], program: str) -> dict[str, object]:
    """The inputs that the words give. With `--help` among them the help is printed and the command ends."""
    names = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    about = f"{application.title} ({application.name} {application.version}). {application.summary}"
    app.command(help=about, epilog=_MORE, context_settings=names)(_Collector(application))
    values = app(args=list(words), prog_name=program, standalone_mode=False)
    if not isinstance(values, dict):
        raise typer.Exit(0)
    return values


class _Collector:
    """A function for Typer to read: it takes one option an input, whatever the input's name, and returns the inputs."""

    __name__ = "submit"

    def __init__(self, application: ApplicationRecord) -> None:
        self._inputs = {f"input_{n}": found for n, found in enumerate(application.inputs)}
        self.__annotations__ = {word: _annotation(found) for word, found in self._inputs.items()}
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
                for word, annotation in self.__annotations__.items()
            ]
        )

    def __call__(self, **given: bool | list[str] | None) -> dict[str, object]:
        return {
            found.name: value if isinstance(value, bool) else from_texts(found, value)
            for word, found in self._inputs.items()
            if (value := given[word]) is not None and value != []
        }


def _annotation(found: InputRecord) -> object:
    flag = "--" + found.name.replace("_", "-")
    if found.type == "boolean":
        return Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=about(found), show_default=False)]
    option = typer.Option(flag, metavar=_METAVARS[found.type], help=about(found), show_default=False)
    return Annotated[list[str] | None, option]


def about(found: InputRecord) -> str:
    """What the flag's help says: label, help, unit, limits, default."""
    notes = [note for note in (found.unit, _limits(found), _default(found)) if note]
    sentences = [f"{text.rstrip('.')}." for text in (found.label, found.help) if text]
    return " ".join(sentences) + (f" [{'; '.join(notes)}]" if notes else "")


def _default(found: InputRecord) -> str:
    if found.default is not None:
        return f"default {str(found.default).lower() if isinstance(found.default, bool) else found.default}"
    return "required" if found.required else ""


def _limits(found: InputRecord) -> str:
    schema = found.schema
    if isinstance(choices := schema.get("enum"), list):
        return "one of " + ", ".join(str(choice) for choice in choices)
    least = [f"{words} {schema[key]}" for key, words in _LEAST.items() if key in schema]
    most = [f"{words} {schema[key]}" for key, words in _MOST.items() if key in schema]
    return " and ".join(least + most)


_LEAST = {"minimum": "at least", "exclusiveMinimum": "more than"}
_MOST = {"maximum": "at most", "exclusiveMaximum": "less than"}


def from_texts(found: InputRecord, texts: Sequence[str]) -> object:
    """The value that words on the command line stand for; one that can't be read stays text, to be refused.

    Misuse: there are several, and the input takes one.
    """
    if len(texts) > 1 and not _takes_many(found):
        kind = "file" if found.file is not None else "value"
        raise Misuse(f"{found.name} takes one {kind}, not {len(texts)}: {', '.join(texts)}")
    if found.file is not None:
        paths = [Path(text).expanduser() for text in texts]
        return paths if found.file.get("many") else paths[0]
    if found.type == "array":
        items = found.schema.get("items")
        kind = str(items.get("type", "string")) if isinstance(items, Mapping) else "string"
        return [_from_text(kind, text) for text in texts]
    return _from_text(found.type, texts[0])


def _takes_many(found: InputRecord) -> bool:
    return bool(found.file.get("many")) if found.file is not None else found.type == "array"


def _from_text(kind: str, text: str) -> object:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return _number(text)
    except ValueError:
        return text
    if kind == "boolean":
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.strip().lower(), text)
    return text


def _number(text: str) -> int | float:
    """The number as it was written: `45` and `45.0` are equal, but people look for what they gave."""
    number = float(text)
    return int(number) if re.fullmatch(r"[+-]?[0-9]{1,15}", text.strip()) else number


def from_settings(application: ApplicationRecord, settings: Iterable[tuple[str, str]]) -> dict[str, object]:
    """The inputs that `NAME=VALUE` pairs give; an unknown name is left for the gateway to refuse."""
    known = {found.name: found for found in application.inputs}
    texts: dict[str, list[str]] = {}
    for name, text in settings:
        texts.setdefault(name, []).append(text)
    return {name: from_texts(known[name], given) if name in known else given[-1] for name, given in texts.items()}
