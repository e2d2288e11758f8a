"""Showing a job to others, and what that does not show."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from isthmus.errors import InvalidInput, IsthmusError, NotFound
from isthmus.job import JobState
from isthmus.store import JobChanges, Lease, ListQuery, Position, Role, Store, UserChanges, Viewer
from isthmus.store.audit import Actor, AuditKind
from isthmus.store.shares import DAY_S, NewShare, ShareKind, ShareWith
from tests.store.conftest import Clock
from tests.store.making import a_file, accepted, advanced, person

BY = Actor(None, "a test")
BOB = ShareWith(ShareKind.USER, "bob")
LINK = ShareWith(ShareKind.LINK)


def shared(store: Store, owner: Viewer, job_id: str, wanted: ShareWith = BOB) -> NewShare:
    return store.share(owner, job_id, wanted, BY)


def can_read(store: Store, viewer: Viewer, job_id: str) -> bool:
    try:
        return store.shown(viewer, job_id).share is not None
    except NotFound:
        return False


def project(store: Store, *members: str) -> str:
    store.create_project("storms", BY)
    for name in members:
        store.add_member("storms", name, BY)
    return "storms"


def test_a_job_is_shown_to_the_user_it_is_shared_with_and_to_nobody_else(
    store: Store, ann: Viewer, bob: Viewer
) -> None:
    eve, job_id = person(store, "eve"), accepted(store, ann)
    assert not can_read(store, bob, job_id)
    shared(store, ann, job_id)
    assert can_read(store, bob, job_id)
    assert not can_read(store, eve, job_id)


def test_a_job_is_shown_to_the_members_of_a_project_as_long_as_they_are_in_it(
    store: Store, ann: Viewer, bob: Viewer
) -> None:
    job_id = accepted(store, ann)
    shared(store, ann, job_id, ShareWith(ShareKind.PROJECT, project(store, "ann", "bob")))
    assert can_read(store, bob, job_id)
    store.remove_member("storms", "bob", BY)
    assert not can_read(store, bob, job_id)


def test_only_a_member_can_share_with_a_project(store: Store, ann: Viewer, bob: Viewer) -> None:
    with pytest.raises(InvalidInput) as refused:
        shared(store, ann, accepted(store, ann), ShareWith(ShareKind.PROJECT, project(store, "bob")))
    assert [(fault.field, fault.code) for fault in refused.value.faults] == [("project", "unknown_project")]


def test_a_link_shows_the_job_and_its_text_is_not_stored(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    made = shared(store, ann, job_id, LINK)
    assert made.link is not None
    assert store.shown_by_link(made.link).job_id == job_id
    assert made.link not in repr(store.shares_of(ann, job_id))
    with pytest.raises(NotFound):
        store.shown_by_link(made.link + "x")


def test_a_link_lives_for_a_week_unless_another_time_is_asked(store: Store, ann: Viewer, clock: Clock) -> None:
    job_id = accepted(store, ann)
    link, longer = shared(store, ann, job_id, LINK), shared(store, ann, job_id, ShareWith(ShareKind.LINK, days=90))
    assert link.link is not None and longer.link is not None
    clock.now += 7 * DAY_S + 1
    with pytest.raises(NotFound):
        store.shown_by_link(link.link)
    assert store.shown_by_link(longer.link).job_id == job_id


@pytest.mark.parametrize("days", [0, 91, -1])
def test_a_link_lives_for_90_days_at_most(store: Store, ann: Viewer, days: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        shared(store, ann, accepted(store, ann), ShareWith(ShareKind.LINK, days=days))
    assert refused.value.faults[0].field == "days"


def test_a_share_ends_when_its_time_is_over(store: Store, ann: Viewer, bob: Viewer, clock: Clock) -> None:
    job_id = accepted(store, ann)
    shared(store, ann, job_id, ShareWith(ShareKind.USER, "bob", days=2))
    clock.now += 2 * DAY_S - 1
    assert can_read(store, bob, job_id)
    clock.now += 2
    assert not can_read(store, bob, job_id)
    assert store.shares_of(ann, job_id) == []


def test_a_share_that_is_ended_shows_nothing(store: Store, ann: Viewer, bob: Viewer) -> None:
    job_id = accepted(store, ann)
    user, link = shared(store, ann, job_id), shared(store, ann, job_id, LINK)
    for made in (user, link):
        store.end_share(ann, job_id, made.share.id, BY)
    assert not can_read(store, bob, job_id)
    with pytest.raises(NotFound):
        store.shown_by_link(link.link or "")
    with pytest.raises(NotFound):
        store.end_share(ann, job_id, user.share.id, BY)


def test_a_deleted_job_is_shown_to_nobody(store: Store, ann: Viewer, bob: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    shared(store, ann, job_id)
    link = shared(store, ann, job_id, LINK).link
    advanced(store, lease, [job_id], JobState.COMPLETED)
    store.delete(ann, job_id, 60.0)
    assert not can_read(store, bob, job_id)
    assert store.shared_with(bob) == []
    with pytest.raises(NotFound):
        store.shown_by_link(link or "")


def test_a_link_ends_with_the_user_who_made_it(store: Store, admin: Viewer, ann: Viewer) -> None:
    link = shared(store, ann, accepted(store, ann), LINK).link
    store.change_user("ann", UserChanges(disabled=True))
    with pytest.raises(NotFound):
        store.shown_by_link(link or "")


def test_sharing_again_with_the_same_user_changes_how_long_it_lasts(
    store: Store, ann: Viewer, bob: Viewer, clock: Clock
) -> None:
    job_id = accepted(store, ann)
    first = shared(store, ann, job_id)
    again = shared(store, ann, job_id, ShareWith(ShareKind.USER, "bob", days=1))
    assert again.share.id == first.share.id
    assert [share.expires_at for share in store.shares_of(ann, job_id)] == [clock.now + DAY_S]


@pytest.mark.parametrize(("name", "code"), [("nobody", "unknown_user"), ("ann", "owner"), ("gone", "unknown_user")])
def test_a_job_is_shared_with_another_user_who_can_sign_in(
    store: Store, admin: Viewer, ann: Viewer, name: str, code: str
) -> None:
    person(store, "gone")
    store.change_user("gone", UserChanges(disabled=True))
    with pytest.raises(InvalidInput) as refused:
        shared(store, ann, accepted(store, ann), ShareWith(ShareKind.USER, name))
    assert [(fault.field, fault.code) for fault in refused.value.faults] == [("user", code)]


def test_only_the_owner_or_an_administrator_shares(store: Store, admin: Viewer, ann: Viewer, bob: Viewer) -> None:
    eve, job_id = person(store, "eve"), accepted(store, ann)
    made = shared(store, admin, job_id)
    for act in (
        lambda: shared(store, bob, job_id, ShareWith(ShareKind.USER, "eve")),
        lambda: shared(store, eve, job_id),
        lambda: store.shares_of(bob, job_id),
        lambda: store.end_share(bob, job_id, made.share.id, BY),
    ):
        with pytest.raises(NotFound):
            act()
    assert [share.by for share in store.shares_of(ann, job_id)] == ["root"]


def test_jobs_that_others_show_are_listed_newest_first_and_each_once(
    store: Store, ann: Viewer, bob: Viewer, clock: Clock
) -> None:
    jobs = [accepted(store, ann, f"job {n}") for n in range(3)]
    name = project(store, "ann", "bob")
    for job_id in (*jobs, jobs[0]):
        clock.now += 1
        shared(store, ann, job_id, ShareWith(ShareKind.PROJECT, name))
    clock.now += 1
    shared(store, ann, jobs[1])
    listed = [jobs[1], jobs[2], jobs[0]]
    assert [one.job.id for one in store.shared_with(bob)] == listed
    first = store.shared_with(bob, limit=2)
    assert [one.job.id for one in first] == listed[:2]
    assert [one.job.id for one in store.shared_with(bob, before=first[-1].share.id)] == listed[2:]
    assert store.shared_with(ann) == []
    assert first[0].share.kind is ShareKind.USER and first[1].share.name == "storms"


def test_sharing_and_ending_it_are_in_the_audit(store: Store, ann: Viewer, bob: Viewer) -> None:
    job_id = accepted(store, ann)
    made = shared(store, ann, job_id)
    store.end_share(ann, job_id, made.share.id, BY)
    told = [(row.kind, row.words, row.user) for row in store.audit_of_job(ann, job_id)]
    said = ("with user bob", "a test")
    assert told == [(AuditKind.SHARE_ENDED, *said), (AuditKind.JOB_SHARED, *said)]


def test_a_job_has_200_shares_at_most(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    for _ in range(200):
        shared(store, ann, job_id, LINK)
    with pytest.raises(InvalidInput):
        shared(store, ann, job_id, LINK)


# --- what a guest sees ------------------------------------------------------------------------------------------------
MAKING = {"accept", "accept_soon", "accept_many", "add_upload", "put_draft", "share"}
"""What makes something of the viewer's own. A guest is nobody, so nothing can be theirs; `share` is tried above."""


def test_a_guest_reads_the_one_job_and_nothing_else_of_its_owner_s(
    store: Store, ann: Viewer, bob: Viewer, lease: Lease
) -> None:
    file = a_file("paper")
    upload = kept = store.add_upload(ann, file, "paper.txt", "text/plain")
    parent = accepted(store, ann, "parent")
    job_id = accepted(store, ann, "shown", parent_id=parent)
    child = accepted(store, ann, "child", parent_id=job_id)
    token = store.create_token(ann.user_id, "t", (), None).token
    made = shared(store, ann, job_id)
    store.put_draft(ann, "form", {"a": 1})
    project(store, "ann")
    guest = Viewer("", job_id=job_id)

    reading: dict[str, Callable[[Viewer, str], object]] = {
        "job": lambda v, j: store.job(v, j).id,
        "family": lambda v, j: [one.id for one in store.family(v, j)],
        "events_of": lambda v, j: {one.job_id for one in store.events_of(v, j)},
        "events_after": lambda v, j: {one.job_id for one in store.events_after(v, Position(), 100, j)},
        "follow": lambda v, j: store.follow(v, j, 1e12),
        "shown": lambda v, j: store.shown(v, j).job_id,
    }
    nothing: dict[str, Callable[[Viewer, str], object]] = {
        "job_of_key": lambda v, j: store.job_of_key(v, "key", "body"),
        "page": lambda v, j: store.page(v, ListQuery()).jobs,
        "counts": lambda v, j: [count for count in store.counts(v).values() if count.n],
        "request_cancel": lambda v, j: [a for a in store.request_cancel(v, [j], 1.0) if a.state],
        "change": lambda v, j: store.change(v, j, JobChanges(name="mine"), 1.0),
        "delete": lambda v, j: store.delete(v, j, 1.0),
        "upload": lambda v, j: store.upload(v, upload.id),
        "upload_contents": lambda v, j: store.upload_contents(v, [upload.id]),
        "uploads": lambda v, j: store.uploads(v),
        "upload_uses": lambda v, j: store.upload_uses(v, [kept])[kept.id],
        "delete_unused_uploads": lambda v, j: store.delete_unused_uploads(v),
        "delete_upload": lambda v, j: store.delete_upload(v, upload.id),
        "may_read": lambda v, j: store.may_read(v, file.sha256),
        "revoke_token": lambda v, j: store.revoke_token(v, token.id),
        "end_share": lambda v, j: store.end_share(v, j, made.share.id, BY),
        "shares_of": store.shares_of,
        "shared_with": lambda v, j: store.shared_with(v),
        "audit_of_job": store.audit_of_job,
        "projects": lambda v, j: store.projects(v),
        "project": lambda v, j: store.project(v, "storms"),
        "draft": lambda v, j: store.draft(v, "form"),
        "drop_draft": lambda v, j: store.drop_draft(v, "form"),
    }
    assert {*reading, *nothing, *MAKING} == {name for name, method in vars_of(Store) if "viewer" in method.parameters}
    for name, read in reading.items():
        assert answer(read, guest, job_id) in (job_id, [job_id], {job_id}, None), name
        for other in (parent, child):
            assert answer(read, guest, other) in ("not found", set()), (name, other)
    for name, ask in nothing.items():
        for one in (job_id, parent):
            assert not answer(ask, guest, one) or answer(ask, guest, one) == "not found", name
    assert store.draft(ann, "form") is not None
    seen = store.job(guest, job_id)
    assert (seen.parent_id, seen.root_id, seen.children) == (None, job_id, ())
    assert store.job(ann, job_id).name == "shown"


def vars_of(kind: type) -> list[tuple[str, inspect.Signature]]:
    """The public methods, with their parameters."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return [(name, inspect.signature(method)) for name, method in found if not name.startswith("_")]


def answer(ask: Callable[[Viewer, str], object], viewer: Viewer, job_id: str) -> object:
    try:
        return ask(viewer, job_id)
    except NotFound:
        return "not found"


def test_an_administrator_needs_no_share(store: Store, admin: Viewer, ann: Viewer) -> None:
    job_id = accepted(store, ann)
    found = store.shown(admin, job_id)
    assert (found.share, found.owner_id) == (None, ann.user_id)
    assert store.user("root").role is Role.ADMIN


@pytest.mark.parametrize("job_id", ["", "x", "0" * 20, "\0" * 20])
def test_what_is_no_job_is_shown_to_nobody(store: Store, ann: Viewer, job_id: str) -> None:
    with pytest.raises(IsthmusError, match="no such job"):
        store.shown(ann, job_id)
