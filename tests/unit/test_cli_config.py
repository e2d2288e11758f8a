"""`isthmus config check`: what an operator learns before a restart."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from isthmus.cli import app
from isthmus.errors import ConfigurationError


def checked(home: Path) -> Result:
    return CliRunner().invoke(app, ["config", "check", "--home", str(home)])


def test_a_home_that_can_be_read_is_told_with_what_a_gateway_would_start_with(tmp_path: Path) -> None:
    mail = 'host = "mail.example.org"\nsender = "a@example.org"\npublic_url = "https://gateway.example.org"\n'
    (tmp_path / "isthmus.toml").write_text(f"[api]\nport = 8765\n[mail]\n{mail}")
    ended = checked(tmp_path)
    assert ended.exit_code == 0, ended.output
    for words in ("127.0.0.1, port 8765", "local (local)", "by mail.example.org, port 587", "Everything can be read."):
        assert words in ended.stdout


def test_all_that_is_broken_is_told_and_the_exit_code_says_so(tmp_path: Path) -> None:
    mail = (
        'host = "h"\nsender = "a@b.org"\npublic_url = "https://g.org"\nuser = "u"\npassword_file = "/nowhere/at/all"\n'
    )
    (tmp_path / "isthmus.toml").write_text(f'[mail]\n{mail}[applications]\nenable = ["no-such"]\n')
    (tmp_path / "clusters.d").mkdir()
    (tmp_path / "clusters.d" / "big.toml").write_text('kind = "mesos"\n')
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications" / "odd.yaml").write_text("name: Odd\n")
    ended = checked(tmp_path)
    assert ended.exit_code == 1
    assert "Everything can be read." not in ended.stdout
    for words in ("big.toml: ", "mail.password_file can't be read", "odd.yaml:1: ", "no-such"):
        assert words in ended.stderr
    assert "Value error" not in ended.stderr


def test_a_home_whose_isthmus_toml_keeps_the_gateway_from_starting_is_told_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text('[mail]\nhost = "mail.example.org"\nsender = "a@example.org"\n')
    fault = checked(tmp_path).exception
    assert isinstance(fault, ConfigurationError)
    assert fault.message.endswith("isthmus.toml: mail: with a host, public_url must be given too")


def test_a_home_that_is_not_there_is_told(tmp_path: Path) -> None:
    fault = checked(tmp_path / "nothing").exception
    assert isinstance(fault, ConfigurationError)
    assert "name a gateway's home with --home" in fault.message
