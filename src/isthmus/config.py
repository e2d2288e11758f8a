"""The operator's files: `isthmus.toml`, `clusters.d/*.toml` and the application folders, below one home.

An empty home is a working gateway: SQLite in `isthmus.db`, one cluster named `local`, the applications that come with
Isthmus. A broken cluster file disables that cluster only.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationError, model_validator

from isthmus.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Model = TypeVar("_Model", bound=_Strict)


class DatabaseConfig(_Strict):
    """`[database]`: an SQLAlchemy URL; SQLite below the home when empty."""

    url: str = ""


class ApiConfig(_Strict):
    """`[api]`: where the web process listens, the most it takes in, and whose word it takes for a client's address.

    `trusted_proxies` are addresses and networks: of a request from one of them, `X-Forwarded-For` says the client.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8700
    max_upload_mib: Annotated[int, Field(ge=1)] = 10240
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()


class ApplicationsConfig(_Strict):
    """`[applications]`: more folders of definitions, and names enabled or disabled against their files' word."""

    folders: tuple[Path, ...] = ()
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


class LimitsConfig(_Strict):
    """`[limits]`: how many GiB a user may hold (0: any number); `[limits.users]` says otherwise for some, by name."""

    storage_gib: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    users: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}


class MailConfig(_Strict):
    """`[mail]`: the server that mails about jobs are handed to; without a `host` none is sent.

    `tls` is `starttls`, `implicit` or, to this machine only, `none`. The password is in `password_file`, or in
    ISTHMUS_MAIL_PASSWORD. `public_url` is where people find the gateway: mails lead there.
    """

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]*$")] = ""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ca_file: Path | None = None
    user: str = ""
    password_file: Path | None = None
    sender: Annotated[str, Field(pattern=r"^([!-;=?A-~]+@[A-Za-z0-9.-]+)?$", max_length=254)] = ""
    public_url: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0

    @model_validator(mode="after")
    def _can_send(self) -> MailConfig:
        if not self.host:
            return self
        if missing := [name for name in ("sender", "public_url") if not getattr(self, name)]:
            raise ValueError(f"with a host, {' and '.join(missing)} must be given too")
        if self.tls == "none" and not _is_loopback(self.host):
            raise ValueError('tls = "none" is for a mail server on this machine only: use "starttls" or "implicit"')
        return self

    @property
    def server_port(self) -> int:
        return self.port or {"starttls": 587, "implicit": 465, "none": 25}[self.tls]

    def password(self) -> str:
        """The password, read where it is kept; empty without a `user`. ConfigurationError: it can't be read."""
        if not self.user:
            return ""
        if self.password_file is None:
            return os.environ.get("ISTHMUS_MAIL_PASSWORD", "")
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigurationError(f"mail.password_file can't be read: {fault}") from fault


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class HouseConfig(_Strict):
    """`isthmus.toml` as a whole."""

    database: DatabaseConfig = DatabaseConfig()
    api: ApiConfig = ApiConfig()
    applications: ApplicationsConfig = ApplicationsConfig()
    mail: MailConfig = MailConfig()
    limits: LimitsConfig = LimitsConfig()


class LocalConfig(_Strict):
    """What a cluster of kind `local` may use of this machine; None means all of it."""

    cpus: Annotated[int, Field(ge=1)] | None = None
    memory_mib: Annotated[int, Field(ge=16)] | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    isolation: Literal["auto", "bubblewrap", "uid", "none"] = "auto"
    readable: tuple[Path, ...] = ()
    grace_s: Annotated[float, Field(ge=0)] = 10.0
    max_output_mib: Annotated[int, Field(ge=1)] = 10240
    max_log_mib: Annotated[int, Field(ge=1)] = 64
    boot_id_path: Path = Path("/proc/sys/kernel/random/boot_id")


class ClusterConfig(_Strict):
    """One file of `clusters.d/`; its name is the file's name without `.toml`.

    `max_waiting` bounds how many of one user's jobs stand in the scheduler before they start; the rest wait in the
    gateway. `variables` are what deployments may name, e.g. where programs are installed.
    """

    kind: Literal["local"] = "local"
    title: str = ""
    enabled: bool = True
    max_waiting: Annotated[int, Field(ge=1)] = 500
    settle_s: Annotated[float, Field(ge=0)] = 5.0
    lost_s: Annotated[float, Field(ge=1)] = 3600.0
    check_s: Annotated[float, Field(ge=1)] = 300.0
    variables: dict[str, str] = {}
    local: LocalConfig = LocalConfig()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything read, checked; `broken` holds one error for each cluster file that can't be used."""

    home: Path
    house: HouseConfig
    clusters: dict[str, ClusterConfig]
    broken: tuple[ConfigurationError, ...] = ()

    @property
    def database_url(self) -> str:
        return self.house.database.url or f"sqlite:///{self.home / 'isthmus.db'}"

    @property
    def application_folders(self) -> tuple[Path, ...]:
        """Where definitions are read: those that come with Isthmus, the home's, then the configured ones."""
        return (_shipped_applications(), self.home / "applications", *self.house.applications.folders)

    def cluster_root(self, name: str) -> Path:
        return self.home / "clusters" / name


def read_configuration(home: Path) -> Configuration:
    """The home's configuration, defaults filled in; raises ConfigurationError if `isthmus.toml` is broken."""
    house = _read(home / "isthmus.toml", HouseConfig) if (home / "isthmus.toml").exists() else HouseConfig()
    if environment_url := os.environ.get("ISTHMUS_DATABASE_URL"):
        house = house.model_copy(update={"database": DatabaseConfig(url=environment_url)})
    clusters: dict[str, ClusterConfig] = {}
    broken = []
    for path in sorted((home / "clusters.d").glob("*.toml")):
        try:
            clusters[_cluster_name(path)] = _read(path, ClusterConfig)
        except ConfigurationError as error:
            broken.append(error)
    if not clusters and not broken:
        clusters["local"] = ClusterConfig(title="This machine")
    return Configuration(home, house, clusters, tuple(broken))


def _cluster_name(path: Path) -> str:
    if not _NAME.fullmatch(path.stem):
        raise ConfigurationError(f"{path}: a cluster's name is up to 32 of a-z, 0-9, - and _, a letter first")
    return path.stem


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigurationError(f"{path}: {fault}") from fault
    except ValidationError as fault:
        words = "; ".join(_said(model, error["loc"], error["type"], error["msg"]) for error in fault.errors())
        raise ConfigurationError(f"{path}: {words}") from fault


def _said(model: type[BaseModel], way: tuple[int | str, ...], kind: str, message: str) -> str:
    """The way to the fault and what it is; of an unknown key, which one may be meant."""
    where = ".".join(map(str, way))
    return f"{where}: unknown key{_near(model, way)}" if kind == "extra_forbidden" else f"{where}: {message}"


def _near(model: type[BaseModel], way: tuple[int | str, ...]) -> str:
    for part in way[:-1]:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        model = inner
    near = difflib.get_close_matches(str(way[-1]), model.model_fields, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(model.model_fields))}"


def checkout_programs() -> Path | None:
    """Where `scripts/setup` puts the programs of the shipped applications; None: this is no checkout, or not set up."""
    found = Path(__file__).parents[2] / ".venvs"
    return found if found.is_dir() else None


def _shipped_applications() -> Path:
    """Definitions lie beside the package when installed, and at the top of the tree in a checkout."""
    installed = Path(__file__).parent / "applications"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "applications"
