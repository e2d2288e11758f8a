"""Labels as people write them: whatever labels a job has, its forms hold, and give back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.portal.naming import MAX_NAME, label_faults, name_faults, next_name, read_labels, write_labels

CHARACTERS = st.one_of(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), st.sampled_from('," '))
LABELS = st.lists(st.text(CHARACTERS, min_size=1, max_size=12), max_size=20, unique=True).map(tuple)


@given(LABELS)
@example(("a, b", "a", "b"))
@example(('"', '""', ',"', ' "a" ', "a  b", "\u00a0"))
def test_labels_that_were_written_are_read_as_they_were(labels: tuple[str, ...]) -> None:
    assert read_labels(write_labels(labels)) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", ()),
        (" , ,\r\n", ()),
        ("storms, 2015\n kept ,", ("storms", "2015", "kept")),
        ('"Ames, Iowa", 15" dish', ("Ames, Iowa", '15" dish')),
        ('"never closed, b', ('"never closed', "b")),
        ('"a" b, c', ('"a" b', "c")),
        ('"say ""hello""" , "x"', ('say "hello"', "x")),
        ("twice, twice", ("twice",)),
        ("many   blanks", ("many blanks",)),
    ],
)
def test_commas_and_lines_part_labels_and_quotes_keep_them_whole(text: str, labels: tuple[str, ...]) -> None:
    assert read_labels(text) == labels


def test_labels_that_need_no_quotes_get_none() -> None:
    assert write_labels(("radar", '15" dish', "Ames, Iowa")) == 'radar, 15" dish, "Ames, Iowa"'


def test_what_is_wrong_with_labels_and_names_is_said() -> None:
    assert [fault.code for fault in label_faults(("x" * 65,))] == ["too_long"]
    assert [fault.code for fault in label_faults(tuple(map(str, range(21))))] == ["too_many"]
    assert [fault.code for fault in label_faults(("a\x1bb",))] == ["wrong_form"]
    assert [fault.code for fault in name_faults("x" * 256)] == ["too_long"]
    assert not [*label_faults(("fine",)), *name_faults("fine")]


@pytest.mark.parametrize(
    ("name", "taken", "said"),
    [
        ("Radar", [], "Radar (2)"),
        ("Radar", ["Radar", "Radar (2)"], "Radar (3)"),
        ("Radar (9)", [], "Radar (10)"),
        ("Radar (2015)", ["Radar (2016)"], "Radar (2017)"),
        ("n" * MAX_NAME, [], "n" * (MAX_NAME - 4) + " (2)"),
    ],
)
def test_a_job_that_is_run_again_gets_the_next_name_that_is_free(name: str, taken: list[str], said: str) -> None:
    assert next_name(name, taken) == said
