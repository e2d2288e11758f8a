"""Mails when processes die: none is lost, and none comes under another id than it had."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.faults import MAIL_PLACE
from tests.crash.front import store_front
from tests.crash.mail_campaign import PostOffice, play, post_office, prepare, verdict_on_mails
from tests.crash.mail_witness import judge_mails
from tests.crash.rig import Rig, until
from tests.crash.witness import Kind, Shown, Step
from tests.mail_server import Spooled
from tests.postgres import PostgresServer


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as office:
        yield office


@pytest.fixture(params=["sqlite", "postgresql"])
def mail_rig(request: pytest.FixtureRequest, tmp_path: Path, office: PostOffice) -> Iterator[Rig]:
    """A gateway whose user is told of everything, without controllers."""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        at = url if request.param == "postgresql" else ""
        with Rig(tmp_path / "rig", database_url=at, open_front=store_front) as rig:
            prepare(rig, office)
            rig.letters = lambda name: "bea"
            yield rig


def test_a_controller_killed_between_250_and_the_mark_sends_again_under_the_same_id(
    mail_rig: Rig, office: PostOffice
) -> None:
    doomed = mail_rig.start_controller(f"{MAIL_PLACE}=kill")
    mail_rig.ask(Kind.QUICK)
    until(lambda: doomed.is_gone, "it dies after its first mail")
    mail_rig.start_controller()

    assert mail_rig.finish().is_clean
    verdict = verdict_on_mails(mail_rig, office)
    assert verdict.is_clean, str(verdict)
    assert verdict.arrived == verdict.wanted
    assert verdict.repeated >= 1


def test_of_two_controllers_one_sends_and_the_other_takes_over_at_its_death(mail_rig: Rig, office: PostOffice) -> None:
    controllers = [mail_rig.start_controller() for _ in range(2)]
    for _ in range(3):
        mail_rig.ask(Kind.QUICK)
    assert mail_rig.finish().is_clean
    verdict = verdict_on_mails(mail_rig, office)
    assert (verdict.lost, verdict.repeated) == ((), 0)
    for dying in controllers:
        dying.kill()
        mail_rig.start_controller()
        mail_rig.ask(Kind.FAIL)
        assert mail_rig.finish().is_clean
        verdict = verdict_on_mails(mail_rig, office)
        assert verdict.is_clean, str(verdict)


def test_a_short_campaign_is_clean(tmp_path: Path) -> None:
    turn, verdict, mails = play(tmp_path / "rig", "", random.Random(1), faults=5, jobs=6)

    assert turn.injected.total() >= 5
    assert verdict.is_clean, str(verdict)
    assert mails.is_clean, str(mails)
    assert mails.wanted > 0


# --- what the witness sees ------------------------------------------------------------------------------------
def shown(name: str, state: str, cause: str | None, *states: str) -> Shown:
    return Shown(name, name, state, cause, "", None, steps=tuple(Step(0.0, "", after) for after in states))


def mail(subject: str, message_id: str) -> Spooled:
    return Spooled("", "", f"Subject: {subject}\r\nMessage-ID: {message_id}\r\n\r\n".encode(), encrypted=False)


RAN = shown("nap-1", "COMPLETED", "exit_zero", "RUNNING", "COMPLETED")
BEGAN, ENDED = mail("nap-1 began", "<1@x>"), mail("nap-1 completed", "<2@x>")
ALL: Callable[[str], str | None] = lambda name: "bea"  # noqa: E731  (a constant of this table)


@pytest.mark.parametrize(
    ("spool", "letters", "lost", "doubled", "unwanted", "repeated"),
    [
        ([BEGAN, ENDED], ALL, 0, 0, 0, 0),
        ([ENDED], ALL, 1, 0, 0, 0),
        ([BEGAN, ENDED, ENDED], ALL, 0, 0, 0, 1),
        ([BEGAN, ENDED, mail("nap-1 ended", "<3@x>")], ALL, 0, 1, 0, 0),
        ([BEGAN, ENDED], lambda name: "e", 0, 0, 1, 0),
        ([BEGAN, ENDED, mail("nap-1 was cancelled", "<3@x>")], ALL, 0, 0, 1, 0),
        ([], lambda name: "a", 0, 0, 0, 0),
    ],
)
def test_the_witness_counts_what_is_missing_doubled_unwanted_and_repeated(
    spool: list[Spooled],
    letters: Callable[[str], str | None],
    lost: int,
    doubled: int,
    unwanted: int,
    repeated: int,
) -> None:
    verdict = judge_mails([RAN], letters, spool)

    assert (len(verdict.lost), len(verdict.doubled), len(verdict.unwanted), verdict.repeated) == (
        lost,
        doubled,
        unwanted,
        repeated,
    )
