"""Puts what an attempt needs into its directory on this machine."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from isthmus.application.quoting import quote
from isthmus.cluster import Order
from isthmus.cluster.attempts import (
    ORDER_FILE,
    OVER,
    SCRIPT_FILE,
    StagedOrder,
    directory_of,
    is_over,
    order_text,
    sync,
)
from isthmus.cluster.supervisor.sandbox import BUBBLEWRAP
from isthmus.errors import NotFound
from isthmus.facts import StagedIn, StagingFailed

_FICLONE = 0x40049409  # <linux/fs.h>: the copy shares its blocks with the original, where the file system can
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class StoredFiles(Protocol):
    """What staging in asks of the file store."""

    def path(self, sha256: str) -> Path:
        """Where the bytes are. NotFound: they are not there."""


def stage_in(root: Path, order: Order, files: StoredFiles, isolation: str) -> StagedIn | StagingFailed:
    """The attempt's directory is there, whole; one that was there already is left as it is.

    It is durable when the caller has synced `attempts/`, once for however many.

    Isolated programs get their inputs bound into the sandbox straight from the file store, others get copies.
    """
    if words := fault_of(order, isolation):
        return StagingFailed(words, permanent=True)
    directory = directory_of(root, order.tag)
    if is_over(root, order.tag):
        return StagingFailed(OVER, permanent=True)
    if (directory / ORDER_FILE).exists():
        return StagedIn()
    new = directory.with_name(f".{order.tag}.{secrets.token_hex(4)}")
    try:
        _build(new, order, files, isolation)
        _rename(new, directory)
    except NotFound:
        return StagingFailed("the file store no longer has an input of this job", permanent=True)
    except OSError as fault:
        if fault.errno in _FULL:
            return StagingFailed("the cluster's disk is full; inputs are copied when there is room", permanent=False)
        return StagingFailed(f"inputs could not be copied: {fault.strerror}", permanent=False)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return StagedIn()


def fault_of(order: Order, isolation: str) -> str | None:
    """What is wrong with the order for good."""
    if order.isolation_required and isolation != BUBBLEWRAP:
        return "this application runs only where jobs are isolated from each other, which this cluster can't do"
    for name, value in order.environment.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            return f"the environment variable {name!r} can't be set"
    for file in order.inputs:
        parts = PurePosixPath(file.name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in file.name:
            return f"the input name {file.name!r} leads out of the inputs directory"
    return None


def _build(new: Path, order: Order, files: StoredFiles, isolation: str) -> None:
    for directory, mode in ((new, 0o700), (new / "work", 0o700), (new / "inputs", 0o755)):
        directory.mkdir()
        directory.chmod(mode)
    bound = {file.name: str(files.path(file.sha256)) for file in order.inputs}
    for name, source in bound.items():
        if isolation != BUBBLEWRAP:
            _copy(Path(source), new / "inputs" / name)
    staged = StagedOrder(
        order.tag, order.job_id, order.resources, order.network, isolation, bound if isolation == BUBBLEWRAP else {}
    )
    _write(new / SCRIPT_FILE, script_text(order))
    _write(new / ORDER_FILE, order_text(staged))
    for folder, _, _ in os.walk(new / "inputs"):
        sync(Path(folder))
    sync(new)


def script_text(order: Order) -> str:
    """What `job.sh` holds: the order's script, after its environment.

    The environment is here, and not in any argv, so that `ps` shows it to nobody. The trap lets the program that runs
    when TERM comes end by itself, and keeps the script from going on with its next line then.
    """
    return "\n".join(["trap 'exit 143' TERM", *_exports(order), order.script]) + "\n"


def _exports(order: Order) -> Iterator[str]:
    for name, value in order.environment.items():
        yield f"export {name}={quote(value)}"


def _write(file: Path, text: str) -> None:
    """The file is durable: an attempt may wait in the queue while the machine restarts."""
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    file.chmod(0o400)


def _copy(source: Path, target: Path) -> None:
    """The target is a durable, read-only copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as original, target.open("xb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            shutil.copyfileobj(original, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())
        os.fchmod(copy.fileno(), 0o444)


def _rename(new: Path, directory: Path) -> None:
    try:
        new.rename(directory)
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else somebody was faster with the same order
            raise
