"""What the command line makes of the words it is given: beginnings of ids, values of flags."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from isthmus.cli.exits import ExitCode, Misuse, code_of_error, code_of_state
from isthmus.cli.flags import from_settings, from_texts
from isthmus.cli.printing import moment, shown, shown_lines, size_text, span
from isthmus.cli.session import made_between
from isthmus.client import ApplicationRecord, InputRecord, NoConnection
from isthmus.errors import Conflict, InvalidInput, IsthmusError, NotAllowed, NotFound, NotSignedIn, StorageFault
from isthmus.job import JobState
from isthmus.store.ids import new_id


def test_a_length_of_time_is_told_in_the_two_units_that_matter() -> None:
    assert [span(s) for s in (None, 0.04, 59.94, 61, 3700, 90000)] == [
        "",
        "0.0 s",
        "59.9 s",
        "1 min 1 s",
        "1 h 1 min",
        "1 d 1 h",
    ]


def test_a_number_of_bytes_is_told_in_the_unit_that_fits() -> None:
    assert [size_text(n) for n in (0, 1023, 1536, 5 * 1024**2)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]


def test_the_beginning_of_an_id_names_the_time_it_was_made() -> None:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    made = new_id(at.timestamp())
    for length in (1, 6, 10, 20):
        after, before = made_between(made[:length])
        assert after <= at <= before
    after, before = made_between(made[:10])
    assert (before - after).total_seconds() < 1


def test_no_id_begins_outside_the_times_that_can_be_told() -> None:
    after, before = made_between("z")
    assert after.year > 2026
    assert before.year == 9990


def _application() -> ApplicationRecord:
    inputs = (
        InputRecord("count", schema={"type": "integer"}),
        InputRecord("factor", schema={"type": "number"}),
        InputRecord("loud", schema={"type": "boolean"}),
        InputRecord("levels", schema={"type": "array", "items": {"type": "number"}}),
        InputRecord("word", schema={"type": "string"}),
    )
    return ApplicationRecord("thing", "1", inputs=inputs)


def test_settings_become_values_of_their_input_s_type() -> None:
    given = [("count", "3"), ("factor", "2.5"), ("loud", "true"), ("levels", "1"), ("levels", "2"), ("word", "7")]
    assert from_settings(_application(), given) == {
        "count": 3,
        "factor": 2.5,
        "loud": True,
        "levels": [1.0, 2.0],
        "word": "7",
    }


@pytest.mark.parametrize(
    ("text", "value"), [("45", 45), ("45.0", 45.0), ("-3", -3), ("4e1", 40.0), ("1" * 30, float("1" * 30))]
)
def test_a_number_is_kept_as_it_was_written(text: str, value: float) -> None:
    assert repr(from_settings(_application(), [("factor", text)])["factor"]) == repr(value)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("True", True), ("no", False), ("false", False)])
def test_a_switch_may_be_set_in_words(text: str, value: bool) -> None:
    assert from_settings(_application(), [("loud", text)]) == {"loud": value}


def test_a_value_that_cannot_be_read_stays_text_for_the_gateway_to_refuse() -> None:
    given = [("count", "many"), ("loud", "perhaps"), ("unheard_of", "x")]
    assert from_settings(_application(), given) == {"count": "many", "loud": "perhaps", "unheard_of": "x"}


def test_a_file_input_s_word_is_a_path() -> None:
    one = InputRecord("radar", file={"many": False})
    many = InputRecord("scans", file={"many": True})
    assert [path.name for path in (from_texts(one, ["a/b.nc"]),)] == ["b.nc"]  # type: ignore[attr-defined]
    assert [path.name for path in from_texts(many, ["a", "b"])] == ["a", "b"]  # type: ignore[attr-defined]


def test_an_input_that_takes_one_value_is_given_once() -> None:
    with pytest.raises(Misuse, match="count takes one value, not 2: 1, 2"):
        from_settings(_application(), [("count", "1"), ("count", "2")])
    with pytest.raises(Misuse, match="radar takes one file, not 2: a, b"):
        from_texts(InputRecord("radar", file={"many": False}), ["a", "b"])


def test_control_characters_of_a_name_are_made_visible() -> None:
    assert shown("a\x1b[31mred\rb\nc") == "a\\x1b[31mred\\x0db\\x0ac"
    assert shown_lines("a\nb\x1b") == "a\nb\\x1b"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), 3),
        (InvalidInput("x"), 4),
        (Misuse("x"), 2),
        (Conflict("x"), 4),
        (NoConnection("x"), 5),
        (NotSignedIn("x"), 6),
        (NotAllowed("x"), 6),
        (StorageFault("x"), 1),
        (IsthmusError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: IsthmusError, code: int) -> None:
    assert code_of_error(error) == code


def test_only_a_completed_job_is_a_success() -> None:
    codes = {state: code_of_state(state) for state in JobState if state.is_final}
    assert codes == {
        JobState.COMPLETED: ExitCode.OK,
        JobState.FAILED: ExitCode.JOB_FAILED,
        JobState.CANCELLED: ExitCode.JOB_CANCELLED,
    }


def test_a_time_says_in_which_zone_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment(datetime(2026, 3, 1, 20, 0, tzinfo=UTC)) == "2026-03-02 05:00:00 JST"
        assert moment(None) == ""
    finally:
        monkeypatch.undo()
        time.tzset()
