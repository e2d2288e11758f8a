"""HTTP with as little of its own as possible: the client's work is done on the same small machine as the gateway's."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

API = "/api/v1"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


class Refused(RuntimeError):
    """The gateway answered with an error; the message holds its words."""


class Connection:
    """One kept-alive connection of one signed-in client. It reads answers that say their length, as ours do."""

    def __init__(self, port: int, token: str, timeout_s: float = 60.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def get(self, path: str) -> bytes:
        """The answer's body. Refused: it was an error."""
        return self._ask("GET", path, "", b"")

    def get_raw(self, path: str) -> bytes:
        """The answer's body, of a path outside the API."""
        return self._ask("GET", path, "", b"", below="")

    def post(self, path: str, body: bytes, key: str) -> bytes:
        """The answer's body, to JSON sent with this idempotency key. Refused: it was an error."""
        words = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n"
        return self._ask("POST", path, words, body)

    def _ask(self, method: str, path: str, headers: str, body: bytes, below: str = API) -> bytes:
        head = f"{method} {below}{path} HTTP/1.1\r\n{self._headers}{headers}\r\n"
        self._socket.sendall(head.encode("ascii") + body)
        status, content = self._answer()
        if status >= 400:
            raise Refused(f"{method} {path}: {status} {content.decode(errors='replace')[:500]}")
        return content

    def _answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer, all of it."""
        received = self._receive()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        found = _LENGTH.search(received, 0, end + 2)
        if found is None:
            raise ConnectionError(f"an answer without a length: {received[:end]!r}")
        whole = end + 4 + int(found[1])
        while len(received) < whole:
            received += self._receive()
        return int(received[9:12]), received[end + 4 :]

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the gateway has closed the connection")
        return received


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
