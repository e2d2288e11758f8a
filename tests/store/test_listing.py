"""Pages of the job list, and one job whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.errors import InvalidInput, NotFound
from isthmus.job import JobState
from isthmus.store import Count, JobSummary, Lease, ListQuery, Role, Sort, Store, Viewer
from isthmus.store import walking as walking_module
from tests.store.conftest import Clock
from tests.store.making import a_job, accepted, advanced


def walked(store: Store, viewer: Viewer, query: ListQuery) -> Iterator[JobSummary]:
    while True:
        page = store.page(viewer, query)
        yield from page.jobs
        if page.next_cursor is None:
            return
        query = replace(query, cursor=page.next_cursor)


def ids(store: Store, viewer: Viewer, query: ListQuery) -> list[str]:
    return [job.id for job in walked(store, viewer, query)]


@pytest.fixture
def population(store: Store, ann: Viewer, lease: Lease, clock: Clock) -> list[str]:
    """48 jobs of every sort: two clusters, three applications, names that repeat, four states, some labels."""
    made = []
    for i, (cluster, application, name) in enumerate(product(("local", "far"), ("app", "bee", "cat"), range(8))):
        clock.now += i % 3  # several at the same moment
        labels = ("odd",) if i % 2 else ("even", f"n{i}")
        job = a_job(f"run {name % 4} of Müller-{i}", cluster=cluster, application=application, labels=labels)
        made.append(store.accept(ann, job).job_id)
    advanced(store, lease, made[3:9], JobState.RUNNING)
    advanced(store, lease, made[9:12], JobState.COMPLETED)
    return made


def test_every_order_is_walked_without_skip_or_repeat(store: Store, ann: Viewer, population: list[str]) -> None:
    for sort, descending in product(Sort, (True, False)):
        jobs = list(walked(store, ann, ListQuery(sort=sort, descending=descending, limit=7)))

        keys = [(_key(job, sort)) for job in jobs]
        assert sorted(job.id for job in jobs) == sorted(population), sort
        assert keys == sorted(keys, reverse=descending), sort


def _key(job: JobSummary, sort: Sort) -> str | float:
    key: str | float = getattr(job, {Sort.CREATED: "created_at"}.get(sort, sort.value))
    return key


FILTERS = {
    "states": ListQuery(states=(JobState.RUNNING, JobState.COMPLETED, JobState.RUNNING)),
    "applications": ListQuery(applications=("app", "cat")),
    "both": ListQuery(states=(JobState.RUNNING, JobState.ACCEPTED), applications=("app", "bee")),
    "clusters": ListQuery(clusters=("far",)),
    "labels": ListQuery(labels=("odd",)),
    "two labels": ListQuery(labels=("even", "n4")),
    "text": ListQuery(text="MULLER 1"),
    "text and label": ListQuery(text="run 3", labels=("even",)),
    "no text that counts": ListQuery(text="-- !"),
    "time": ListQuery(created_after=1_700_000_010.0, created_before=1_700_000_030.0),
    "nothing": ListQuery(text="nosuchword"),
    "everything": ListQuery(
        states=(JobState.ACCEPTED,), applications=("bee",), clusters=("local",), labels=("odd",), text="run"
    ),
}


def _passes(job: JobSummary, query: ListQuery) -> bool:
    words = f"{job.name} {job.application} {' '.join(job.labels)}".lower().replace("ü", "u").replace("-", " ").split()
    wanted = query.text.lower().replace("-", " ").replace("!", " ").split()
    return (
        (not query.states or job.state in query.states)
        and (not query.applications or job.application in query.applications)
        and (not query.clusters or job.cluster in query.clusters)
        and set(query.labels) <= set(job.labels)
        and all(any(word.startswith(begin) for word in words) for begin in wanted)
        and (query.created_after is None or job.created_at >= query.created_after)
        and (query.created_before is None or job.created_at < query.created_before)
    )


@pytest.mark.parametrize("small_sample", [False, True], ids=["by the walk", "by the indexes"])
def test_every_filter_in_every_order_gives_exactly_what_passes_it(
    store: Store,
    ann: Viewer,
    population: list[str],
    small_sample: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if small_sample:  # so that the population is as large for it as a million jobs for the real one
        monkeypatch.setattr(walking_module, "WINDOW", 3)
        monkeypatch.setattr(walking_module, "STRETCH", 9)
        monkeypatch.setattr(walking_module, "MATCHES", 9)
    everything = list(walked(store, ann, ListQuery(limit=200)))
    assert len(everything) == len(population)
    for (name, query), sort, descending in product(FILTERS.items(), Sort, (True, False)):
        asked = replace(query, sort=sort, descending=descending, limit=11)

        found = list(walked(store, ann, asked))

        expected = {job.id for job in everything if _passes(job, query)}
        assert sorted(job.id for job in found) == sorted(expected), (name, sort)
        keys = [_key(job, sort) for job in found]
        assert keys == sorted(keys, reverse=descending), (name, sort)


def test_what_a_user_types_is_never_taken_for_a_search_operator(store: Store, ann: Viewer) -> None:
    job_id = accepted(store, ann, "alabama storm")

    for words in ('"', "a OR b", "storm*", "storm AND", "(storm", "storm:*", "alabama & ! storm", "NEAR(a b)", "it's"):
        store.page(ann, ListQuery(text=words))
    assert ids(store, ann, ListQuery(text='"storm"* & alabama')) == [job_id]
    assert ids(store, ann, ListQuery(text="storm OR nothing")) == []


@pytest.mark.parametrize("words", ["1e5", "3d-model", "v1.2.3", "a_b", "http://x.y/z?q=1", "me@there.org", "日本", "½"])
def test_odd_words_are_found_by_themselves_through_the_text_index(
    store: Store, ann: Viewer, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking_module, "WINDOW", 1)
    monkeypatch.setattr(walking_module, "MATCHES", 2)
    wanted = accepted(store, ann, f"before {words} after")
    accepted(store, ann, "other")
    accepted(store, ann, "another")

    assert ids(store, ann, ListQuery(text=words)) == [wanted]


def test_names_that_no_database_can_hold_find_nothing(store: Store, ann: Viewer, admin: Viewer) -> None:
    accepted(store, ann)

    for odd in ("a\0b", "\ud800"):
        assert ids(store, admin, ListQuery(owner=odd)) == []
        assert ids(store, ann, ListQuery(labels=(odd,))) == []
        assert ids(store, ann, ListQuery(applications=(odd,))) == []
        assert ids(store, ann, ListQuery(clusters=(odd,))) == []
        assert len(ids(store, ann, ListQuery(text=odd[0] + "pp"))) == (odd[0] == "a")


def test_a_user_lists_their_own_jobs_and_an_administrator_anybodys(
    store: Store, ann: Viewer, bob: Viewer, admin: Viewer
) -> None:
    mine, theirs = accepted(store, ann), accepted(store, bob)

    assert ids(store, ann, ListQuery()) == [mine]
    assert ids(store, ann, ListQuery(owner="bob")) == []
    assert ids(store, ann, ListQuery(owner="ann")) == [mine]
    assert sorted(ids(store, admin, ListQuery())) == sorted([mine, theirs])
    assert ids(store, admin, ListQuery(owner="bob")) == [theirs]
    assert ids(store, admin, ListQuery(owner="nobody")) == []
    assert [job.owner for job in walked(store, admin, ListQuery(owner="bob"))] == ["bob"]


def test_a_page_is_as_long_as_asked_within_its_bounds(store: Store, ann: Viewer) -> None:
    store.accept_many(ann, [a_job() for _ in range(210)])

    assert [len(store.page(ann, ListQuery(limit=n)).jobs) for n in (-5, 0, 1, 200, 5000)] == [1, 1, 1, 200, 200]


def test_the_last_page_has_no_cursor_even_when_it_is_full(store: Store, ann: Viewer) -> None:
    store.accept_many(ann, [a_job() for _ in range(4)])
    first = store.page(ann, ListQuery(limit=2))
    second = store.page(ann, ListQuery(limit=2, cursor=first.next_cursor))

    assert len(second.jobs) == 2
    assert second.next_cursor is None
    assert store.page(ann, ListQuery(text="nothing")).next_cursor is None


BAD_CURSORS = ["", "x", "é", "AAAA", "bnVsbA", "W10", "WyJjcmVhdGVkIix0cnVlLE5hTiwxXQ", "W" * 10_000]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_what_is_not_a_cursor_is_refused(store: Store, ann: Viewer, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.page(ann, ListQuery(cursor=cursor))

    assert [fault.field for fault in refused.value.faults] == ["cursor"]


def test_a_cursor_of_another_order_is_refused(store: Store, ann: Viewer) -> None:
    store.accept_many(ann, [a_job() for _ in range(3)])
    cursor = store.page(ann, ListQuery(limit=1)).next_cursor

    for other in (ListQuery(cursor=cursor, descending=False), ListQuery(cursor=cursor, sort=Sort.NAME)):
        with pytest.raises(InvalidInput):
            store.page(ann, other)


def test_a_name_of_any_characters_can_be_walked_past(store: Store, ann: Viewer) -> None:
    names = ["", "tab\there", "日本", "'quote\"", "a" * 300, "line\nbreak", "\x7f"]
    store.accept_many(ann, [a_job(name) for name in names])

    found = [job.name for job in walked(store, ann, ListQuery(sort=Sort.NAME, limit=1))]

    assert sorted(found) == sorted(names)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    arrivals=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    sort=st.sampled_from([Sort.CREATED, Sort.NAME, Sort.APPLICATION]),
    descending=st.booleans(),
    text=st.sampled_from(["", "run"]),
)
def test_a_walk_while_jobs_arrive_never_skips_or_repeats_a_job_that_was_there(
    store: Store, clock: Clock, arrivals: Sequence[int], sort: Sort, descending: bool, text: str
) -> None:
    clock.now += 1
    owner = Viewer(store.create_user(f"u{clock.now:.0f}", None, Role.USER).id)
    start = {one.job_id for one in store.accept_many(owner, [a_job(f"run {i % 4}") for i in range(9)])}
    query, seen = ListQuery(sort=sort, descending=descending, text=text, limit=2), []
    for n in [*arrivals, *[0] * 30]:
        page = store.page(owner, query)
        seen += [job.id for job in page.jobs]
        if page.next_cursor is None:
            break
        query = replace(query, cursor=page.next_cursor)
        clock.now += n % 2
        store.accept_many(owner, [a_job(f"run {n + i}", application="bee") for i in range(n)])

    assert start <= set(seen)
    assert len(seen) == len(set(seen))


def test_counts_are_exact_up_to_the_bound_and_say_so(store: Store, ann: Viewer, bob: Viewer, lease: Lease) -> None:
    jobs = [one.job_id for one in store.accept_many(ann, [a_job() for _ in range(12)])]
    accepted(store, bob)
    advanced(store, lease, jobs[:3], JobState.COMPLETED)
    store.delete(ann, jobs[0], 5.0)

    counts = store.counts(ann, bound=8)

    assert counts[JobState.ACCEPTED] == Count(8, exact=False)
    assert counts[JobState.COMPLETED] == Count(2, exact=True)
    assert counts[JobState.FAILED] == Count(0, exact=True)
    assert set(counts) == set(JobState)
    assert store.counts(ann, bound=9)[JobState.ACCEPTED] == Count(9, exact=True)


def test_an_administrator_counts_everybodys_jobs(store: Store, ann: Viewer, bob: Viewer, admin: Viewer) -> None:
    accepted(store, ann)
    accepted(store, bob)

    assert store.counts(admin)[JobState.ACCEPTED] == Count(2, exact=True)


def test_nobody_sees_anothers_job(store: Store, ann: Viewer, bob: Viewer, admin: Viewer) -> None:
    job_id = accepted(store, ann)

    for id_ in (job_id, "0" * 20, "", "a\0", "\ud800", "x" * 20):
        for read in (store.job, store.family, store.events_of):
            with pytest.raises(NotFound):
                read(bob, id_)
    assert store.job(admin, job_id).owner == "ann"


def test_a_family_is_everything_made_from_one_job_for_who_may_see_it(store: Store, ann: Viewer, admin: Viewer) -> None:
    root = accepted(store, ann)
    child = accepted(store, ann, parent_id=root)
    grandchild = accepted(store, ann, parent_id=child)
    others = store.accept(admin, a_job(parent_id=child)).job_id
    accepted(store, ann)

    seen = store.family(ann, grandchild)

    assert [(job.id, job.parent_id) for job in seen] == [(root, None), (child, root), (grandchild, child)]
    assert [job.id for job in store.family(admin, root)] == [root, child, grandchild, others]
    view = store.job(ann, child)
    assert (view.parent_id, view.root_id, view.children) == (root, root, (grandchild,))
    assert store.job(admin, child).children == (grandchild, others)


def test_times_of_equal_pages_are_kept_apart_by_the_jobs_number(store: Store, ann: Viewer) -> None:
    made = [one.job_id for one in store.accept_many(ann, [a_job() for _ in range(20)])]

    found = ids(store, ann, ListQuery(limit=3))

    assert found == [*reversed(made)]
    assert all(a != b for a, b in pairwise(found))


def test_times_are_exact_although_the_clock_was_set_back(store: Store, ann: Viewer, clock: Clock) -> None:
    start, created = clock.now, {}
    for at in (0, 600, 1200, 1000, 1100, 901, 1300, 2000, 1900, 3000):
        clock.now = start + at
        created[accepted(store, ann)] = at

    for after, before, descending in product((None, 0, 901, 1000, 1150, 4000), (None, 1000, 1300, 5000), (True, False)):
        query = ListQuery(
            created_after=None if after is None else start + after,
            created_before=None if before is None else start + before,
            descending=descending,
            limit=2,
        )

        found = ids(store, ann, query)

        wanted = [job for job, at in created.items() if (after or 0) <= at < (before or 9999)]
        assert found == (wanted[::-1] if descending else wanted), (after, before)


def test_a_job_tells_since_when_its_cluster_does_not_answer(store: Store, ann: Viewer, lease: Lease) -> None:
    job_id = accepted(store, ann)
    store.report_cluster(lease, "local", '{"queued": 3}', 7.0)
    store.mark_contact(lease, "local", 8.0)
    store.close_cluster("local", "being repaired")

    (row,) = store.clusters()

    assert (row.status, row.seen_at, row.contact_lost_since, row.closed_reason) == (
        {"queued": 3},
        7.0,
        8.0,
        "being repaired",
    )
    assert store.job(ann, job_id).contact_lost_since == 8.0
    store.mark_contact(lease, "local", None)
    assert store.job(ann, job_id).contact_lost_since is None
