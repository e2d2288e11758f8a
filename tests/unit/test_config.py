"""The operator's files, and the page that describes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from isthmus.config import ClusterConfig, HouseConfig, read_configuration
from isthmus.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def keys(model: type[BaseModel], before: str = "") -> set[str]:
    """The keys of a file as the page writes them: `api.port`."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = next((kind for kind in get_args(field.annotation) if kind is not type(None)), None) or field.annotation
        part = isinstance(inner, type) and issubclass(inner, BaseModel)
        found |= keys(inner, f"{before}{name}.") if part else {before + name}  # type: ignore[arg-type]  # seen above
    return found


@pytest.mark.parametrize(("heading", "model"), [("isthmus.toml", HouseConfig), ("clusters.d", ClusterConfig)])
def test_the_page_lists_every_key(heading: str, model: type[BaseModel]) -> None:
    section = next(part for part in PAGE.read_text().split("\n## ") if part.startswith(f"`{heading}"))
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)} == keys(model)


def test_an_empty_home_is_a_configuration(tmp_path: Path) -> None:
    read = read_configuration(tmp_path)
    assert list(read.clusters) == ["local"]
    assert read.house.api.trusted_proxies == ()


def test_trusted_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text('api.trusted_proxies = ["127.0.0.1", "10.20.0.0/16", "::1"]')
    assert [str(one) for one in read_configuration(tmp_path).house.api.trusted_proxies] == [
        "127.0.0.1/32",
        "10.20.0.0/16",
        "::1/128",
    ]


@pytest.mark.parametrize("word", ["*", "localhost", "10.20.0.1/16", "10.20.0.0/33", ""])
def test_a_trusted_proxy_that_is_no_address_is_refused_with_file_and_key(tmp_path: Path, word: str) -> None:
    (tmp_path / "isthmus.toml").write_text(f'api.trusted_proxies = ["{word}"]')
    with pytest.raises(ConfigurationError, match=r"isthmus\.toml: api\.trusted_proxies"):
        read_configuration(tmp_path)


def test_a_broken_cluster_file_disables_that_cluster_only(tmp_path: Path) -> None:
    folder = tmp_path / "clusters.d"
    folder.mkdir()
    (folder / "good.toml").write_text('title = "Good"')
    (folder / "bad.toml").write_text("max_waiting = 0")
    read = read_configuration(tmp_path)
    assert list(read.clusters) == ["good"]
    assert [error.message.partition(": ")[2].split(":")[0] for error in read.broken] == ["max_waiting"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("applications.enabled = []", "applications.enabled: unknown key; did you mean 'enable'?"),
        ("apps = 1", "apps: unknown key; known: api, applications, database, limits, mail"),
    ],
)
def test_an_unknown_key_is_told_with_a_near_one_or_with_all(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "isthmus.toml").write_text(text)
    with pytest.raises(ConfigurationError) as told:
        read_configuration(tmp_path)
    assert told.value.message == f"{tmp_path / 'isthmus.toml'}: {said}"


MAIL = 'host = "mail.example.org"\nsender = "isthmus@example.org"\npublic_url = "https://gateway.example.org"\n'


def test_a_mail_server_is_asked_for_tls_at_the_usual_port_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text(f"[mail]\n{MAIL}")
    mail = read_configuration(tmp_path).house.mail
    assert (mail.tls, mail.server_port, mail.password()) == ("starttls", 587, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('host = "mail.example.org"', "with a host, sender and public_url must be given too"),
        (f'{MAIL}tls = "none"', 'tls = "none" is for a mail server on this machine only'),
        (f'{MAIL}tls = "ssl"', "'starttls', 'implicit' or 'none'"),
        (MAIL.replace("isthmus@", "Isthmus <isthmus@"), "mail.sender"),
        (MAIL.replace("https://", ""), "mail.public_url"),
        (MAIL.replace("mail.example", "mail example"), "mail.host"),
    ],
)
def test_mail_settings_that_can_not_be_right_are_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "isthmus.toml").write_text(f"[mail]\n{text}")
    with pytest.raises(ConfigurationError) as told:
        read_configuration(tmp_path)
    assert said in told.value.message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_mail_server_on_this_machine_may_do_without_tls(tmp_path: Path, host: str) -> None:
    text = MAIL.replace("mail.example.org", host)
    (tmp_path / "isthmus.toml").write_text(f'[mail]\n{text}tls = "none"')
    assert read_configuration(tmp_path).house.mail.server_port == 25


def test_a_mail_password_stands_in_its_file_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_MAIL_PASSWORD", "from the environment")
    (tmp_path / "password").write_text("from the file\n")
    (tmp_path / "isthmus.toml").write_text(f'[mail]\n{MAIL}user = "gateway"\n')
    mail = read_configuration(tmp_path).house.mail
    assert mail.password() == "from the environment"
    assert mail.model_copy(update={"password_file": tmp_path / "password"}).password() == "from the file"
    with pytest.raises(ConfigurationError, match="password_file"):
        mail.model_copy(update={"password_file": tmp_path / "missing"}).password()


# --- mesos ------------------------------------------------------------------------------------------------------------
MESOS = 'kind = "mesos"\n[mesos]\nmasters = ["http://m1:5050/"]\ngateway_url = "http://gateway:8700"\n'


def cluster_file(home: Path, text: str) -> None:
    (home / "clusters.d").mkdir()
    (home / "clusters.d" / "sea.toml").write_text(text, encoding="utf-8")


def test_a_mesos_cluster_needs_its_masters_and_where_its_agents_reach_the_gateway(tmp_path: Path) -> None:
    cluster_file(tmp_path, MESOS)
    found = read_configuration(tmp_path).clusters["sea"].mesos
    assert found is not None
    assert (found.masters, found.roles, found.failover_timeout_s) == (("http://m1:5050",), ("*",), 604800)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "mesos"', "needs a table [mesos] with masters and gateway_url"),
        (MESOS.replace('"http://m1:5050/"', ""), "mesos.masters"),
        (MESOS.replace("http://m1:5050/", "m1:5050"), "mesos.masters"),
        (MESOS + 'principal = "me"\n', "principal and secret_file belong together"),
        (MESOS + 'attributes = { rack = "(" }\n', "no regular expression"),
        (MESOS + "role = 1\n", "did you mean 'roles'?"),
    ],
)
def test_what_is_wrong_with_a_mesos_cluster_is_said_and_disables_it_alone(
    tmp_path: Path, text: str, words: str
) -> None:
    cluster_file(tmp_path, text)
    (broken,) = read_configuration(tmp_path).broken
    assert words in broken.message


def test_a_mesos_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n", encoding="utf-8")
    cluster_file(tmp_path, MESOS + f'principal = "me"\nsecret_file = "{secret}"\n')
    found = read_configuration(tmp_path).clusters["sea"].mesos
    assert found is not None
    assert found.secret() == "s3cret"
    secret.unlink()
    with pytest.raises(ConfigurationError, match=r"mesos\.secret_file can't be read"):
        found.secret()
