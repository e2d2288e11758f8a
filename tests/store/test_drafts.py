"""Forms that somebody began to fill in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from isthmus.errors import InvalidInput
from isthmus.store import Store, Viewer
from isthmus.store.drafts import MAX_BYTES, MAX_DRAFTS, MAX_KEY
from tests.store.conftest import Clock


def kept(store: Store, viewer: Viewer, keys: Sequence[str]) -> list[str]:
    """Those of the keys that the viewer has drafts of."""
    return [key for key in keys if store.draft(viewer, key) is not None]


def test_a_draft_is_as_it_was_last_kept_and_nobody_else_s(store: Store, ann: Viewer, bob: Viewer, clock: Clock) -> None:
    store.put_draft(ann, "echo", {"words": "hal", "times": None})
    clock.now += 1
    store.put_draft(ann, "echo", {"words": "hallo \0 \ud800", "times": [1, 2.5, True]})
    found = store.draft(ann, "echo")
    assert found is not None
    assert (found.body, found.updated_at) == ({"words": "hallo \0 \ud800", "times": [1, 2.5, True]}, clock.now)
    assert store.draft(bob, "echo") is None


def test_a_dropped_draft_is_gone(store: Store, ann: Viewer, bob: Viewer) -> None:
    for viewer in (ann, bob):
        store.put_draft(viewer, "echo", 1)
    for key in ("echo", "echo", "never", "\0"):
        store.drop_draft(ann, key)
    assert store.draft(ann, "echo") is None
    assert store.draft(bob, "echo") is not None


def test_of_many_drafts_the_oldest_go(store: Store, ann: Viewer, bob: Viewer, clock: Clock) -> None:
    store.put_draft(bob, "form", 0)
    keys = [f"form {n}" for n in range(MAX_DRAFTS + 2)]
    for key in keys:
        clock.now += 1
        store.put_draft(ann, key, key)
    assert kept(store, ann, keys) == keys[2:]
    assert kept(store, bob, ["form"]) == ["form"]


def test_of_drafts_of_one_moment_the_one_just_kept_stays(store: Store, ann: Viewer) -> None:
    keys = [f"form {n:02}" for n in range(MAX_DRAFTS)]
    for key in keys:
        store.put_draft(ann, key, 0)
    for key in ("a", "z"):
        store.put_draft(ann, key, "new")
        assert store.draft(ann, key) is not None
    assert len(kept(store, ann, [*keys, "a", "z"])) == MAX_DRAFTS


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("", {}),
        ("x" * (MAX_KEY + 1), {}),
        ("\0", {}),
        ("echo", "x" * MAX_BYTES),
        ("echo", float("nan")),
    ],
)
def test_what_can_not_be_kept_is_refused_and_the_draft_stays(store: Store, ann: Viewer, key: str, body: object) -> None:
    store.put_draft(ann, "echo", "old")
    with pytest.raises(InvalidInput):
        store.put_draft(ann, key, body)  # type: ignore[arg-type]  # what a form may send
    found = store.draft(ann, "echo")
    assert found is not None and found.body == "old"


def test_a_draft_as_large_as_is_permitted_is_kept(store: Store, ann: Viewer) -> None:
    store.put_draft(ann, "x" * MAX_KEY, "x" * (MAX_BYTES - 2))
    assert store.draft(ann, "x" * MAX_KEY) is not None
