"""`isthmus serve`: an empty folder becomes a gateway, and what dies of it is there again."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.client import Client
from isthmus.client.login import HOME_TOKEN, read_login
from isthmus.config import read_configuration
from isthmus.job import JobState
from isthmus.serve.home import address_of, listen, make_home
from tests.service.gateway_process import DEADLINE_S, GatewayProcess, serving, until


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with serving(tmp_path / "gateway") as running:
        yield running


def client_of(gateway: GatewayProcess) -> Client:
    kept = read_login(gateway.home / HOME_TOKEN)
    assert kept is not None
    return Client(kept.url, kept.token)


def test_a_home_is_made_and_the_password_is_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    gateway = GatewayProcess(folder, ("--home", str(folder / "home"), "--port", "0"))
    try:
        gateway.start()
        assert "one-time password" in gateway.said
        token = gateway.home / HOME_TOKEN
        assert token.stat().st_mode & 0o777 == 0o600
        assert (gateway.home / "isthmus.db").stat().st_mode & 0o077 == 0
        first = token.read_text()
        assert gateway.stop() == 0
        gateway.start()
        assert "password" not in gateway.said
        assert json.loads(token.read_text())["token"] == json.loads(first)["token"], "no second token for the same use"
        assert gateway.run("jobs").code == 0
    finally:
        gateway.close()


def test_an_empty_folder_becomes_its_owner_s_alone(tmp_path: Path) -> None:
    home = tmp_path / "deep/home"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = GatewayProcess(tmp_path)
        ended = gateway.run("serve", "--home", str(home), "--port", str(taken.getsockname()[1]))
    assert ended.code == 1
    assert "is in use by another program" in ended.err
    assert "--port" in ended.err
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_broken_isthmus_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/isthmus.toml").write_text("[api]\nprot = 1\n")
    ended = GatewayProcess(tmp_path).run("serve")
    assert ended.code == 1
    assert "isthmus.toml: api.prot" in ended.err


def test_names_in_isthmus_toml_that_no_application_has_are_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/isthmus.toml").write_text('[applications]\nenable = ["counting", "pyton-script"]\n')
    with serving(tmp_path):
        said = (tmp_path / "serve.log").read_text()
    assert "isthmus.toml: applications.enable: there is no application 'pyton-script'; did you mean" in said
    assert "'counting'" not in said


def test_a_new_home_s_cluster_finds_the_programs_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    programs = tmp_path / 'pro "grams'
    make_home(tmp_path / "new", programs)
    (cluster,) = read_configuration(tmp_path / "new").clusters.values()
    assert (cluster.variables, cluster.local.readable) == ({"programs": str(programs)}, (programs,))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "isthmus.toml").touch()
    make_home(tmp_path / "old", programs)
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["isthmus.toml"]


def test_a_second_gateway_of_the_same_home_is_refused_with_the_first_s_address(gateway: GatewayProcess) -> None:
    ended = gateway.run("serve", "--port", "0")
    assert ended.code == 4
    assert gateway.url in ended.err


def test_a_killed_api_is_started_again_and_no_request_is_refused(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        job = client.submit("counting", linger_s=1)
        (first,) = gateway.processes("isthmus.portal")
        os.kill(first, signal.SIGKILL)
        assert job.wait(DEADLINE_S).state is JobState.COMPLETED
    assert gateway.processes("isthmus.portal") != [first]


def test_a_killed_controller_is_started_again_and_jobs_go_on(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        job = client.submit("counting", linger_s=1)
        (first,) = gateway.processes("isthmus.controller")
        os.kill(first, signal.SIGKILL)
        until(lambda: gateway.processes("isthmus.controller") not in ([], [first]))
        assert job.wait(DEADLINE_S).state is JobState.COMPLETED
        assert len(job.attempts) == 1


def test_when_serve_is_killed_its_processes_end_and_a_new_one_starts_at_once(gateway: GatewayProcess) -> None:
    port = gateway.url.rsplit(":", 1)[1]
    with client_of(gateway) as client:
        job = client.submit("counting", linger_s=2)
    gateway.kill()
    gateway.words = ("--port", port)
    gateway.start()
    assert gateway.url.endswith(port)
    assert len(gateway.processes("isthmus.portal")) == 1
    with client_of(gateway) as client:
        assert client.job(job.id).wait(DEADLINE_S).state is JobState.COMPLETED


def test_a_job_goes_on_while_the_gateway_is_stopped(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        job = client.submit("counting", upto=1, linger_s=2)
        until(lambda: job.refresh().state is JobState.RUNNING)
    assert gateway.stop() == 0
    assert gateway.processes("isthmus.portal") + gateway.processes("isthmus.controller") == []
    gateway.start()
    with client_of(gateway) as client:
        again = client.job(job.id).wait(DEADLINE_S)
        assert (again.state, len(again.attempts)) == (JobState.COMPLETED, 1)
        assert again.attempts[0].n == 1


def test_an_address_for_all_interfaces_is_told_as_one_that_can_be_reached() -> None:
    with listen("0.0.0.0", 0) as listening:
        assert address_of(listening).startswith("http://127.0.0.1:")
