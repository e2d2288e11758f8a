"""An application file as YAML nodes that know their lines, read key by key, every fault noted.

YAML here is what people expect of it: true and false are the only truth values, `12:30` and `2015-01-02` are texts.
Anchors, aliases, tags and doubled keys are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from isthmus.application.encoding import Json
from isthmus.application.faults import Fault, did_you_mean

MAX_CHARACTERS = 256 * 1024
MAX_DEPTH = 12
E = TypeVar("E", bound=StrEnum)

_STR, _INT, _FLOAT, _BOOL, _NULL = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))
_SEQ, _MAP = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"


class _Refused(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """SafeLoader with plain scalars as in YAML's core schema, and no aliases, tags or deep nesting."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own name
    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(problem="anchors and aliases can't be used here", problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refused(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None and node.tag not in (_STR, _INT, _FLOAT, _BOOL, _NULL, _SEQ, _MAP):
            raise _Refused(problem=f"the tag {node.tag} can't be used here", problem_mark=node.start_mark)
        return node


for _tag, _pattern in (
    (_BOOL, r"true|false"),
    (_NULL, r"null|~|"),
    (_INT, r"[-+]?[0-9]{1,18}"),
    (_FLOAT, r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), None)


class Section:
    """One mapping of the file. Each method takes a key and gives its value, or the default after noting a fault."""

    def __init__(self, node: MappingNode, where: str, faults: list[Fault]) -> None:
        self._node = node
        self._faults = faults
        self._where = where
        self._taken: set[str] = set()
        self._entries: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            self._add(key, value)

    def _add(self, key: Node, value: Node) -> None:
        if not isinstance(key, ScalarNode):
            self._note(key, "", "a key must be a word")
        elif key.value in self._entries:
            earlier = self._entries[key.value][0].start_mark.line + 1
            self._note(key, key.value, f"stands here twice; first on line {earlier}")
        else:
            self._entries[key.value] = (key, value)

    # What is wrong, and where

    def fault(self, key: str, message: str) -> None:
        """Note a fault at the key, or at the section if the key is missing."""
        self._note(self._entries[key][1] if key in self._entries else self._node, key, message)

    def fault_at(self, key: str, line: int, message: str) -> None:
        self._faults.append(Fault(line, self._path(key), message))

    def line(self, key: str) -> int:
        """The line on which the key's value starts; for a block text, the first line of the text."""
        node = self._entries[key][1] if key in self._entries else self._node
        is_block = isinstance(node, ScalarNode) and node.style in ("|", ">")
        return node.start_mark.line + 1 + (1 if is_block else 0)

    def finish(self) -> None:
        """Note a fault for every key that nobody asked for."""
        for key, (node, _) in self._entries.items():
            if key not in self._taken:
                self._note(node, key, f"unknown key{did_you_mean(key, self._taken)}")

    def _note(self, node: Node, key: str, message: str) -> None:
        self._faults.append(Fault(node.start_mark.line + 1, self._path(key), message))

    def _path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where and key else self._where or key

    def _take(self, key: str, *, required: bool = False) -> Node | None:
        self._taken.add(key)
        if key in self._entries:
            return self._entries[key][1]
        if required:
            self.fault(key, "is missing")
        return None

    # Values

    def has(self, key: str) -> bool:
        return key in self._entries

    def knows(self, key: str) -> bool:
        """`has`, for a key whose absence means something: it is then no unknown key."""
        self._taken.add(key)
        return key in self._entries

    def is_flag(self, key: str) -> bool:
        return self.has(key) and self._entries[key][1].tag == _BOOL

    def is_list(self, key: str) -> bool:
        return self.has(key) and isinstance(self._entries[key][1], SequenceNode)

    def is_mapping(self, key: str) -> bool:
        return self.has(key) and isinstance(self._entries[key][1], MappingNode)

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def text(self, key: str, default: str = "", *, required: bool = False, most: int = 200, lines: bool = False) -> str:
        """A text of at most `most` characters, on one line unless `lines`."""
        node = self._take(key, required=required)
        if node is None:
            return default
        text = self._text_of(node, key)
        if required and not text.strip():
            self._note(node, key, "is empty")
        if len(text) > most:
            self._note(node, key, f"is longer than {most} characters")
        if bad := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]" if lines else r"[\x00-\x1f\x7f-\x9f]", text.rstrip("\n")):
            self._note(node, key, f"holds the control character {bad[0]!r}")
        return text if lines else text.rstrip("\n")

    def _text_of(self, node: Node, key: str) -> str:
        """The scalar as it is written: `version: 1.10` is not the number 1.1."""
        if isinstance(node, ScalarNode) and node.tag in (_STR, _INT, _FLOAT):
            return str(node.value)
        quoted = isinstance(node, ScalarNode)
        self._note(node, key, f"must be a text; write '{node.value}' between quotes" if quoted else "must be a text")
        return ""

    def flag(self, key: str, default: bool = False) -> bool:
        node = self._take(key)
        if node is not None and node.tag != _BOOL:
            self._note(node, key, "must be true or false")
        return default if node is None or node.tag != _BOOL else node.value == "true"

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        number = self.number(key, default, least=least, most=most)
        if isinstance(number, int):
            return number
        self.fault(key, "must be a whole number")
        return default

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        node = self._take(key)
        if node is None:
            return default
        if node.tag not in (_INT, _FLOAT):
            self._note(node, key, "must be a number")
            return default
        value = self._plain(node, key)
        if not isinstance(value, int | float) or not least <= value <= most:
            self._note(node, key, f"must be from {least:g} to {most:g}")
            return default
        return value

    def choice(self, key: str, default: E) -> E:
        """One of the words of the default's enum."""
        node = self._take(key)
        if node is None:
            return default
        kinds = type(default)
        text = node.value if isinstance(node, ScalarNode) else ""
        if text in {str(kind.value) for kind in kinds}:
            return kinds(text)
        self._note(node, key, f"'{text}' is none of {', '.join(str(kind.value) for kind in kinds)}")
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(text for text, _ in self.texts_with_lines(key))

    def texts_with_lines(self, key: str) -> list[tuple[str, int]]:
        """A list of texts, each with its line."""
        return [(self._text_of(node, key), node.start_mark.line + 1) for node in self._items(key)]

    def _items(self, key: str) -> list[Node]:
        node = self._take(key)
        if node is None:
            return []
        if not isinstance(node, SequenceNode):
            self._note(node, key, "must be a list")
            return []
        return list(node.value)

    def section(self, key: str) -> Section | None:
        """The mapping under the key; None: there is none."""
        node = self._take(key)
        return None if node is None else self._section(node, key, key)

    def _section(self, node: Node, key: str, name: str) -> Section | None:
        if isinstance(node, MappingNode):
            return Section(node, self._path(name), self._faults)
        self._note(node, key, "must be a mapping of keys and values")
        return None

    def named(self, key: str) -> list[tuple[str, Section]]:
        """The mappings under the key by their names, in the file's order."""
        outer = self.section(key)
        if outer is None:
            return []
        pairs = [(name, outer.section(name)) for name in outer.names()]
        return [(name, inner) for name, inner in pairs if inner is not None]

    def listed(self, key: str) -> Iterator[str | Section]:
        """The list under the key: a text, or the mapping that stands there."""
        for number, node in enumerate(self._items(key), start=1):
            if isinstance(node, ScalarNode):
                yield self._text_of(node, key)
            elif (inner := self._section(node, key, f"{key}[{number}]")) is not None:
                yield inner

    def sections(self, key: str) -> list[Section]:
        """The mappings listed under the key."""
        found = [self._section(node, key, f"{key}[{number}]") for number, node in enumerate(self._items(key), start=1)]
        return [inner for inner in found if inner is not None]

    def table(self, key: str) -> dict[str, str]:
        """The texts under the key by their names."""
        inner = self.section(key)
        return {} if inner is None else {name: inner.text(name, most=4096) for name in inner.names()}

    def json(self, key: str) -> Json:
        """What stands under the key, as JSON; None if nothing does."""
        node = self._take(key)
        return None if node is None else self._plain(node, key)

    def json_object(self, key: str) -> dict[str, Json]:
        value = self.json(key)
        if isinstance(value, dict):
            return value
        if self.has(key):
            self.fault(key, "must be a mapping of keys and values")
        return {}

    def _plain(self, node: Node, key: str) -> Json:
        if isinstance(node, MappingNode):
            inner = Section(node, self._path(key), self._faults)
            return {name: inner.json(name) for name in inner.names()}
        if isinstance(node, SequenceNode):
            return [self._plain(item, key) for item in node.value]
        return self._scalar(node, key)

    def _scalar(self, node: Node, key: str) -> Json:
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return bool(node.value == "true")
        if node.tag == _INT:
            return int(node.value)
        if node.tag != _FLOAT:
            return str(node.value)
        number = float(re.sub(r"\.(inf|nan)", r"\1", node.value, flags=re.IGNORECASE))
        if not math.isfinite(number):
            self._note(node, key, "must be a finite number")
            return None
        return number


def open_file(text: str, faults: list[Fault]) -> Section | None:
    """The file's outer mapping; None, with a fault noted, if it can't be read at all."""
    if len(text) > MAX_CHARACTERS:
        faults.append(Fault(1, "", f"the file is longer than {MAX_CHARACTERS} characters"))
        return None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        faults.append(_yaml_fault(error, text))
        return None
    if not isinstance(node, MappingNode):
        faults.append(Fault(1, "", "the file must be a mapping of keys and values"))
        return None
    return Section(node, "", faults)


def _yaml_fault(error: yaml.YAMLError, text: str) -> Fault:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = " ".join(part for part in (error.context, error.problem) if part)
        return Fault(error.problem_mark.line + 1, "", words)
    at = getattr(error, "position", 0)
    return Fault(text.count("\n", 0, at) + 1, "", f"not YAML: {getattr(error, 'reason', error)}")
