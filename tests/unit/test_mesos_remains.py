"""What is believed of a record that an ended task left in its sandbox."""

from __future__ import annotations

import json

import pytest

from isthmus.cluster.mesos.remains import end_in

RECORD = {
    "tag": "gtag",
    "native_id": "gtag.1",
    "run": 1,
    "code": 73,
    "stopped_by": "",
    "signals": [],
    "host": "node1",
    "started_at": 10.25,
    "ended_at": 20.5,
    "cpu_s": 1.0,
    "peak_memory_mib": None,
    "oom_kills": None,
}


def told(**other: object) -> bytes:
    return json.dumps({**RECORD, **other}).encode()


def test_a_programs_own_73_is_its_end_and_no_fault_of_the_gateway() -> None:
    end = end_in(told(), b"", "gtag.1")
    assert end is not None
    assert (end.code, end.host, end.ended_at) == (73, "node1", 20.5)


def test_a_record_that_was_cut_short_says_why_if_the_script_noted_it() -> None:
    cut = end_in(told(code=143, signals=["TERM"]), b"cancel\n", "gtag.1")
    own = end_in(told(code=3), b"cancel\n", "gtag.1")
    assert cut is not None and own is not None
    assert (cut.stopped_by, own.stopped_by) == ("cancel", "")


@pytest.mark.parametrize(
    "other",
    [
        {"native_id": "gtag.2"},
        {"run": 2},
        {"code": 256},
        {"code": "3"},
        {"stopped_by": "me"},
        {"host": "a\nb"},
        {"started_at": 1e300},
        {"ended_at": float("nan")},
        {"cpu_s": -1},
        {"cpu_s": 10**400},
        {"peak_memory_mib": 2**31},
        {"oom_kills": -1},
        {"signals": ["T"] * 2000},
        {"signals": 3},
    ],
)
def test_what_no_record_could_say_is_not_believed(other: dict[str, object]) -> None:
    assert end_in(told(**other), b"", "gtag.1") is None


@pytest.mark.parametrize("bytes_told", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_record_is_none(bytes_told: bytes) -> None:
    assert end_in(bytes_told, b"", "gtag.1") is None
