"""Running the web process: health, readiness, figures, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from isthmus.api import health
from isthmus.api.responses.clusters import Health
from isthmus.store import Store
from isthmus.store.users import Role, Scope
from tests.service.api_rig import PASSWORD, Rig, serving, until
from tests.service.test_api_jobs import submitted


def test_a_living_and_ready_gateway_says_so(rig: Rig) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(rig.address + path)
        assert (answer.status_code, Health.model_validate(answer.json()).status) == (200, "ok")


def test_a_gateway_whose_disk_is_full_is_not_ready_and_says_why(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 2**80)
    answer = httpx.get(rig.address + "/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "disk" in answer.json()["reasons"][0]
    assert httpx.get(rig.address + "/healthz").status_code == 200


def test_a_gateway_whose_database_is_gone_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        database = tmp_path / "isthmus.db"
        database.rename(tmp_path / "hidden.db")
        database.mkdir()
        rig.store._database.close()
        answer = httpx.get(rig.address + "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        assert "database" in answer.json()["reasons"][0]
        database.rmdir()
        (tmp_path / "hidden.db").rename(database)


def test_figures_tell_jobs_and_requests(rig: Rig) -> None:
    ada = rig.person("ada")
    job_id = submitted(ada)
    ada.client.get(f"/jobs/{job_id}")
    text = httpx.get(rig.address + "/metrics").text
    assert 'isthmus_jobs{state="ACCEPTED"} 1.0' in text
    assert 'method="POST",route="/jobs",status="201"' in text
    assert 'route="/jobs/{job_id}"' in text
    assert job_id not in text


def test_figures_are_for_this_machine_and_for_administrators(rig: Rig) -> None:
    def status(headers: dict[str, str]) -> int:
        return httpx.get(rig.address + "/metrics", headers=headers).status_code

    assert status({"X-Forwarded-For": "192.0.2.1"}) == 401
    user = {"Authorization": f"Bearer {rig.person('ada').token}"}
    administrator = {"Authorization": f"Bearer {rig.person('root', Role.ADMIN).token}"}
    assert (status(user), status(administrator)) == (200, 200)
    proxied = {"X-Forwarded-For": "192.0.2.1"}
    assert (status(user | proxied), status(administrator | proxied)) == (403, 200)
    assert status({"Authorization": "Bearer nonsense"}) == 401


def test_a_route_or_method_that_is_not_there_is_a_problem_document(rig: Rig) -> None:
    ada = rig.person("ada")
    for answer, status in ((ada.client.get("/nowhere"), 404), (ada.client.put("/me"), 405)):
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
    assert ada.client.put("/me").headers["allow"] == "GET, PATCH"


def test_the_process_serves_a_handed_over_socket_and_ends_at_sigterm_with_open_streams(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'isthmus.db'}") as store:
        user = store.create_user("ada", PASSWORD, Role.USER)
        token = store.create_token(user.id, "test", Scope, None).text
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "isthmus.api", str(tmp_path), "--fd", str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=os.environ | _path())
    try:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"{address}/api/v1/events", headers=headers, timeout=30) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": the stream is open"
            process.send_signal(signal.SIGTERM)
            assert [line for line in lines if line] in ([], [":"])
        until(lambda: process.poll() is not None, "the process ends", 10)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def _path() -> dict[str, str]:
    import isthmus.api

    return {"PYTHONPATH": str(Path(isthmus.api.__file__).parents[2])}
