"""Sharing jobs, putting projects together and closing clusters from the command line."""

from __future__ import annotations

import json

import httpx

from tests.service.gateway_process import GatewayProcess


def test_a_job_shared_with_a_user_is_read_by_them_until_the_share_is_ended(
    gateway: GatewayProcess, completed: str, stranger: dict[str, str]
) -> None:
    assert gateway.run("share", completed, "--with", "bob").out == f"{completed} is shared with user bob.\n"
    listed = gateway.run("shares", environment=stranger).lines
    assert listed[0].split() == ["JOB", "STATE", "OWNER", "NAME"]
    assert listed[1].split() == [completed, "COMPLETED", "admin", "first"]
    assert "COMPLETED" in gateway.run("show", completed, environment=stranger).out
    assert gateway.run("logs", completed, environment=stranger).code == 0
    assert gateway.run("delete", "--yes", completed, environment=stranger).code == 3
    (share,) = [json.loads(line) for line in gateway.run("shares", completed, "--json").lines]
    assert (share["kind"], share["name"], share["by"]) == ("user", "bob", "admin")
    assert share["id"] in gateway.run("shares", completed).out
    assert gateway.run("unshare", completed, share["id"]).code == 0
    assert gateway.run("show", completed, environment=stranger).code == 3
    assert gateway.run("unshare", completed, share["id"]).code == 3
    nobody = gateway.run("shares", completed)
    assert (nobody.code, nobody.out) == (0, "")
    assert "is shared with nobody" in nobody.err


def test_a_link_s_address_is_printed_once(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("share", completed, "--link", "--days", "2")
    assert ended.lines[0].startswith(f"{gateway.url}/shared/")
    assert "until" in ended.err
    text = ended.lines[0].rpartition("/")[2]
    assert text not in gateway.run("shares", completed).out
    assert "whoever has the link" in gateway.run("shares", completed).out
    assert httpx.get(f"{gateway.url}/api/v1/jobs/{completed}", headers={"Authorization": f"Bearer {text}"}).is_error


def test_what_can_not_be_shared_is_told(gateway: GatewayProcess, completed: str) -> None:
    for words in ([], ["--with", "bob", "--link"]):
        ended = gateway.run("share", completed, *words)
        assert (ended.code, ended.out) == (2, "")
        assert "one of --with NAME, --project NAME and --link" in ended.err
    refused = gateway.run("share", completed, "--with", "nobody-at-all")
    assert refused.code == 4
    assert "user: there is no user of that name" in refused.err
    assert gateway.run("share", completed, "--link", "--days", "91").code == 4


def test_who_shares_nothing_with_me_is_told(gateway: GatewayProcess) -> None:
    ended = gateway.run("shares")
    assert (ended.code, ended.out) == (0, "")
    assert "Nobody shares a job with you" in ended.err


def test_a_project_is_put_together_and_a_job_goes_into_it(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    assert "You are in no project" in gateway.run("projects", "list", environment=stranger).err
    assert gateway.run("projects", "create", "storms").code == 0
    assert gateway.run("projects", "create", "storms").code == 4
    for user in ("bob", "admin"):
        assert gateway.run("projects", "add", "storms", user).code == 0
    assert gateway.run("projects", "rename", "storms", "gales").out == "storms is gales now.\n"
    assert gateway.run("projects", "list", environment=stranger).lines[1].split() == ["gales", "admin,", "bob"]
    submitted = gateway.run("submit", "counting", "--project", "gales", "--upto", "1", "--json", "--wait")
    job = json.loads(submitted.lines[-1])
    assert job["project"] == "gales"
    assert gateway.run("share", job["id"], "--project", "gales").code == 0
    assert gateway.run("show", job["id"], environment=stranger).code == 0
    assert gateway.run("projects", "remove", "gales", "bob").code == 0
    assert gateway.run("show", job["id"], environment=stranger).code == 3
    assert gateway.run("projects", "create", "mine", environment=stranger).code == 6
    assert "project" in gateway.run("submit", "counting", "--project", "none", environment=stranger).err


def test_a_cluster_is_closed_for_new_jobs_and_opened_again(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    assert gateway.run("clusters", "close", "local").code == 2, "a reason is needed"
    assert gateway.run("clusters", "close", "local", "--reason", "being repaired", environment=stranger).code == 6
    closed = gateway.run("clusters", "close", "local", "--reason", "being repaired")
    assert closed.out == "local takes no new jobs: being repaired\n"
    refused = gateway.run("submit", "counting", environment=stranger)
    assert refused.code == 4
    assert "being repaired" in refused.err
    assert "closed: being repaired" in gateway.run("clusters").out
    assert gateway.run("clusters", "open", "local").code == 0
    told = json.loads(gateway.run("clusters", "--json").out)
    assert told["closed_reason"] is None
    assert told["status"]["calls_per_minute"]["status"] > 0


def test_what_one_holds_is_told_with_who_one_is(gateway: GatewayProcess, completed: str) -> None:
    told = json.loads(gateway.run("whoami", "--json").out)
    assert told["usage"]["held_bytes"] > 0
    assert told["usage"]["limit_bytes"] is None
    facts = gateway.run("whoami").out
    assert "holds" in facts
    assert "0 waiting, 0 running" in facts
