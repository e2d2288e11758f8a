"""Which of the files that a program left are its outputs, and in which words others are refused.

The same rules hold wherever the files are: in a folder that can be looked into, or told of by a node in a list. Paths
are below the work directory, with `/` between their parts.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

STREAMS = ("stdout", "stderr")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OutputRule:
    """What to collect: files matching `glob` below the work directory."""

    name: str
    glob: str
    media_type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one job may leave behind, and how long each of its logs may be."""

    max_output_mib: int = 10240
    max_log_mib: int = 64


class Refused(Exception):
    """An output that must not or can't be collected; the message is for the user."""


def parts_of(rule: OutputRule) -> tuple[str, ...]:
    """The parts of the rule's glob. Refused: it leads out of the work directory."""
    parts = PurePosixPath(rule.glob).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise Refused(f"output {rule.name}: {rule.glob!r} leads out of the work directory")
    return parts


def fits(pattern: Sequence[str], path: Sequence[str], link: int = -1) -> bool:
    """Whether `Path.glob` would find this file by the pattern's parts.

    `link` is the place in the path of a part that is a link to a folder, which `**` does not go through; -1: none is.
    """
    reached = {0}  # how many parts of the pattern may be used up; `**` may be passed over, but finds no file by itself
    for place, part in enumerate(path):
        for n, word in enumerate(pattern[:-1]):
            if word == "**" and n in reached:
                reached.add(n + 1)
        stay = {n for n in reached if n < len(pattern) and pattern[n] == "**" and place != link}
        step = {n + 1 for n in reached if n < len(pattern) and pattern[n] != "**" and fnmatchcase(part, pattern[n])}
        reached = stay | step
    return len(pattern) in reached


def words_of(rule: OutputRule, path: str) -> str:
    """How a message names the file; what is not UTF-8 in its name is shown as such."""
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f"output {rule.name}: {shown!r}"


def is_collected(rule: OutputRule, path: str, mode: int | None, *, is_inside: bool) -> bool:
    """Whether a file that the rule names is taken; folders and links to nothing (`mode` None) are passed over.

    Refused: it is a link that leaves the work directory (not `is_inside`), no regular file, or its name not UTF-8.
    """
    if not is_inside:
        raise Refused(f"{words_of(rule, path)} is a link that leaves the work directory")
    if mode is None or stat.S_ISDIR(mode):
        return False
    if not stat.S_ISREG(mode):
        raise Refused(f"{words_of(rule, path)} is no regular file")
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = words_of(rule, path).removeprefix(f"output {rule.name}: ")
        raise Refused(f"output {rule.name}: the file name {shown} is not UTF-8") from None
    return True


def unreadable(words: str) -> Refused:
    """The refusal of a file that its program left unreadable."""
    return Refused(f"{words} can't be read, as the program left it")


def check_size(size: int, max_output_mib: int) -> None:
    """Refused: the outputs have more bytes than a job may leave."""
    if size > max_output_mib * MIB:
        raise Refused(f"its outputs have {size / MIB:.0f} MiB; a job may leave {max_output_mib} MiB")


def left_out(count: int) -> str:
    """The line that stands in a log where so many bytes were left out."""
    return f"\n[... {count} bytes left out ...]\n"
