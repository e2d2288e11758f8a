"""The words that the text search compares."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from isthmus.store.words import words_of


@given(st.text(alphabet=[chr(code) for code in range(128)]))
def test_a_text_in_ascii_has_the_same_words_as_within_a_text_that_is_not(text: str) -> None:
    assert words_of(f"{text} é") == (*words_of(text), "e")


def test_words_lose_their_case_and_their_accents() -> None:
    assert words_of("Radar-Scan, Ångström 12") == ("radar", "scan", "angstrom", "12")
    assert words_of(string.punctuation) == ()
