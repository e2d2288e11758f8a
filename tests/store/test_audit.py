"""What is written down of who did what."""

from __future__ import annotations

import pytest

from isthmus.errors import Conflict, InvalidInput, NotFound, NotSignedIn
from isthmus.job import JobState
from isthmus.store import ChangedMeanwhile, JobChanges, Lease, Role, Store, UserChanges, Viewer
from isthmus.store.audit import Actor, AuditKind, AuditLine, AuditQuery
from tests.store.conftest import Clock
from tests.store.making import PASSWORD, accepted, advanced

BY = Actor(None, "a test", "10.0.0.1")


def kinds(store: Store, query: AuditQuery | None = None) -> list[AuditKind]:
    return [row.kind for row in store.audit(query or AuditQuery())]


def test_a_line_says_who_when_from_where_and_what(store: Store, ann: Viewer, clock: Clock) -> None:
    job_id = accepted(store, ann)
    number = store.shown(ann, job_id).number
    store.note(AuditLine(Actor(ann.user_id, "ann", "::1"), AuditKind.JOB_READ, "as a test", number))
    (row,) = store.audit(AuditQuery())
    assert (row.at, row.user_id, row.user, row.kind) == (clock.now, ann.user_id, "ann", AuditKind.JOB_READ)
    assert (row.job_id, row.words, row.address) == (job_id, "as a test", "::1")


def test_lines_are_found_by_user_kind_and_job_page_by_page(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    number = store.shown(ann, job_id).number
    for user, kind, job in (
        ("ann", AuditKind.SIGNED_IN, None),
        ("bob", AuditKind.JOB_READ, number),
        ("ann", AuditKind.JOB_READ, number),
    ):
        store.note(AuditLine(Actor(None, user), kind, job=job))
    assert len(store.audit(AuditQuery())) == 3
    assert [row.user for row in store.audit(AuditQuery(kind=AuditKind.JOB_READ))] == ["ann", "bob"]
    assert kinds(store, AuditQuery(user="ann")) == [AuditKind.JOB_READ, AuditKind.SIGNED_IN]
    assert [row.user for row in store.audit(AuditQuery(job_id=job_id))] == ["ann", "bob"]
    (newest,) = store.audit(AuditQuery(limit=1))
    assert len(store.audit(AuditQuery(since=newest.at))) == 3
    assert store.audit(AuditQuery(since=newest.at + 1)) == []
    assert [row.user for row in store.audit(AuditQuery(before=newest.id))] == ["bob", "ann"]
    with pytest.raises(InvalidInput):
        store.audit(AuditQuery(job_id="x"))


def test_what_comes_again_and_again_is_written_once_in_a_while(store: Store, ann: Viewer, clock: Clock) -> None:
    number = store.shown(ann, accepted(store, ann)).number
    bob = AuditLine(Actor(None, "bob"), AuditKind.JOB_READ, job=number)
    for _ in range(3):
        store.note_seldom(bob, 600.0)
        clock.now += 200.1
    assert len(store.audit(AuditQuery())) == 1
    store.note_seldom(bob, 600.0)
    assert len(store.audit(AuditQuery())) == 2
    store.note_seldom(AuditLine(Actor(None, "eve"), AuditKind.JOB_READ, job=number), 600.0)
    store.note_seldom(AuditLine(Actor(None, "bob", "10.0.0.9"), AuditKind.JOB_READ, job=number), 600.0)
    store.note_seldom(AuditLine(Actor(None, "bob"), AuditKind.OUTPUT_DOWNLOADED, job=number), 600.0)
    assert len(store.audit(AuditQuery())) == 5


def test_signing_in_is_told_well_or_not(store: Store) -> None:
    store.create_user("cyd", PASSWORD, Role.USER)
    store.verify_password("cyd", PASSWORD, "10.0.0.2")
    for name, password in (("cyd", "wrong"), ("nobody", "wrong"), ("\0", "wrong")):
        with pytest.raises(NotSignedIn):
            store.verify_password(name, password, "10.0.0.2")
    told = [(row.kind, row.user, row.user_id is not None, row.address) for row in store.audit(AuditQuery())]
    refused = AuditKind.SIGN_IN_REFUSED
    assert told == [
        (refused, "(not readable)", False, "10.0.0.2"),
        (refused, "nobody", False, "10.0.0.2"),
        (refused, "cyd", True, "10.0.0.2"),
        (AuditKind.SIGNED_IN, "cyd", True, "10.0.0.2"),
    ]


def test_what_people_change_is_told_with_the_change(store: Store, admin: Viewer) -> None:
    user = store.create_user("cyd", PASSWORD, Role.USER, BY)
    store.change_user("cyd", UserChanges(PASSWORD, Role.ADMIN, True), BY)
    store.set_password("cyd", PASSWORD, BY)
    made = store.create_token(user.id, "laptop", (), None, BY)
    store.revoke_token(Viewer(user.id), made.token.id, BY)
    store.close_cluster("local", "being repaired", BY)
    store.close_cluster("local", None, BY)
    told = [(row.kind.value, row.words) for row in reversed(store.audit(AuditQuery()))]
    assert told == [
        ("user_created", "cyd, user"),
        ("user_changed", "cyd: a new password, role admin, disabled"),
        ("password_changed", "cyd"),
        ("token_made", "laptop: for choosing a password"),
        ("token_revoked", made.token.id),
        ("cluster_closed", "local: being repaired"),
        ("cluster_opened", "local"),
    ]
    assert PASSWORD not in repr(store.audit(AuditQuery()))


def test_what_fails_is_not_told_as_done(store: Store, admin: Viewer) -> None:
    with pytest.raises(NotFound):
        store.change_user("nobody", UserChanges(disabled=True), BY)
    assert kinds(store) == []


def test_deleting_another_s_job_is_told_and_one_s_own_is_not(
    store: Store, admin: Viewer, ann: Viewer, lease: Lease
) -> None:
    own, other = accepted(store, ann, "own"), accepted(store, ann, "other")
    advanced(store, lease, [own, other], JobState.COMPLETED)
    store.delete(ann, own, 60.0, BY)
    store.delete(admin, other, 60.0, BY)
    told = [(row.kind, row.job_id, row.words) for row in store.audit(AuditQuery())]
    assert told == [(AuditKind.JOB_DELETED_BY_ADMINISTRATOR, other, "other")]


def test_what_an_administrator_does_with_another_s_job_is_told_with_who_whatever_way_it_came(
    store: Store, admin: Viewer, ann: Viewer
) -> None:
    job_id, by = accepted(store, ann, "alabama"), Actor(admin.user_id, "root", "10.0.0.1")
    own = accepted(store, admin, "own")
    store.change(admin, job_id, JobChanges(name="georgia"), 60.0, by=by)
    store.change(admin, job_id, JobChanges(labels=("wet",)), 61.0, by=by)
    store.change(admin, job_id, JobChanges(archived=True), 62.0, by=by)
    store.change(admin, own, JobChanges(archived=True), 62.0, by=by)
    store.request_cancel(admin, [job_id, own], 63.0)  # even who does not say who acts is named

    lines = store.audit(AuditQuery())
    assert {(row.kind, row.job_id, row.user) for row in lines} == {
        (AuditKind.JOB_CHANGED_BY_ADMINISTRATOR, job_id, "root")
    }
    assert [(row.words, row.address) for row in reversed(lines)] == [
        ("called it “georgia”, before “alabama”", "10.0.0.1"),
        ("labelled it “wet”", "10.0.0.1"),
        ("archived it", "10.0.0.1"),
        ("asked to cancel it", ""),
    ]


def test_what_was_refused_is_not_told(store: Store, admin: Viewer, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    with pytest.raises(ChangedMeanwhile):
        store.change(admin, job_id, JobChanges(archived=True), 60.0, expected_seq=99)
    with pytest.raises(Conflict):
        store.delete(admin, job_id, 60.0)
    assert store.audit(AuditQuery()) == []
    assert store.notices(ann.user_id) == []


def test_a_job_s_audit_is_for_its_owner_and_administrators(
    store: Store, admin: Viewer, ann: Viewer, bob: Viewer
) -> None:
    job_id = accepted(store, ann)
    store.note(AuditLine(BY, AuditKind.JOB_READ, job=store.shown(ann, job_id).number))
    for viewer in (ann, admin):
        assert len(store.audit_of_job(viewer, job_id)) == 1
    with pytest.raises(NotFound):
        store.audit_of_job(bob, job_id)
