"""The stream of a page: events as they happen, a log as it grows, and nothing missed after a lost connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from isthmus.portal.logpage import decoded
from isthmus.store.users import Role
from tests.service.api_rig import Rig
from tests.service.portal_rig import Browser, signed_in, stranger
from tests.service.test_api_jobs import submitted

Said = tuple[str, dict[str, object]]


@contextmanager
def live(browser: Browser, path: str, **headers: str) -> Iterator[Iterator[Said]]:
    """The events of a stream, as (name, data)."""
    with browser.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield _said(answer.iter_lines())


def _said(lines: Iterator[str]) -> Iterator[Said]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def until(said: Iterator[Said], name: str) -> dict[str, object]:
    return next(data for found, data in said if found == name)


def append(rig: Rig, job: str, content: bytes) -> None:
    """The followed copy of the job's log has more, as a controller would have fetched it."""
    path = rig.configuration.home / "logs" / job / "1" / "stdout"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(content)


def test_a_page_hears_of_a_new_job_of_its_visitor(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    with live(ada, "/live") as said:
        until(said, "open")
        job = submitted(ada.person)
        event = until(said, "job")
    assert (event["job"], event["kind"]) == (job, "accepted")


def test_the_page_of_ones_own_job_hears_of_ones_others_that_it_may_name(portal: Rig) -> None:
    ada, eve = signed_in(portal, "ada"), signed_in(portal, "eve")
    job = submitted(ada.person)
    with live(ada, f"/live?job={job}") as said:
        until(said, "open")
        submitted(eve.person)
        child = ada.person.client.post(f"/jobs/{job}/resubmit", json={}).json()["id"]
        assert until(said, "job")["job"] == child


def test_the_page_of_anothers_job_hears_of_that_job_alone(portal: Rig) -> None:
    ada, chief = signed_in(portal, "ada"), signed_in(portal, "chief", Role.ADMIN)
    job = submitted(ada.person)
    with live(chief, f"/live?job={job}") as said:
        until(said, "open")
        submitted(ada.person)
        ada.person.client.post(f"/jobs/{job}/cancel")
        assert until(said, "job")["job"] == job


def test_a_page_hears_nothing_of_others(portal: Rig) -> None:
    ada, eve = signed_in(portal, "ada"), signed_in(portal, "eve")
    with live(ada, "/live") as said:
        until(said, "open")
        submitted(eve.person)
        mine = submitted(ada.person)
        assert until(said, "job")["job"] == mine


def test_what_happened_while_the_connection_was_lost_is_told_after_it(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    with live(ada, "/live") as said:
        after = str(until(said, "open")["after"])
    job = submitted(ada.person)
    with live(ada, f"/live?after={after}") as said:
        assert until(said, "job")["job"] == job


def test_the_browsers_own_word_for_the_last_event_goes_first(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    with live(ada, "/live") as said:
        first = str(until(said, "open")["after"])
        submitted(ada.person)
        last = str(until(said, "job")["id"])
    second = submitted(ada.person)
    with live(ada, f"/live?after={first}", **{"Last-Event-ID": last}) as said:
        assert until(said, "job")["job"] == second


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/live?job=nothing", 404),
        ("/live?after=yesterday", 422),
        ("/live?after=99999999999999999999-1", 422),
        ("/live?job=JOB&log=secrets", 422),
        ("/live?job=JOB&log=stdout&from=-1", 422),
        ("/live?job=JOB&log=stdout&from=9999999999999999999", 422),
    ],
)
def test_what_names_nothing_is_refused(portal: Rig, path: str, status: int) -> None:
    ada = signed_in(portal, "ada")
    path = path.replace("JOB", submitted(ada.person))
    assert ada.get(path).status_code == status


def test_another_users_job_has_no_stream(portal: Rig) -> None:
    job = submitted(signed_in(portal, "ada").person)
    assert signed_in(portal, "eve").get(f"/live?job={job}&log=stdout").status_code == 404


def test_a_stranger_has_no_stream(portal: Rig) -> None:
    assert stranger(portal).get("/live").status_code == 401


def test_a_log_comes_from_the_byte_that_was_asked_for_and_goes_on_as_it_grows(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    job = submitted(ada.person)
    portal.start(job)
    append(portal, job, b"first\nsecond\n")
    with live(ada, f"/live?job={job}&log=stdout&from=6") as said:
        piece = until(said, "log")
        assert (piece["text"], piece["offset"], piece["next_offset"]) == ("second\n", 6, 13)
        append(portal, job, b"third\n")
        assert until(said, "log")["text"] == "third\n"


def test_a_stream_ends_when_its_session_does(portal: Rig) -> None:
    ada = signed_in(portal, "ada")
    with live(ada, "/live") as said:
        until(said, "open")
        ada.post("/sign-out")
        assert [name for name, _ in said if name == "job"] == []  # it comes to its end


def test_a_character_that_is_cut_in_two_waits_for_its_rest() -> None:
    whole = "Sturm: 5 €".encode()
    text, used = decoded(whole[:-1], whole=False)
    assert (text, used) == ("Sturm: 5 ", len(whole) - 3)
    assert decoded(whole[used:], whole=False) == ("€", 3)


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert decoded(b"ok \xff\xfe \xe2\x82", whole=True) == ("ok \ufffd\ufffd \ufffd", 8)
