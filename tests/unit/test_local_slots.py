"""Who may start next on the local machine, and what it is given."""

from __future__ import annotations

from isthmus.cluster.supervisor.settings import Capacity
from isthmus.cluster.supervisor.slots import Allotment, Need, Queue, Slots, Waiting, need_of, refusal
from isthmus.job import Resources

ONE = Need(1, 0, 0)


def waiting(tag: str, native_id: str, need: Need = ONE) -> Waiting:
    return Waiting(tag, native_id, need)


def test_the_oldest_native_id_is_the_head_however_the_ids_are_written_and_added() -> None:
    queue = Queue()
    for native_id in ("10.1", "9.12", "9.9"):
        queue.add(waiting(f"g{native_id}", native_id))
    heads = []
    while head := queue.head():
        heads.append(head.native_id)
        queue.remove(head.tag)
    assert heads == ["9.9", "9.12", "10.1"]


def test_an_attempt_that_left_the_queue_is_passed_over_and_may_come_back_to_its_place() -> None:
    queue = Queue()
    queue.add(waiting("gfirst", "1.1"))
    queue.add(waiting("gsecond", "1.2"))
    queue.remove("gfirst")
    assert queue.head() == waiting("gsecond", "1.2") and len(queue) == 1
    queue.add(waiting("gfirst", "1.1"))
    assert queue.head() == waiting("gfirst", "1.1")


def test_what_is_taken_is_missing_until_it_is_freed() -> None:
    slots = Slots(Capacity(4, 1000, 1))
    slots.take("g1", Need(3, 600, 1))
    assert slots.lack(Need(1, 400, 0)) is None
    assert slots.lack(Need(2, 0, 0)) == "waiting for 2 cpus; 1 free"
    assert slots.lack(Need(1, 401, 0)) == "waiting for 401 MiB of memory; 400 free"
    assert slots.lack(Need(1, 0, 1)) == "waiting for 1 gpus; 0 free"
    slots.free("g1")
    assert slots.lack(Need(4, 1000, 1)) is None


def test_gpus_and_places_are_never_given_twice() -> None:
    slots = Slots(Capacity(8, 1000, 3))
    first = slots.take("g1", Need(1, 0, 2))
    second = slots.take("g2", Need(1, 0, 1))
    assert (first.gpus, second.gpus, first.place, second.place) == ((0, 1), (2,), 0, 1)
    slots.free("g1")
    assert slots.take("g3", Need(1, 0, 1)).gpus == (0,)


def test_an_attempt_gets_its_last_place_again_if_nobody_has_it() -> None:
    slots = Slots(Capacity(8, 1000, 0))
    assert slots.take("g1", ONE, last_place=5).place == 5
    assert slots.take("g2", ONE, last_place=5).place == 0


def test_adopting_more_than_the_machine_has_now_leaves_less_than_nothing_and_says_zero() -> None:
    slots = Slots(Capacity(2, 1000, 0))
    slots.adopt("g1", Allotment(Need(4, 0, 0), 0))
    assert slots.lack(ONE) == "waiting for 1 cpus; 0 free"


def test_a_need_counts_every_process_of_every_node() -> None:
    need = need_of(Resources(cpus=2, processes_per_node=3, nodes=2, memory_mib=100))
    assert need == Need(12, 100, 0)
    assert refusal(need, Capacity(12, 100, 0)) is None
    assert refusal(need, Capacity(11, 100, 0)) == "the job asks for 12 cpus; this machine has 11 for jobs"
