"""Script templates: POSIX sh with `{{ values }}`, every one of them quoted whether its author thought of it or not.

Jinja2's `finalize` quotes what is inserted; the template's tree may hold only what keeps that true (no macros, no
block filters, no calls); and `ShellScanner` refuses places where a quoted word would not be one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import TypeAlias

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment

from isthmus.application.encoding import Json
from isthmus.application.quoting import quote
from isthmus.application.shell_text import ShellScanner
from isthmus.application.words import BadWord, Placeholder, Scope, as_words, look_up

Check: TypeAlias = Callable[[Placeholder, bool], str]
"""Why a placeholder can't be used, or nothing; the flag says that it stands alone as the test of an `if`."""

LineFault: TypeAlias = tuple[int, str]

_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Getattr, nodes.Const),
    *(nodes.Filter, nodes.Test, nodes.Not, nodes.And, nodes.Or, nodes.Compare, nodes.Operand, nodes.CondExpr),
)
_TRUTH = (nodes.Name, nodes.Getattr, nodes.Not, nodes.And, nodes.Or)  # what hands the question on to its parts


class _Quoted(str):
    """Shell text made by `shell_words`, not to be quoted again."""

    __slots__ = ()


def shell_words(value: Json) -> str:
    """The value as quoted shell words: one, or one for each item of a list. Text from here is left as it is."""
    if isinstance(value, _Quoted):
        return value
    return _Quoted(" ".join(quote(word) for word in as_words(value)))


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        undefined=StrictUndefined,
        finalize=shell_words,
        keep_trailing_newline=True,
        comment_start_string="{%#",  # Jinja's own {# would swallow the shell's ${#name}
        comment_end_string="#%}",
    )
    environment.filters = {"sh": shell_words}
    environment.tests = {"none": lambda value: value is None}
    environment.globals = {}
    return environment


_ENVIRONMENT = _environment()


@lru_cache(maxsize=256)
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


def render_script(text: str, scope: Scope) -> str:
    """The shell text with every value in it quoted. BadWord: a value is missing."""
    for placeholder in script_placeholders(text):
        if placeholder.source:
            look_up(scope, placeholder)
    names = {source: SimpleNamespace(**values) for source, values in scope.items() if source}
    try:
        return _template(text).render(**names, **scope[""])
    except TemplateError as error:
        raise BadWord(str(error)) from error


def script_faults(text: str, check: Check) -> list[LineFault]:
    """What is wrong with the template: its lines, counted from 1, and why."""
    try:
        tree = _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        return [(error.lineno, error.message or "not a template")]
    faults = list(_tree_faults(tree, check, frozenset()))
    _scan(tree, lambda line, message: faults.append((line, message)))
    return faults


@lru_cache(maxsize=256)
def script_placeholders(text: str) -> tuple[Placeholder, ...]:
    """The placeholders of a template without faults."""
    seen: list[Placeholder] = []

    def note(placeholder: Placeholder, _: bool) -> str:
        seen.append(placeholder)
        return ""

    list(_tree_faults(_ENVIRONMENT.parse(text), note, frozenset()))
    return tuple(seen)


def _tree_faults(node: nodes.Node, check: Check, local: frozenset[str], tested: bool = False) -> Iterator[LineFault]:
    if not isinstance(node, _ALLOWED):
        yield node.lineno, f"{type(node).__name__.lower()} can't be used in a script; if, for, and plain values can"
        return
    if isinstance(node, nodes.Filter) and node.name != "sh":
        yield node.lineno, f"no filter '{node.name}'; there is only 'sh'"
    if isinstance(node, nodes.Test) and node.name != "none":
        yield node.lineno, f"no test '{node.name}'; there is only 'none'"
    placeholder = _placeholder(node)
    if placeholder is not None:
        if str(placeholder) not in local and (fault := check(placeholder, tested)):
            yield node.lineno, fault
        return
    if isinstance(node, nodes.For):
        yield from _loop_faults(node, check, local)
        return
    for child in node.iter_child_nodes():
        is_test = child is node.test if isinstance(node, nodes.If | nodes.CondExpr) else tested
        yield from _tree_faults(child, check, local, is_test and isinstance(child, _TRUTH))


def _placeholder(node: nodes.Node) -> Placeholder | None:
    if isinstance(node, nodes.Name):
        return Placeholder("", node.name)
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return Placeholder(node.node.name, node.attr)
    return None


def _loop_faults(loop: nodes.For, check: Check, local: frozenset[str]) -> Iterator[LineFault]:
    if not isinstance(loop.target, nodes.Name) or loop.recursive or loop.test:
        yield loop.lineno, "a loop is written {% for item in inputs.name %}"
        return
    yield from _tree_faults(loop.iter, check, local)
    for child in (*loop.body, *loop.else_):
        yield from _tree_faults(child, check, local | {loop.target.name})


def _scan(tree: nodes.Template, report: Callable[[int, str], None]) -> None:
    scanner = ShellScanner(report)
    _scan_all(tree.body, scanner)
    scanner.end()


def _scan_all(body: list[nodes.Node], scanner: ShellScanner) -> None:
    for node in body:
        if isinstance(node, nodes.Output):
            _scan_output(node, scanner)
        elif isinstance(node, nodes.If | nodes.For):
            opened = scanner.tag(node.lineno)
            elifs = [branch.body for branch in node.elif_] if isinstance(node, nodes.If) else []
            for branch in (node.body, *elifs, node.else_):
                _scan_all(branch, scanner)
                scanner.same(opened, node.lineno)


def _scan_output(output: nodes.Output, scanner: ShellScanner) -> None:
    """Neighbouring pieces of text are one: a template comment between them leaves nothing behind."""
    text, line = "", output.lineno
    for part in output.nodes:
        if isinstance(part, nodes.TemplateData):
            text, line = text + part.data, line if text else part.lineno
            continue
        scanner.text(text, line)
        text = ""
        scanner.word(part.lineno)
    scanner.text(text, line)
