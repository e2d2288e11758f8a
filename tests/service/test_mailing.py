"""Mails about jobs, handed to a real SMTP server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from isthmus.config import MailConfig
from isthmus.controller.mailing import Mailer
from isthmus.job import JobState
from isthmus.lifecycle import Decision, JobEvent
from isthmus.store import Lease, Letter, Role, Store, Viewer
from isthmus.store.audit import Actor
from isthmus.store.shares import ShareKind, ShareWith
from isthmus.store.views import JobView
from tests.mail_server import PASSWORD, REFUSALS, SENDER, USER, MailServer
from tests.postgres import PostgresServer
from tests.store.making import accepted, advanced, held, moved, person, stored

PUBLIC_URL = "https://gateway.example.org"
WORDS = ("It completed.", "Evidence: the program ended with exit code 0.")
DEADLINE_S = 20.0


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'isthmus.db'}"
        if request.param == "postgresql":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = stack.enter_context(server.database())
        store = stack.enter_context(Store.open(url))
        store.remember_definition("digest", "app", "1", {"title": "An application"})
        yield store


@pytest.fixture
def lease(store: Store) -> Lease:
    return held(store)


@pytest.fixture
def ann(store: Store) -> Viewer:
    return wanting(store, "ann")


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


def wanting(store: Store, name: str, letters: str = "e") -> Viewer:
    """A user who is told of this, at example.org."""
    viewer = person(store, name, Role.USER)
    store.set_notice_choice(viewer.user_id, f"{name}@example.org", letters)
    return viewer


def completed(store: Store, lease: Lease, viewer: Viewer, name: str = "run") -> str:
    """The viewer's job ran to its end, now."""
    job_id = accepted(store, viewer, name)
    advanced(store, lease, [job_id], JobState.QUEUED)
    for state in (JobState.RUNNING, JobState.STAGING_OUT, JobState.COMPLETED):
        done = moved(stored(store, job_id), state)
        event = JobEvent("state", {"to": state.value, "cause": done.job.cause and done.job.cause.value})
        assert store.apply(lease, [Decision(done.job, event)], time.time()) == [True]
    return job_id


def config_for(server: MailServer, **changes: object) -> MailConfig:
    given = {"host": "localhost", "port": server.port, "tls": "none", "sender": SENDER, "public_url": PUBLIC_URL}
    return MailConfig.model_validate({**given, "timeout_s": 5, **changes})


def why(job: JobView) -> Sequence[str]:
    return WORDS


@contextlib.asynccontextmanager
async def mailing(store: Store, config: MailConfig) -> AsyncIterator[None]:
    """A mailer runs within the block."""
    task = asyncio.create_task(Mailer(store, config, why).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def send_until(store: Store, config: MailConfig, condition: Callable[[], bool]) -> None:
    """A mailer ran until this was so."""

    async def run() -> None:
        async with mailing(store, config):
            deadline = time.monotonic() + DEADLINE_S
            while not condition():
                assert time.monotonic() < deadline, f"in vain: {store.outbox()}"
                await asyncio.sleep(0.02)

    asyncio.run(run())


def nothing_waits(store: Store) -> Callable[[], bool]:
    return lambda: store.outbox().waiting == 0


def letters(store: Store) -> list[Letter]:
    return store.due_letters(time.time() + 3600, 100)


# --- what is sent ---------------------------------------------------------------------------------------------
def test_a_mail_tells_how_the_job_is_and_leads_to_it(
    store: Store, lease: Lease, ann: Viewer, server: MailServer
) -> None:
    job_id = completed(store, lease, ann, "storms over Löhne")
    (letter,) = letters(store)

    send_until(store, config_for(server), nothing_waits(store))

    (spooled,) = server.spool
    assert (spooled.sender, spooled.recipient) == (SENDER, "ann@example.org")
    mail = spooled.mail
    assert mail["Subject"] == "storms over Löhne completed"
    assert mail["From"] == f"Isthmus <{SENDER}>"
    assert mail["To"] == "ann@example.org"
    assert mail["Message-ID"] == letter.message_id
    assert mail["Auto-Submitted"] == "auto-generated"
    assert abs(mail["Date"].datetime.timestamp() - letter.at) < 1
    said = spooled.text
    assert all(words in said for words in (*WORDS, f"{PUBLIC_URL}/jobs/{job_id}\n", job_id, f"{PUBLIC_URL}/account"))
    assert spooled.content.isascii()


def test_a_mail_tells_what_another_person_did_and_who_it_was(
    store: Store, lease: Lease, ann: Viewer, server: MailServer
) -> None:
    bob, root = wanting(store, "bob"), person(store, "root", Role.ADMIN)
    job_id = accepted(store, ann, "storms")
    store.share(ann, job_id, ShareWith(ShareKind.USER, "bob"), Actor(ann.user_id, "ann"))
    store.request_cancel(root, [job_id], time.time(), Actor(root.user_id, "root"))

    send_until(store, config_for(server), nothing_waits(store))

    told = {spooled.recipient: (spooled.mail["Subject"], spooled.text.partition("\n")[0]) for spooled in server.spool}
    shared, cancelled = told["bob@example.org"], told["ann@example.org"]
    assert shared[0] == "storms was shared with you by ann"
    assert shared[1].startswith('The job "storms" was shared with you by ann at ')
    assert cancelled[0] == "storms is to be cancelled, as an administrator, root, asked"
    assert cancelled[1].startswith('Your job "storms" is to be cancelled')
    assert store.notices(bob.user_id)[0].sent_at is not None


def test_what_was_sent_is_marked_so_and_sent_once(store: Store, lease: Lease, ann: Viewer, server: MailServer) -> None:
    for _ in range(7):
        completed(store, lease, ann)

    send_until(store, config_for(server), nothing_waits(store))
    completed(store, lease, ann)
    send_until(store, config_for(server), nothing_waits(store))

    assert len({spooled.message_id for spooled in server.spool}) == len(server.spool) == 8
    assert all(notice.sent_at is not None for notice in store.notices(ann.user_id))


def test_the_mails_about_one_job_are_one_thread(store: Store, lease: Lease, server: MailServer) -> None:
    told = wanting(store, "eve", "be")
    job_ids = [completed(store, lease, told) for _ in range(2)]

    send_until(store, config_for(server), nothing_waits(store))

    threads = {job_id: {s.mail["References"] for s in server.spool if job_id in s.text} for job_id in job_ids}
    assert [len(threads[job_id]) for job_id in job_ids] == [1, 1]
    assert threads[job_ids[0]] != threads[job_ids[1]]
    assert {str(s.mail["Subject"]) for s in server.spool} == {"run began", "run completed"}


def test_no_name_of_a_job_makes_a_header_or_ends_one(
    store: Store, lease: Lease, ann: Viewer, server: MailServer
) -> None:
    completed(store, lease, ann, "x\r\nBcc: all@example.org\r\n\r\nHello\x1b[2J" + "y" * 3000)

    send_until(store, config_for(server), nothing_waits(store))

    (spooled,) = server.spool
    assert spooled.recipient == "ann@example.org"
    assert spooled.mail["Bcc"] is None
    assert str(spooled.mail["Subject"]).startswith("x  Bcc: all@example.org    Hello [2Jyyy")
    assert "\x1b" not in spooled.text
    assert max(map(len, spooled.content.splitlines())) < 998


# --- how it is sent -------------------------------------------------------------------------------------------
@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_mails_go_over_tls_with_the_password(
    store: Store, lease: Lease, ann: Viewer, tmp_path: Path, authority: trustme.CA, tls: str
) -> None:
    completed(store, lease, ann)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    with MailServer(tls=tls, certified=authority, needs_password=True) as server:
        config = config_for(
            server, tls=tls, ca_file=tmp_path / "ca.pem", user=USER, password_file=tmp_path / "password"
        )
        send_until(store, config, nothing_waits(store))

        assert [(one.recipient, one.encrypted) for one in server.spool] == [("ann@example.org", True)]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("trouble", ["unknown authority", "another name"])
def test_a_server_that_can_not_prove_who_it_is_gets_nothing(
    store: Store, lease: Lease, ann: Viewer, tmp_path: Path, authority: trustme.CA, tls: str, trouble: str
) -> None:
    completed(store, lease, ann)
    known = authority if trouble == "another name" else trustme.CA()
    name = "mail.example.org" if trouble == "another name" else "localhost"
    known_to_us = tmp_path / "ca.pem"
    with MailServer(tls=tls, certified=known, name=name) as server:
        config = config_for(server, tls=tls, ca_file=known_to_us)
        send_until(store, config, lambda: "certificate verify failed" in store.outbox().fault)

        assert server.spool == []
        assert store.outbox().waiting == 1


def test_a_server_without_starttls_gets_nothing(store: Store, lease: Lease, ann: Viewer, server: MailServer) -> None:
    completed(store, lease, ann)

    send_until(store, config_for(server, tls="starttls"), lambda: "STARTTLS" in store.outbox().fault.upper())

    assert server.spool == []


def test_a_wrong_password_is_noted_and_loses_no_mail(
    store: Store, lease: Lease, ann: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(store, lease, ann)
    with MailServer(needs_password=True) as server:
        monkeypatch.setenv("ISTHMUS_MAIL_PASSWORD", "wrong")
        send_until(store, config_for(server, user=USER), lambda: "535" in store.outbox().fault)
        assert server.spool == []

        monkeypatch.setenv("ISTHMUS_MAIL_PASSWORD", PASSWORD)
        send_until(store, config_for(server, user=USER), nothing_waits(store))
        assert len(server.spool) == 1


# --- what goes wrong ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["refused", "full", "unknown"])
def test_a_dead_mailbox_hinders_no_other_and_is_given_up_with_the_server_s_words(
    store: Store, lease: Lease, ann: Viewer, server: MailServer, name: str
) -> None:
    dead = wanting(store, name)
    completed(store, lease, dead)
    completed(store, lease, ann)

    send_until(store, config_for(server), nothing_waits(store))

    assert [one.recipient for one in server.spool] == ["ann@example.org"]
    assert [notice.fault for notice in store.notices(dead.user_id)] == [REFUSALS[name]]


def test_a_server_that_wants_a_sign_in_for_one_recipient_loses_no_mail_and_holds_up_no_other(
    store: Store, lease: Lease, ann: Viewer
) -> None:
    signed = wanting(store, "signed")
    with MailServer() as server:
        completed(store, lease, signed)
        completed(store, lease, ann)
        send_until(store, config_for(server), lambda: REFUSALS["signed"] in store.outbox().fault and bool(server.spool))

        assert [letter.mail_to for letter in store.due_letters(time.time() + 3600, 10)] == ["signed@example.org"]
        assert [one.recipient for one in server.spool] == ["ann@example.org"]


@pytest.mark.parametrize("name", ["later", "gone", "far", "elsewhere", "forged"])
def test_a_mail_that_could_not_be_handed_over_rests_and_is_tried_again(
    store: Store, lease: Lease, ann: Viewer, server: MailServer, name: str
) -> None:
    troubled = wanting(store, name)
    completed(store, lease, troubled)
    completed(store, lease, ann)

    send_until(store, config_for(server), lambda: store.outbox().waiting == 1 and store.outbox().fault != "")

    assert "ann@example.org" in [one.recipient for one in server.spool]
    assert store.due_letters(time.time(), 10) == []
    assert [letter.mail_to for letter in letters(store)] == [f"{name}@example.org"]


def test_a_mailbox_at_which_the_server_hesitates_holds_up_no_other(
    store: Store, lease: Lease, ann: Viewer, server: MailServer
) -> None:
    completed(store, lease, wanting(store, "slow"))
    for _ in range(10):
        completed(store, lease, ann)

    send_until(store, config_for(server, timeout_s=300), lambda: len(server.spool) == 10)

    assert store.outbox().waiting == 1


def test_a_server_that_comes_back_gets_all_that_waited(store: Store, lease: Lease, ann: Viewer) -> None:
    with MailServer() as server:
        config = config_for(server)
    for _ in range(3):
        completed(store, lease, ann)
    send_until(store, config, lambda: "localhost, port" in store.outbox().fault)
    assert store.outbox().waiting == 3

    with MailServer(port=server.port) as again:
        send_until(store, config, nothing_waits(store))

        assert len({one.message_id for one in again.spool}) == len(again.spool) == 3
    assert [notice.fault for notice in store.notices(ann.user_id)] == ["", "", ""]
