"""What a page's form says and what it stands for: nothing is lost on the way to the page and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.application import (
    Application,
    FileRule,
    Input,
    Json,
    ResourceName,
    ResourceRule,
    check_inputs,
    read_amount,
)
from isthmus.application.inputs import value_faults
from isthmus.gateway.submission import OutputReference, UploadReference
from isthmus.portal.amounts import same_amount, text_of_amount
from isthmus.portal.fields import Control, choices_of, control_of, field_of, same
from isthmus.portal.formtexts import (
    FileChoice,
    KeptFile,
    Texts,
    file_of_text,
    read,
    text_of_file,
    texts_of_value,
    value_of_texts,
)
from isthmus.portal.patterns import pattern_words

CHARACTERS = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
LINES = st.text(CHARACTERS, max_size=12)
PARAGRAPHS = st.text(st.one_of(CHARACTERS, st.sampled_from("\n\t")), max_size=20)
NUMBERS = st.one_of(st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False))


def an_input(schema: dict[str, Json], *, required: bool = False, default: Json = None) -> Input:
    return Input("one", "One", schema, required=required, default=default)


def sent(found: Input, texts: tuple[str, ...]) -> tuple[str, ...]:
    """What a browser sends of the control that holds the texts: text areas end their lines otherwise."""
    field = field_of(found, {f"inputs.{found.name}": texts}, {})
    if field.control is Control.CHECKBOXES:
        return ("", *(option.value for option in field.options if option.is_chosen))
    if field.control in (Control.RADIOS, Control.SELECT):
        return tuple(option.value for option in field.options if option.is_chosen)[:1]
    if field.control is Control.PARAGRAPHS:
        return (*texts, "")
    if field.control is Control.SWITCH:
        return ("false", "true") if field.text == "true" else ("false",)
    return (field.text.replace("\n", "\r\n"),)


def received(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text.replace("\r\n", "\n") for text in texts)


@st.composite
def inputs_with_values(draw: st.DrawFn) -> tuple[Input, Json]:
    """An input of any type, and a value that it takes."""
    words = draw(st.lists(LINES.filter(bool), min_size=1, max_size=6, unique=True))
    cases: list[tuple[dict[str, Json], st.SearchStrategy[Json]]] = [
        ({"type": "string"}, LINES.filter(bool)),
        ({"type": "string", "multiline": True}, PARAGRAPHS.filter(bool)),
        ({"type": "string", "enum": list(words)}, st.sampled_from(words)),
        ({"type": "integer"}, st.integers(-(2**62), 2**62)),
        ({"type": "integer", "enum": [1, 2, 30]}, st.sampled_from([1, 2, 30])),
        ({"type": "number"}, NUMBERS),
        ({"type": "boolean"}, st.booleans()),
        ({"type": "array", "items": {"type": "string"}}, st.lists(LINES, min_size=1, max_size=5).map(list)),
        ({"type": "array", "items": {"type": "integer"}}, st.lists(st.integers(-99, 99), min_size=1).map(list)),
        ({"type": "array", "items": {"type": "number"}}, st.lists(NUMBERS, min_size=1).map(list)),
        (
            {"type": "array", "items": {"type": "string", "multiline": True}},
            st.lists(PARAGRAPHS.filter(bool), min_size=1, max_size=4).map(list),
        ),
        (
            {"type": "array", "items": {"type": "string", "enum": list(words)}, "uniqueItems": True},
            st.lists(st.sampled_from(words), min_size=1, unique=True).map(list),
        ),
    ]
    schema, values = draw(st.sampled_from(cases))
    value = draw(values)
    found = an_input(schema, required=draw(st.booleans()))
    if not found.required and draw(st.booleans()):
        found = replace(found, default=draw(values))
    return found, value


@given(inputs_with_values())
def test_a_value_comes_back_from_the_page_as_it_was(case: tuple[Input, Json]) -> None:
    found, value = case
    assert not any(value_faults(found, value))
    texts = texts_of_value(found, value)
    back = received(sent(found, texts))
    assert value_of_texts(found, back) == value
    assert same(found, back, texts)


@given(inputs_with_values(), st.lists(LINES, max_size=3))
def test_whatever_is_typed_is_a_value_or_is_refused_in_words(case: tuple[Input, Json], typed: list[str]) -> None:
    found, _ = case
    value = value_of_texts(found, typed)
    assert all(message for _, message in ([] if value is None else value_faults(found, value)))


@given(inputs_with_values(), LINES)
def test_what_was_typed_is_still_in_the_field_when_it_is_drawn_again(case: tuple[Input, Json], typed: str) -> None:
    found, _ = case
    field = field_of(found, {"inputs.one": (typed,)}, {"inputs.one": "wrong"})
    held = {field.text, *field.texts, *(option.value for option in field.options if option.is_chosen)}
    if field.control not in (Control.SWITCH, Control.RADIOS):
        assert typed in held


@pytest.mark.parametrize(
    ("text", "value"),
    [("40", 40), (" 2.5 ", 2.5), ("-.5", -0.5), ("1e3", 1000.0), ("1_000", "1_000"), ("nan", "nan"), ("3,5", "3,5")],
)
def test_a_number_is_read_as_people_write_it_and_nothing_else_is_a_number(text: str, value: Json) -> None:
    assert value_of_texts(an_input({"type": "number"}), (text,)) == value


def test_an_empty_field_gives_nothing_so_the_default_stands() -> None:
    assert value_of_texts(an_input({"type": "number"}, default=4), ("",)) is None
    assert value_of_texts(an_input({"type": "string", "minLength": 1}, default="a"), ("",)) is None


def test_an_empty_text_is_a_value_where_leaving_it_out_would_mean_another() -> None:
    assert value_of_texts(an_input({"type": "string"}, default="a"), ("",)) == ""
    assert value_of_texts(an_input({"type": "string"}), ("",)) is None


def test_an_emptied_list_with_a_default_is_an_empty_list() -> None:
    found = an_input({"type": "array", "items": {"type": "string"}}, default=["a"])
    assert value_of_texts(found, ("",)) == []


def test_numbers_of_a_list_may_stand_on_one_line() -> None:
    found = an_input({"type": "array", "items": {"type": "integer"}})
    assert value_of_texts(found, ("1, 2;3\n4",)) == [1, 2, 3, 4]


def test_quotes_around_an_ordinary_item_are_its_own() -> None:
    found = an_input({"type": "array", "items": {"type": "string"}})
    assert value_of_texts(found, ('"a"\n""\n" b"',)) == ['"a"', "", " b"]


def test_an_optional_truth_value_has_three_answers_and_one_with_a_default_two() -> None:
    optional, switch = an_input({"type": "boolean"}), an_input({"type": "boolean"}, default=True)
    assert [option.label for option in field_of(optional, {}, {}).options] == ["Yes", "No", "Not given"]
    assert control_of(switch, ("false",)) is Control.SWITCH
    assert value_of_texts(switch, ("false",)) is False
    assert value_of_texts(switch, ("false", "true")) is True


def test_a_list_of_choices_in_another_order_is_shown_as_lines_so_the_order_stays() -> None:
    schema: dict[str, Json] = {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "uniqueItems": True}
    found = an_input(schema)
    assert control_of(found, ("a\nb",)) is Control.CHECKBOXES
    assert control_of(found, ("b\na",)) is Control.LINES
    assert choices_of({"enum": [1, True, "x"]}) == ["1", "true", "x"]


FILES = st.one_of(
    st.builds(UploadReference, st.text("0123456789abc", min_size=1, max_size=20)),
    st.builds(
        OutputReference,
        st.text("0123456789abc", min_size=1, max_size=20),
        st.text("abc_", min_size=1, max_size=10),
        st.one_of(st.none(), st.text(min_size=1, max_size=20)),
    ),
    st.builds(KeptFile, st.text("abc_", min_size=1, max_size=10), st.integers(0, 999)),
)


@given(FILES)
def test_a_chosen_file_comes_back_as_it_was(chosen: FileChoice) -> None:
    assert file_of_text(text_of_file(chosen)) == chosen


@given(st.text(max_size=30))
def test_a_text_that_names_no_file_is_no_file(text: str) -> None:
    chosen = file_of_text(text)
    assert chosen is None or text.startswith(("upload:", "output:", "kept:"))


@given(st.sampled_from(list(ResourceName)), st.integers(0, 10**9))
def test_an_amount_comes_back_as_it_was(name: ResourceName, amount: int) -> None:
    assert read_amount(name, text_of_amount(name, amount)) == amount
    assert same_amount(name, text_of_amount(name, amount), amount)


def test_amounts_written_differently_are_the_same() -> None:
    assert same_amount("walltime_s", "90m", 5400)
    assert same_amount("memory_mib", "2048", 2048)
    assert same_amount("cpus", "", None)
    assert not same_amount("walltime_s", "soon", 5400)
    assert not same_amount("cpus", "", 1)


APPLICATION = Application(
    name="echo",
    version="1.0.0",
    title="Echo",
    summary="Says it.",
    inputs=(
        an_input({"type": "integer"}),
        Input("paper", "Paper", {"type": "string"}, file=FileRule()),
    ),
    resources=(ResourceRule(ResourceName.CPUS, 1),),
)


def test_a_form_is_read_field_by_field_and_what_is_no_field_counts_for_nothing() -> None:
    texts: Texts = {
        "inputs.one": ("3",),
        "inputs.two": ("4",),
        "files.paper": ("", "upload:7"),
        "resources.cpus": ("2",),
        "resources.gpus": ("9",),
        "cluster": ("local",),
        "name": (" My job ",),
        "labels": ("a, b,,a",),
        "notices": ("chosen", "a", "b"),
        "owner": ("somebody",),
    }
    said = read(APPLICATION, texts)
    assert said.inputs == {"one": 3}
    assert said.files == {"paper": (UploadReference("7"),)}
    assert said.resources == {"cpus": "2"}
    assert (said.cluster, said.name, said.labels, said.notices) == ("local", "My job", ("a", "b"), "ba")
    assert said.faults == ()
    check_inputs(replace(APPLICATION, inputs=APPLICATION.inputs[:1]), said.inputs, {})


def test_a_form_without_a_word_of_notices_leaves_them_to_the_user() -> None:
    assert read(APPLICATION, {}).notices is None
    assert read(APPLICATION, {"notices": ("chosen",)}).notices == ""


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("name", "a" * 256, "too_long"),
        ("name", "a\x00b", "wrong_form"),
        ("labels", ",".join(str(n) for n in range(21)), "too_many"),
        ("labels", "a" * 65, "too_long"),
        ("labels", "a\x07", "wrong_form"),
    ],
)
def test_a_bad_name_or_label_is_a_fault_of_its_field(field: str, text: str, code: str) -> None:
    faults = read(APPLICATION, {field: (text,)}).faults
    assert [(fault.field, fault.code) for fault in faults] == [(field, code)]
    assert all(fault.message for fault in faults)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("^[A-Za-z]{4}$", "4 letters"),
        ("^(lowest|[1-9][0-9]?)$", "“lowest” or 1 to 2 digits"),
        (r"^[A-Z]{2,3}-\d+$", "2 to 3 capital letters, then “-”, then 1 or more digits"),
        ("^(a|b|c)$", "“a”, “b” or “c”"),
        ("^[a-z]$", "1 small letter"),
    ],
)
def test_a_simple_pattern_is_said_in_words(pattern: str, words: str) -> None:
    assert pattern_words(pattern) == words


@pytest.mark.parametrize(
    "pattern", ["a", "^a", "^a|b$", "^(a(b)c)$", "^x?$", "^[^a]$", "^.*$", "^(?=a)b$", r"^\bx$", ""]
)
def test_a_pattern_that_is_not_simple_is_not_explained_wrongly(pattern: str) -> None:
    assert pattern_words(pattern) == ""
