"""Where users' requests enter, as a process that can be killed: here straight into the store, without HTTP.

python front.py HOME        reads one JSON request a line, answers one JSON line each, once it is durable
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.rig import CLUSTER, Child, FrontGone, NotNow, Rig
from tests.crash.witness import Kind

if TYPE_CHECKING:  # the process of main imports it from wherever the rig says; ours must not
    from isthmus.application import Application
    from isthmus.store import NewJob, Store


@dataclass(frozen=True, slots=True)
class StoreFront:
    """Requests go to a process of `main` below."""

    child: Child
    letters: Callable[[str], str | None]

    @property
    def pid(self) -> int:
        return self.child.popen.pid

    def submit(self, name: str, kind: Kind, seconds: float, *, restartable: bool) -> str:
        """The job's id. FrontGone: no answer came, and the job may or may not be there."""
        asked = {"submit": name, "kind": kind.value, "seconds": seconds, "restartable": restartable}
        return self._ask({**asked, "notices": self.letters(name)})

    def cancel(self, job_id: str) -> None:
        """The wish is stored. FrontGone: it may or may not be."""
        self._ask({"cancel": job_id})

    def close(self) -> None:
        """The process is gone, and its pipes with it."""
        self.child.kill()
        for pipe in (self.child.popen.stdin, self.child.popen.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, request: dict[str, str | float | bool | None]) -> str:
        stdin, stdout = self.child.popen.stdin, self.child.popen.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            answer = stdout.readline()
        except OSError as fault:
            raise FrontGone from fault
        if not answer.endswith(b"\n"):
            self.child.popen.wait()
            if self.child.popen.returncode != -signal.SIGKILL:
                raise AssertionError(f"the front ended by itself: {self.child.log.read_text()}")
            raise FrontGone
        job_id = json.loads(answer)
        if job_id is None:
            raise NotNow
        return str(job_id)


def store_front(rig: Rig, failpoints: str = "") -> StoreFront:
    """A new front process of this rig."""
    return StoreFront(rig.start("front", [str(Path(__file__)), str(rig.home)], failpoints, talks=True), rig.letters)


def main(home: Path) -> None:
    """Answers until its input ends."""
    from isthmus.config import read_configuration
    from isthmus.errors import StorageFault
    from isthmus.store import Store, Viewer

    with Store.open(read_configuration(home).database_url) as store:
        definitions = [remembered(store, home, name) for name in ("ledger", "ledger-again")]
        store.ensure_administrator()
        viewer = Viewer(store.user("admin").id, is_admin=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                if "cancel" in request:
                    store.request_cancel(viewer, [request["cancel"]], time.time())
                    answer = request["cancel"]
                else:
                    new = new_job(definitions[request["restartable"]], request)
                    body = hashlib.sha256(line.encode()).hexdigest()
                    answer = store.accept(viewer, new, key=new.name, body_sha256=body).job_id
            except StorageFault:
                answer = None
            print(json.dumps(answer), flush=True)


def remembered(store: Store, home: Path, name: str) -> Application:
    """The application of the home's file, which jobs may name from now on."""
    from isthmus.application import read_application

    definition = read_application((home / "applications" / f"{name}.yaml").read_text(), name)
    store.remember_definition(definition.digest, name, definition.version, definition.to_json())
    return definition


def new_job(definition: Application, request: dict[str, Any]) -> NewJob:
    """What the request asks for."""
    from isthmus.job import Resources
    from isthmus.store import NewJob

    return NewJob(
        cluster=CLUSTER,
        application=definition.name,
        version=definition.version,
        digest=definition.digest,
        name=request["submit"],
        resources=Resources(walltime_s=600),
        inputs={"kind": request["kind"], "seconds": request["seconds"]},
        restartable=definition.restartable,
        notices=request["notices"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
