"""What a node tells of the files that a program left, read as it comes, and which of them are wanted.

The list is a row of records, each ended by a zero byte, since any other byte may stand in a file's name:

    Rroot              the work directory's own path, without links
    lMODE SIZE path    a link, with what it leads to; MODE is `-` if that is nothing
    ttarget            where the link before leads, as a whole path without links
    upath              a file that can't be read
    sSIZE name         stdout or stderr
    iSIZE name         the same, so short that its bytes follow the list, in the order of these records
    fMODE SIZE path    anything else that is no folder
    E                  the end: without it the list is not whole

Modes are in hexadecimal, paths below the work directory, be it with `./` before them. All links come before the
first file, so that nothing needs to be kept of the files but those that are wanted.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.collecting import (
    MIB,
    STREAMS,
    Limits,
    OutputRule,
    Refused,
    check_size,
    fits,
    is_collected,
    parts_of,
    unreadable,
    words_of,
)
from isthmus.errors import InvalidInput
from isthmus.store.remote import RemoteOutput

MAX_LIST_BYTES = 64 * MIB
MAX_FOLLOWING_BYTES = 64 * 1024
MAX_WANTED = 20_000
MAX_LINKS, MAX_UNREADABLE = 1_000, 20_000
MAX_BEHIND_LINKS = 200_000  # files that are looked at once more, by the way through a link
_MAX_RECORD = 16_384
_DIGITS = re.compile(r"[0-9]{1,16}")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/+=,@:-")


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    mode: int | None
    size: int


class NodeList:
    """Takes the list piece by piece. `refusal` says, for good, why its files can't be collected; empty: they can."""

    def __init__(self, rules: tuple[OutputRule, ...], limits: Limits) -> None:
        self._limits = limits
        self._rules = rules
        self._patterns: tuple[tuple[OutputRule, tuple[str, ...]], ...] = ()
        self._rest = b""
        self._root = ""
        self._link: _Entry | None = None
        self._links = 0
        self._behind_links = 0
        self._folders: dict[str, list[str]] = {}  # folder: the links to it that may lead to outputs
        self._unreadable: set[str] = set()
        self._outputs: list[RemoteOutput] = []
        self._streams: list[RemoteOutput] = []
        self._is_whole = False
        self._following: list[RemoteOutput] = []
        self._behind = b""
        self.refusal = ""
        try:
            self._patterns = tuple((rule, parts_of(rule)) for rule in rules)
        except Refused as refused:
            self.refusal = str(refused)

    def feed(self, piece: bytes) -> None:
        """These bytes follow those before. InvalidInput: that is no such list."""
        *records, self._rest = [piece] if self._is_whole else (self._rest + piece).split(b"\0")
        for number, record in enumerate(records):
            self._take(record.decode("utf-8", "surrogateescape"))
            if self._is_whole:
                self._rest = b"\0".join([*records[number + 1 :], self._rest])
                break
        if self._is_whole:
            self._behind, self._rest = self._behind + self._rest, b""
        if len(self._rest) > _MAX_RECORD or len(self._behind) > MAX_FOLLOWING_BYTES:
            raise _bad("a record is too long, or too much follows it")

    def following(self) -> Iterator[tuple[RemoteOutput, bytes]]:
        """The streams whose bytes are here: those that followed, and empty ones. InvalidInput: others did."""
        if len(self._behind) != sum(one.size for one in self._following):
            raise _bad("what follows it is not what it says")
        at = 0
        for one in self._following:
            yield one, self._behind[at : at + one.size]
            at += one.size

    def wanted(self) -> list[RemoteOutput]:
        """The files to send, the streams last; none if there is a refusal. InvalidInput: the list has no end."""
        if not self._is_whole:
            raise _bad("it ends too early")
        try:
            check_size(sum(one.size for one in self._outputs), self._limits.max_output_mib)
        except Refused as refused:
            self.refusal = self.refusal or str(refused)
        return [] if self.refusal else self._outputs + self._streams

    def _take(self, record: str) -> None:
        kind, words = record[:1], record[1:]
        if self.refusal and kind != "E":
            return
        try:
            if (kind == "t") != (self._link is not None):
                raise ValueError(kind)
            _TAKE[kind](self, words)
        except Refused as refused:
            self.refusal = self.refusal or str(refused)
        except (KeyError, ValueError) as fault:
            raise _bad(f"{record[:80]!r} is no record of one") from fault

    def _take_root(self, words: str) -> None:
        self._root = words

    def _take_link(self, words: str) -> None:
        self._link = _entry(words)

    def _take_target(self, words: str) -> None:
        entry, self._link = self._link, None
        assert entry is not None  # noqa: S101  (`_take` has seen to it)
        is_inside = words == self._root or words.startswith(self._root + "/")
        if is_inside and entry.mode is not None and stat.S_ISDIR(entry.mode):
            self._keep_folder(entry.path, words.removeprefix(self._root).lstrip("/"))
        self._look_at(entry, entry.path, is_inside=is_inside)

    def _keep_folder(self, link: str, folder: str) -> None:
        depth = link.count("/") + 1
        if any("**" in pattern or len(pattern) > depth for _, pattern in self._patterns):
            self._links += 1
            if self._links > MAX_LINKS:
                raise Refused(f"its outputs may lie behind more than {MAX_LINKS} links to folders")
            self._folders.setdefault(folder, []).append(link)

    def _take_unreadable(self, words: str) -> None:
        if len(self._unreadable) == MAX_UNREADABLE:
            raise Refused(f"the work directory holds more than {MAX_UNREADABLE} files that can't be read")
        self._unreadable.add(words.removeprefix("./"))

    def _take_stream(self, words: str) -> None:
        size, _, name = words.partition(" ")
        if name not in STREAMS or any(one.name == name for one in self._streams):
            raise ValueError(name)
        self._streams.append(RemoteOutput(_key(name), name, name, None, _size(size), "text/plain"))
        if self._streams[-1].size == 0:
            self._following.append(self._streams[-1])

    def _take_following(self, words: str) -> None:
        self._take_stream(words)
        if self._streams[-1].size:
            self._following.append(self._streams[-1])

    def _take_file(self, words: str) -> None:
        entry = _entry(words)
        self._look_at(entry, entry.path)
        for folder in _folders_above(entry.path) if self._folders else ():
            for link in self._folders.get(folder, ()):
                self._behind_links += 1
                if self._behind_links > MAX_BEHIND_LINKS:
                    raise Refused(f"more than {MAX_BEHIND_LINKS} files lie behind links to folders")
                below = entry.path[len(folder) :].lstrip("/")
                self._look_at(entry, f"{link}/{below}", link.count("/"))

    def _take_end(self, words: str) -> None:
        self._is_whole = True

    def _look_at(self, entry: _Entry, path: str, link: int = -1, *, is_inside: bool = True) -> None:
        parts = path.split("/")
        for rule, pattern in self._patterns:
            if fits(pattern, parts, link) and is_collected(rule, path, entry.mode, is_inside=is_inside):
                if entry.path in self._unreadable:
                    raise unreadable(words_of(rule, path))
                if len(self._outputs) == MAX_WANTED:
                    raise Refused(f"more than {MAX_WANTED} files are its outputs: let the program pack them")
                self._outputs.append(
                    RemoteOutput(_key(f"work/{path}"), rule.name, path, None, entry.size, rule.media_type)
                )


_TAKE = {
    "R": NodeList._take_root,
    "l": NodeList._take_link,
    "t": NodeList._take_target,
    "u": NodeList._take_unreadable,
    "s": NodeList._take_stream,
    "i": NodeList._take_following,
    "f": NodeList._take_file,
    "E": NodeList._take_end,
}


def asked_for(wanted: list[RemoteOutput], limits: Limits) -> Iterator[str]:
    """A line for each file, as the node reads it: its key, how much to keep of both its ends (0: all), where it is."""
    told = set()
    for one in wanted:
        if one.key not in told:
            told.add(one.key)
            is_log = one.name in STREAMS
            kept = log_half(limits) if is_log and one.size > 2 * log_half(limits) else 0
            yield f"{one.key} {kept} {escaped(one.path if is_log else f'work/{one.path}')}\n"


def log_half(limits: Limits) -> int:
    """How many bytes of each end are kept of a log that is too long."""
    return limits.max_log_mib * MIB // 2


def escaped(path: str) -> str:
    """The path in letters that a shell's `printf %b` turns back into its bytes."""
    return "".join(
        chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in path.encode("utf-8", "surrogateescape")
    )


def _entry(words: str) -> _Entry:
    mode, size, path = words.split(" ", 2)
    path = path.removeprefix("./")
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(path)
    return _Entry(path, None if mode == "-" else _mode(mode), _size(size))


def _mode(words: str) -> int:
    mode = int(words, 16)
    if not 0 <= mode < 2**16:
        raise ValueError(words)
    return mode


def _size(words: str) -> int:
    if not _DIGITS.fullmatch(words) or int(words) >= 2**50:
        raise ValueError(words)
    return int(words)


def _folders_above(path: str) -> Iterator[str]:
    """The folders that the path lies in, the work directory ("") last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _key(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def _bad(words: str) -> InvalidInput:
    return InvalidInput(f"this is no list of a node's files: {words}")
