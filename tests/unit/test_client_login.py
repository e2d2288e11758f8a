"""Which gateway a client speaks to, and with which token."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from isthmus.client.login import (
    DEFAULT_URL,
    HOME_TOKEN,
    Login,
    default_home,
    find_login,
    login_file,
    read_login,
    write_login,
)
from isthmus.errors import ConfigurationError


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without any login, in an environment that says nothing."""
    for name in ("ISTHMUS_URL", "ISTHMUS_TOKEN", "ISTHMUS_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_without_any_word_it_is_this_machine_s_gateway_without_a_token() -> None:
    assert find_login() == Login(DEFAULT_URL, "")


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_URL", "https://b.example")
    monkeypatch.setenv("ISTHMUS_TOKEN", "second")
    assert find_login("https://a.example/", "first") == Login("https://a.example", "first")
    assert find_login() == Login("https://b.example", "second")


def test_the_login_file_comes_before_the_local_gateway_s() -> None:
    write_login(default_home() / HOME_TOKEN, Login("http://127.0.0.1:1", "home"))
    assert find_login().token == "home"
    write_login(login_file(), Login("https://c.example", "kept"))
    assert find_login() == Login("https://c.example", "kept")


def test_a_token_is_never_sent_to_another_gateway_than_its_own() -> None:
    write_login(login_file(), Login("https://c.example", "kept"))
    assert find_login("https://evil.example") == Login("https://evil.example", "")


def test_the_address_alone_finds_the_token_that_goes_with_it() -> None:
    write_login(login_file(), Login("https://c.example", "kept"))
    write_login(default_home() / HOME_TOKEN, Login("http://127.0.0.1:1", "home"))
    assert find_login("http://127.0.0.1:1").token == "home"


def test_only_its_owner_can_read_a_login_file() -> None:
    write_login(login_file(), Login("https://c.example", "kept"))
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(login_file().parent.stat().st_mode) == 0o700


def test_a_damaged_login_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "login.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"login\.json"):
        read_login(path)
