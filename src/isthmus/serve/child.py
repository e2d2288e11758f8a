"""`python -m isthmus.serve.child PARENT MODULE ARGUMENT…` becomes `python -m MODULE ARGUMENT…`, tied to its parent.

The kernel kills it when the parent dies, however that dies, so that a new `isthmus serve` finds port and lock free.
(Linux: prctl(2), PR_SET_PDEATHSIG. It holds over exec, and is not handed on to children: the local engine's supervisor,
and the jobs, go on.) It imports nothing slow: every start of a process goes through here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """This process is the module's, or has ended because the parent is gone already."""
    parent, module, *arguments = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it died before the line above
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606  argv, and no shell


if __name__ == "__main__":
    main()
