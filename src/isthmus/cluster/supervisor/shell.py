"""Which shell runs the wrappers: busybox where it does that right, since it makes links and renames without a program.

Starting `ln`, `sync` and `mv` costs a short job more than everything else that is done for it. busybox has them built
in; but every distribution builds it with other parts, so it is tried before it is trusted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from isthmus.cluster.attempts import Holder, Malformed, claim_of, end_of
from isthmus.cluster.supervisor.sandbox import PROGRAM_PATH
from isthmus.scheduler import WRAPPER

_CODE = 7
_LIMIT_S = 10.0


def choose_shell(root: Path, boot_id_path: Path) -> tuple[str, ...]:
    """The words that start the shell of every wrapper below this root."""
    busybox = shutil.which("busybox")
    if busybox and _runs_the_wrapper((busybox, "sh"), root, boot_id_path):
        return (busybox, "sh")
    return ("/bin/sh",)


def _runs_the_wrapper(shell: tuple[str, ...], root: Path, boot_id_path: Path) -> bool:
    """A program that signals its wrapper and ends with a code of its own was claimed, run, and all of it recorded."""
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=root / "attempts", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        (directory / "work").mkdir()
        argv = [*shell, str(WRAPPER), name, "trial", "0.0", "1", "", str(boot_id_path), "", "", PROGRAM_PATH]
        # The wrapper hands the signal on: a program that does not ignore it may be ended by it before its own exit.
        argv += ["/bin/sh", "-c", f"trap '' USR1; kill -s USR1 $PPID; exit {_CODE}"]
        environment = {"PATH": os.environ["PATH"]}
        quiet = subprocess.DEVNULL
        try:
            done = subprocess.run(
                argv, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_LIMIT_S, check=False
            )
            holder, record = claim_of(directory), end_of(directory, 1)
        except (OSError, subprocess.TimeoutExpired, Malformed):
            return False
    told = record is not None and (record.code, record.signals) == (_CODE, ("USR1",))
    return told and done.returncode == _CODE and isinstance(holder, Holder)
