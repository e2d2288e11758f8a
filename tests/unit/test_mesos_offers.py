"""Which task goes where, and what of which offer it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.application.encoding import Json
from isthmus.cluster.mesos.agents import agents_of
from isthmus.cluster.mesos.messages import Offer, Offers, Piece, at, event_of, items, number, text
from isthmus.cluster.mesos.offers import Need, Pool, Want, need_of, too_large
from isthmus.job import Resources

RECORDED = Path(__file__).parent / "recorded" / "mesos"


def recorded(name: str) -> tuple[Offer, ...]:
    event = event_of((RECORDED / f"{name}.json").read_bytes())
    assert isinstance(event, Offers)
    return event.offers


def offer(name: str, agent: str, cpus: float, memory: int = 4096, gpus: int = 0, role: str = "*") -> Offer:
    amounts = {"cpus": cpus, "mem": float(memory), "gpus": float(gpus)}
    pieces = tuple(
        Piece(what, round(amount * 1000), json.dumps({"name": what, "type": "SCALAR"}), reserved=False)
        for what, amount in amounts.items()
        if amount
    )
    return Offer(name, agent, f"host-{agent}", f"http://{agent}:5051", role, pieces, {"rack": agent})


def want(tag: str, cpus: float = 1, memory: int = 100, gpus: int = 0, avoid: tuple[str, ...] = ()) -> Want:
    need = Need(round(cpus * 1000), memory * 1000, 0, gpus * 1000)
    return Want(tag, need, frozenset(avoid))


def placed(offers: list[Offer], wants: list[Want]) -> dict[str, str]:
    """By tag: the agent."""
    pool = Pool({})
    pool.add(offers)
    return {one.tag: space.agent_id for space in pool.place(wants) for one, _ in space.placed}


def test_a_task_goes_where_it_leaves_least() -> None:
    assert placed([offer("o1", "large", 8), offer("o2", "small", 2)], [want("t", 2)]) == {"t": "small"}


def test_an_agent_with_gpus_is_kept_for_those_who_want_them() -> None:
    offers = [offer("o1", "gpu", 2, gpus=1), offer("o2", "plain", 8)]
    assert placed(offers, [want("t", 2)]) == {"t": "plain"}
    assert placed(offers, [want("t", 2, gpus=1)]) == {"t": "gpu"}


def test_an_agent_where_it_failed_is_taken_only_if_no_other_will_do() -> None:
    offers = [offer("o1", "bad", 2), offer("o2", "good", 8)]
    assert placed(offers, [want("t", 2, avoid=("bad",))]) == {"t": "good"}
    assert placed(offers[:1], [want("t", 2, avoid=("bad",))]) == {"t": "bad"}


def test_offers_of_one_agent_are_used_together_and_those_of_two_never() -> None:
    pieces = [offer("o1", "a", 1), offer("o2", "a", 1), offer("o3", "b", 1)]
    pool = Pool({})
    pool.add(pieces)
    (space,) = pool.place([want("t", 2)])
    assert (space.agent_id, space.offer_ids) == ("a", ["o1", "o2"])
    assert placed([pieces[0], pieces[2]], [want("t", 2)]) == {}


def test_offers_of_two_roles_are_not_joined() -> None:
    assert placed([offer("o1", "a", 1, role="x"), offer("o2", "a", 1, role="y")], [want("t", 2)]) == {}


def test_the_first_in_the_queue_chooses_first() -> None:
    assert placed([offer("o1", "a", 1)], [want("first"), want("second")]) == {"first": "a"}


def test_a_small_task_may_use_what_a_large_one_cannot() -> None:
    assert placed([offer("o1", "a", 1)], [want("large", 4), want("small", 1)]) == {"small": "a"}


def test_tenths_of_a_cpu_add_up_exactly() -> None:
    assert len(placed([offer("o1", "a", 1)], [want(f"t{n}", 0.1, 1) for n in range(11)])) == 10


def test_used_offers_leave_the_pool_and_others_stay() -> None:
    pool = Pool({})
    pool.add([offer("o1", "a", 2), offer("o2", "b", 8)])
    pool.place([want("t", 2)])
    assert pool.drop_all() == ["o2"]


def test_agents_without_the_wanted_attributes_are_turned_down_at_once() -> None:
    pool = Pool({"rack": "r[12]"})
    assert pool.add([offer("o1", "r1", 1), offer("o2", "r10", 1)]) == ["o2"]
    assert len(pool) == 1


def test_resources_are_named_with_the_role_they_were_offered_for() -> None:
    pool = Pool({})
    pool.add(recorded("event-OFFERS")[:1])
    (space,) = pool.place([want("t", 1, 64)])
    ((_, taken),) = space.placed
    assert [(text(one, "name"), number(one, "scalar", "value")) for one in taken] == [("cpus", 1.0), ("mem", 64.0)]
    assert {text(one, "allocation_info", "role") for one in taken} == {"test"}


def test_reserved_resources_are_used_first_and_named_as_such() -> None:
    pool = Pool({})
    pool.add(recorded("offer-with-reservation"))
    (space,) = pool.place([want("t", 1.5, 64)])
    ((_, taken),) = space.placed
    cpus = [one for one in taken if text(one, "name") == "cpus"]
    assert [number(one, "scalar", "value") for one in cpus] == [1.0, 0.5]
    assert [bool(items(one, "reservations")) for one in cpus] == [True, False]


def test_what_may_be_taken_back_or_is_shared_is_not_used() -> None:
    body: Json = json.loads((RECORDED / "event-OFFERS.json").read_bytes())
    for resource in items(items(body, "offers", "offers")[0], "resources"):
        assert isinstance(resource, dict)
        resource["revocable"] = {}
    event = event_of(json.dumps(body).encode())
    assert isinstance(event, Offers)
    assert event.offers[0].pieces == ()


@given(
    st.lists(st.tuples(st.integers(1, 80), st.integers(32, 4096)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 40), st.integers(32, 2048)), max_size=30),
)
def test_no_agent_ever_gives_more_than_it_offered(agents: list[tuple[int, int]], tasks: list[tuple[int, int]]) -> None:
    pool = Pool({})
    pool.add(offer(f"o{n}", f"a{n}", cpus / 10, memory) for n, (cpus, memory) in enumerate(agents))
    spaces = pool.place([want(f"t{n}", cpus / 10, memory) for n, (cpus, memory) in enumerate(tasks)])
    for space in spaces:
        cpus, memory = agents[int(space.agent_id[1:])]
        assert sum(one.need.cpus for one, _ in space.placed) <= cpus * 100
        assert sum(one.need.memory for one, _ in space.placed) <= memory * 1000
        for one, taken in space.placed:
            given_cpus = sum(number(part, "scalar", "value") for part in taken if text(part, "name") == "cpus")
            assert round(given_cpus * 1000) == one.need.cpus


# --- what can never fit -----------------------------------------------------------------------------------------------
def agents() -> list[Need]:
    return [agent.total for agent in agents_of(json.loads((RECORDED / "operator-GET_AGENTS.json").read_bytes()))]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(cpus=4), ""),
        (Resources(cpus=64), "asks for 64 cpus; the largest agent has 4"),
        (Resources(memory_mib=4096), "asks for 4096 MiB of memory; the largest agent has 2048"),
        (Resources(gpus=1), "asks for 1 gpus; the largest agent has 0"),
    ],
)
def test_what_no_agent_can_hold_is_said_with_the_largest_there_is(resources: Resources, words: str) -> None:
    assert too_large(need_of(resources, 512, 0), agents()) == words


def test_where_no_agent_is_known_nothing_is_too_large() -> None:
    assert too_large(Need(64_000, 0), []) == ""


def test_a_task_that_each_agent_lacks_something_for_is_too_large() -> None:
    assert "no agent has all of it" in too_large(Need(4000, 4000), [Need(4000, 1000), Need(1000, 4000)])


def test_agents_are_described_with_all_they_have_and_what_is_in_use() -> None:
    found = agents_of(json.loads((RECORDED / "operator-GET_AGENTS.json").read_bytes()))
    assert len(found) == 2
    assert (found[0].status().cpus, found[0].status().memory_mib) == (4, 2048)
    assert at({}, "x") is None
