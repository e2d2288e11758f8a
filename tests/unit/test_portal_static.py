"""The portal's static files: kept for good under one fingerprint, compressed, and nothing beside them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from isthmus.errors import IsthmusError
from isthmus.portal.static_files import StaticFiles, StaticFolder, portal_files, read_folder, static_url

PACKAGES = Path(__file__).parents[2] / "package.json"
SHEET = "p { margin: 0 }\n" * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "static"
    (root / "css").mkdir(parents=True)
    (root / "css/base.css").write_text(SHEET)
    (root / "tiny.svg").write_text("<svg/>")
    (root / ".stamp").write_text("x")
    (root / "notes.swp").write_text("x")
    (tmp_path / "secret.txt").write_text("x")
    return root


@pytest.fixture
def files(folder: Path) -> StaticFolder:
    return read_folder(folder)


class Browser:
    """Asks the folder's server, in this process."""

    def __init__(self, files: StaticFolder) -> None:
        self._app = Starlette(routes=[Mount("/static", StaticFiles(files))])

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self.ask("GET", url, **headers)

    def ask(self, method: str, url: str, **headers: str) -> httpx.Response:
        return asyncio.run(self._ask(method, url, {name.replace("_", "-"): value for name, value in headers.items()}))

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://gateway") as client:
            return await client.request(method, url, headers=headers)


@pytest.fixture
def browser(files: StaticFolder) -> Browser:
    return Browser(files)


def url(files: StaticFolder, name: str) -> str:
    return f"/static/{files.fingerprint}/{name}"


def test_a_file_is_kept_for_good_under_its_fingerprint(browser: Browser, files: StaticFolder) -> None:
    answer = browser.get(url(files, "css/base.css"))
    assert (answer.status_code, answer.text) == (200, SHEET)
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_an_old_page_gets_the_present_file_and_does_not_keep_it(browser: Browser) -> None:
    answer = browser.get("/static/0123456789abcdef/css/base.css")
    assert (answer.status_code, answer.text) == (200, SHEET)
    assert answer.headers["cache-control"] == "no-cache"


def test_a_browser_that_can_gets_it_compressed(browser: Browser, files: StaticFolder) -> None:
    answer = browser.get(url(files, "css/base.css"), accept_encoding="gzip, br")
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(SHEET) / 5
    assert answer.headers["vary"] == "Accept-Encoding"


def test_a_browser_that_can_not_gets_it_plain(browser: Browser, files: StaticFolder) -> None:
    answer = browser.get(url(files, "css/base.css"), accept_encoding="identity")
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(SHEET)


def test_what_compression_makes_larger_is_sent_plain(browser: Browser, files: StaticFolder) -> None:
    answer = browser.get(url(files, "tiny.svg"), accept_encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert answer.text == "<svg/>"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_what_a_browser_has_is_not_sent_again(browser: Browser, files: StaticFolder, encoding: str) -> None:
    first = browser.get(url(files, "css/base.css"), accept_encoding=encoding)
    known = f'"other", W/{first.headers["etag"]}'
    again = browser.get(url(files, "css/base.css"), accept_encoding=encoding, if_none_match=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_plain_and_compressed_have_different_etags(browser: Browser, files: StaticFolder) -> None:
    tags = {browser.get(url(files, "css/base.css"), accept_encoding=e).headers["etag"] for e in ("gzip", "")}
    assert len(tags) == 2


@pytest.mark.parametrize(
    "name", ["../secret.txt", "%2e%2e/secret.txt", "css/../../secret.txt", ".stamp", "notes.swp", "css", "css/", ""]
)
def test_nothing_but_the_files_can_be_had(browser: Browser, files: StaticFolder, name: str) -> None:
    assert browser.get(url(files, name)).status_code == 404


def test_files_can_only_be_read(browser: Browser, files: StaticFolder) -> None:
    answer = browser.ask("POST", url(files, "css/base.css"))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_change_of_any_file_changes_the_fingerprint(folder: Path, files: StaticFolder) -> None:
    (folder / "tiny.svg").write_text("<svg></svg>")
    assert read_folder(folder).fingerprint != files.fingerprint


def test_the_same_files_have_the_same_fingerprint(folder: Path, files: StaticFolder) -> None:
    assert read_folder(folder) == files


@pytest.mark.parametrize("name", ["vendor/htmx.js", "vendor/leaflet/leaflet.js", "vendor/borders/countries.json"])
def test_the_code_of_others_is_installed(name: str) -> None:
    assert static_url(name).endswith(name)


def test_every_package_of_others_comes_with_its_licence() -> None:
    packages = json.loads(PACKAGES.read_text())["dependencies"]
    licences = {Path(name).stem for name in portal_files().files if name.startswith("vendor/licences/")}
    assert licences == {package.rpartition("/")[2].removesuffix(".org") for package in packages}


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(IsthmusError, match=r"no static file vendor/nothing\.js"):
        static_url("vendor/nothing.js")
