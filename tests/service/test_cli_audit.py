"""Who did what, from the command line."""

from __future__ import annotations

import json

from tests.service.gateway_process import GatewayProcess


def test_an_administrator_sees_who_did_what_the_newest_first(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    assert gateway.run("users", "role", "bob", "admin").code == 0
    ended = gateway.run("audit")
    assert ended.code == 0, ended.err
    assert ended.lines[0].split() == ["WHEN", "USER", "ACTION", "JOB", "WORDS", "FROM"]
    newest = ended.lines[1].split()
    assert newest[3:5] == ["admin", "user_changed"]
    assert any("signed_in" in line and "bob" in line for line in ended.lines[2:])


def test_lines_are_found_by_user_action_job_and_time(gateway: GatewayProcess, completed: str) -> None:
    assert gateway.run("share", completed, "--link").code == 0
    made = gateway.run("audit", "--user", "admin", "--action", "job_shared", "--job", "last", "--since", "1h", "--json")
    (line,) = [json.loads(text) for text in made.lines]
    assert (line["user"], line["kind"], line["job"]) == ("admin", "job_shared", completed)
    none = gateway.run("audit", "--user", "nobody-at-all")
    assert (none.code, none.out, none.err) == (0, "", "The audit has no such line.\n")
    assert gateway.run("audit", "--since", "2199-01-01", "--json").out == ""


def test_a_limit_bounds_the_list_and_all_lifts_it(gateway: GatewayProcess) -> None:
    for name in ("one", "two", "three"):
        assert gateway.run("projects", "create", name).code == 0
    assert len(gateway.run("audit", "--action", "project_created", "--limit", "2", "--json").lines) == 2
    found = gateway.run("audit", "--action", "project_created", "--all", "--json")
    assert [json.loads(line)["words"] for line in found.lines] == ["three", "two", "one"]


def test_what_can_not_be_asked_is_told(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    assert gateway.run("audit", "--since", "some time ago").code == 2
    refused = gateway.run("audit", "--action", "jumped")
    assert refused.code == 4
    assert "kind" in refused.err and "signed_in" in refused.err
    assert gateway.run("audit", environment=stranger).code == 6
