"""Projects: groups of users."""

from __future__ import annotations

import pytest

from isthmus.errors import Conflict, InvalidInput, NotFound
from isthmus.store import Store, Viewer
from isthmus.store.audit import Actor, AuditKind, AuditQuery

BY = Actor(None, "a test")


def test_members_see_their_projects_and_administrators_all(
    store: Store, admin: Viewer, ann: Viewer, bob: Viewer
) -> None:
    for name in ("storms", "floods"):
        store.create_project(name, BY)
    store.add_member("storms", "bob", BY)
    made = store.add_member("storms", "ann", BY)
    assert made.members == ("ann", "bob")
    assert [project.name for project in store.projects(ann)] == ["storms"]
    assert [project.name for project in store.projects(admin)] == ["floods", "storms"]
    assert store.project(ann, "storms") == made
    with pytest.raises(NotFound):
        store.project(ann, "floods")


def test_putting_somebody_in_twice_changes_nothing(store: Store, ann: Viewer) -> None:
    store.create_project("storms", BY)
    store.add_member("storms", "ann", BY)
    assert store.add_member("storms", "ann", BY).members == ("ann",)


def test_a_removed_member_does_not_see_the_project(store: Store, ann: Viewer) -> None:
    store.create_project("storms", BY)
    store.add_member("storms", "ann", BY)
    assert store.remove_member("storms", "ann", BY).members == ()
    assert store.projects(ann) == []
    with pytest.raises(NotFound):
        store.remove_member("storms", "ann", BY)


def test_a_renamed_project_keeps_its_members(store: Store, ann: Viewer) -> None:
    first = store.create_project("storms", BY)
    store.add_member("storms", "ann", BY)
    renamed = store.rename_project("storms", "tempests", BY)
    assert (renamed.id, renamed.name, renamed.members) == (first.id, "tempests", ("ann",))
    assert store.rename_project("tempests", "tempests", BY).name == "tempests"
    with pytest.raises(NotFound):
        store.rename_project("storms", "gales", BY)


def test_two_projects_have_two_names(store: Store) -> None:
    store.create_project("storms", BY)
    store.create_project("floods", BY)
    with pytest.raises(Conflict):
        store.create_project("storms", BY)
    with pytest.raises(Conflict):
        store.rename_project("floods", "storms", BY)


@pytest.mark.parametrize("name", ["", "Storms", "a b", "x" * 65, "-a", "\0"])
def test_a_name_that_can_not_be_one_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.create_project(name, BY)
    assert refused.value.faults[0].field == "name"


@pytest.mark.parametrize(
    ("project", "user"), [("storms", "nobody"), ("floods", "ann"), ("\0", "ann"), ("storms", "\0")]
)
def test_who_or_what_is_not_there_can_not_be_put_together(store: Store, ann: Viewer, project: str, user: str) -> None:
    store.create_project("storms", BY)
    with pytest.raises(NotFound):
        store.add_member(project, user, BY)


def test_what_becomes_of_projects_is_in_the_audit(store: Store, ann: Viewer) -> None:
    store.create_project("storms", BY)
    store.add_member("storms", "ann", BY)
    with pytest.raises(NotFound):
        store.add_member("storms", "nobody", BY)
    told = [(row.kind, row.words) for row in store.audit(AuditQuery())]
    assert told == [(AuditKind.PROJECT_CHANGED, "ann is in storms"), (AuditKind.PROJECT_CREATED, "storms")]
