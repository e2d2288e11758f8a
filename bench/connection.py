"""HTTP with as little of its own as possible: the client's work counts against the two sides of a small machine."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

API = "/api/v1"


class Refused(RuntimeError):
    """The gateway answered with an error; the message holds its words."""


class Connection:
    """One kept-alive connection of one signed-in client."""

    def __init__(self, port: int, token: str, timeout_s: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self._headers = {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def get(self, path: str) -> bytes:
        """The answer's body. Refused: it was an error."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: bytes, key: str) -> bytes:
        """The answer's body, to JSON sent with this idempotency key. Refused: it was an error."""
        return self._ask("POST", path, body, {"Content-Type": "application/json", "Idempotency-Key": key})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        self._connection.request(method, API + path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {content.decode(errors='replace')[:500]}")
        return content


def submission(application: str, name: str, **inputs: float | str) -> bytes:
    """A body for POST /jobs."""
    return json.dumps({"application": application, "name": name, "inputs": inputs}).encode()


class EventReader(threading.Thread):
    """Hands every job event of the token's user to `seen`, with the time it was read (epoch seconds), until closed."""

    def __init__(self, port: int, token: str, seen: Callable[[Mapping[str, object], float], None]) -> None:
        super().__init__(name="event-reader", daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.request("GET", f"{API}/events", headers={"Authorization": f"Bearer {token}"})
        self._answer = self._connection.getresponse()
        if self._answer.status != http.client.OK:
            raise Refused(f"GET /events: {self._answer.status}")
        self._seen = seen

    def run(self) -> None:
        try:
            while line := self._answer.readline():
                if line.startswith(b"data:"):
                    read_at = time.time()
                    self._seen(json.loads(line[5:]), read_at)
        except (OSError, ValueError, AttributeError):
            return  # http.client says in these ways that the connection was closed under its reader
