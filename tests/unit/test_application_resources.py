"""A job gets the definition's resources, or what its user asks for within the limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.application import FileFacts, check_inputs, choose_resources, read_application
from isthmus.application.encoding import Json
from isthmus.application.expression import BadExpression, parse_expression
from isthmus.errors import InvalidInput
from isthmus.job import Resources

TEXT = """\
name: fit
version: 1.0.0
title: Fit
summary: Fits.
command: [x]
inputs:
  table: {file: {max_mib: 4096}}
  more: {files: {}, required: false}
  steps: {schema: {type: integer}, default: 10}
resources:
  cpus: {default: 2, max: 8}
  memory_mib:
    min: 256
    max: 4096
    computed: >-
      max(512, 4 * files.table.size_mib + files.more.count / (inputs.steps - 5))
  walltime_s: {default: 600, min: 60, max: 7200}
  nodes: 1
"""
APPLICATION = read_application(TEXT, "fit.yaml")


def chosen(asked: dict[str, Json], *, size_mib: int = 1, steps: int = 10) -> Resources:
    table = FileFacts("", size_mib * 2**20, "a.csv")
    return choose_resources(APPLICATION, check_inputs(APPLICATION, {"steps": steps}, {"table": table}), asked)


def faults_of(asked: dict[str, Json], *, size_mib: int = 1, steps: int = 10) -> list[tuple[str, str, str]]:
    with pytest.raises(InvalidInput) as invalid:
        chosen(asked, size_mib=size_mib, steps=steps)
    return [(fault.field, fault.code, fault.message) for fault in invalid.value.faults]


def test_nothing_asked_gives_the_defaults_and_the_computed() -> None:
    assert chosen({}) == Resources(cpus=2, memory_mib=512, walltime_s=600, nodes=1)


def test_a_computed_amount_follows_from_the_inputs() -> None:
    assert chosen({}, size_mib=300).memory_mib == 1200


def test_what_is_asked_is_given() -> None:
    asked: dict[str, Json] = {"cpus": 8, "memory_mib": 1024, "walltime_s": 90, "queue": "long", "account": "p.1"}
    assert chosen(asked) == Resources(cpus=8, memory_mib=1024, walltime_s=90, queue="long", account="p.1")


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        *((600, 600), (600.0, 600), ("600", 600), ("00:10:00", 600), ("90m", 5400), ("1h30m", 5400), ("2h", 7200)),
        *(("0-01:00:00", 3600), (" 90s ", 90), ("90min", 5400), ("1:30", 5400), ("1.5h", 5400)),
    ],
)
def test_walltime_may_be_said_in_several_ways(asked: Json, seconds: int) -> None:
    assert chosen({"walltime_s": asked}).walltime_s == seconds


@pytest.mark.parametrize(
    ("asked", "mib"), [("2G", 2048), ("512M", 512), ("1.5GiB", 1536), ("1024", 1024), ("1 gb", 1024), ("256.5", 257)]
)
def test_memory_may_be_said_in_several_ways(asked: Json, mib: int) -> None:
    assert chosen({"memory_mib": asked}).memory_mib == mib


NO_TIME = "must be a time like 90m, 1h30m or 1:30:00, or a number of seconds"
FAULTS: list[tuple[dict[str, Json], str, str, str]] = [
    ({"cpu": 1}, "cpu", "unknown_resource", "there is no such resource; did you mean 'cpus'?"),
    ({"gpus": 1}, "gpus", "not_adjustable", "this application doesn't let it be chosen"),
    ({"cpus": 9}, "cpus", "out_of_range", "9 is more than the most, 8"),
    ({"cpus": 0}, "cpus", "out_of_range", "0 is less than the least, 1"),
    ({"cpus": -1}, "cpus", "out_of_range", "-1 is less than the least, 1"),
    ({"cpus": True}, "cpus", "wrong_type", "must be a whole number"),
    ({"cpus": 1.5}, "cpus", "wrong_type", "must be a whole number"),
    ({"cpus": "two"}, "cpus", "wrong_type", "must be a whole number"),
    ({"cpus": [1]}, "cpus", "wrong_type", "must be a whole number"),
    ({"nodes": 2}, "nodes", "out_of_range", "2 is more than the most, 1"),
    ({"memory_mib": "8G"}, "memory_mib", "out_of_range", "8192 MiB is more than the most, 4096 MiB"),
    ({"memory_mib": "2 potatoes"}, "memory_mib", "wrong_type", "must be a size like 4GiB or 512M, or a number of MiB"),
    ({"walltime_s": 0}, "walltime_s", "out_of_range", "0 s is less than the least, 60 s"),
    ({"walltime_s": "00:00:00"}, "walltime_s", "out_of_range", "0 s is less than the least, 60 s"),
    ({"walltime_s": "10:75"}, "walltime_s", "wrong_type", NO_TIME),
    ({"walltime_s": ""}, "walltime_s", "wrong_type", NO_TIME),
    ({"walltime_s": float("inf")}, "walltime_s", "wrong_type", NO_TIME),
    ({"walltime_s": ["90m"]}, "walltime_s", "wrong_type", NO_TIME),
    ({"queue": "a\n#SBATCH"}, "queue", "wrong_form", "must be one word of letters, digits and _.@+:-"),
    ({"account": 5}, "account", "wrong_form", "must be one word of letters, digits and _.@+:-"),
]


@pytest.mark.parametrize(
    ("asked", "name", "code", "message"), FAULTS, ids=[f"{f[1]}-{n}" for n, f in enumerate(FAULTS)]
)
def test_a_fault_names_the_resource_and_its_limit(asked: dict[str, Json], name: str, code: str, message: str) -> None:
    assert faults_of(asked) == [(f"resources.{name}", code, message)]


def test_all_faults_come_at_once() -> None:
    assert [field for field, _, _ in faults_of({"cpus": 9, "walltime_s": 0, "cpu": 1})] == [
        *("resources.cpu", "resources.cpus", "resources.walltime_s"),
    ]


def test_inputs_that_need_more_than_the_most_are_refused_before_the_job_is() -> None:
    assert faults_of({}, size_mib=1025) == [
        ("resources.memory_mib", "out_of_range", "these inputs need 4100 MiB, more than the most, 4096 MiB")
    ]


def test_an_amount_that_cannot_be_computed_is_said_so() -> None:
    assert faults_of({}, steps=5) == [
        ("resources.memory_mib", "not_computable", "can't be computed from these inputs: division by zero")
    ]


def test_a_computed_amount_below_the_least_is_raised_to_it() -> None:
    application = read_application(TEXT.replace("max(512, ", "min(1, "), "fit.yaml")
    inputs = check_inputs(application, {}, {"table": FileFacts("", 1, "a")})
    assert choose_resources(application, inputs, {}).memory_mib == 256


def test_a_number_that_is_not_finite_is_no_amount() -> None:
    with pytest.raises(BadExpression, match="not a finite number"):
        parse_expression("1e308 * 10").value({})


NUMBERS = st.integers(0, 1000)


@given(NUMBERS, NUMBERS, NUMBERS.filter(bool))
def test_expressions_count_as_python_does_and_round_up(a: int, b: int, c: int) -> None:
    text = (
        "ceil((inputs.a + 2) * inputs.b / inputs.c) - inputs.a // inputs.c % 7 + min(inputs.a, -1.5, floor(inputs.b))"
    )
    names = {"inputs.a": a, "inputs.b": b, "inputs.c": c}
    expected = -(-(a + 2) * b // c) - a // c % 7 + min(a, -1.5, b)
    assert parse_expression(text).value(names) == -int(-expected // 1)


@pytest.mark.parametrize(
    "text",
    [
        *("__import__('os')", "inputs.a.b", "files.a", "inputs", "a", "'x'", "[1]", "1 if 1 else 2", "1 < 2", "2 ** 9"),
        *(
            "min(1)",
            "max()",
            "ceil()",
            "min(*[1, 2])",
            "min(1, 2, key=3)",
            "lambda: 1",
            "1j",
            "~1",
            "1 <<",
            "",
            "(" * 300,
        ),
        *("1" * 501, "inputs.a()", "(1).__class__", "None", "x := 1"),
    ],
)
def test_only_arithmetic_is_an_expression(text: str) -> None:
    with pytest.raises(BadExpression):
        parse_expression(text)
