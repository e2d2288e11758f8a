"""`python -m isthmus.cluster.supervisor ROOT SETTINGS`: exits 0 as soon as a supervisor serves ROOT, which goes on.

SETTINGS is the JSON of `LocalSettings`. Exit code 0 also where another supervisor holds the root's lock; 78 where the
settings can't be met, in words on standard error.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from pathlib import Path

from isthmus.cluster.attempts import sync
from isthmus.cluster.supervisor.accounting import Accounting, rotate, started_in_other_boots
from isthmus.cluster.supervisor.cgroup import find_memory_groups
from isthmus.cluster.supervisor.engine import Engine
from isthmus.cluster.supervisor.launch import Launcher
from isthmus.cluster.supervisor.sandbox import NoIsolation, choose_sandbox
from isthmus.cluster.supervisor.server import Server
from isthmus.cluster.supervisor.settings import LocalSettings, capacity_of
from isthmus.cluster.supervisor.shell import choose_shell
from isthmus.cluster.supervisor.slots import Slots

_DONE_KEPT_S = 30 * 86_400.0


def main() -> int:
    root, settings = Path(sys.argv[1]), LocalSettings.from_json(sys.argv[2])
    os.umask(0o077)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for name in ("attempts", "done"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for directory in (root, root / "attempts"):
        directory.chmod(0o711)  # programs of another user id must pass through, and can list nothing
    lock = os.open(root / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    try:
        launcher = _launcher(root, settings)
    except NoIsolation as fault:
        print(f"isolation does not work: {fault}", file=sys.stderr)
        return 78
    started, ready = os.pipe()
    if os.fork():  # the child keeps the lock; nobody has to wait for it ever
        os.close(ready)
        os.read(started, 1)  # ends when the child serves, or is gone
        return 0
    os.close(started)
    os.setsid()
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    asyncio.run(_serve(root, settings, launcher, ready))
    return 0


def _launcher(root: Path, settings: LocalSettings) -> Launcher:
    boot_id_path = Path(settings.boot_id_path)
    boot_id = boot_id_path.read_text(encoding="ascii").strip()
    groups = find_memory_groups(root)
    shell = choose_shell(root, boot_id_path)
    return Launcher(root, boot_id_path, boot_id, choose_sandbox(settings, root), groups, shell)


async def _serve(root: Path, settings: LocalSettings, launcher: Launcher, ready: int) -> None:
    record = root / "accounting"
    started_before = started_in_other_boots(record, launcher.boot_id)
    rotate(record)
    _sweep(root / "done")
    accounting = Accounting(record, launcher.boot_id)
    engine = Engine(
        root=root,
        incarnation=_next_incarnation(root),
        launcher=launcher,
        slots=Slots(capacity_of(settings)),
        accounting=accounting,
        started_before=started_before,
        grace_s=settings.grace_s,
    )
    engine.recover()
    server = Server(engine, settings.idle_s)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stopping.set)
    await server.serve(root, ready)
    accounting.close()
    if engine.is_idle and launcher.groups:
        launcher.groups.remove_all()


def _sweep(done: Path) -> None:
    """Attempts that have been over for long are forgotten: no controller sleeps that long and wakes again."""
    before = time.time() - _DONE_KEPT_S
    for entry in os.scandir(done):
        if entry.stat(follow_symlinks=False).st_mtime < before:
            os.unlink(entry.path)  # noqa: PTH108 (there may be a hundred thousand)


def _next_incarnation(root: Path) -> int:
    """A number that no supervisor of this root had before, durable before it is used."""
    file, new = root / "incarnation", root / ".incarnation"
    number = (int(file.read_text()) if file.exists() else 0) + 1
    with new.open("w", encoding="ascii") as text:
        text.write(f"{number}\n")
        text.flush()
        os.fsync(text.fileno())
    new.replace(file)
    sync(root)
    return number


if __name__ == "__main__":
    sys.exit(main())
