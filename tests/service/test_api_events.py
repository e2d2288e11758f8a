"""Events over HTTP: streams that resume without a gap, over restarts too."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from isthmus.api import streams
from isthmus.api.responses.jobs import EventOut
from isthmus.events import Follower
from isthmus.job import JobState
from isthmus.store import Viewer
from isthmus.store.history import EventRow, Position
from isthmus.store.users import Scope
from tests.service.api_rig import DATABASES, Person, Rig, serving, serving_on, until
from tests.service.test_api_jobs import submitted


@pytest.fixture(scope="module", params=DATABASES)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway where each user may have any number of streams."""
    with serving_on(request, tmp_path_factory.mktemp("home"), {"limits": {"streams_per_user": 0}}) as rig:
        yield rig


@dataclass(slots=True)
class Reader:
    """An open stream and what it has said so far."""

    lines: Iterator[str]
    last_id: str = ""

    def next(self) -> EventOut:
        """The next event; waits for it as long as the client's time-out permits."""
        fields: dict[str, str] = {}
        for line in self.lines:
            if not line and fields:
                break
            name, colon, value = line.partition(": ")
            if name and colon:
                fields[name] = value
        assert fields["event"] == "job"
        self.last_id = fields["id"]
        event = EventOut.model_validate(json.loads(fields["data"]))
        assert event.id == self.last_id
        return event

    def rest(self) -> list[str]:
        """Every line until the stream ends."""
        return list(self.lines)


@contextmanager
def reading(person: Person, path: str = "/events", after: str | None = None) -> Iterator[Reader]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with person.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": the stream is open"
        yield Reader(lines)


def followers(rig: Rig) -> int:
    config = rig.server.config
    assert not isinstance(config.app, str)
    return int(config.app.state.services.tail.followers)  # type: ignore[union-attr]


@contextmanager
def followed(rig: Rig, person: Person, path: str = "/events", after: str | None = None) -> Iterator[Reader]:
    """A stream that is surely being followed, so that nothing that happens from now on is before it."""
    before = followers(rig)
    with reading(person, path, after) as reader:
        until(lambda: followers(rig) > before, "the stream is followed")
        yield reader
    until(lambda: followers(rig) == before, "its follower is gone")


def test_a_stream_tells_what_happens_to_the_callers_jobs_as_it_happens(rig: Rig, ada: Person) -> None:
    with followed(rig, ada) as reader:
        job_id = submitted(ada)
        first = reader.next()
        assert (first.job, first.kind, first.state) == (job_id, "accepted", None)
        rig.move(job_id, JobState.STAGING_IN)
        second = reader.next()
        assert (second.job, second.state) == (job_id, "STAGING_IN")


def test_nobody_hears_of_another_users_jobs(rig: Rig, ada: Person) -> None:
    bob = rig.person("bob")
    with followed(rig, ada) as reader:
        submitted(bob)
        mine = submitted(ada)
        assert reader.next().job == mine
    theirs = submitted(bob)
    assert ada.client.get(f"/jobs/{theirs}/events/stream").status_code == 404


def test_a_jobs_own_stream_begins_with_its_first_event(rig: Rig, ada: Person) -> None:
    job_id, other = submitted(ada), submitted(ada)
    rig.move(job_id, JobState.STAGING_IN)
    with reading(ada, f"/jobs/{job_id}/events/stream") as reader:
        assert [reader.next().kind, reader.next().state] == ["accepted", "STAGING_IN"]
        rig.move(other, JobState.STAGING_IN)
        rig.move(job_id, JobState.SUBMITTING)
        assert reader.next().state == "SUBMITTING"


def test_a_stream_goes_on_after_the_last_event_without_loss_or_repetition(rig: Rig, ada: Person) -> None:
    with followed(rig, ada) as reader:
        heard = [submitted(ada) for _ in range(3)]
        assert [reader.next().job for _ in range(2)] == heard[:2]
        last = reader.last_id
    missed = [submitted(ada) for _ in range(3)]
    with reading(ada, after=last) as reader:
        assert [reader.next().job for _ in range(4)] == [heard[2], *missed]
        later = submitted(ada)
        assert reader.next().job == later


def test_events_stored_while_a_reader_catches_up_are_told_once_and_in_order(rig: Rig, ada: Person) -> None:
    with followed(rig, ada) as reader:
        submitted(ada)
        reader.next()
        last = reader.last_id
    known = [submitted(ada) for _ in range(30)]
    more: list[str] = []
    writer = threading.Thread(target=lambda: more.extend(submitted(ada) for _ in range(30)))
    writer.start()
    try:
        with reading(ada, after=last) as reader:
            told = [reader.next().job for _ in range(60)]
    finally:
        writer.join()
    assert told == [*known, *more]


def test_a_stream_goes_on_over_a_restart_of_the_web_process(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        ada = rig.person("ada")
        with followed(rig, ada) as reader:
            submitted(ada)
            reader.next()
            last = reader.last_id
        missed = submitted(ada)
    with serving(tmp_path) as rig:
        ada = Person(ada.name, ada.user_id, ada.token, rig.client(ada.token))
        with reading(ada, after=last) as reader:
            assert reader.next().job == missed


def test_stopping_the_web_process_ends_its_streams(tmp_path: Path) -> None:
    with serving(tmp_path) as rig:
        ada = rig.person("ada")
        with followed(rig, ada) as reader:
            rig.server.should_exit = True
            assert [line for line in reader.rest() if not line.startswith(":")] in ([], [""])
            until(lambda: followers(rig) == 0, "the follower is gone")


def test_a_stream_ends_when_its_token_is_revoked(rig: Rig, ada: Person) -> None:
    other = rig.client(rig.store.create_token(ada.user_id, "other", Scope, None).text)
    (mine,) = [token["id"] for token in ada.client.get("/tokens").json()["tokens"] if token["name"] == "test"]
    with followed(rig, ada) as reader:
        assert other.delete(f"/tokens/{mine}").status_code == 204
        reader.rest()
    assert ada.client.get("/events").status_code == 401


def test_a_silent_stream_says_that_it_lives(rig: Rig, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PULSE_S", 0.05)
    with followed(rig, ada) as reader:
        assert next(reader.lines) == ""
        assert next(reader.lines) == ":"


@pytest.mark.parametrize("last", ["nonsense", "1-", "-1-2", "0-" + "9" * 20, f"{2**63}-1", "1-\u00b2"])
def test_a_last_event_id_that_cannot_be_one_is_refused(ada: Person, last: str) -> None:
    answer = ada.client.get("/events", headers={b"Last-Event-ID": last.encode("utf-8")})
    assert answer.status_code == 422, answer.text


def test_many_readers_all_hear_everything(rig: Rig, ada: Person) -> None:
    count = 60
    limits = httpx.Limits(max_connections=count + 1, max_keepalive_connections=0)
    client = httpx.Client(base_url=ada.client.base_url, headers=ada.client.headers, limits=limits, timeout=30)
    many = Person(ada.name, ada.user_id, ada.token, client)
    before = followers(rig)
    with client, ExitStack() as stack:
        readers = [stack.enter_context(reading(many)) for _ in range(count)]
        until(lambda: followers(rig) == before + count, "all are followed")
        jobs = [submitted(ada) for _ in range(3)]
        assert all([reader.next().job for _ in range(3)] == jobs for reader in readers)
    until(lambda: followers(rig) == before, "all are gone")


def test_a_busy_stream_ends_when_its_token_does(rig: Rig, ada: Person) -> None:
    token = rig.store.create_token(ada.user_id, "short", Scope, time.time() + 1).text
    short_lived = Person(ada.name, ada.user_id, token, rig.client(token))
    job_id, ended = submitted(ada), threading.Event()

    def keep_busy() -> None:
        for n in itertools.count():
            if ended.is_set():
                return
            ada.client.patch(f"/jobs/{job_id}", json={"name": f"n {n}"})

    busy = threading.Thread(target=keep_busy)
    with followed(rig, short_lived) as reader:
        busy.start()
        try:
            until(lambda: bool(reader.rest()), "the stream ends", 5)
        finally:
            ended.set()
            busy.join()


def test_a_pulse_is_not_put_off_by_events() -> None:
    async def story() -> None:
        viewer = Viewer("ann")
        follower = Follower(viewer, None, pulse_s=60)
        for n in range(1, 4):
            follower.offer(EventRow(Position(n, n), "job", "ann", 0.0, "state", {}))
        assert await anext(follower) is not None
        follower.nudge()
        assert await anext(follower) is None
        assert await anext(follower) is not None
        follower.pulse_s = 0
        follower.nudge()
        assert [await anext(follower), await anext(follower)] == [None, None]

    asyncio.run(story())
