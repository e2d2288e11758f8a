"""`isthmus clusters check`: what an operator is told of a cluster file before any job."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isthmus.cluster.mesos.checking import check
from isthmus.config import MesosConfig
from lab.mesos.cluster import Cluster


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_a_leader_and_a_follower_and_the_agents_are_told(mesos: Cluster) -> None:
    # The follower answers any GET like a gateway would: it is reachable, which is all that is looked at here.
    config = MesosConfig(masters=mesos.masters, gateway_url=mesos.url("agent0"))
    follower, leader, agents, gateway, own = check(config)
    assert follower.good and "leads" in follower.words and mesos.url("follower") in follower.words
    assert leader.good and leader.words.endswith("leads, with 2 active agents")
    assert agents.good and agents.words.startswith("2 of 2 agents may run our tasks; the largest, agent")
    assert "answers this machine with" in gateway.words
    assert own.good and "only on agents of this machine" in own.words


def test_what_gives_no_answer_is_said(mesos: Cluster, nobody: str) -> None:
    findings = check(MesosConfig(masters=(nobody,), gateway_url=nobody))
    assert [finding.good for finding in findings] == [False, False, False]
    assert "gives no answer" in findings[0].words
    assert findings[1].words == "no master leads: nothing can be launched"
    assert f"gateway_url {nobody} gives no answer" in findings[2].words


def test_attributes_that_no_agent_has_are_said(mesos: Cluster, nobody: str) -> None:
    config = MesosConfig(masters=(mesos.url(),), gateway_url=nobody, attributes={"rack": "elsewhere"})
    assert "none of the 2 agents has the wanted attributes" in [finding.words for finding in check(config)]


def test_the_command_shows_every_finding_and_fails_when_one_is_bad(mesos: Cluster, nobody: str, tmp_path: Path) -> None:
    from isthmus.cli.clusters import clusters

    (tmp_path / "clusters.d").mkdir()
    file = tmp_path / "clusters.d" / "farm.toml"
    text = f'kind = "mesos"\n[mesos]\nmasters = {json.dumps(list(mesos.masters))}\ngateway_url = "{nobody}"\n'
    file.write_text(text, encoding="utf-8")
    told = CliRunner().invoke(clusters, ["check", "farm", "--home", str(tmp_path)])
    assert told.exit_code == 1
    assert [line[:4] for line in told.output.splitlines()] == ["good", "good", "good", "BAD ", "good"]
