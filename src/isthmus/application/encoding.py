"""Frozen dataclasses as JSON and back, exactly: what a stored job keeps of its application.

Fields marked `plain` hold JSON already and pass through. A field left at its default may be missing, so an older
stored form is read by a newer Isthmus; a field nobody knows is refused, since dropping it would change the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = TypeVar("T")

PLAIN = {"plain": True}
"""Metadata of a dataclass field that holds JSON as it is."""


def encode(value: object, *, sparse: bool = False) -> Json:
    """The JSON form of `value`; `sparse` leaves out fields at their defaults."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = (f for f in fields(value) if not (sparse and getattr(value, f.name) == _default(f)))
        return {f.name: encode(getattr(value, f.name), sparse=sparse) for f in kept}
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | list):
        return [encode(item, sparse=sparse) for item in value]
    if isinstance(value, Mapping):
        return {str(key): encode(item, sparse=sparse) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def decode(kind: type[T], form: Json) -> T:
    """The dataclass `kind` that `encode` gave `form` for. ValueError: it is not such a form."""
    decoded = _decode(kind, form)
    if not isinstance(decoded, kind):
        raise ValueError(f"not a {kind.__name__}: {str(form)[:80]}")
    return decoded


def canonical(form: Json) -> str:
    """One text for one value: keys sorted, no spaces, no NaN."""
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(form: Json) -> str:
    return hashlib.sha256(canonical(form).encode()).hexdigest()


def _default(of: Field[Any]) -> object:
    if of.default_factory is not MISSING:
        return of.default_factory()
    return of.default


def _decode(kind: Any, form: Json) -> object:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _decode_union(get_args(kind), form)
    if origin is tuple:
        if not isinstance(form, list):
            raise ValueError(f"a list is expected, not {str(form)[:80]}")
        return tuple(_decode(get_args(kind)[0], item) for item in form)
    if origin in (dict, Mapping):
        if not isinstance(form, dict):
            raise ValueError(f"an object is expected, not {str(form)[:80]}")
        return {key: _decode(get_args(kind)[1], item) for key, item in form.items()}
    if is_dataclass(kind):
        return _decode_record(kind, form)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(form)
    if kind is float and type(form) is int:
        return form
    if type(form) is not kind:
        raise ValueError(f"{kind.__name__} is expected, not {str(form)[:80]}")
    return form


def _decode_union(kinds: tuple[Any, ...], form: Json) -> object:
    """Records are told from words and words from nothing by their JSON shape."""
    if form is None and type(None) in kinds:
        return None
    records = [kind for kind in kinds if is_dataclass(kind)]
    others = [kind for kind in kinds if kind is not type(None) and not is_dataclass(kind)]
    return _decode((records if isinstance(form, dict) else others or records)[0], form)


def _decode_record(kind: Any, form: Json) -> object:
    if not isinstance(form, dict):
        raise ValueError(f"an object is expected for {kind.__name__}")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(form) - set(known)):
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}")
    hints = get_type_hints(kind)
    values = {k: v if known[k].metadata == PLAIN else _decode(hints[k], v) for k, v in form.items()}
    try:
        return kind(**values)
    except TypeError as missing:
        raise ValueError(str(missing)) from None
