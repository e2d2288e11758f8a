"""Signing in from the command line, what others may not see, and administrators' commands."""

from __future__ import annotations

import json
from pathlib import Path

from tests.service.gateway_process import PASSWORD, GatewayProcess


def test_without_a_gateway_a_command_ends_with_5(tmp_path: Path) -> None:
    away = GatewayProcess(tmp_path)
    environment = {"ISTHMUS_URL": "http://127.0.0.1:9", "ISTHMUS_TOKEN": "x"}
    ended = away.run("jobs", environment=environment)
    assert ended.code == 5
    assert "is it running" in ended.err
    assert ended.is_plain


def test_without_a_token_a_command_ends_with_6(gateway: GatewayProcess, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    ended = gateway.run("--url", gateway.url, "jobs", environment=nobody)
    assert ended.code == 6
    assert f"isthmus login {gateway.url}" in ended.err


def test_a_user_sees_no_other_s_job_and_may_not_manage_users(
    gateway: GatewayProcess, completed: str, stranger: dict[str, str]
) -> None:
    assert gateway.run("show", completed, environment=stranger).code == 3
    listed = gateway.run("jobs", environment=stranger).lines
    assert ("OWNER" in listed[0], listed[1:]) == (False, [])
    refused = gateway.run("jobs", "--owner", "admin", environment=stranger)
    assert (refused.code, refused.out) == (6, "")
    assert "as bob you see your own jobs only" in refused.err
    assert gateway.run("jobs", "--owner", "bob", environment=stranger).code == 0
    assert gateway.run("users", "list", environment=stranger).code == 6


def test_who_and_where_one_is_can_be_asked(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    told = json.loads(gateway.run("whoami", "--json").out)
    assert (told["name"], told["url"], told["origin"]) == ("admin", gateway.url, str(gateway.home / "cli-token"))
    facts = gateway.run("whoami", environment=stranger).out
    assert "bob" in facts
    assert "login.json" in facts


def test_a_saved_login_that_is_used_although_a_home_is_named_is_told(
    gateway: GatewayProcess, stranger: dict[str, str]
) -> None:
    remark = f"ISTHMUS_HOME=/nonexistent holds no token for you, so this goes to {gateway.url}"
    assert remark in gateway.run("jobs", environment=stranger).err
    assert "ISTHMUS_HOME" not in gateway.run("--url", gateway.url, "jobs", environment=stranger).err


def test_a_login_that_commands_will_not_use_is_told(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.run("users", "add", "joe", given=f"{PASSWORD}\n")
    ended = gateway.run(
        "login", "--name", "joe", gateway.url, given=f"{PASSWORD}\n", environment={"HOME": str(tmp_path)}
    )
    assert ended.code == 0
    assert f"commands go to {gateway.url} all the same ({gateway.home / 'cli-token'})" in ended.err


def test_a_wrong_password_ends_with_6_and_keeps_nothing(gateway: GatewayProcess, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path)}
    ended = gateway.run("login", "--name", "admin", gateway.url, given="wrong password\n", environment=nobody)
    assert ended.code == 6
    assert list(tmp_path.iterdir()) == []


def test_the_first_administrator_chooses_a_password_at_the_first_login(gateway: GatewayProcess, tmp_path: Path) -> None:
    once = next(word for line in gateway.said.splitlines() if "password" in line for word in line.split()[-1:])
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    given = f"admin\n{once}\na password of my own\n"
    ended = gateway.run("login", gateway.url, given=given, environment=nobody)
    assert ended.code == 0, ended.err
    assert "for one time" in ended.err
    kept = tmp_path / ".config/isthmus/login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert gateway.run("users", "list", environment=nobody).code == 0
    assert gateway.run("logout", environment=nobody).code == 0
    assert not kept.exists()
    assert gateway.run("logout", environment=nobody).code == 6
    assert gateway.run("login", "--name", "admin", gateway.url, given=f"{once}\n", environment=nobody).code == 6


def test_a_signed_out_token_is_good_for_nothing(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.run("users", "add", "eve", given=f"{PASSWORD}\n")
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    assert gateway.run("login", "--name", "eve", gateway.url, given=f"{PASSWORD}\n", environment=nobody).code == 0
    token = json.loads((tmp_path / ".config/isthmus/login.json").read_text())["token"]
    assert gateway.run("logout", environment=nobody).code == 0
    with_token = {**nobody, "ISTHMUS_URL": gateway.url, "ISTHMUS_TOKEN": token}
    assert gateway.run("jobs", environment=with_token).code == 6


def test_one_s_own_password_is_changed_with_the_old_one(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.run("users", "add", "ada", given=f"{PASSWORD}\n")
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    assert gateway.run("login", "--name", "ada", gateway.url, given=f"{PASSWORD}\n", environment=nobody).code == 0
    pointed = gateway.run("users", "password", "ada", given="a better one by far\n", environment=nobody)
    assert (pointed.code, "`isthmus password`" in pointed.err) == (6, True)
    wrong = gateway.run("password", given="not the old one\na better one by far\n", environment=nobody)
    assert wrong.code != 0
    changed = gateway.run("password", given=f"{PASSWORD}\na better one by far\n", environment=nobody)
    assert (changed.code, changed.lines) == (0, ["ada has a new password."])
    again = gateway.run("login", "--name", "ada", gateway.url, given="a better one by far\n", environment=nobody)
    assert again.code == 0


def test_users_are_managed(gateway: GatewayProcess) -> None:
    assert gateway.run("users", "add", "ann", given=f"{PASSWORD}\n").lines == ["ann was added."]
    assert gateway.run("users", "add", "ann", given=f"{PASSWORD}\n").code == 4
    assert gateway.run("users", "add", "kim", given="short\n").code == 4
    assert gateway.run("users", "role", "ann", "admin").code == 0
    assert gateway.run("users", "password", "ann", given="another good one\n").code == 0
    assert gateway.run("users", "disable", "ann").code == 0
    assert gateway.run("users", "enable", "ann").lines == ["ann is enabled."]
    assert gateway.run("users", "disable", "ann").code == 0
    users = {user["name"]: user for user in map(json.loads, gateway.run("users", "list", "--json").lines)}
    assert (users["ann"]["role"], users["ann"]["disabled"]) == ("admin", True)
    assert gateway.run("users", "role", "nobody", "admin").code == 3
