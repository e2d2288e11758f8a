"""What a page makes of what programs wrote: lines, tables, numbers, and the choice of how a file is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.application import Json, Show
from isthmus.portal.comparing import NumberRow, numbers_in
from isthmus.portal.excerpts import excerpt, read_table
from isthmus.portal.logpage import decoded, visible
from isthmus.portal.outputs import MIB, Drawing, how_drawn, media_type_of
from isthmus.store.views import OutputView


@given(st.text())
def test_no_control_character_is_left_in_a_line(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if (ord(c) < 32 and c != "\t") or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E]


def test_a_line_of_windows_ends_where_its_text_ends() -> None:
    assert visible("words\r") == "words"
    assert visible("10 %\r20 %") == "10 %␍20 %"


@given(st.text(), st.integers(0, 30))
def test_text_cut_anywhere_is_decoded_as_far_as_its_whole_characters(text: str, at: int) -> None:
    content = text.encode("utf-8", "replace")[:at]
    shown, used = decoded(content, whole=False)
    assert content[:used].decode() == shown
    assert len(content) - used < 4


def test_broken_bytes_become_signs_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\xff\xfe!")
    found = excerpt(path, 100)
    assert (found.text, found.is_whole) == ("\ufffd\ufffd!", True)


def test_a_table_without_rows_has_its_heading(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\tb\n")
    found = read_table(path, "\t")
    assert (found.heading, found.rows, found.count) == (("a", "b"), (), 0)


def test_a_column_is_numeric_only_if_all_of_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,x,\n2.5e3,3,\n")
    assert read_table(path, ",").numeric == (True, False, False)


def test_numbers_have_the_way_to_them_in_the_files_order() -> None:
    form: Json = {"b": [1, {"x": 2.5}], "a": True, "c": "3", "d": None, "e": -4}
    assert list(numbers_in(form)) == [("b.0", 1.0), ("b.1.x", 2.5), ("e", -4.0)]
    assert list(numbers_in(10**400)) == []


@pytest.mark.parametrize(
    ("a", "b", "said"), [(10, 15, "+5 (+50.0%)"), (0, 2, "+2"), (-4, -2, "+2 (+50.0%)"), (3, 3, ""), (None, 3, "")]
)
def test_a_change_is_said_with_its_part_of_the_first(a: float | None, b: float, said: str) -> None:
    assert NumberRow("x", a, b).change == said


@pytest.mark.parametrize(
    ("show", "media_type", "size", "drawing"),
    [
        (Show.PICTURE, "image/png", 1, Drawing.PICTURE),
        (Show.PICTURE, "image/svg+xml", 1, Drawing.NONE),
        (Show.TEXT, "text/html", 1, Drawing.NONE),
        (Show.TEXT, "application/xhtml+xml", 1, Drawing.NONE),
        (Show.MAP, "application/json", 1, Drawing.MAP),
        (Show.MAP, "application/geo+json", 9 * MIB, Drawing.NONE),
        (Show.JSON, "application/json", 5 * MIB, Drawing.NONE),
        (Show.TABLE, "text/plain", 1, Drawing.TABLE),
        (Show.DOWNLOAD, "text/csv", 1, Drawing.TABLE),
        (Show.DOWNLOAD, "application/octet-stream", 1, Drawing.NONE),
        (Show.TEXT, "application/octet-stream", 1, Drawing.TEXT),
        (Show.TEXT, "text/plain", 0, Drawing.NONE),
    ],
)
def test_a_file_is_drawn_as_asked_if_that_is_safe_and_possible(
    show: Show, media_type: str, size: int, drawing: Drawing
) -> None:
    found, why_not = how_drawn(show, media_type, size)
    assert found is drawing
    assert bool(why_not) == (drawing is Drawing.NONE and media_type != "application/octet-stream")


@pytest.mark.parametrize(
    ("said", "path", "media_type"),
    [
        ("application/octet-stream", "a/b.PNG", "image/png"),
        ("application/octet-stream", "b", "application/octet-stream"),
        ("text/plain; charset=utf-8", "b.png", "text/plain"),
        ("", "page.htm", "text/html"),
    ],
)
def test_a_media_type_left_open_is_taken_from_the_files_ending(said: str, path: str, media_type: str) -> None:
    assert media_type_of(OutputView(1, 1, "x", path, "0" * 64, 1, said)) == media_type


def test_a_long_name_in_json_is_not_copied_for_each_of_its_members() -> None:
    form: Json = {"x" * 500_000: [1] * 250_000, "a": {"b": [1, True, None, "2", 2.5]}}
    assert list(numbers_in(form)) == [("a.b.0", 1.0), ("a.b.4", 2.5)]


def test_a_line_that_is_no_row_of_any_table_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("," * 20_000_000)
    assert "too long to be shown" in read_table(path, ",").fault
