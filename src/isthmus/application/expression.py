"""Arithmetic over a submission's inputs, for resources that follow from them: `max(1024, 20 * files.radar.size_mib)`.

Numbers, `+ - * / // %`, `min max ceil floor`, `inputs.NAME` of number inputs, `files.NAME.size_mib` and
`files.NAME.count`. The text is parsed by Python's own parser and walked here; nothing is ever evaluated by Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.application.definition import Application

Number: TypeAlias = int | float
Names: TypeAlias = Mapping[str, Number]

MAX_LENGTH = 500
_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {"min": min, "max": max, "ceil": math.ceil, "floor": math.floor}


class BadExpression(ValueError):
    """It can't be understood, or has no value for these inputs; the text says why."""


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    _tree: ast.expr

    @property
    def names(self) -> tuple[str, ...]:
        """What it reads: `inputs.x`, `files.x.size_mib`."""
        return tuple(dict.fromkeys(_names(self._tree)))

    def value(self, names: Names) -> int:
        """Its value rounded up. BadExpression: a division by zero, or no finite number."""
        try:
            return math.ceil(_value(self._tree, names))
        except ZeroDivisionError:
            raise BadExpression("division by zero") from None
        except (OverflowError, ValueError):
            raise BadExpression("not a finite number") from None


def parse_expression(text: str) -> Expression:
    """An expression that holds only what the module's docstring lists. BadExpression: it doesn't."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        _refuse(tree)
    except (SyntaxError, RecursionError, MemoryError):
        raise BadExpression(f"'{text}' is not an expression") from None
    return Expression(text, tree)


def known_names(application: Application) -> frozenset[str]:
    """What an expression of this application may read."""
    numbers = {f"inputs.{i.name}" for i in application.inputs if i.type in ("integer", "number")}
    files = {f"files.{i.name}.{what}" for i in application.inputs if i.file for what in ("size_mib", "count")}
    return frozenset(numbers | files)


def _refuse(node: ast.expr) -> None:
    """BadExpression unless every part is on the list."""
    match node:
        case ast.Constant(value=bool()):
            raise BadExpression("truth values are not numbers")
        case ast.Constant(value=int() | float()):
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _refuse(left)
            _refuse(right)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _refuse(operand)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS and args:
            if name in ("ceil", "floor") and len(args) != 1:
                raise BadExpression(f"{name} takes one number")
            if name in ("min", "max") and len(args) < 2:
                raise BadExpression(f"{name} takes two numbers or more")
            for argument in args:
                _refuse(argument)
        case ast.Attribute() if _dotted(node):
            return
        case _:
            raise BadExpression(
                f"'{ast.unparse(node)}' can't be used; numbers, + - * / // %, min, max, ceil, floor can"
            )


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="inputs"), attr=name):
            return f"inputs.{name}"
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="files"), attr=name), attr=what):
            return f"files.{name}.{what}"
    return ""


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [_dotted(node)]
    return [name for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for name in _names(child)]


def _value(node: ast.expr, names: Names) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(op=op, operand=operand):
            return -_value(operand, names) if isinstance(op, ast.USub) else _value(operand, names)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(_value(argument, names) for argument in args))
    return names[_dotted(node)]
