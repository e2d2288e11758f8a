"""How a program is kept from everything but its own: bubblewrap, another user id, or not at all.

bubblewrap shows the program the system read-only, its own work directory, its inputs, and nothing else: an allow-list,
so that what nobody thought of stays hidden. Root's bubblewrap makes the mounts as root and then becomes an unprivileged
user (setpriv) inside them; anybody else's uses a user namespace.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.cluster.attempts import SCRIPT_FILE, StagedOrder
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.cluster.supervisor.slots import Allotment, Need
from isthmus.job import Resources

BUBBLEWRAP = "bubblewrap"
UID = "uid"
NONE = "none"

PROGRAM_PATH = "/usr/local/bin:/usr/bin:/bin"
_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM = ("/usr", "/etc", "/opt")


class NoIsolation(Exception):
    """The isolation that the settings ask for does not work on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How programs are started on this machine.

    `hidden` is the gateway's home; `uid_base` is None where programs run as the supervisor's own user.
    """

    isolation: str
    hidden: Path
    readable: tuple[str, ...] = ()
    uid_base: int | None = None

    def uid(self, allotment: Allotment) -> int | None:
        """The user id of the program, None for the supervisor's own."""
        return None if self.uid_base is None else self.uid_base + allotment.place

    def launcher(self, directory: Path, order: StagedOrder, allotment: Allotment) -> list[str]:
        """The argv that starts the attempt's script, in its work directory."""
        uid = self.uid(allotment)
        if self.isolation != BUBBLEWRAP:
            return [*_become(uid), *_script(directory)]
        return [
            _program("bwrap"),
            *_namespaces(order.network, by_root=uid is not None),
            *_system_binds(),
            *self._readable_binds(),
            *_network_binds(order.network),
            *_device_binds(allotment),
            *_own_binds(directory, order),
            *("--chdir", str(directory / "work"), "--"),
            *_become(uid),
            *_script(directory),
        ]

    def environment(self, directory: Path, order: StagedOrder, allotment: Allotment) -> dict[str, str]:
        """The program's whole environment but PATH; what the job adds is in its script, where `ps` can't see it."""
        isolated = self.isolation == BUBBLEWRAP
        work = str(directory / "work")
        return {
            "HOME": work,
            "USER": _user_name() if self.uid_base is None else "job",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "TMPDIR": "/tmp" if isolated else work,  # noqa: S108 (a private tmpfs inside the sandbox)
            "ISTHMUS_JOB_ID": order.job_id,
            "ISTHMUS_TAG": order.tag,
            "OMP_NUM_THREADS": str(order.resources.cpus),
            **({"CUDA_VISIBLE_DEVICES": ",".join(map(str, allotment.gpus))} if allotment.gpus else {}),
        }

    def _readable_binds(self) -> Iterator[str]:
        """The readable paths, with an empty place over the gateway's home but for what is readable below that."""
        paths = [*self.readable, *_python()]
        below = [path for path in paths if Path(path).is_relative_to(self.hidden)]
        beside = [path for path in paths if path not in below]
        for path in beside:
            yield from _bind("--ro-bind-try", path, path)
        if any(self.hidden.is_relative_to(shown) for shown in (*_SYSTEM, *beside)):
            yield from ("--tmpfs", str(self.hidden))
        for path in below:
            yield from _bind("--ro-bind-try", path, path)


def choose_sandbox(settings: LocalSettings, root: Path) -> Sandbox:
    """The strongest isolation that works for attempts below this root, or the one the settings ask for.

    NoIsolation: that one does not work here.
    """
    as_root = os.geteuid() == 0
    wanted = settings.isolation
    uid_base = settings.first_uid if as_root and shutil.which("setpriv") else None
    faults = []
    for isolation in (BUBBLEWRAP, UID, NONE) if wanted == "auto" else (wanted,):
        hidden = root.parent.parent  # <home>/clusters/<name>
        sandbox = Sandbox(isolation, hidden, settings.readable, None if isolation == NONE else uid_base)
        fault = _fault(sandbox, root)
        if fault is None:
            return sandbox
        faults.append(f"{isolation}: {fault}")
    raise NoIsolation("; ".join(faults))


def _fault(sandbox: Sandbox, root: Path) -> str | None:
    """Why this sandbox does not work here, found by starting a program in it; None if it does."""
    match sandbox.isolation:
        case "none":
            return None
        case "uid" if sandbox.uid_base is None:
            return "needs to be started by root, and setpriv"
        case "bubblewrap" if shutil.which("bwrap") is None:
            return "bwrap is not installed"
        case "bubblewrap" if os.geteuid() == 0 and sandbox.uid_base is None:
            return "setpriv is not installed"
    return _trial(sandbox, root)


def _trial(sandbox: Sandbox, root: Path) -> str | None:
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=root / "attempts") as name:
        directory = Path(name)
        (directory / "work").mkdir()
        (directory / SCRIPT_FILE).write_text("exit 0\n")
        order = StagedOrder("trial", "trial", Resources(), network=False, isolation=sandbox.isolation, inputs={})
        allotment = Allotment(Need(1, 0, 0), 0)
        hand_over(directory, sandbox.uid(allotment))
        argv = sandbox.launcher(directory, order, allotment)
        try:
            done = subprocess.run(
                argv,
                cwd=directory / "work",
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
                env={},
                umask=0o022,
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            return str(fault)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def hand_over(directory: Path, uid: int | None) -> None:
    """The work directory is the program's user's, who can search its way there and nobody else can.

    The group of the attempt's directory is the program's own, so that another place's user can't pass through.
    """
    if uid is None:
        return
    os.chown(directory, 0, uid)
    directory.chmod(0o710)
    os.chown(directory / "work", uid, uid)
    (directory / "work").chmod(0o711)  # bwrap goes there as root without root's rights; others stop one level above
    os.chown(directory / SCRIPT_FILE, 0, uid)
    (directory / SCRIPT_FILE).chmod(0o440)


def _become(uid: int | None) -> list[str]:
    if uid is None:
        return []
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
    return [_program("setpriv"), *user, "--"]


def _namespaces(network: bool, *, by_root: bool) -> list[str]:
    shared = [] if network else ["--unshare-net"]
    # Root's caps end with setpriv, which needs these two; a user namespace would give the program root's files.
    rights = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if by_root else ["--unshare-user"]
    common = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    return [*common, *shared, "--die-with-parent", "--new-session", "--cap-drop", "ALL", *rights]


def _system_binds() -> Iterator[str]:
    for path in _SYSTEM:
        yield from ("--ro-bind-try", path, path)
    for path in _SYSTEM_LINKS:
        if os.path.islink(path):  # noqa: PTH114 (kept beside readlink)
            yield from ("--symlink", os.readlink(path), path)  # noqa: PTH115
        else:
            yield from ("--ro-bind-try", path, path)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for shared in ("/tmp", "/dev/shm"):  # noqa: S108 (inside the sandbox)
        yield from ("--perms", "1777", "--tmpfs", shared)


def _python() -> list[str]:
    """The Python that Isthmus runs on, for programs' environments made from it, where the system does not have it."""
    return [] if Path(sys.base_prefix).is_relative_to("/usr") else [sys.base_prefix]


def _network_binds(network: bool) -> Iterator[str]:
    names = Path("/etc/resolv.conf").resolve()  # often a link into /run, which is not shown
    if network and not names.is_relative_to("/etc"):
        yield from _bind("--ro-bind-try", str(names), str(names))


def _device_binds(allotment: Allotment) -> Iterator[str]:
    if allotment.gpus:
        for device in (*sorted(Path("/dev").glob("nvidia*")), Path("/dev/dri"), Path("/dev/kfd")):
            yield from ("--dev-bind-try", str(device), str(device))


def _own_binds(directory: Path, order: StagedOrder) -> Iterator[str]:
    """The attempt's own files, at the paths that they have outside: paths in its script hold with any isolation."""
    if order.isolation == BUBBLEWRAP:
        yield from ("--dir", str(directory / "inputs"))
    else:  # staged when nothing could be isolated: its inputs were copied
        yield from _bind("--ro-bind", str(directory / "inputs"), str(directory / "inputs"))
    yield from _bind("--bind", str(directory / "work"), str(directory / "work"))
    yield from _bind("--ro-bind", str(directory / SCRIPT_FILE), str(directory / SCRIPT_FILE))
    for name, path in order.inputs.items():
        yield from _bind("--ro-bind", path, str(directory / "inputs" / name))


def _bind(option: str, source: str, target: str) -> tuple[str, ...]:
    """The bind, after its parents: bwrap 0.8 makes missing ones 0700 for a bind, but 0755 for a directory."""
    return "--dir", str(Path(target).parent), option, source, target


def _script(directory: Path) -> list[str]:
    return ["/bin/sh", str(directory / SCRIPT_FILE)]


def _program(name: str) -> str:
    return shutil.which(name) or f"/usr/bin/{name}"


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
