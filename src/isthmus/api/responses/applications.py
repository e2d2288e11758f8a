"""What answers hold about the catalogue."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from isthmus.api.responses.answer import Answer


class ApplicationSummary(Answer):
    """`enabled`: the caller may run it. `inputs` is the JSON Schema 2020-12 of its inputs."""

    name: str
    version: str
    title: str
    summary: str
    keywords: list[str]
    enabled: bool
    inputs: dict[str, JsonValue]


class ApplicationList(Answer):
    applications: list[ApplicationSummary]


class FileRuleOut(Answer):
    max_mib: float
    extensions: list[str]
    media_types: list[str]
    many: bool
    min_files: int
    max_files: int


class InputOut(Answer):
    name: str
    label: str
    type: str
    required: bool
    default: JsonValue
    help: str
    unit: str
    group: str
    advanced: bool
    order: int
    value_schema: Annotated[dict[str, JsonValue], Field(alias="schema")]
    file: FileRuleOut | None


class OutputRuleOut(Answer):
    name: str
    glob: str
    label: str
    media_type: str
    show: str
    required: bool


class ResourceOut(Answer):
    """One resource that may be chosen; `computed` is the expression it is computed by, or empty."""

    name: str
    default: int
    min: int
    max: int | None
    computed: str


class MetricOut(Answer):
    name: str
    label: str
    unit: str
    column: str


class ProgressOut(Answer):
    kind: str
    pattern: str
    file: str
    metrics: list[MetricOut]


class ExampleOut(Answer):
    name: str
    title: str
    inputs: dict[str, JsonValue]
    files: dict[str, list[str]]
    resources: dict[str, JsonValue]


class ApplicationOut(Answer):
    """One version of an application, inputs in the order of its form."""

    name: str
    version: str
    versions: list[str]
    title: str
    summary: str
    description: str
    keywords: list[str]
    enabled: bool
    digest: str
    inputs: list[InputOut]
    outputs: list[OutputRuleOut]
    resources: list[ResourceOut]
    clusters: list[str]
    restartable: bool
    max_attempts: int
    isolation: str
    progress: list[ProgressOut]
    examples: list[ExampleOut]


class FaultOut(Answer):
    line: int
    where: str
    message: str


class BrokenFile(Answer):
    file: str
    faults: list[FaultOut]


class BrokenList(Answer):
    broken: list[BrokenFile]
