"""Where the gateway is and who asks: from arguments, the environment, the login file, or a gateway's home.

What is said for one command or one terminal goes before what is kept: ISTHMUS_HOME, too, goes before the login file.
A token is sent only to the gateway it is for: one found in a file goes with that file's address.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8700"
HOME_TOKEN = "cli-token"  # noqa: S105  a file's name


@dataclass(frozen=True, slots=True)
class Login:
    """A gateway's address and a token for it, empty when there is none; `origin` says in words what named them."""

    url: str
    token: str = ""
    origin: str = field(default="", compare=False)


def login_file() -> Path:
    """`isthmus/login.json` in the user's configuration folder."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "isthmus" / "login.json"


def default_home() -> Path:
    """The home of the gateway on this machine: $ISTHMUS_HOME, else `isthmus` in the user's data folder."""
    if home := os.environ.get("ISTHMUS_HOME"):
        return Path(home)
    folder = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(folder) / "isthmus"


def find_login(url: str | None = None, token: str | None = None) -> Login:
    """The first of: arguments, ISTHMUS_URL and ISTHMUS_TOKEN, ISTHMUS_HOME, the login file, this machine's gateway."""
    url = (url or os.environ.get("ISTHMUS_URL") or "").rstrip("/")
    token = token or os.environ.get("ISTHMUS_TOKEN") or ""
    if url and token:
        return Login(url, token, "the address and the token that were given")
    kept = [replace(login, origin=str(path)) for path in _places() if (login := read_login(path))]
    if url:
        found = next((login for login in kept if login.url == url), Login(url))
        return replace(found, origin=f"the address that was given; {found.origin or 'no file'} has a token for it")
    first = kept[0] if kept else Login(DEFAULT_URL, origin="nothing names a gateway; this is the usual address")
    return Login(first.url, token, f"the token that was given; address: {first.origin}") if token else first


def passed_over_home() -> Path | None:
    """The home that ISTHMUS_HOME names, if it holds no login to read and so another gateway is the one meant."""
    home = os.environ.get("ISTHMUS_HOME")
    if not home or os.environ.get("ISTHMUS_URL"):
        return None
    return None if read_login(Path(home) / HOME_TOKEN) else Path(home)


def _places() -> tuple[Path, Path]:
    """The files that may hold a login, the first one that does counts."""
    home, kept = default_home() / HOME_TOKEN, login_file()
    return (home, kept) if os.environ.get("ISTHMUS_HOME") else (kept, home)


def read_login(path: Path) -> Login | None:
    """What the file holds; None without one. ConfigurationError: it is there, but not readable as a login."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Login(str(kept["url"]), str(kept["token"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        return None  # the home of a gateway that runs as another user is none of ours
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ConfigurationError(f"{path} is not readable as a login; remove it, then sign in again") from fault


def write_login(path: Path, login: Login) -> None:
    """The file holds the login, and only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"url": login.url, "token": login.token}, file)
    part.replace(path)
