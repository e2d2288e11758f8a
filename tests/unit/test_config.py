"""The operator's files, and the page that describes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from isthmus.config import ClusterConfig, HouseConfig, read_configuration
from isthmus.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def keys(model: type[BaseModel], before: str = "") -> set[str]:
    """The keys of a file as the page writes them: `api.port`."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
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
        ("apps = 1", "apps: unknown key; known: api, applications, database"),
    ],
)
def test_an_unknown_key_is_told_with_a_near_one_or_with_all(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "isthmus.toml").write_text(text)
    with pytest.raises(ConfigurationError) as told:
        read_configuration(tmp_path)
    assert told.value.message == f"{tmp_path / 'isthmus.toml'}: {said}"
