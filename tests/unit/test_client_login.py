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
    passed_over_home,
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


def test_a_home_that_the_environment_names_comes_before_the_login_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "named"))
    write_login(login_file(), Login("https://c.example", "kept"))
    write_login(tmp_path / "named" / HOME_TOKEN, Login("http://127.0.0.1:1", "home"))
    found = find_login()
    assert (found, found.origin) == (Login("http://127.0.0.1:1", "home"), str(tmp_path / "named" / HOME_TOKEN))
    assert passed_over_home() is None


def test_a_named_home_without_a_token_is_passed_over_and_not_in_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "empty"))
    write_login(login_file(), Login("https://c.example", "kept"))
    assert find_login() == Login("https://c.example", "kept")
    assert passed_over_home() == tmp_path / "empty"
    monkeypatch.setenv("ISTHMUS_URL", "https://c.example")
    assert passed_over_home() is None, "an address was given: the home was not asked for"


def test_a_login_says_what_named_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing names a gateway" in find_login().origin
    write_login(login_file(), Login("https://c.example", "kept"))
    assert find_login().origin == str(login_file())
    assert str(login_file()) in find_login("https://c.example").origin
    monkeypatch.setenv("ISTHMUS_TOKEN", "given")
    assert find_login() == Login("https://c.example", "given")
    assert "the token that was given" in find_login().origin


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
