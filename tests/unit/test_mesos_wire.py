"""RecordIO and messages, on what a real master sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.application.encoding import Json
from isthmus.cluster.mesos import messages
from isthmus.cluster.mesos.messages import (
    Error,
    Failure,
    Ignored,
    Image,
    Introduction,
    Offers,
    Rescind,
    Subscribed,
    Task,
    Update,
    at,
    event_of,
    items,
    text,
    update_of,
)
from isthmus.cluster.mesos.recordio import MOST_BYTES, BrokenStream, Records

RECORDED = Path(__file__).parent / "recorded" / "mesos"
ABOUT = Introduction("isthmus", "nobody", ("science",), "", 604800.0)


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.json").read_bytes()


# --- records ----------------------------------------------------------------------------------------------------------
@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_records_are_the_same_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(b"%d\n%s" % (len(body), body) for body in bodies)
    records, start = Records(), 0
    found: list[bytes] = []
    while start < len(stream):
        length = cuts[len(found) % len(cuts)]
        found += records.feed(stream[start : start + length])
        start += length
    assert found == bodies


def test_a_record_is_handed_out_as_soon_as_its_last_byte_is_here() -> None:
    records = Records()
    assert [*records.feed(b"5\nhel")] == []
    assert [*records.feed(b"lo")] == [b"hello"]


@pytest.mark.parametrize("stream", [b"five\nhello", b"-1\nx", b"%d\n" % (MOST_BYTES + 1), b"1" * 30])
def test_what_is_no_record_breaks_the_stream(stream: bytes) -> None:
    with pytest.raises(BrokenStream):
        [*Records().feed(stream)]


# --- events -----------------------------------------------------------------------------------------------------------
def test_a_subscription_names_the_framework_and_the_heartbeat() -> None:
    event = event_of(recorded("event-SUBSCRIBED"))
    assert event == Subscribed("e9cafd7f-66b6-406a-8921-e5f4d86acede-0000", 15.0, "1.11.0")


def test_an_offer_has_scalar_resources_in_thousandths_and_the_agents_own_address() -> None:
    event = event_of(recorded("event-OFFERS"))
    assert isinstance(event, Offers)
    offer = event.offers[0]
    assert {piece.name: piece.milli for piece in offer.pieces} == {"cpus": 4000, "mem": 2048000, "disk": 4096000}
    assert (offer.role, offer.agent_url) == ("test", "http://127.0.0.1:5152/slave(1)")
    assert offer.attributes == {"rack": "r1"}


def test_a_rescinded_offer_is_named() -> None:
    assert event_of(recorded("event-RESCIND")) == Rescind("935520fd-0095-4aa7-a254-08b7947a3be0-O9")


def test_an_update_keeps_the_masters_words_and_the_uuid() -> None:
    event = event_of(recorded("event-UPDATE-TASK_FAILED"))
    assert isinstance(event, Update)
    assert (event.task_id, event.state, event.uuid) == ("t-05a49285", "TASK_FAILED", "k/ajlw5BQ+Gqv81CDFUygQ==")
    assert (event.source, event.message) == ("SOURCE_EXECUTOR", "Command exited with status 4")


def test_an_answer_to_reconciliation_has_no_uuid_to_acknowledge() -> None:
    body: Json = json.loads(recorded("event-UPDATE-reconciliation"))
    update = update_of(body)
    assert (update.state, update.uuid, update.reason) == ("TASK_RUNNING", "", "REASON_RECONCILIATION")


def test_a_failure_of_an_executor_is_told_from_one_of_an_agent() -> None:
    assert event_of(recorded("event-FAILURE")) == Failure("e9cafd7f-66b6-406a-8921-e5f4d86acede-S0", "ex1")


@pytest.mark.parametrize("name", ["failed-over", "removed"])
def test_an_error_has_its_words_wherever_they_stand(name: str) -> None:
    event = event_of(recorded(f"event-ERROR-{name}"))
    assert isinstance(event, Error)
    assert event.words in ("Framework failed over", "Framework has been removed")
    assert event_of(json.dumps({"type": "ERROR", "message": event.words}).encode()) == event


def test_heartbeats_and_events_of_later_masters_are_ignored() -> None:
    assert event_of(recorded("event-HEARTBEAT")) == Ignored("HEARTBEAT")
    assert event_of(b'{"type":"NEWER","newer":{"a":[{}]}}') == Ignored("NEWER")
    assert event_of(b"{}") == Ignored("")


UNUSED = {"event-HEARTBEAT", "event-HEARTBEAT-2", "event-UPDATE_OPERATION_STATUS", "event-UPDATE-reconciliation"}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("event-*.json")), ids=lambda path: path.stem)
def test_every_recorded_event_that_means_something_is_read(path: Path) -> None:
    assert isinstance(event_of(path.read_bytes()), Ignored) == (path.stem in UNUSED)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="no object"):
        event_of(b"[]")


# --- calls ------------------------------------------------------------------------------------------------------------
def test_a_first_subscription_asks_for_all_that_protects_tasks() -> None:
    call = messages.subscribe(ABOUT, "", suppressed=False)
    told = at(call, "subscribe", "framework_info")
    assert "framework_id" not in call
    assert at(told, "checkpoint") is True
    assert at(told, "failover_timeout") == 604800.0
    assert {text(one, "type") for one in items(told, "capabilities")} == {
        "PARTITION_AWARE",
        "TASK_KILLING_STATE",
        "MULTI_ROLE",
        "RESERVATION_REFINEMENT",
    }
    assert isinstance(told, dict)
    assert "role" not in told


def test_a_later_subscription_has_the_id_in_both_places() -> None:
    call = messages.subscribe(ABOUT, "F-1", suppressed=True)
    assert text(call, "framework_id", "value") == "F-1"
    assert text(call, "subscribe", "framework_info", "id", "value") == "F-1"
    assert items(call, "subscribe", "suppressed_roles") == ["science"]


def test_calls_have_the_shape_of_recorded_ones() -> None:
    update = Update("t", "TASK_RUNNING", "u", "a")
    made = {
        "ACKNOWLEDGE": messages.acknowledge(update),
        "DECLINE": messages.decline(["o"], 0),
        "KILL": messages.kill("t", ""),
        "RECONCILE": messages.reconcile([("t", "a")]),
        "REVIVE": messages.revive(["r"]),
        "SUPPRESS": messages.suppress(["r"]),
    }
    for kind, call in made.items():
        known: Json = json.loads(recorded(f"call-{kind}"))
        assert _shape(call | {"framework_id": {"value": ""}}) == _shape(known), kind


def _shape(body: Json) -> Json:
    """The names in it, of lists those of the first."""
    if isinstance(body, dict):
        return {name: _shape(value) for name, value in sorted(body.items())}
    return [_shape(body[0])] if isinstance(body, list) and body else None


def test_a_task_is_described_with_its_environment_grace_and_labels() -> None:
    resources: tuple[Json, ...] = ({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}},)
    task = Task("tag.1", "tag", "A", "echo", {"X": "1"}, resources, {"isthmus_job": "j"}, 10.0)
    call = messages.accept(["o1", "o2"], [task], 5.0)
    (operation,) = items(call, "accept", "operations")
    (told,) = items(operation, "launch", "task_infos")
    assert text(operation, "type") == "LAUNCH"
    assert [text(one, "value") for one in items(call, "accept", "offer_ids")] == ["o1", "o2"]
    assert items(told, "command", "environment", "variables") == [{"name": "X", "value": "1"}]
    assert at(told, "kill_policy", "grace_period", "nanoseconds") == 10_000_000_000
    assert items(told, "labels", "labels") == [{"key": "isthmus_job", "value": "j"}]
    assert isinstance(told, dict)
    assert "container" not in told


@pytest.mark.parametrize(
    ("kind", "way"), [("DOCKER", ("docker", "image")), ("MESOS", ("mesos", "image", "docker", "name"))]
)
def test_an_image_is_named_as_its_containerizer_wants_it(kind: str, way: tuple[str, ...]) -> None:
    task = Task("t", "t", "A", "true", {}, (), {}, 1.0, Image(kind, "debian:12"))
    (operation,) = items(messages.accept([], [task], 0), "accept", "operations")
    container = at(items(operation, "launch", "task_infos")[0], "container")
    assert (text(container, "type"), text(container, *way)) == (kind, "debian:12")


def test_numbers_that_are_none_and_letters_that_can_not_be_kept_do_no_harm() -> None:
    beat = b'{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"F"},"heartbeat_interval_seconds":1e999}}'
    assert event_of(beat) == Subscribed("F", 15.0)
    told = event_of(json.dumps({"type": "UPDATE", "update": {"status": {"message": "a\0b" + "x" * 5000}}}).encode())
    assert isinstance(told, Update)
    assert told.message.startswith("a bx")
    assert len(told.message) == 1000
