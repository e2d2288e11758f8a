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
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationError, field_validator, model_validator

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
    """`[limits]`: how many GiB a user may hold; `[limits.users]` says otherwise for some, by name. 0 is any number.

    And how many live streams one user, and all who have one link, may have open.
    """

    storage_gib: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    users: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    streams_per_user: Annotated[int, Field(ge=0)] = 20
    streams_per_link: Annotated[int, Field(ge=0)] = 10


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


_Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")]


class MesosConfig(_Strict):
    """What a cluster of kind `mesos` is told: its masters, who we are to them, and where its agents reach the gateway.

    All masters are named in `masters`; which one leads is found out. An agent is used if each of its `attributes`
    named here matches the pattern as a whole. `gateway_url` is the web process as the agents reach it. Times in
    seconds, sizes in MiB; `memory_mib` and `disk_mib` are for jobs that don't say.
    """

    masters: Annotated[tuple[_Address, ...], Field(min_length=1)]
    gateway_url: Annotated[str, Field(pattern=r"^https?://[!-~]+$")]
    roles: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    user: str = "nobody"
    principal: str = ""
    secret_file: Path | None = None
    agent_principal: str = ""
    agent_secret_file: Path | None = None
    redirect_hosts: tuple[str, ...] = ()
    ca_file: Path | None = None
    curl_options: str = ""
    failover_timeout_s: Annotated[float, Field(ge=0)] = 7 * 86400.0
    attributes: dict[str, str] = {}
    gpus: bool = False
    memory_mib: Annotated[int, Field(ge=32)] = 512
    disk_mib: Annotated[int, Field(ge=0)] = 0
    grace_s: Annotated[int, Field(ge=0)] = 10
    claim_wait_s: Annotated[int, Field(ge=1)] = 600
    report_s: Annotated[int, Field(ge=1)] = 3600
    max_output_mib: Annotated[int, Field(ge=1)] = 10240
    max_log_mib: Annotated[int, Field(ge=1)] = 64

    @field_validator("attributes")
    @classmethod
    def _are_patterns(cls, attributes: dict[str, str]) -> dict[str, str]:
        for name, pattern in attributes.items():
            try:
                re.compile(pattern)
            except re.error as fault:
                raise ValueError(f"{name} = {pattern!r} is no regular expression: {fault}") from fault
        return attributes

    @field_validator("masters")
    @classmethod
    def _are_plain(cls, masters: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(master.rstrip("/") for master in masters)

    @model_validator(mode="after")
    def _can_sign_in(self) -> MesosConfig:
        if bool(self.principal) != bool(self.secret_file):
            raise ValueError("principal and secret_file belong together: give both or neither")
        if bool(self.agent_principal) != bool(self.agent_secret_file):
            raise ValueError("agent_principal and agent_secret_file belong together: give both or neither")
        return self

    def secret(self) -> str:
        """The secret, read where it is kept; empty without a principal. ConfigurationError: it can't be read."""
        return _secret_in(self.secret_file, "mesos.secret_file")

    def agent_secret(self) -> str:
        """The same, of the agents."""
        return _secret_in(self.agent_secret_file, "mesos.agent_secret_file")


def _secret_in(file: Path | None, key: str) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{key} can't be read: {fault}") from fault


class ClusterConfig(_Strict):
    """One file of `clusters.d/`; its name is the file's name without `.toml`.

    `max_waiting` bounds how many of one user's jobs stand in the scheduler before they start; the rest wait in the
    gateway. `variables` are what deployments may name, e.g. where programs are installed.
    """

    kind: Literal["local", "mesos"] = "local"
    title: str = ""
    enabled: bool = True
    max_waiting: Annotated[int, Field(ge=1)] = 500
    settle_s: Annotated[float, Field(ge=0)] = 5.0
    lost_s: Annotated[float, Field(ge=1)] = 3600.0
    check_s: Annotated[float, Field(ge=1)] = 300.0
    variables: dict[str, str] = {}
    local: LocalConfig = LocalConfig()
    mesos: MesosConfig | None = None

    @model_validator(mode="after")
    def _is_told_enough(self) -> ClusterConfig:
        if self.kind == "mesos" and self.mesos is None:
            raise ValueError('kind = "mesos" needs a table [mesos] with masters and gateway_url')
        return self


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
        words = "; ".join(
            _said(model, error["loc"], error["type"], error["msg"].removeprefix("Value error, "))
            for error in fault.errors()
        )
        raise ConfigurationError(f"{path}: {words}") from fault


def _said(model: type[BaseModel], way: tuple[int | str, ...], kind: str, message: str) -> str:
    """The way to the fault and what it is; of an unknown key, which one may be meant."""
    where = ".".join(map(str, way))
    return f"{where}: unknown key{_near(model, way)}" if kind == "extra_forbidden" else f"{where}: {message}"


def _near(model: type[BaseModel], way: tuple[int | str, ...]) -> str:
    for part in way[:-1]:
        annotation = model.model_fields[str(part)].annotation
        inner = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
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
