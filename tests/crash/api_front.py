"""Where users' requests enter over HTTP: a real API process, which can be killed with requests on their way."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import httpx

from tests.crash.rig import Child, FrontGone, Late, NotNow, Rig, until
from tests.crash.witness import Kind

_REFUSED_FOR_NOW = frozenset({500, 503, 507})
_ANSWER_S = 20.0


@dataclass(slots=True)
class Address:
    """What every API process of a rig shares: its port, and a token that outlives it."""

    port: int
    token: str


@dataclass(frozen=True, slots=True)
class ApiFront:
    """Requests go to an API process, over one connection."""

    child: Child
    client: httpx.Client
    letters: Callable[[str], str | None]
    cluster: str

    @property
    def pid(self) -> int:
        return self.child.popen.pid

    def submit(self, name: str, kind: Kind, seconds: float, *, restartable: bool) -> str:
        """The job's id. FrontGone: no answer came, and the job may or may not be there."""
        body = {
            "application": "ledger-again" if restartable else "ledger",
            "cluster": self.cluster,
            "name": name,
            "inputs": {"kind": kind.value, "seconds": seconds},
            "notices": self.letters(name),
        }
        return str(self._post("/api/v1/jobs", body, {"Idempotency-Key": name})["id"])

    def cancel(self, job_id: str) -> None:
        """The wish is stored. FrontGone: it may or may not be."""
        self._post(f"/api/v1/jobs/{job_id}/cancel", None, {})

    def close(self) -> None:
        """The process is gone."""
        self.child.kill()
        self.client.close()

    def wait_until_ready(self) -> None:
        """The process answers. FrontGone: it died before it did."""

        def answers() -> bool:
            if self.child.is_gone:
                self._check_it_was_killed()
            try:
                return self.client.get("/healthz").is_success
            except httpx.TransportError:
                return False

        until(answers, "the API answers")

    def _post(self, path: str, body: object, headers: Mapping[str, str]) -> Mapping[str, object]:
        try:
            answer = self.client.post(path, json=body, headers=dict(headers))
        except httpx.TransportError as fault:
            try:
                until(lambda: self.child.is_gone, "a process that breaks a connection is dead", 1)
            except Late:
                raise NotNow from fault  # alive, but not in time: its database was held
            self._check_it_was_killed()
        if answer.status_code in _REFUSED_FOR_NOW:
            raise NotNow
        if not answer.is_success:
            raise AssertionError(f"{path}: {answer.status_code} {answer.text}")
        found: Mapping[str, object] = answer.json()
        return found

    def _check_it_was_killed(self) -> NoReturn:
        if self.child.popen.returncode != -signal.SIGKILL:
            raise AssertionError(f"the API ended by itself: {self.child.log.read_text()}")
        raise FrontGone


def api_front(rig: Rig, failpoints: str = "") -> ApiFront:
    """A new API process of this rig, at the rig's address."""
    if rig.address is None:
        rig.address = Address(free_port(), new_token(rig.database_url))
    child = rig.start("api", ["-m", "isthmus.api", str(rig.home), "--port", str(rig.address.port)], failpoints)
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{rig.address.port}",
        headers={"Authorization": f"Bearer {rig.address.token}"},
        timeout=_ANSWER_S,
    )
    front = ApiFront(child, client, rig.letters, rig.cluster)
    try:
        front.wait_until_ready()
    except FrontGone:
        client.close()
        return api_front(rig)
    return front


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def new_token(database_url: str) -> str:
    """A token of the administrator's, made as an operator would."""
    from isthmus.store import Store
    from isthmus.store.users import Scope

    with Store.open(database_url) as store:
        store.ensure_administrator()
        return store.create_token(store.user("admin").id, "crash", list(Scope), None).text
