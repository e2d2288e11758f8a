"""An application file is read into a definition, or refused with every fault and its line."""

from __future__ import annotations

from typing import cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.application import Application, BrokenApplication, Choice, read_application
from isthmus.application.encoding import Json

GOOD = """\
name: count-words
version: 1.2.0
title: Count words
summary: Counts the words of a text.
inputs:
  text: {file: {extensions: [.TXT], max_mib: 2}}
  least: {schema: {type: integer, minimum: 1, maximum: 9}, default: 3, unit: words}
  note: {schema: {type: string}, required: false}
  words: {schema: {type: array, items: {type: string}}, default: []}
outputs:
  counts: {glob: counts.csv, media_type: text/csv, show: table}
command: [count, "{files.text}", "-l{inputs.least}", "{inputs.words}", {if: inputs.note, then: ["-n{inputs.note}"]}]
resources:
  cpus: 1
  memory_mib: {computed: "max(256, 20 * files.text.size_mib)", max: 4096}
  walltime_s: {default: 60, max: 600}
deployments:
  "*": {variables: {bin: "{site.programs}/b"}, environment: {THREADS: "{resources.cpus}"}, path: ["{site.programs}/x"]}
progress:
  - {pattern: "^(?P<done>[0-9]+) of (?P<total>[0-9]+)$"}
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def faults_of(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(BrokenApplication) as broken:
        read_application(text, "words.yaml")
    return [(fault.line, fault.where, fault.message) for fault in broken.value.faults]


def test_a_good_file_becomes_its_definition() -> None:
    application = read_application(GOOD, "words.yaml")
    assert (application.name, application.version) == ("count-words", "1.2.0")
    text, least, note, words = application.inputs
    assert text.file is not None
    assert text.file.extensions == (".txt",)
    assert text.required
    assert (least.default, least.required, least.label) == (3, False, "Least")
    assert note.may_be_missing
    assert words.is_list
    assert isinstance(application.command[-1], Choice)


def test_inputs_stand_in_the_order_of_the_form() -> None:
    text = changed("note: {schema", "note: {order: -1, schema")
    assert [one.name for one in read_application(text, "x").inputs] == ["note", "text", "least", "words"]


def test_a_version_that_looks_like_a_number_is_read_as_it_is_written() -> None:
    (fault,) = faults_of(changed("version: 1.2.0", "version: 1.10"))
    assert fault == (2, "version", "'1.10' must be three numbers like 1.0.2, or 1.0.2-beta.1")


def test_every_fault_of_a_file_is_told_with_file_line_and_place() -> None:
    text = changed("title:", "titel:").replace("show: table", "show: globe").replace("cpus: 1", "cpus: many")
    with pytest.raises(BrokenApplication) as broken:
        read_application(text, "words.yaml")
    assert broken.value.message.splitlines() == [
        "words.yaml:1: title: is missing",
        "words.yaml:3: titel: unknown key; did you mean 'title'?",
        "words.yaml:11: outputs.counts.show: 'globe' is none of picture, map, table, json, text, download",
        "words.yaml:14: resources.cpus: must be a number",
    ]


NOT_YAML = [
    ("name: [", 1, "expected the node content"),
    ("name: a\nname: b", 2, "stands here twice; first on line 1"),
    ("a: &x [1]\nb: *x", 1, "anchors and aliases can't be used here"),
    ("a: b\nb: *x", 2, "anchors and aliases can't be used here"),
    ("a: !!python/name:os.system x", 1, "the tag tag:yaml.org,2002:python/name:os.system can't be used here"),
    ("- a", 1, "must be a mapping"),
    ("", 1, "must be a mapping"),
    ("a: " + "[" * 50 + "]" * 50, 1, "nested deeper than 12 levels"),
    ("a: 1\nb: \x07", 2, "not YAML"),
    ("a: 1\n---\nb: 2", 2, "found another document"),
    ("? [a]\n: 1", 1, "a key must be a word"),
    ("#" * 300_000, 1, "longer than"),
]


@pytest.mark.parametrize(("text", "line", "said"), NOT_YAML, ids=range(len(NOT_YAML)))
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    assert any(fault[0] == line and said in fault[2] for fault in faults_of(text)), faults_of(text)


FAULTS = [
    # names and words
    ("name: count-words", "name: Count_Words", 1, "name", "must be lower-case letters"),
    ("title: Count words", "title: yes please\nlabel: x", 4, "label", "unknown key"),
    ("title: Count words", "title: true", 3, "title", "write 'true' between quotes"),
    ("title: Count words", "title: [a]", 3, "title", "must be a text"),
    ("title: Count words", "title: ''", 3, "title", "is empty"),
    ("title: Count words", f"title: {'x' * 81}", 3, "title", "longer than 80"),
    ("title: Count words", 'title: "a\\tb"', 3, "title", "control character"),
    ("title: Count words", "title: Count words\nkeywords: a", 4, "keywords", "must be a list"),
    ("title: Count words", "title: Count words\nrestartable: maybe", 4, "restartable", "must be true or false"),
    ("title: Count words", "title: Count words\nmax_attempts: 11", 4, "max_attempts", "must be from 1 to 10"),
    ("title: Count words", "title: Count words\nmax_attempts: 1.5", 4, "max_attempts", "must be a whole number"),
    ("title: Count words", "title: Count words\nisolation: some", 4, "isolation", "none of required, preferred"),
    ("title: Count words", "title: Count words\nenabled_for: me", 4, "enabled_for", "everyone, administrators, nobody"),
    # inputs
    ("note: {schema", "No-te: {schema", 8, "inputs.No-te", "letters, digits and underscores"),
    ("note: {schema: {type: string}", "note: {file: {}, schema: {type: string}", 8, "inputs.note", "exactly one of"),
    ("note: {schema: {type: string}", "note: {label: x", 8, "inputs.note", "exactly one of"),
    ("note: {schema: {type: string}", "note: {schema: {type: text}", 8, "inputs.note.schema.type", "must be one of"),
    ("note: {schema: {type: string}", "note: {schema: 5", 8, "inputs.note.schema", "must be a mapping"),
    ("minimum: 1,", "minimun: 1,", 7, "inputs.least.schema.minimun", "did you mean 'minimum'?"),
    ("minimum: 1,", "minimum: one,", 7, "inputs.least.schema.minimum", "not of type 'number'"),
    ("minimum: 1,", "minimum: 10,", 7, "inputs.least.schema.minimum", "is more than maximum"),
    ("minimum: 1,", "minimum: .nan,", 7, "inputs.least.schema.minimum", "must be a finite number"),
    ("minimum: 1,", "enum: [1, two],", 7, "inputs.least.schema.enum", "'two' must be a whole number"),
    ("minimum: 1,", "enum: [1, 10],", 7, "inputs.least.schema.enum", "out of range"),
    ("default: 3", "default: 30", 7, "inputs.least.default", "30 is out of range: 1 to 9 words"),
    ("default: 3", "default: true", 7, "inputs.least.default", "must be a whole number, not true or false"),
    ("default: 3", "default: null", 7, "inputs.least.default", "leave it out for none"),
    ("default: 3", "default: 3, required: true", 7, "inputs.least.required", "is not required"),
    ("type: string}, req", "type: string, pattern: '('}, req", 8, "inputs.note.schema.pattern", "is not a 'regex'"),
    ("type: string}, req", "type: string, format: colour}, req", 8, "inputs.note.schema.format", "not known"),
    ("type: string}, req", "type: string, maxLength: 40000}, req", 8, "inputs.note.schema.maxLength", "32000"),
    ("type: string}, req", "type: string, multiline: 1}, req", 8, "inputs.note.schema.multiline", "true or false"),
    ("items: {type: string}", "maxItems: 3", 9, "inputs.words.schema.items", "needs the schema of its items"),
    ("items: {type: string}", "items: {type: array, items: {type: string}}", 9, "inputs.words.schema.items", "lists"),
    (
        "items: {type: string}",
        "items: {type: string, oneOf: []}",
        9,
        "inputs.words.schema.items.oneOf",
        "can't be used",
    ),
    ("file: {ext", "default: a, file: {ext", 6, "inputs.text.default", "a file input has no default"),
    ("max_mib: 2", "max_mib: 0", 6, "inputs.text.file.max_mib", "must be from"),
    ("[.TXT]", "[txt]", 6, "inputs.text.file.extensions", "'txt' is not an extension"),
    ("[.TXT]", "[.txt], media_types: [text]", 6, "inputs.text.file.media_types", "'text' is not a media type"),
    ("file: {extensions: [.TXT]", "files: {min: 3, max: 2", 6, "inputs.text.files.min", "is more than max"),
    # outputs and progress
    ("glob: counts.csv", "glob: ../counts.csv", 11, "outputs.counts.glob", "must stay inside the outputs folder"),
    ("glob: counts.csv", "glob: /counts.csv", 11, "outputs.counts.glob", "must stay inside the outputs folder"),
    ("counts: {glob: counts.csv,", "counts: {", 11, "outputs.counts.glob", "is missing"),
    ("  counts: {", "  Counts: {", 11, "outputs.Counts", "letters, digits and underscores"),
    ("text/csv", "image/svg+xml", 11, "outputs.counts.show", "image/svg+xml can't be shown as table"),
    ("text/csv", "csv", 11, "outputs.counts.media_type", "'csv' is not a media type"),
    ("(?P<done>", "(?P<done", 20, "progress[1].pattern", "is not a regular expression"),
    ("(?P<done>", "(?P<dome>", 20, "progress[1].pattern", "no metric of this rule; did you mean 'done'?"),
    ("(?P<done>[0-9]+) of (?P<total>[0-9]+)", "x", 20, "progress[1].pattern", "has no named group"),
    ("{pattern:", "{file: ../log, pattern:", 20, "progress[1].file", "must stay inside"),
    ("{pattern:", "{metrics: {loss: {}}, pattern:", 20, "progress[1].metrics", "'loss' is no group"),
    ("{pattern:", "{metrics: {done: {}}, pattern:", 20, "progress[1].metrics.done", "can't name a metric"),
    ("{pattern:", "{kind: columns, header:", 20, "progress[1].metrics", "a table needs at least one"),
    ("{pattern:", "{kind: bars, pattern:", 20, "progress[1].kind", "none of regex, columns"),
    ("  - {pattern", "  - x\n  - {pattern", 20, "progress", "must be a mapping"),
    # command
    ("[count,", "[count, '{inputs.lest}',", 12, "command", "did you mean 'inputs.least'?"),
    ("[count,", "[count, '{inputs.text}',", 12, "command", "nothing is known as 'inputs.text'"),
    ("[count,", "[count, '{files.least}',", 12, "command", "nothing is known as 'files.least'"),
    ("[count,", "[count, '{outputs_dri}',", 12, "command", "did you mean 'outputs_dir'?"),
    ("[count,", "[count, '{resources.cpu}',", 12, "command", "did you mean 'cpus'?"),
    ("[count,", "[count, '{deployment.bun}',", 12, "command", "the deployment for * has no variable 'bun'"),
    ("[count,", "[count, '{site.programs}',", 12, "command", "give the deployments a variable"),
    ("[count,", "[count, '{inputs.note}',", 12, "command", "inputs.note may have no value"),
    ("[count,", "[count, 'x{inputs.words}',", 12, "command", "is a list and must stand alone"),
    ("[count,", "[count, 'a}b',", 12, "command", "a lone '}'"),
    ("[count,", "[count, '{in puts}',", 12, "command", "is not a placeholder"),
    ("if: inputs.note", "if: inputs.nota", 12, "command[5].if", "no"),
    ("if: inputs.note", "if: inputs.note == 1", 12, "command[5].if", "is not a condition"),
    ("if: inputs.note", "if: not inputs.note", 12, "command[5].then", "inputs.note may have no value"),
    ("if: inputs.note, then", "if: inputs.note, than", 12, "command[5].then", "must be a list of words"),
    ("resources:\n  cpus", "script: echo\nresources:\n  cpus", 12, "command", "either a command or a script"),
    # resources
    ("  walltime_s: {default: 60, max: 600}\n", "", 14, "resources.walltime_s", "how long may it run?"),
    ("cpus: 1", "cups: 1", 14, "resources.cups", "unknown resource; did you mean 'cpus'?"),
    ("cpus: 1", "cpus: 0", 14, "resources.cpus", "must be from 1 to 4096"),
    ("default: 60,", "default: 0,", 16, "resources.walltime_s.default", "must be from 1"),
    ("default: 60,", "default: 601,", 16, "resources.walltime_s.default", "outside min and max"),
    ("default: 60,", "min: 700, default: 600,", 16, "resources.walltime_s.min", "is more than max"),
    ("default: 60,", "", 16, "resources.walltime_s", "either a default or a computed value"),
    ("20 * files", "20 ** files", 15, "resources.memory_mib.computed", "can't be used"),
    ("20 * files.text.size_mib", "inputs.__class__", 15, "resources.memory_mib.computed", "no number is known as"),
    ("20 * files.text.size_mib", "open(1)", 15, "resources.memory_mib.computed", "'open(1)' can't be used"),
    ("20 * files.text.size_mib", "(1).real", 15, "resources.memory_mib.computed", "can't be used"),
    ("20 * files.text.size_mib", "files.text.size", 15, "resources.memory_mib.computed", "files.text.size_mib"),
    ("20 * files.text.size_mib", "", 15, "resources.memory_mib.computed", "max takes two numbers or more"),
    ("20 * files.text.size_mib)", "", 15, "resources.memory_mib.computed", "is not an expression"),
    ("20 * files.text.size_mib", "True", 15, "resources.memory_mib.computed", "truth values are not numbers"),
    ("20 * files.text.size_mib", "ceil(1, 2)", 15, "resources.memory_mib.computed", "ceil takes one number"),
    # outputs
    ("counts: {glob", "stdout: {glob", 11, "outputs.stdout", "what every program prints"),
    ("counts: {glob", "stderr: {glob", 11, "outputs.stderr", "what every program prints"),
    # deployments
    ('"*": {var', '"a b": {var', 18, "deployments.a b", "is not the name of a cluster"),
    ("{bin:", "{Bin:", 18, "deployments.*.variables", "lower-case letters"),
    ("THREADS:", "threads:", 18, "deployments.*.environment", "'threads' must be upper-case"),
    ("THREADS:", "LD_PRELOAD:", 18, "deployments.*.environment", "LD_PRELOAD can't be set"),
    ("THREADS:", "PATH:", 18, "deployments.*.environment", "use path"),
    ("THREADS:", "SLURM_CONF:", 18, "deployments.*.environment", "can't be set"),
    ("{resources.cpus}", "{inputs.least}", 18, "deployments.*.environment", "can't be used in a deployment"),
    ("{resources.cpus}", "{resources", 18, "deployments.*.environment", "a lone '{'"),
    ("{site.programs}/x", "x/y", 18, "deployments.*.path", "one absolute folder"),
    ("{site.programs}/x", "/x:/y", 18, "deployments.*.path", "one absolute folder"),
    ("{variables:", "{modules: ['a;b'], variables:", 18, "deployments.*.modules", "is not the name of a module"),
    ("{variables:", "{image: x, variables:", 18, "deployments.*.image", "unknown key"),
    ("{variables:", "{setup: 'a `b`', variables:", 18, "deployments.*.setup", "write $(…) instead"),
    ("progress:", "network: inputs.none\nprogress:", 19, "network", "nothing is known as 'inputs.none'"),
    ("progress:", "network: 5\nprogress:", 19, "network", "is not a condition"),
    ("progress:", "examples: {a: {input: {}}}\nprogress:", 19, "examples.a.input", "did you mean 'inputs'?"),
]


@pytest.mark.parametrize(("old", "new", "line", "where", "said"), FAULTS, ids=[f"{f[3]}-{f[1]}"[:60] for f in FAULTS])
def test_a_fault_names_its_line_and_key_and_says_what_is_wrong(
    old: str, new: str, line: int, where: str, said: str
) -> None:
    found = faults_of(changed(old, new))
    assert any((at, key) == (line, where) and said in message for at, key, message in found), found


def test_a_resource_used_but_not_stated_is_a_fault() -> None:
    text = changed('  memory_mib: {computed: "max(256, 20 * files.text.size_mib)", max: 4096}\n', "")
    text = text.replace("{resources.cpus}", "{resources.memory_mib}")
    assert faults_of(text)[0][2] == "resources.memory_mib has no value: the file's resources don't state it"


def test_an_expression_may_not_rest_on_an_input_that_may_be_missing() -> None:
    text = changed("default: 3", "required: false").replace("20 * files.text.size_mib", "inputs.least")
    assert "inputs.least may have no value; give it a default" in [message for _, _, message in faults_of(text)]


def test_truth_values_and_clock_times_are_what_they_look_like() -> None:
    text = changed("note: {schema: {type: string}", "note: {schema: {type: string, enum: [on, no, 12:30, 2015-01-02]}")
    assert read_application(text, "x").inputs[2].schema["enum"] == ["on", "no", "12:30", "2015-01-02"]


def test_texts_and_lists_get_a_greatest_length() -> None:
    _, _, note, words = read_application(GOOD, "x").inputs
    assert note.schema["maxLength"] == 4096
    assert words.schema["maxItems"] == 1000


def test_the_definition_comes_back_from_its_json_exactly() -> None:
    application = read_application(GOOD, "x")
    assert Application.from_json(application.to_json()) == application


def test_the_digest_is_of_the_definition_not_of_the_file() -> None:
    one, two = read_application(GOOD, "x"), read_application("# a comment\n" + GOOD, "y")
    other = read_application(changed("default: 60,", "default: 61,"), "x")
    assert one.digest == two.digest != other.digest


@pytest.mark.parametrize("spoil", [{"unheard": 1}, {"name": 5}, {"inputs": {}}, {"deployments": [1]}])
def test_json_that_is_no_definition_is_refused(spoil: dict[str, Json]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Application.from_json({**read_application(GOOD, "x").to_json(), **spoil})


def test_a_stored_definition_may_lack_what_came_later() -> None:
    form = read_application(GOOD, "x").to_json()
    del form["max_attempts"]
    assert Application.from_json(form).max_attempts == 3


def test_a_stored_definition_may_not_lack_its_name() -> None:
    form = read_application(GOOD, "x").to_json()
    del form["name"]
    with pytest.raises(ValueError, match="name"):
        Application.from_json(form)


NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,8}\Z")
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cs"]), max_size=40)


@settings(deadline=None)
@given(
    labels=st.dictionaries(NAMES, WORDS, max_size=4),
    help_text=WORDS,
    keywords=st.lists(WORDS, max_size=3),
    walltime_s=st.integers(1, 10_000),
    default=st.one_of(WORDS, st.just("x")),
)
def test_any_definition_comes_back_from_its_json_exactly(
    labels: dict[str, str], help_text: str, keywords: list[str], walltime_s: int, default: str
) -> None:
    inputs: dict[str, Json] = {
        name: {"label": label, "help": help_text, "default": default, "schema": {"type": "string"}}
        for name, label in labels.items()
    }
    form = cast(dict[str, Json], yaml.safe_load(GOOD))
    command: list[Json] = ["echo", *(f"{{inputs.{name}}}" for name in inputs)]
    form |= {"inputs": inputs, "keywords": list(keywords), "command": command}
    form |= {"resources": {"walltime_s": walltime_s}}
    application = read_application(yaml.safe_dump(form, default_style='"', allow_unicode=False), "x")
    assert [one.label for one in application.inputs] == list(dict(sorted(labels.items())).values())
    assert Application.from_json(application.to_json()) == application


PIECES = st.sampled_from(
    ["{", "}", "[", "]", ": ", ",", "-", "\n", "\n  ", "'", '"', "null", "5", "{{", "files", "#", "&a ", "!x "]
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_is_wrong_with_a_file_is_a_fault_of_the_file(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(start + 12, len(GOOD))))
    text = GOOD[:start] + "".join(data.draw(st.lists(PIECES, max_size=3))) + GOOD[end:]
    try:
        application = read_application(text, "x.yaml")
    except BrokenApplication as broken:
        assert all(1 <= fault.line <= text.count("\n") + 2 and fault.message for fault in broken.faults)
    else:
        assert Application.from_json(application.to_json()) == application
