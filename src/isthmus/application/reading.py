"""An application file's text as an `Application`, or every fault it has, each with its line."""

from __future__ import annotations

import re

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from isthmus.application.definition import (
    Application,
    EnabledFor,
    Example,
    FileRule,
    Input,
    Isolation,
    Metric,
    Output,
    ProgressKind,
    ProgressRule,
    Show,
)
from isthmus.application.encoding import Json
from isthmus.application.faults import BrokenApplication, Fault, did_you_mean
from isthmus.application.inputs import FILE_FORMAT, value_faults
from isthmus.application.reading_run import read_run
from isthmus.application.section import Section, open_file

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?")
FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}")
GROUPS = frozenset({"fraction", "stage", "message", "done", "total"})

MAX_TEXT_LENGTH = 32_000  # in UTF-8 at most 128,000 bytes: Linux takes no longer argument than 131,071
USUAL_TEXT_LENGTH = 4096
MAX_ITEMS = 1000
_COMMON = frozenset({"type", "enum"})
_RANGE = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_KEYWORDS = {
    "string": _COMMON | {"minLength", "maxLength", "pattern", "format", "multiline"},
    "number": _COMMON | _RANGE,
    "integer": _COMMON | _RANGE,
    "boolean": _COMMON,
    "array": frozenset({"type", "items", "minItems", "maxItems", "uniqueItems"}),
}
_MEDIA_TYPE = re.compile(r"[a-z]+/(?:[a-z0-9][a-z0-9.+-]*|\*)")
_EXTENSION = re.compile(r"\.[a-z0-9]{1,12}(?:\.[a-z0-9]{1,12})?")
_SHOWN_AS = {
    Show.PICTURE: re.compile(r"image/(?:png|jpeg|gif|webp)"),
    Show.MAP: re.compile(r"application/geo\+json"),
    Show.TABLE: re.compile(r"text/(?:csv|tab-separated-values)"),
    Show.JSON: re.compile(r"application/(?:.*\+)?json"),
    Show.TEXT: re.compile(r"text/.*"),
    Show.DOWNLOAD: re.compile(r".*"),
}


def read_application(text: str, source: str) -> Application:
    """The definition the file holds. BrokenApplication: with every fault found; `source` names the file in it."""
    faults: list[Fault] = []
    top = open_file(text, faults)
    application = _read(top) if top is not None else None
    if faults or application is None:
        raise BrokenApplication(source, faults)
    return application


def _read(top: Section) -> Application:
    application = Application(
        name=_matching(top, "name", NAME, "lower-case letters, digits and hyphens, a letter first"),
        version=_matching(top, "version", VERSION, "three numbers like 1.0.2, or 1.0.2-beta.1"),
        title=top.text("title", required=True, most=80),
        summary=top.text("summary", required=True),
        description=top.text("description", most=20_000, lines=True),
        keywords=top.texts("keywords"),
        inputs=_inputs(top),
        outputs=tuple(_output(name, section) for name, section in top.named("outputs")),
        progress=tuple(_progress(section) for section in top.sections("progress")),
        examples=tuple(_example(name, section) for name, section in top.named("examples")),
        restartable=top.flag("restartable"),
        max_attempts=top.whole("max_attempts", 3, least=1, most=10),
        isolation=top.choice("isolation", Isolation.REQUIRED),
        enabled_for=top.choice("enabled_for", EnabledFor.EVERYONE),
    )
    application = read_run(top, application)
    top.finish()
    return application


def _matching(section: Section, key: str, form: re.Pattern[str], said: str) -> str:
    text = section.text(key, required=True)
    if text and not form.fullmatch(text):
        section.fault(key, f"'{text}' must be {said}")
    return text


def _label(name: str, section: Section) -> str:
    return section.text("label", name.replace("_", " ").capitalize(), most=80)


# Inputs


def _inputs(top: Section) -> tuple[Input, ...]:
    """In the order of the form: by `order`, then as the file has them."""
    found = [_input(name, section) for name, section in top.named("inputs")]
    return tuple(sorted(found, key=lambda one: one.order))


def _input(name: str, section: Section) -> Input:
    if not FIELD.fullmatch(name):
        section.fault("", f"'{name}' must be lower-case letters, digits and underscores, a letter first")
    kinds = [kind for kind in ("schema", "file", "files") if section.has(kind)]
    if len(kinds) != 1:
        section.fault("", "must have exactly one of schema, file and files")
    file = _file_rule(section)
    has_default = section.has("default")
    found = Input(
        name=name,
        label=_label(name, section),
        schema=_file_schema(file) if file else _schema(section.section("schema")),
        file=file,
        help=section.text("help", most=2000, lines=True).rstrip("\n"),
        unit=section.text("unit", most=20),
        order=section.whole("order", 0, least=-1000, most=1000),
        group=section.text("group", most=80),
        advanced=section.flag("advanced"),
        required=section.flag("required", default=not has_default),
        default=section.json("default"),
    )
    _check_default(found, section)
    section.finish()
    return found


def _check_default(found: Input, section: Section) -> None:
    if not section.has("default"):
        return
    if found.file:
        section.fault("default", "a file input has no default")
    elif found.required:
        section.fault("required", "an input with a default is not required")
    elif found.default is None:
        section.fault("default", "must be a value; leave it out for none")
    elif "type" in found.schema:
        for _, message in value_faults(found, found.default):
            section.fault("default", message)


def _file_rule(section: Section) -> FileRule | None:
    many = section.section("files")
    rule = many or section.section("file")
    if rule is None:
        return None
    found = FileRule(
        max_mib=rule.number("max_mib", 1024, least=0.001, most=1024 * 1024),
        extensions=tuple(text.lower() for text in rule.texts("extensions")),
        media_types=rule.texts("media_types"),
        many=many is not None,
        min_files=many.whole("min", 1, least=1, most=MAX_ITEMS) if many else 1,
        max_files=many.whole("max", 100, least=1, most=MAX_ITEMS) if many else 1,
    )
    if found.min_files > found.max_files:
        rule.fault("min", "is more than max")
    _all_match(rule, "extensions", found.extensions, _EXTENSION, "an extension like .csv or .tar.gz")
    _all_match(rule, "media_types", found.media_types, _MEDIA_TYPE, "a media type like image/png or image/*")
    rule.finish()
    return found


def _all_match(section: Section, key: str, texts: tuple[str, ...], form: re.Pattern[str], said: str) -> None:
    for text in texts:
        if not form.fullmatch(text):
            section.fault(key, f"'{text}' is not {said}")


def _file_schema(rule: FileRule) -> dict[str, Json]:
    one: dict[str, Json] = {"type": "string", "format": FILE_FORMAT}
    if not rule.many:
        return one
    return {"type": "array", "items": one, "minItems": rule.min_files, "maxItems": rule.max_files}


def _schema(section: Section | None) -> dict[str, Json]:
    """The value's JSON Schema, texts and lists given a greatest length if it states none; empty if it is broken."""
    if section is None:
        return {}
    schema: dict[str, Json] = {key: section.json(key) for key in section.names()}
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _KEYWORDS:
        section.fault("type", f"must be one of {', '.join(_KEYWORDS)}")
        return {}
    _check_keywords(section, schema, kind)
    if kind == "array":
        schema.setdefault("maxItems", MAX_ITEMS)
        schema["items"] = _item_schema(section)
    if kind == "string" and "enum" not in schema:
        schema.setdefault("maxLength", USUAL_TEXT_LENGTH)
    return schema if _is_schema(section, schema) else {}


def _item_schema(section: Section) -> dict[str, Json]:
    if not section.has("items"):
        section.fault("items", "is missing: a list needs the schema of its items")
    items = _schema(section.section("items"))
    if items.get("type") == "array":
        section.fault("items", "a list of lists can't be used")
    return items


def _check_keywords(section: Section, schema: dict[str, Json], kind: str) -> None:
    for key in schema:
        if key not in _KEYWORDS[kind]:
            article = "an" if kind[0] in "aeiou" else "a"
            section.fault(key, f"can't be used in the schema of {article} {kind}{did_you_mean(key, _KEYWORDS[kind])}")
    if not isinstance(schema.get("multiline", False), bool):
        section.fault("multiline", "must be true or false")
    form = schema.get("format")
    if form is not None and form not in Draft202012Validator.FORMAT_CHECKER.checkers:
        known = sorted(Draft202012Validator.FORMAT_CHECKER.checkers)
        section.fault("format", f"'{form}' is not known{did_you_mean(str(form), known)}")


def _is_schema(section: Section, schema: dict[str, Json]) -> bool:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        section.fault(str(next(iter(error.absolute_path), "")), error.message)
        return False
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        least, most = schema.get(low), schema.get(high)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            section.fault(low, f"is more than {high}")
    for key, most in (("maxLength", MAX_TEXT_LENGTH), ("maxItems", MAX_ITEMS)):
        limit = schema.get(key)
        if isinstance(limit, int | float) and limit > most:
            section.fault(key, f"must be at most {most}")
    _check_choices(section, schema)
    return True


def _check_choices(section: Section, schema: dict[str, Json]) -> None:
    """Each word of an enum must itself be a value that the rest of the schema takes."""
    choices = schema.get("enum")
    rest = {key: rule for key, rule in schema.items() if key != "enum"}
    for choice in choices if isinstance(choices, list) else []:
        for _, message in value_faults(Input("enum", "enum", rest), choice):
            section.fault("enum", f"'{choice}' {message}")


# Outputs, progress, examples


def _output(name: str, section: Section) -> Output:
    if not FIELD.fullmatch(name):
        section.fault("", f"'{name}' must be lower-case letters, digits and underscores, a letter first")
    if name in ("stdout", "stderr"):
        section.fault("", f"'{name}' is the name of what every program prints; give the output another")
    output = Output(
        name=name,
        glob=section.text("glob", required=True),
        label=_label(name, section),
        media_type=section.text("media_type", "application/octet-stream"),
        show=section.choice("show", Show.DOWNLOAD),
        required=section.flag("required", default=True),
    )
    _check_glob(section, "glob", output.glob)
    if not _MEDIA_TYPE.fullmatch(output.media_type):
        section.fault("media_type", f"'{output.media_type}' is not a media type like image/png")
    elif not _SHOWN_AS[output.show].fullmatch(output.media_type):
        section.fault("show", f"{output.media_type} can't be shown as {output.show}")
    section.finish()
    return output


def _check_glob(section: Section, key: str, glob: str) -> None:
    if glob.startswith("/") or ".." in glob.split("/") or "\\" in glob:
        section.fault(key, f"'{glob}' must stay inside the outputs folder: no leading /, no .., no backslash")


def _progress(section: Section) -> ProgressRule:
    kind = section.choice("kind", ProgressKind.REGEX)
    rule = ProgressRule(
        kind=kind,
        pattern=section.text("header" if kind is ProgressKind.COLUMNS else "pattern", required=True, most=500),
        file=section.text("file", "stdout"),
        metrics=tuple(_metric(name, inner, kind) for name, inner in section.named("metrics")),
    )
    _check_glob(section, "file", rule.file)
    _check_pattern(section, rule)
    section.finish()
    return rule


def _metric(name: str, section: Section, kind: ProgressKind) -> Metric:
    if not FIELD.fullmatch(name) or name in GROUPS:
        section.fault("", f"'{name}' can't name a metric")
    column = section.text("column", name, most=80) if kind is ProgressKind.COLUMNS else ""
    metric = Metric(name, label=_label(name, section), unit=section.text("unit", most=20), column=column)
    section.finish()
    return metric


def _check_pattern(section: Section, rule: ProgressRule) -> None:
    key = "header" if rule.kind is ProgressKind.COLUMNS else "pattern"
    try:
        groups = set(re.compile(rule.pattern).groupindex)
    except re.error as error:
        section.fault(key, f"is not a regular expression: {error}")
        return
    metrics = {metric.name for metric in rule.metrics}
    if rule.kind is ProgressKind.COLUMNS:
        if not metrics:
            section.fault("metrics", "is missing: a table needs at least one")
        return
    for group in sorted(groups - GROUPS - metrics):
        section.fault(key, f"group '{group}' is no metric of this rule{did_you_mean(group, GROUPS | metrics)}")
    for metric in sorted(metrics - groups):
        section.fault("metrics", f"'{metric}' is no group of the pattern")
    if not groups:
        section.fault(key, f"has no named group; known: {', '.join(sorted(GROUPS))}, and metrics")


def _example(name: str, section: Section) -> Example:
    example = Example(
        name=name,
        title=section.text("title", most=80),
        inputs=section.json_object("inputs"),
        files=_example_files(section),
        resources=section.json_object("resources"),
    )
    section.finish()
    return example


def _example_files(section: Section) -> dict[str, tuple[str, ...]]:
    inner = section.section("files")
    if inner is None:
        return {}
    return {key: inner.texts(key) if inner.is_list(key) else (inner.text(key),) for key in inner.names()}
