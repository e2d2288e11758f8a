"""Times and sizes are read as people write them, by the same rule in a submission and on the command line."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.application.units import mebibytes, seconds


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        *(("5400", 5400), (" 90 ", 90), ("0", 0), ("45s", 45), ("90m", 5400), ("90min", 5400), ("1h30m", 5400)),
        *(("1H30MIN", 5400), ("2d", 172_800), ("1d2h3m4s", 93_784)),
        *(("1:30", 5400), ("1:30:00", 5400), ("01:30:00", 5400), ("100:00:00", 360_000)),
        *(("2-01:00:00", 176_400), ("2-01:30", 178_200)),
    ],
)
def test_a_time_is_read_in_the_forms_people_use(text: str, expected_s: int) -> None:
    assert seconds(text) == expected_s


@pytest.mark.parametrize(
    ("text", "expected_mib"),
    [
        *(("512", 512), ("64MiB", 64), ("512M", 512), ("512mb", 512), ("4GiB", 4096), ("4G", 4096), ("1 gb", 1024)),
        *(("1.5 gib", 1536), ("1T", 1_048_576), ("2TiB", 2_097_152), ("0", 0)),
    ],
)
def test_a_size_is_read_in_the_units_people_use(text: str, expected_mib: int) -> None:
    assert mebibytes(text) == expected_mib


@pytest.mark.parametrize(("text", "expected_s"), [("1.5h", 5400), ("0.1s", 1), ("2.5", 3), ("1.1h", 3960)])
def test_a_fraction_of_a_second_is_rounded_up(text: str, expected_s: int) -> None:
    assert seconds(text) == expected_s


@pytest.mark.parametrize(
    ("text", "expected_mib"), [("0.2M", 1), ("512.5", 513), ("1.1G", 1127), ("0.00000001T", 1), ("1.001M", 2)]
)
def test_a_fraction_of_a_mebibyte_is_rounded_up(text: str, expected_mib: int) -> None:
    assert mebibytes(text) == expected_mib


@given(st.decimals(0, 10_000, places=3), st.sampled_from([("h", 3600), ("min", 60), ("s", 1)]))
def test_a_time_is_never_less_than_was_written_nor_a_second_more(amount: object, unit: tuple[str, int]) -> None:
    exact_s = Fraction(str(amount)) * unit[1]
    assert seconds(f"{amount}{unit[0]}") == math.ceil(exact_s)


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "1:75", "1:30:60", "-5", "1h30", "h", "1m1h", "1h 30m", "1.5:00", "٣", "1" * 5000, "inf"]
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a time like 90m, 1h30m or 1:30:00, or a number of seconds"):
        seconds(text)


@pytest.mark.parametrize(
    "text", ["", "much", "4 parsecs", "-1", "G", "1e3", "4GiBs", "4i", "4K", "٣", "1" * 5000, "nan", "1.G", ".5G"]
)
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a size like 4GiB or 512M, or a number of MiB"):
        mebibytes(text)
