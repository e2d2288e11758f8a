"""What people are told of their jobs, and the mails that wait to be sent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from isthmus.errors import InvalidInput, LeaseLost
from isthmus.job import Cause, JobState
from isthmus.lifecycle import Decision, JobEvent
from isthmus.store import JobChanges, Lease, Notice, NoticeChoice, NoticeKind, Store, Trouble, Viewer
from isthmus.store.audit import Actor
from isthmus.store.notices import KEPT_S, PAUSES_S
from isthmus.store.shares import ShareKind, ShareWith
from tests.store.conftest import Clock
from tests.store.making import CLUSTER, accepted, advanced, held, moved, stored

ADDRESS = "ann@example.org"
NOW = 50.0


@pytest.fixture
def told_ann(store: Store, ann: Viewer) -> Viewer:
    """Ann, who is told of everything."""
    store.set_notice_choice(ann.user_id, ADDRESS, "bea")
    return ann


def kinds(store: Store, viewer: Viewer) -> list[NoticeKind]:
    return [notice.kind for notice in reversed(store.notices(viewer.user_id))]


def ended(
    store: Store, lease: Lease, job_id: str, state: JobState, cause: Cause, next_check_at: float = float("inf")
) -> None:
    """The job ended so, as `lifecycle` would have decided it."""
    job = stored(store, job_id)
    decision = moved(job, state, cause=cause, next_check_at=next_check_at)
    event = JobEvent("state", {"from": job.state.value, "to": state.value, "cause": cause.value})
    assert store.apply(lease, [Decision(decision.job, event)], NOW) == [True]


def ran_to(
    store: Store, viewer: Viewer, lease: Lease, state: JobState, cause: Cause, notices: str | None = None
) -> str:
    job_id = accepted(store, viewer, notices=notices)
    advanced(store, lease, [job_id], JobState.STAGING_OUT)
    ended(store, lease, job_id, state, cause)
    return job_id


def lost(store: Store, lease: Lease, job_id: str) -> None:
    ended(store, lease, job_id, JobState.FAILED, Cause.LOST, next_check_at=60.0)


def came_back(store: Store, lease: Lease, states: Sequence[JobState]) -> None:
    """The lost job was seen again, and went on through these states."""
    for state in states:
        (job,) = store.due(CLUSTER, 100.0, 10)
        assert store.apply(lease, [moved(job, state, cause=None)], NOW) == [True]


# --- what is told ---------------------------------------------------------------------------------------------
def test_who_asked_for_nothing_is_told_of_nothing(store: Store, ann: Viewer, lease: Lease) -> None:
    ran_to(store, ann, lease, JobState.COMPLETED, Cause.EXIT_ZERO)

    assert store.notices(ann.user_id) == []
    assert store.due_letters(NOW, 10) == []


def test_a_job_that_runs_and_ends_is_told_of_twice(store: Store, told_ann: Viewer, lease: Lease) -> None:
    job_id = ran_to(store, told_ann, lease, JobState.COMPLETED, Cause.EXIT_ZERO)

    later, first = store.notices(told_ann.user_id)
    assert first == Notice(first.id, job_id, "run", JobState.COMPLETED, NoticeKind.BEGAN, NOW, ADDRESS, None, "", None)
    assert later.kind is NoticeKind.ENDED


@pytest.mark.parametrize(
    ("state", "cause", "kind"),
    [
        (JobState.COMPLETED, Cause.EXIT_ZERO, NoticeKind.ENDED),
        (JobState.FAILED, Cause.EXIT_NONZERO, NoticeKind.ENDED),
        (JobState.FAILED, Cause.SIGNAL, NoticeKind.ENDED),
        (JobState.FAILED, Cause.WALLTIME, NoticeKind.ABORTED),
        (JobState.FAILED, Cause.OUT_OF_MEMORY, NoticeKind.ABORTED),
        (JobState.FAILED, Cause.STAGE_OUT_FAILED, NoticeKind.ABORTED),
        (JobState.CANCELLED, Cause.CANCELLED_BY_USER, NoticeKind.ABORTED),
    ],
)
def test_an_end_by_the_program_itself_is_told_from_every_other(
    store: Store, told_ann: Viewer, lease: Lease, state: JobState, cause: Cause, kind: NoticeKind
) -> None:
    ran_to(store, told_ann, lease, state, cause)

    assert kinds(store, told_ann) == [NoticeKind.BEGAN, kind]


def test_each_letter_stands_for_its_kind_alone(store: Store, ann: Viewer, lease: Lease) -> None:
    found = []
    for letter in "bea":
        store.set_notice_choice(ann.user_id, ADDRESS, letter)
        before = len(kinds(store, ann))
        ran_to(store, ann, lease, JobState.COMPLETED, Cause.EXIT_ZERO)
        ran_to(store, ann, lease, JobState.CANCELLED, Cause.CANCELLED_BY_USER)
        found.append(kinds(store, ann)[before:])

    assert found == [[NoticeKind.BEGAN] * 2, [NoticeKind.ENDED], [NoticeKind.ABORTED]]


@pytest.mark.parametrize(
    ("of_job", "told"), [("", []), ("e", [NoticeKind.ENDED]), (None, [NoticeKind.BEGAN, NoticeKind.ENDED])]
)
def test_a_job_s_own_choice_goes_before_its_owner_s(
    store: Store, told_ann: Viewer, lease: Lease, of_job: str | None, told: list[NoticeKind]
) -> None:
    job_id = ran_to(store, told_ann, lease, JobState.COMPLETED, Cause.EXIT_ZERO, notices=of_job)

    assert kinds(store, told_ann) == told
    assert store.job(told_ann, job_id).notices == of_job


def test_only_the_owner_is_told(store: Store, told_ann: Viewer, bob: Viewer, lease: Lease) -> None:
    store.set_notice_choice(bob.user_id, "bob@example.org", "")
    ran_to(store, bob, lease, JobState.COMPLETED, Cause.EXIT_ZERO, notices="e")

    assert kinds(store, told_ann) == []
    assert [letter.mail_to for letter in store.due_letters(NOW, 10)] == ["bob@example.org"]


def test_who_has_no_address_is_told_in_the_page_only(store: Store, ann: Viewer, lease: Lease) -> None:
    store.set_notice_choice(ann.user_id, None, "e")
    ran_to(store, ann, lease, JobState.COMPLETED, Cause.EXIT_ZERO)

    assert [notice.mail_to for notice in store.notices(ann.user_id)] == [None]
    assert store.due_letters(NOW, 10) == []


def test_another_attempt_does_not_begin_the_job_again(store: Store, told_ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, told_ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    assert store.apply(lease, [moved(stored(store, job_id), JobState.ACCEPTED)], NOW) == [True]
    advanced(store, lease, [job_id], JobState.RUNNING)

    assert stored(store, job_id).attempts == 2
    assert kinds(store, told_ann) == [NoticeKind.BEGAN]


def test_a_lost_job_that_came_back_and_ended_well_is_told_of_again(
    store: Store, told_ann: Viewer, lease: Lease
) -> None:
    job_id = accepted(store, told_ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    lost(store, lease, job_id)
    came_back(store, lease, [JobState.RUNNING, JobState.STAGING_OUT])
    ended(store, lease, job_id, JobState.COMPLETED, Cause.EXIT_ZERO)

    assert kinds(store, told_ann) == [NoticeKind.BEGAN, NoticeKind.ABORTED, NoticeKind.ENDED]


def test_a_job_that_is_lost_again_is_not_told_of_again(store: Store, told_ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, told_ann)
    advanced(store, lease, [job_id], JobState.RUNNING)
    lost(store, lease, job_id)
    came_back(store, lease, [JobState.RUNNING])
    lost(store, lease, job_id)

    assert kinds(store, told_ann) == [NoticeKind.BEGAN, NoticeKind.ABORTED]


def test_a_notice_is_stored_with_its_event_or_not_at_all(store: Store, told_ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, told_ann)
    advanced(store, lease, [job_id], JobState.QUEUED)
    job = stored(store, job_id)
    held_by_another = store.take(CLUSTER, "another", store.lease_row(CLUSTER))
    assert held_by_another is not None

    with pytest.raises(LeaseLost):
        store.apply(lease, [moved(job, JobState.RUNNING)], NOW)
    assert kinds(store, told_ann) == []

    assert store.apply(held_by_another, [moved(job, JobState.RUNNING)], NOW) == [True]
    assert kinds(store, told_ann) == [NoticeKind.BEGAN]


def test_a_refused_decision_tells_nobody(store: Store, told_ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, told_ann)
    advanced(store, lease, [job_id], JobState.QUEUED)
    job = stored(store, job_id)
    store.request_cancel(told_ann, [job_id], NOW)

    assert store.apply(lease, [moved(job, JobState.RUNNING)], NOW) == [False]
    assert kinds(store, told_ann) == []


# --- what people choose ---------------------------------------------------------------------------------------
def test_a_choice_is_kept_in_one_order(store: Store, ann: Viewer) -> None:
    assert store.set_notice_choice(ann.user_id, ADDRESS, "aeb") == NoticeChoice(ADDRESS, "bea")
    assert store.notice_choice(ann.user_id) == NoticeChoice(ADDRESS, "bea")
    (user,) = store.users()
    assert (user.email, user.notices) == (ADDRESS, "bea")


@pytest.mark.parametrize(
    "address",
    [
        "ann",
        "ann@",
        "@example.org",
        "ann@example.org\nBcc: all@example.org",
        "ann@example.org, bob@example.org",
        "Ann <ann@example.org>",
        "ann..smith@example.org",
        "ann@-example.org",
        "ann@exämple.org",
        f"{'a' * 65}@example.org",
        f"ann@{'a.' * 130}org",
        "",
    ],
)
def test_what_is_no_address_is_refused_at_its_field(store: Store, ann: Viewer, address: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        store.set_notice_choice(ann.user_id, address, "e")

    assert [fault.field for fault in refusal.value.faults] == ["email"]
    assert store.notice_choice(ann.user_id) == NoticeChoice(None, "")


@pytest.mark.parametrize("address", ["ann@example.org", "a.b+c@sub.example.org", "root@localhost", "o'hara@x-y.eu"])
def test_addresses_as_people_have_them_are_taken(store: Store, ann: Viewer, address: str) -> None:
    assert store.set_notice_choice(ann.user_id, address, "e").email == address


def test_other_letters_are_refused_at_their_field(store: Store, ann: Viewer) -> None:
    with pytest.raises(InvalidInput, match="b \\(began\\)") as refusal:
        store.set_notice_choice(ann.user_id, ADDRESS, "bx")

    assert [fault.field for fault in refusal.value.faults] == ["notices"]


# --- the outbox -----------------------------------------------------------------------------------------------
def waiting(store: Store, viewer: Viewer, lease: Lease, jobs: int = 1) -> list[int]:
    """So many letters wait; their ids, the oldest first."""
    store.set_notice_choice(viewer.user_id, ADDRESS, "e")
    for _ in range(jobs):
        ran_to(store, viewer, lease, JobState.COMPLETED, Cause.EXIT_ZERO)
    return [letter.id for letter in store.due_letters(NOW, 100)]


def test_every_letter_has_an_id_of_its_own_that_names_the_gateway(store: Store, ann: Viewer, lease: Lease) -> None:
    waiting(store, ann, lease, 3)

    ids = [letter.message_id for letter in store.due_letters(NOW, 10)]
    assert len(set(ids)) == 3
    assert all(one.startswith("<notice-") and one.endswith(f".{store.gateway_id}@isthmus>") for one in ids)


def test_a_letter_keeps_where_it_goes_when_its_owner_moves(store: Store, ann: Viewer, lease: Lease) -> None:
    waiting(store, ann, lease)
    store.set_notice_choice(ann.user_id, "new@example.org", "e")

    assert [letter.mail_to for letter in store.due_letters(NOW, 10)] == [ADDRESS]


def test_a_sent_letter_is_not_due_any_more_and_never_becomes_so(store: Store, ann: Viewer, lease: Lease) -> None:
    first, second = waiting(store, ann, lease, 2)
    store.mark_sent([first], 60.0)
    store.mark_failed([first], Trouble.MAIL, "late word of another sender", 61.0)

    assert [letter.id for letter in store.due_letters(1e4, 10)] == [second]
    sent = store.notices(ann.user_id)[1]
    assert (sent.sent_at, sent.fault) == (60.0, "")


def test_a_letter_that_failed_rests_ever_longer(store: Store, ann: Viewer, lease: Lease) -> None:
    (letter,) = waiting(store, ann, lease)
    now, pauses = NOW, []
    for _ in range(len(PAUSES_S) + 1):
        store.mark_failed([letter], Trouble.MAIL, "450 later", now)
        pauses.append(next(s for s in sorted(set(PAUSES_S)) if store.due_letters(now + s, 10)))
        assert not store.due_letters(now + pauses[-1] - 1, 10)
        now += pauses[-1]

    assert pauses == [*PAUSES_S, PAUSES_S[-1]]


def test_a_server_that_is_away_costs_a_letter_no_try(store: Store, ann: Viewer, lease: Lease) -> None:
    (letter,) = waiting(store, ann, lease)
    for _ in range(5):
        store.mark_failed([letter], Trouble.SERVER, "no connection", NOW)

    assert [one.id for one in store.due_letters(NOW, 10)] == [letter]
    store.mark_failed([letter], Trouble.MAIL, "450 later", NOW)
    assert [one.id for one in store.due_letters(NOW + PAUSES_S[0], 10)] == [letter]


def test_a_letter_that_was_refused_is_never_due_again_and_says_why(store: Store, ann: Viewer, lease: Lease) -> None:
    (letter,) = waiting(store, ann, lease)
    store.mark_failed([letter], Trouble.REFUSED, "550 no such mailbox", NOW)

    assert store.due_letters(1e5, 10) == []
    assert [notice.fault for notice in store.notices(ann.user_id)] == ["550 no such mailbox"]


def test_after_a_day_a_letter_is_given_up_with_what_was_in_its_way(store: Store, ann: Viewer, lease: Lease) -> None:
    failed, _ = waiting(store, ann, lease, 2)
    store.mark_failed([failed], Trouble.MAIL, "450 later", NOW)

    assert store.give_up_old_letters(NOW + KEPT_S - 1) == 0
    assert store.give_up_old_letters(NOW + KEPT_S) == 2
    assert store.due_letters(1e9, 10) == []
    assert [notice.fault for notice in store.notices(ann.user_id)] == [
        "no mail server took it within a day",
        "450 later",
    ]


def test_a_letter_of_more_than_a_day_is_not_sent_even_before_it_is_given_up(
    store: Store, ann: Viewer, lease: Lease
) -> None:
    waiting(store, ann, lease)

    assert store.due_letters(NOW + KEPT_S, 10) == []


def test_the_outbox_tells_how_many_wait_since_when_and_why(store: Store, ann: Viewer, lease: Lease) -> None:
    assert (store.outbox().waiting, store.outbox().oldest_at) == (0, None)
    first, *_ = waiting(store, ann, lease, 3)
    store.mark_sent([first], 60.0)
    store.mark_failed([first + 1], Trouble.SERVER, "no connection", 60.0)

    outbox = store.outbox()
    assert (outbox.waiting, outbox.oldest_at, outbox.fault) == (2, NOW, "no connection")


# --- in the page ----------------------------------------------------------------------------------------------
def test_notices_are_unseen_until_their_reader_says_so(store: Store, ann: Viewer, bob: Viewer, lease: Lease) -> None:
    waiting(store, ann, lease, 3)
    assert (store.unseen_notices(ann.user_id), store.unseen_notices(bob.user_id)) == (3, 0)
    newest, middle, _ = store.notices(ann.user_id)

    store.mark_notices_seen(bob.user_id, newest.id)
    store.mark_notices_seen(ann.user_id, middle.id)

    assert store.unseen_notices(ann.user_id) == 1
    assert [notice.seen_at is None for notice in store.notices(ann.user_id)] == [True, False, False]


def test_notices_are_read_in_pages_the_newest_first(store: Store, ann: Viewer, lease: Lease) -> None:
    ids = waiting(store, ann, lease, 5)

    first = store.notices(ann.user_id, 2)
    second = store.notices(ann.user_id, 2, before=first[-1].id)
    assert [notice.id for notice in (*first, *second)] == ids[:0:-1]


def test_a_second_controller_s_lease_writes_its_notice_once(store: Store, told_ann: Viewer) -> None:
    job_id = accepted(store, told_ann)
    advanced(store, held(store, "a"), [job_id], JobState.QUEUED)
    job = stored(store, job_id)
    answers = [store.apply(held(store, name), [moved(job, JobState.RUNNING)], NOW) for name in ("b", "c")]

    assert answers == [[True], [False]]
    assert kinds(store, told_ann) == [NoticeKind.BEGAN]


# --- what others do ---------------------------------------------------------------------------------------------------
ROOT = "root"


def acts_of_others(store: Store, lease: Lease, owner: Viewer, admin: Viewer) -> None:
    """An administrator cancels, archives and deletes jobs of the owner's, who does the same with one of their own."""
    by, own = Actor(admin.user_id, ROOT), Actor(owner.user_id, "owner")
    first, second = accepted(store, owner, "first"), accepted(store, owner, "second")
    for viewer, job_id, actor in ((admin, first, by), (owner, second, own)):
        store.request_cancel(viewer, [job_id], NOW, actor)
        advanced(store, lease, [job_id], JobState.CANCELLED, cause=Cause.CANCELLED_BY_USER)
        store.change(viewer, job_id, JobChanges(archived=True), NOW, by=actor)
        store.delete(viewer, job_id, NOW, actor)


def test_an_owner_is_told_what_an_administrator_did_and_who_without_having_chosen_it(
    store: Store, ann: Viewer, admin: Viewer, lease: Lease
) -> None:
    acts_of_others(store, lease, ann, admin)
    assert [(one.kind, one.job_name, one.by, one.mail_to) for one in reversed(store.notices(ann.user_id))] == [
        (NoticeKind.CANCEL_ASKED, "first", ROOT, None),
        (NoticeKind.ARCHIVED, "first", ROOT, None),
        (NoticeKind.DELETED, "first", ROOT, None),
    ]
    assert store.due_letters(NOW, 10) == []


@pytest.mark.parametrize(("letters", "mails"), [("b", 1), ("", 0)])
def test_a_mail_of_a_share_goes_to_who_has_chosen_to_be_told_of_anything(
    store: Store, ann: Viewer, bob: Viewer, letters: str, mails: int, clock: Clock
) -> None:
    store.set_notice_choice(bob.user_id, "bob@example.org", letters)
    job_id = accepted(store, ann, "alabama")
    store.share(ann, job_id, ShareWith(ShareKind.USER, "bob"), Actor(ann.user_id, "ann"))
    (told,) = store.notices(bob.user_id)
    assert (told.kind, told.job_id, told.by, told.seen_at) == (NoticeKind.SHARED, job_id, "ann", None)
    found = store.due_letters(clock.now, 10)
    assert [(letter.mail_to, letter.by) for letter in found] == [("bob@example.org", "ann")] * mails


def test_a_share_is_told_once_and_not_any_more_when_it_has_ended(store: Store, ann: Viewer, bob: Viewer) -> None:
    by, job_id = Actor(ann.user_id, "ann"), accepted(store, ann)
    share = store.share(ann, job_id, ShareWith(ShareKind.USER, "bob"), by).share
    store.share(ann, job_id, ShareWith(ShareKind.USER, "bob", 3), by)
    assert kinds(store, bob) == [NoticeKind.SHARED]
    store.end_share(ann, job_id, share.id, by)
    assert kinds(store, bob) == []


def test_a_share_is_told_for_as_long_as_it_lasts(store: Store, ann: Viewer, bob: Viewer, clock: Clock) -> None:
    store.share(ann, accepted(store, ann), ShareWith(ShareKind.USER, "bob", 1), Actor(ann.user_id, "ann"))
    assert (kinds(store, bob), store.unseen_notices(bob.user_id)) == ([NoticeKind.SHARED], 1)
    clock.now += KEPT_S + 1
    assert (kinds(store, bob), store.unseen_notices(bob.user_id)) == ([], 0)
