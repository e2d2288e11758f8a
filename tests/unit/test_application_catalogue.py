"""The catalogue holds every sound application in its versions; a broken file disables only its own."""

from __future__ import annotations

import random

import pytest

from isthmus.application import Application, EnabledFor, check_examples, page, read_application, read_catalogue
from isthmus.application.catalogue import precedence
from isthmus.errors import NotFound


def file_of(name: str = "fit", version: str = "1.0.0", more: str = "") -> str:
    return (
        f"name: {name}\nversion: {version}\ntitle: T\nsummary: S\ncommand: [x]\nresources: {{walltime_s: 60}}\n{more}"
    )


def test_versions_stand_newest_first_by_semantic_versioning() -> None:
    ordered = ["1.10.0", "1.9.10", "1.9.9", "1.0.0", "1.0.0-rc.10", "1.0.0-rc.2", "1.0.0-rc", "1.0.0-9", "0.9.9"]
    shuffled = random.Random(7).sample(ordered, len(ordered))
    catalogue = read_catalogue((f"{version}.yaml", file_of(version=version)) for version in shuffled)
    assert [one.version for one in catalogue.applications["fit"]] == ordered
    assert catalogue.find("fit").version == "1.10.0"
    assert catalogue.find("fit", "1.0.0-rc").version == "1.0.0-rc"


def test_a_longer_prerelease_comes_after_its_beginning() -> None:
    assert precedence("1.0.0-alpha") < precedence("1.0.0-alpha.1") < precedence("1.0.0-alpha.beta")


def test_a_broken_file_disables_its_own_application_only() -> None:
    catalogue = read_catalogue([("good.yaml", file_of()), ("bad.yaml", "name: [")])
    assert list(catalogue.applications) == ["fit"]
    assert [broken.source for broken in catalogue.broken] == ["bad.yaml"]
    assert catalogue.broken[0].message.startswith("bad.yaml:1: ")


def test_two_files_with_one_name_and_version_disable_both() -> None:
    catalogue = read_catalogue([("a.yaml", file_of()), ("b.yaml", file_of()), ("c.yaml", file_of(version="2.0.0"))])
    assert [one.version for one in catalogue.applications["fit"]] == ["2.0.0"]
    assert [broken.message for broken in catalogue.broken] == [
        "a.yaml:1: version: fit 1.0.0 is claimed by b.yaml too; both are disabled",
        "b.yaml:1: version: fit 1.0.0 is claimed by a.yaml too; both are disabled",
    ]


def test_what_is_not_there_is_said_with_what_is_near() -> None:
    catalogue = read_catalogue([("a.yaml", file_of(name="storm-clustering"))])
    with pytest.raises(NotFound, match="did you mean 'storm-clustering'"):
        catalogue.find("storm-clusterin")
    with pytest.raises(NotFound, match=r"has no version '2\.0\.0'; there is 1\.0\.0"):
        catalogue.find("storm-clustering", "2.0.0")


@pytest.mark.parametrize(
    ("who", "user", "administrator"),
    [(EnabledFor.EVERYONE, True, True), (EnabledFor.ADMINISTRATORS, False, True), (EnabledFor.NOBODY, False, False)],
)
def test_an_application_is_open_to_whom_its_file_says(who: EnabledFor, user: bool, administrator: bool) -> None:
    application = read_application(file_of(more=f"enabled_for: {who}\n"), "x")
    assert application.is_open_to(administrator=False) is user
    assert application.is_open_to(administrator=True) is administrator


RICH = """\
inputs:
  a: {schema: {type: integer, maximum: 5}, default: 1, help: "one | two <b>", group: First}
  b: {schema: {type: string, enum: [x y, z]}, required: false}
  c: {files: {max: 2, extensions: [.csv]}}
outputs: {o: {glob: "*.png", media_type: image/png, show: picture, required: false}}
network: inputs.b
"""


def test_examples_are_tried_against_the_definition() -> None:
    examples = """examples:
  good: {files: {c: a.csv}}
  bad: {inputs: {a: 6}, files: {c: [a.txt]}}
  slow: {files: {c: a.csv}, resources: {walltime_s: 61}}
"""
    faults = check_examples(read_application(file_of(more=RICH + examples), "x"))
    assert [fault.field for fault in faults] == [
        *("examples.bad.a", "examples.bad.c", "examples.slow.resources.walltime_s"),
    ]


def test_the_page_shows_inputs_outputs_resources_and_examples() -> None:
    examples = "examples: {good: {inputs: {a: 2, b: x y}, files: {c: [a.csv, b.csv]}}}\n"
    text = page(read_application(file_of(more=RICH + examples), "x"))
    for row in (
        "| `a` | A | whole number, at most 5 | default `1` | one \\| two &lt;b> |",
        "| `b` | B | `x y` or `z` | optional |  |",
        "| `c` | C | 1 to 2 files ending in .csv, at most 1024 MiB | required |  |",
        "| `o` | O | `*.png` | image/png | sometimes |",
        "| `walltime_s` | 60 s | 60 s | 60 s |",
        "It may use the network while it runs, if `inputs.b` is given.",
        "isthmus submit fit --c=a.csv --c=b.csv --a=2 '--b=x y'",
    ):
        assert row in text.splitlines()


def test_a_page_needs_nothing_but_the_definition() -> None:
    application = read_application(file_of(more=RICH), "x")
    assert page(Application.from_json(application.to_json())) == page(application)


def test_a_page_is_made_even_of_examples_that_do_not_check() -> None:
    examples = "examples: {bad: {inputs: {a: null, b: [[x]], c: {d: 1}}}}\n"
    application = read_application(file_of(more=RICH + examples), "x")
    assert check_examples(application)
    assert "isthmus submit fit --a=null '--b=[\"x\"]' '--c={\"d\":1}'" in page(application)
