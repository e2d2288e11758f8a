"""What an application is: a catalogued program with typed inputs and outputs. A newcomer to the catalogue starts here.

An application file (docs/reference/application-file.md) is read into one `Application` by `reading`; `inputs` checks
a submission against it, `resources` chooses what the job asks for, `rendering` makes the command, `page` the
documentation. A job stores the whole definition it ran with, so nothing here refers to anything outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from isthmus.application.encoding import PLAIN, Json, decode, encode, sha256_of

MIB = 1024 * 1024


class Show(StrEnum):
    """How a portal shows an output."""

    PICTURE = "picture"
    MAP = "map"
    TABLE = "table"
    JSON = "json"
    TEXT = "text"
    DOWNLOAD = "download"


class Isolation(StrEnum):
    """Whether the program may run where jobs can't be kept from each other and from the gateway."""

    REQUIRED = "required"
    PREFERRED = "preferred"


class EnabledFor(StrEnum):
    EVERYONE = "everyone"
    ADMINISTRATORS = "administrators"
    NOBODY = "nobody"


class Source(StrEnum):
    """Where a condition looks for its value."""

    INPUTS = "inputs"
    FILES = "files"


class ProgressKind(StrEnum):
    REGEX = "regex"  # each match of a pattern is news
    COLUMNS = "columns"  # a table with a header line: each row is news


class ResourceName(StrEnum):
    CPUS = "cpus"
    MEMORY_MIB = "memory_mib"
    GPUS = "gpus"
    WALLTIME_S = "walltime_s"
    NODES = "nodes"
    PROCESSES_PER_NODE = "processes_per_node"


@dataclass(frozen=True, slots=True)
class FileRule:
    """What files an input takes. Empty `extensions` and `media_types` take every file."""

    max_mib: float = 1024
    extensions: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    many: bool = False
    min_files: int = 1
    max_files: int = 1


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a user gives. `schema` is JSON Schema 2020-12 of the value; `file` is set when it is a file."""

    name: str
    label: str
    schema: dict[str, Json] = field(metadata=PLAIN)
    file: FileRule | None = None
    help: str = ""
    unit: str = ""
    order: int = 0
    group: str = ""
    advanced: bool = False
    required: bool = True
    default: Json = field(default=None, metadata=PLAIN)

    @property
    def type(self) -> str:
        """string, integer, number, boolean, array or file."""
        return "file" if self.file else str(self.schema.get("type", "string"))

    @property
    def may_be_missing(self) -> bool:
        """True when a checked submission may hold no value for it."""
        return not self.required and self.default is None

    @property
    def is_list(self) -> bool:
        return self.file.many if self.file else self.type == "array"


@dataclass(frozen=True, slots=True)
class Output:
    """A file, or all files matching `glob`, that the program leaves in its outputs folder."""

    name: str
    glob: str
    label: str
    media_type: str = "application/octet-stream"
    show: Show = Show.DOWNLOAD
    required: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when the input has a value: not missing, not false, not an empty text or list. Zero is a value."""

    source: Source
    name: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{'not ' if self.negated else ''}{self.source}.{self.name}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Words of a command that stand there only when the condition holds."""

    condition: Condition
    then: tuple[str, ...]
    otherwise: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """How much of one resource a job gets: `default`, or what `computed` says of its inputs, or what the user asks."""

    name: ResourceName
    default: int = 1
    min: int = 0
    max: int | None = None
    computed: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """How the application runs on one cluster; `cluster` is its name or `*` for every other one."""

    cluster: str = "*"
    variables: dict[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    setup: str = ""
    launcher: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """A number the program reports while it runs. `column` is its heading in a table, if not its name."""

    name: str
    label: str = ""
    unit: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class ProgressRule:
    """Where news of a run stands: `file` is stdout, stderr or a glob under the outputs folder."""

    kind: ProgressKind
    pattern: str
    file: str = "stdout"
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A submission that the definition accepts. `files` gives each file input the names of its files."""

    name: str
    title: str = ""
    inputs: dict[str, Json] = field(default_factory=dict, metadata=PLAIN)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    resources: dict[str, Json] = field(default_factory=dict, metadata=PLAIN)


@dataclass(frozen=True, slots=True)
class Application:
    """A catalogued program. Exactly one of `command` (words) and `script` (a POSIX sh template) is not empty."""

    name: str
    version: str
    title: str
    summary: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    command: tuple[str | Choice, ...] = ()
    script: str = ""
    resources: tuple[ResourceRule, ...] = ()
    deployments: tuple[Deployment, ...] = (Deployment(),)
    progress: tuple[ProgressRule, ...] = ()
    examples: tuple[Example, ...] = ()
    restartable: bool = False
    max_attempts: int = 3
    network: bool | Condition = False
    isolation: Isolation = Isolation.REQUIRED
    enabled_for: EnabledFor = EnabledFor.EVERYONE

    @property
    def digest(self) -> str:
        """SHA-256 of the whole definition; fields at their defaults are left out, so new ones don't change it."""
        return sha256_of(encode(self, sparse=True))

    def to_json(self) -> dict[str, Json]:
        form = encode(self)
        assert isinstance(form, dict)  # noqa: S101  an Application is a record
        return form

    @staticmethod
    def from_json(form: Json) -> Application:
        """Equal to the application whose `to_json` this is. ValueError: it isn't one."""
        return decode(Application, form)

    def input(self, name: str) -> Input | None:
        return next((i for i in self.inputs if i.name == name), None)

    def resource(self, name: ResourceName) -> ResourceRule | None:
        return next((rule for rule in self.resources if rule.name is name), None)

    def deployment_on(self, cluster: str) -> Deployment | None:
        """The deployment that names the cluster, else the one for `*`; None: it doesn't run there."""
        by_cluster = {deployment.cluster: deployment for deployment in self.deployments}
        return by_cluster.get(cluster) or by_cluster.get("*")

    def is_open_to(self, *, administrator: bool) -> bool:
        if self.enabled_for is EnabledFor.ADMINISTRATORS:
            return administrator
        return self.enabled_for is EnabledFor.EVERYONE
