"""Whether a quoted word may stand at a place in a POSIX shell text.

A word between single quotes is safe only where the shell expects a word: between double quotes, in a comment, in a
here-document, after `$` or a backslash, its own quotes mean something else and its bytes could be run as commands. So
the scanner follows the quoting of the author's text and says where a word may not stand. What it can't follow with
certainty (back quotes, here-documents, nested `${…}`) it refuses, naming the plain form to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_BRACES = re.compile(r"\$\{[\w#@*?:=+.,/%!~^ -]*\}", re.ASCII)
_ARITHMETIC = re.compile(r"\$\(\([\w $+*/%<>=!&|^~?:,()-]*?\)\)", re.ASCII)
_EVAL = re.compile(r"(eval|\[\[)(?=\s|$)")
_DUPLICATE = re.compile(r"[<>]&(?:\d+|-)(?=[\s;&|)<>]|\Z)")
_CASE = re.compile(r"case(?=\s|$)")
_UNSURE = "\0"  # what stands before is not known: a placeholder that may be empty, or the end of a choice
_HALF = frozenset("<>([&")
_BEFORE_WORDS = frozenset(" \t\n;&|()<>" + _UNSURE)

_CONTEXT = {"'": "between single quotes", '"': "between double quotes", "#": "in a comment"}


class ShellScanner:
    """Follows a shell text piece by piece; each thing wrong goes to `report(line, message)`."""

    def __init__(self, report: Callable[[int, str], None]) -> None:
        self._report = report
        self._open: list[tuple[str, int]] = []  # what is open, and since which line: ' " # ( or $(
        self._before = "\n"
        self._pending = ""  # a backslash or dollar that would change the meaning of what follows
        self._line = 1

    def text(self, text: str, line: int) -> None:
        """The author's own text comes next, from that line on."""
        self._line = line
        at = 0
        while at < len(text):
            step = self._step(text, at)
            self._line += text.count("\n", at, step)
            at = step

    def word(self, line: int) -> None:
        """A quoted word comes next."""
        self._boundary(line, "a value")
        self._before = _UNSURE

    def tag(self, line: int) -> tuple[str, ...]:
        """A `{% %}` comes next; returns what is open, for `same`."""
        self._boundary(line, "a {% %}")
        if self._before in _HALF:
            self._report(line, f"a {{% %}} can't stand right after '{self._before}', which may be half a sign")
        self._before = _UNSURE
        return tuple(kind for kind, _ in self._open)

    def same(self, opened: tuple[str, ...], line: int) -> None:
        """What is open here must be what was open at the earlier tag, whichever branch was taken."""
        if self.tag(line) != opened:
            self._report(line, "a parenthesis or quote opened inside a choice or loop must be closed in it")
            self._open = [(kind, line) for kind in opened]

    def end(self) -> None:
        for kind, line in self._open:
            if kind != "#":
                self._report(line, f"{kind} is opened here and never closed")

    @property
    def _state(self) -> str:
        return self._open[-1][0] if self._open else "("

    def _boundary(self, line: int, what: str) -> None:
        if self._state in _CONTEXT:
            self._report(line, f"{what} can't stand {_CONTEXT[self._state]}: each is quoted by itself")
        if self._pending:
            self._report(line, f"{what} can't stand right after '{self._pending}'")
        self._pending = ""

    def _step(self, text: str, at: int) -> int:
        """Past the next thing in the text."""
        state, char = self._state, text[at]
        if state in "'#":
            return self._until(text, at, "\n" if state == "#" else "'")
        self._pending = ""
        if char == "\\":
            return self._escape(text, at)
        if char == "`":
            self._report(self._line, "back quotes: write $(…) instead")
            return at + 1
        if char == "$":
            return self._dollar(text, at)
        if state == '"':
            return self._until(text, at, '"', stop='"\\`$')
        return self._plain(text, at)

    def _until(self, text: str, at: int, closing: str, stop: str = "") -> int:
        """Past the closing character, which closes what is open, or up to one of `stop`."""
        for end in range(at, len(text)):
            if text[end] == closing:
                self._open.pop()
                self._before = "\n" if closing == "\n" else "x"
                return end + 1
            if text[end] in stop:
                return end
        return len(text)

    def _escape(self, text: str, at: int) -> int:
        if at + 1 == len(text):
            self._pending = "\\"
        elif text[at + 1] != "\n":
            self._before = "x"
        elif at and not text[at - 1].isspace() and (text[at - 1] == "$" or self._state != '"'):
            self._report(self._line, "put a space before the \\ that continues the line")
        return at + 2

    def _dollar(self, text: str, at: int) -> int:
        self._before = "x"
        for opening, simple in (("${", _BRACES), ("$((", _ARITHMETIC)):
            if text.startswith(opening, at):
                if found := simple.match(text, at):
                    return found.end()
                self._report(self._line, f"{opening}…: too intricate to judge; use plain variables in it, no value")
                return at + len(opening)
        if text.startswith("$(", at):
            return self._opened("$(", at + 2)
        if text[at + 1 : at + 2] in ("'", '"') and self._state != '"':
            self._report(self._line, f"${text[at + 1]} is not POSIX sh")
        if at + 1 == len(text):
            self._pending = "$"
        return at + 1

    def _opened(self, kind: str, after: int) -> int:
        self._open.append((kind, self._line))
        self._before = "("
        return after

    def _plain(self, text: str, at: int) -> int:
        char = text[at]
        if char in "'\"":
            return self._opened(char, at + 1)
        if char == "#" and self._before in _BEFORE_WORDS:
            if self._before == _UNSURE:
                self._report(self._line, "put a space before this #")
            return self._opened("#", at + 1)
        if text.startswith("<<", at):
            self._report(self._line, "a here-document: use printf '%s\\n' … > file, where values are quoted words")
            return at + 2
        if text.startswith((">&", "<&"), at):
            return self._duplicate(text, at)
        if text.startswith("((", at):
            self._report(self._line, "(( is not POSIX sh; put a space between nested parentheses")
        if char == "(":
            return self._opened("(", at + 1)
        if self._before in _BEFORE_WORDS:
            self._refuse_words(text, at)
        ends_word_part = char == ")" and bool(self._open) and self._open.pop()[0] == "$("
        self._before = "x" if ends_word_part else char  # after $(…) the same word goes on: a # there is no comment
        return at + 1

    def _duplicate(self, text: str, at: int) -> int:
        """Past `>&2` and its like; bash expands any other word after `>&` twice, quotes gone (seen with 5.2)."""
        found = _DUPLICATE.match(text, at)
        if found is None:
            self._report(self._line, f"{text[at : at + 2]} takes a number or - here; write > file 2>&1")
            return at + 2
        self._before = "x"
        self._pending = found[0] if found.end() == len(text) else ""
        return found.end()

    def _refuse_words(self, text: str, at: int) -> None:
        if found := _EVAL.match(text, at):
            self._report(self._line, f"{found[1]} reads its words a second time, past their quotes")
        if _CASE.match(text, at) and any(kind == "$(" for kind, _ in self._open):
            self._report(self._line, "case inside $(…): too intricate to judge")
