"""A submission's inputs are accepted with their defaults, or refused with every fault and its field's name."""

from __future__ import annotations

import math

import pytest
from jsonschema import Draft202012Validator

from isthmus.application import (
    CheckedInputs,
    FileFacts,
    check_inputs,
    input_schema,
    read_application,
)
from isthmus.application.encoding import Json
from isthmus.errors import InvalidInput

APPLICATION = read_application(
    """\
name: storms
version: 1.0.0
title: Storms
summary: Finds storms.
command: [x]
resources: {walltime_s: 60}
inputs:
  radar: {file: {max_mib: 1, extensions: [.bz2, .tar.bz2], media_types: [application/x-bzip2]}, label: Radar file}
  extra: {files: {min: 2, max: 3}, required: false}
  threshold_dbz: {schema: {type: number, minimum: 0, maximum: 80}, default: 40, unit: dBZ, help: The weakest echo.}
  gates: {schema: {type: integer, exclusiveMinimum: 0, multipleOf: 2}, default: 8}
  mode: {schema: {type: string, enum: [fast, exact]}, default: fast, group: Method, order: 2, advanced: true}
  name: {schema: {type: string, minLength: 2, maxLength: 5, pattern: "^[a-z]+$"}, required: false}
  day: {schema: {type: string, format: date}, required: false}
  notes: {schema: {type: string, multiline: true}, required: false}
  levels:
    schema: {type: array, items: {type: integer, maximum: 9}, minItems: 1, maxItems: 3, uniqueItems: true}
    required: false
  smooth: {schema: {type: boolean}, required: true}
""",
    "storms.yaml",
)
RADAR = FileFacts("0" * 64, 1000, "KATX.bz2", "application/x-bzip2")


def checked(values: dict[str, Json], **files: FileFacts | list[FileFacts]) -> CheckedInputs:
    return check_inputs(APPLICATION, {"smooth": True, **values}, {"radar": RADAR, **files})


def faults_of(values: dict[str, Json], **files: FileFacts | list[FileFacts]) -> list[tuple[str, str, str]]:
    with pytest.raises(InvalidInput) as invalid:
        checked(values, **files)
    return [(fault.field, fault.code, fault.message) for fault in invalid.value.faults]


def test_what_is_not_given_gets_its_default_and_the_rest_stays_away() -> None:
    assert checked({}).values == {"threshold_dbz": 40, "gates": 8, "mode": "fast", "smooth": True}


def test_null_is_the_same_as_not_given() -> None:
    assert checked({"threshold_dbz": None, "name": None}) == checked({})


FAULTS: list[tuple[dict[str, Json], str, str, str]] = [
    ({"treshold_dbz": 1}, "treshold_dbz", "unknown_input", "there is no such input; did you mean 'threshold_dbz'?"),
    ({"threshold_dbz": "40"}, "threshold_dbz", "wrong_type", "must be a number, not a text"),
    ({"threshold_dbz": True}, "threshold_dbz", "wrong_type", "must be a number, not true or false"),
    ({"threshold_dbz": [1]}, "threshold_dbz", "wrong_type", "must be a number, not a list"),
    ({"threshold_dbz": {}}, "threshold_dbz", "wrong_type", "must be a number, not an object"),
    ({"threshold_dbz": 99}, "threshold_dbz", "out_of_range", "99 is out of range: 0 to 80 dBZ"),
    ({"threshold_dbz": math.nan}, "threshold_dbz", "not_finite", "must be a finite number"),
    ({"threshold_dbz": -math.inf}, "threshold_dbz", "not_finite", "must be a finite number"),
    ({"gates": 0}, "gates", "out_of_range", "0 is out of range: more than 0"),
    ({"gates": 3}, "gates", "not_a_multiple", "must be a multiple of 2"),
    ({"gates": 2.5}, "gates", "wrong_type", "must be a whole number, not the number 2.5"),
    ({"gates": "2.5"}, "gates", "wrong_type", "must be a whole number"),
    ({"gates": "2"}, "gates", "wrong_type", "must be a whole number, not a text"),
    ({"threshold_dbz": 10**38}, "threshold_dbz", "out_of_range", "is out of range: 0 to 80 dBZ"),
    ({"levels": [10**38]}, "levels", "out_of_range", "is out of range: at most 9"),
    ({"gates": 10**5000}, "gates", "out_of_range", f"must be from {1 - 2**63} to {2**63 - 1}"),
    ({"mode": "slow"}, "mode", "not_a_choice", "must be one of fast, exact"),
    ({"name": "a"}, "name", "too_short", "must have at least 2 characters"),
    ({"name": "abcdef"}, "name", "too_long", "has more than the 5 characters that are permitted"),
    ({"name": "AB"}, "name", "wrong_form", "doesn't have the form ^[a-z]+$"),
    ({"name": "ab\n"}, "name", "control_character", "must be on one line"),
    ({"name": "a\x00b"}, "name", "control_character", "holds a character that can't be used (U+0000)"),
    ({"name": "a\x1b[2Jb"}, "name", "control_character", "holds a character that can't be used (U+001B)"),
    ({"name": "a\x85b"}, "name", "control_character", "holds a character that can't be used (U+0085)"),
    ({"name": "a\u2028b"}, "name", "control_character", "holds a character that can't be used (U+2028)"),
    ({"name": "a\ud800"}, "name", "control_character", "holds a character that can't be used (U+D800)"),
    ({"name": "a\n#SBATCH -p x"}, "name", "control_character", "must be on one line"),
    ({"notes": "a\x07"}, "notes", "control_character", "holds a character that can't be used (U+0007)"),
    ({"notes": "a" * 4097}, "notes", "too_long", "has more than the 4096 characters that are permitted"),
    ({"day": "2015-02-30"}, "day", "wrong_form", "is not a valid date"),
    ({"levels": []}, "levels", "too_few", "must have at least 1 items"),
    ({"levels": [1, 2, 3, 4]}, "levels", "too_many", "has more than the 3 items that are permitted"),
    ({"levels": [1, 1]}, "levels", "repeated", "holds the same item twice"),
    ({"levels": [1, 10]}, "levels", "out_of_range", "item 2 10 is out of range: at most 9"),
    ({"levels": [1, "x"]}, "levels", "wrong_type", "item 2 must be a whole number, not a text"),
    ({"levels": [1, math.nan]}, "levels", "not_finite", "must be a finite number"),
    ({"smooth": None}, "smooth", "missing", "is required"),
    ({"smooth": 1}, "smooth", "wrong_type", "must be true or false, not the number 1"),
    ({"radar": "KATX"}, "radar", "wrong_type", "must be a file"),
]


@pytest.mark.parametrize(
    ("values", "field", "code", "message"), FAULTS, ids=[f"{f[1]}-{n}" for n, f in enumerate(FAULTS)]
)
def test_a_fault_names_its_field_a_code_and_what_is_permitted(
    values: dict[str, Json], field: str, code: str, message: str
) -> None:
    assert faults_of(values) == [(field, code, message)]


FILE_FAULTS: list[tuple[str, list[FileFacts], str, str]] = [
    ("radar", [], "missing", "a file is required"),
    ("radar", [RADAR, RADAR], "too_many", "takes one file, not 2"),
    ("radar", [FileFacts("", 2**21, "a.bz2")], "too_large", "a.bz2 has 2.0 MiB; at most 1 MiB are permitted"),
    ("radar", [FileFacts("", 1, "a.zip")], "wrong_extension", "a.zip must end in .bz2 or .tar.bz2"),
    ("radar", [FileFacts("", 1, "a\n.zip")], "wrong_extension", "a\\n.zip must end in .bz2 or .tar.bz2"),
    ("radar", [FileFacts("", 1, "a.bz2", "text/x")], "wrong_media_type", "a.bz2 is text/x, not application/x-bzip2"),
    ("extra", [RADAR], "too_few", "takes 2 to 3 files, not 1"),
    ("extra", [RADAR] * 4, "too_many", "takes 2 to 3 files, not 4"),
    ("mode", [RADAR], "wrong_type", "must be a text, not a file"),
    ("rader", [RADAR], "unknown_input", "there is no such input; did you mean 'radar'?"),
]


@pytest.mark.parametrize(
    ("field", "files", "code", "message"), FILE_FAULTS, ids=[f"{f[0]}-{f[2]}" for f in FILE_FAULTS]
)
def test_a_fault_of_a_file_names_its_field_and_the_limit(
    field: str, files: list[FileFacts], code: str, message: str
) -> None:
    assert faults_of({}, **{field: files}) == [(field, code, message)]


def test_all_faults_come_at_once_sorted_by_field() -> None:
    found = faults_of({"threshold_dbz": 99, "mode": "slow", "zzz": 1, "smooth": None}, radar=[])
    assert [field for field, _, _ in found] == ["mode", "radar", "smooth", "threshold_dbz", "zzz"]


def test_an_unknown_media_type_is_no_reason_to_refuse_a_file() -> None:
    facts = FileFacts("", 1, "a.bz2", "application/octet-stream")
    assert checked({}, radar=facts).files["radar"][0].facts == facts


@pytest.mark.parametrize(
    ("name", "staged"),
    [("a.bz2", "radar.bz2"), ("A.TAR.BZ2", "radar.tar.bz2"), ("$(id).bz2", "radar.bz2"), ("../../x.bz2", "radar.bz2")],
)
def test_a_file_is_staged_under_its_inputs_name(name: str, staged: str) -> None:
    assert checked({}, radar=FileFacts("", 1, name)).files["radar"][0].staged_name == staged


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        *(("a.csv", ".csv"), ("a.nc.gz", ".nc.gz"), ("a.tar.gz", ".tar.gz"), ("a", ""), (".bashrc", ""), ("a.", "")),
        *(("a.$(id)", ""), ("a.x y", ""), ("a.csv\n", ""), ("a.ÄÖ", ""), ("KATX_20130717", ""), ("a.b.c.d", ".d")),
    ],
)
def test_only_a_harmless_extension_is_kept_where_any_file_is_taken(name: str, extension: str) -> None:
    facts = FileFacts("", 1, name)
    staged = [file.staged_name for file in checked({}, extra=[facts, facts]).files["extra"]]
    assert staged == [f"extra-1{extension}", f"extra-2{extension}"]


def test_texts_of_several_lines_end_them_with_a_newline_alone() -> None:
    assert checked({"notes": "a\r\nb\tc"}).values["notes"] == "a\nb\tc"


def test_a_whole_float_is_an_integer_where_one_is_asked_for() -> None:
    done = checked({"gates": 8.0, "levels": [1.0], "threshold_dbz": 40.0})
    assert (type(done.values["gates"]), type(done.values["threshold_dbz"])) == (int, float)
    assert done.values["levels"] == [1]


def test_the_schema_of_the_inputs_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(input_schema(APPLICATION))


def test_the_schema_has_what_a_form_needs() -> None:
    schema = input_schema(APPLICATION)
    assert schema["required"] == ["radar", "smooth"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["threshold_dbz"] == {
        **{"type": "number", "minimum": 0, "maximum": 80, "title": "Threshold dbz", "description": "The weakest echo."},
        **{"default": 40, "x-unit": "dBZ", "x-order": 0, "x-advanced": False},
    }
    assert properties["radar"] == {
        **{"type": "string", "format": "isthmus-file", "title": "Radar file", "x-order": 0, "x-advanced": False},
        **{"x-max-mib": 1, "x-extensions": [".bz2", ".tar.bz2"], "x-media-types": ["application/x-bzip2"]},
    }


@pytest.mark.parametrize(
    "values", [{"radar": "f1", "smooth": True}, {"radar": "f1", "smooth": False, "levels": [1], "extra": ["f2", "f3"]}]
)
def test_the_schema_takes_what_the_check_takes(values: dict[str, Json]) -> None:
    assert list(Draft202012Validator(input_schema(APPLICATION)).iter_errors(values)) == []


@pytest.mark.parametrize("values", [{"smooth": True}, {"radar": "f1", "smooth": True, "gates": 3}, {"zzz": 1}])
def test_the_schema_refuses_what_the_check_refuses(values: dict[str, Json]) -> None:
    assert list(Draft202012Validator(input_schema(APPLICATION)).iter_errors(values)) != []
