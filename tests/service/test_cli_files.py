"""What one has uploaded, listed and deleted from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.service.gateway_process import GatewayProcess


def sent(gateway: GatewayProcess, stranger: dict[str, str], name: str) -> str:
    """The id of a new upload of the stranger's."""
    login = json.loads((Path(stranger["HOME"]) / ".config" / "isthmus" / "login.json").read_text())
    headers = {"Authorization": f"Bearer {login['token']}"}
    answer = httpx.post(f"{gateway.url}/api/v1/files?name={name}", content=name.encode(), headers=headers)
    return str(answer.raise_for_status().json()["id"])


def test_uploads_are_listed_and_deleted(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    first, second = sent(gateway, stranger, "first.txt"), sent(gateway, stranger, "second.txt")
    listed = gateway.run("files", environment=stranger)
    assert listed.lines[0].split() == ["FILE", "SIZE", "UPLOADED", "JOBS", "NAME"]
    assert [line.split()[0] for line in listed.lines[1:3]] == [second, first]
    assert listed.lines[1].split()[-2:] == ["0", "second.txt"]
    assert json.loads(gateway.run("files", "--json", environment=stranger).lines[0])["id"] == second

    assert gateway.run("files", "rm", first, environment=stranger).out == f"{first} deleted\n"
    assert gateway.run("files", "rm", first, environment=stranger).code == 3
    assert gateway.run("files", "rm", second).code == 0  # an administrator may, as everything
    third = sent(gateway, stranger, "third.txt")
    assert third in gateway.run("files", "rm", "--unused", environment=stranger).out
    ended = gateway.run("files", environment=stranger)
    assert (ended.out, "You have uploaded nothing" in ended.err) == ("", True)


def test_which_files_to_delete_has_to_be_said(gateway: GatewayProcess) -> None:
    for words in ([], ["--unused", "06h0e3gmsk3trb6n50v0"]):
        ended = gateway.run("files", "rm", *words)
        assert ended.code == 2
        assert "their ids, or --unused" in ended.err
