"""Short stories with one fault each, told to a rig. Each returns the witness's verdict when all is over."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.crash.faults import Deed, plan_shim, release_held, strike
from tests.crash.rig import Child, Plan, Rig, awake_again, send, until
from tests.crash.witness import Kind, Verdict, read_ledger

Scenario = Callable[[Rig], Verdict]

TRIES = 5  # to freeze a controller while none of its threads is in a transaction: nobody can take over from that one
HOLDS_THE_DATABASE = "store.before_commit"


# --- any place at which a process may die or freeze -----------------------------------------------------------
def every_way(rig: Rig) -> None:
    """Jobs are asked for that between them go every way: to each end, cancelled while they run and while they wait."""
    hogs = (rig.ask(Kind.ENDLESS), rig.ask(Kind.POLITE, 0.1))
    assert len(hogs) == rig.cpus

    def ask_the_rest() -> None:
        waiting = rig.ask(Kind.NAP, 0.1, cancel=Plan("QUEUED"))
        rig.plans |= {hog: Plan("RUNNING", after=waiting) for hog in hogs}
        rig.ask(Kind.QUICK)
        rig.ask(Kind.FAIL)

    rig.once_started(hogs, ask_the_rest)


def cancelled_while_submitting(rig: Rig) -> None:
    """One job waits to be submitted, its controller is dead, and its user wants it cancelled: it will be settled."""
    controller = rig.start_controller("controller.before_submit=kill")
    name = rig.ask(Kind.QUICK)
    until_gone(controller, "the controller dies before it submits")
    rig.cancel(name)


def killed_controller(place: str) -> Scenario:
    """A controller dies at the place, and another goes on."""

    def play(rig: Rig) -> Verdict:
        reach_with_controller(rig, f"{place}=kill", lambda controller: controller.is_gone)
        return rig.finish()

    return play


def frozen_controller(place: str, count: int = 1) -> Scenario:
    """A controller freezes at the place, another takes over and finishes, and then the first wakes up."""

    def play(rig: Rig) -> Verdict:
        for _ in range(TRIES):
            if freeze_and_wake(rig, f"{place}=freeze:{count}") or (place == HOLDS_THE_DATABASE and rig.is_on_sqlite):
                break
            rig.end_controllers()
        return rig.verdict()

    return play


def freeze_and_wake(rig: Rig, failpoints: str) -> bool:
    """Every job is finished; whether the other controller took over while the frozen one slept (see guard.py)."""
    frozen = reach_with_controller(rig, failpoints, lambda controller: controller.is_frozen)
    other = rig.controllers[-1]
    with awake_again(frozen):
        until(rig.all_final, "every job is finished")
    if not (holds_lease(frozen) and holds_lease(other)):
        return False
    until(lambda: "lease lost" in frozen.log.read_text(), "the first one notices that it lost its lease")
    return True


def reach_with_controller(rig: Rig, failpoints: str, reached: Callable[[Child], bool]) -> Child:
    """An armed controller came to its place, with another one, the last started, waiting to take over."""
    if "settle" in failpoints:
        cancelled_while_submitting(rig)
    every_way(rig)
    controller, other = rig.start_controller(failpoints), rig.start_controller()
    either = (controller, other)
    until(lambda: any(map(holds_lease, either)) or reached(controller), "a controller holds the lease")
    if holds_lease(other) and not reached(controller):  # it was quicker: out of the way with it
        other.kill()
        until(lambda: holds_lease(controller) or reached(controller), "the armed controller holds the lease")
        rig.start_controller()

    def looked() -> bool:
        return reached(controller) or (bool(rig.look()) and reached(controller))

    until(looked, f"a controller reaches {failpoints}")
    return controller


def holds_lease(controller: Child) -> bool:
    """The controller said so, now or earlier."""
    return "lease=cluster-" in controller.log.read_text()


def killed_supervisor(place: str) -> Scenario:
    """The supervisor dies at the place; the controller starts another."""

    def play(rig: Rig) -> Verdict:
        end_supervisors(rig)
        rig.start_supervisor(f"{place}=kill")
        (first,) = rig.supervisors()
        rig.start_controller()
        every_way(rig)

        def died() -> bool:
            rig.look()
            return first not in rig.supervisors()

        until(died, f"the supervisor reaches {place}")
        return rig.finish()

    return play


def killed_front(place: str) -> Scenario:
    """The process that takes requests dies at the place; its user repeats the request."""

    def play(rig: Rig) -> Verdict:
        rig.start_controller()
        rig.replace_front(f"{place}=kill:4")  # it makes two definitions and, once, an account
        every_way(rig)
        return rig.finish()

    return play


def killed_api(place: str) -> Scenario:
    """The API dies at the place, at whichever of its first transactions; its users repeat their requests."""

    def play(rig: Rig) -> Verdict:
        rig.start_controller()
        for count in (1, 2):
            rig.replace_front(f"{place}=kill:{count}")
            rig.ask(Kind.QUICK)
            rig.ask(Kind.NAP, 0.1, cancel=Plan("QUEUED"))
        return rig.finish()

    return play


def shimmed(command: str) -> Scenario:
    """The wrappers that call the command meet everything that can happen to them, one after the other."""

    def play(rig: Rig) -> Verdict:
        for deed in Deed:
            if deed is not Deed.HOLD:
                plan_shim(rig, command, deed, 0.5)
        rig.start_controller()
        every_way(rig)
        while any((rig.shims / "plans").iterdir()):
            rig.ask(Kind.QUICK)
            until(rig.all_final, "every job ends")
        return rig.finish()

    return play


def aftermath(rig: Rig) -> Verdict:
    """The verdict after one more supervisor has looked through everything: what must not start again, does not."""
    end_supervisors(rig)
    rig.start_supervisor()
    until(lambda: not rig.wrappers(), "no program runs any more")
    return rig.verdict()


def until_gone(child: Child, what: str) -> None:
    """The process is gone."""
    until(lambda: child.is_gone, what)


def until_frozen(child: Child, what: str) -> None:
    """The process is stopped."""
    until(lambda: child.is_frozen, what)


def end_supervisors(rig: Rig) -> None:
    """No supervisor lives, for now."""
    for pid in rig.supervisors():
        send(signal.SIGKILL, pid)
    until(lambda: not rig.supervisors(), "the supervisor is gone")


# --- aimed at one thing that keeps the promises ---------------------------------------------------------------
def late_wrapper(rig: Rig) -> Verdict:
    """A supervisor dies right after a fork; its wrapper comes to the claim when another wrapper runs the program."""
    plan_shim(rig, "ln", Deed.HOLD)
    rig.start_supervisor("supervisor.after_fork=kill")
    rig.start_controller()
    name = rig.ask(Kind.ENDLESS)
    until(lambda: len(read_ledger(rig.ledger).starts) == 1, "the second wrapper starts the program")
    late = next(process for process in rig.processes() if process.words[1:2] == (str(rig.shims / "ln").encode(),))
    release_held(rig)
    until(lambda: late.pid not in {process.pid for process in rig.processes()}, "the late wrapper comes to the claim")
    until(lambda: len(rig.wrappers()) == 1 or len(read_ledger(rig.ledger).starts) > 1, "the late wrapper goes on")
    rig.cancel(name)
    return rig.finish()


def repeated_submit(rig: Rig) -> Verdict:
    """A controller submits and dies before it knows; the next one submits the same try again."""
    reach_with_controller(rig, "controller.after_submit=kill", lambda controller: controller.is_gone)
    return rig.finish()


def withdrawn_and_forgotten(rig: Rig) -> Verdict:
    """A waiting job is cancelled, and everything dies before its directory is gone; then a new supervisor looks."""
    first = rig.start_controller()
    hogs = [rig.ask(Kind.ENDLESS) for _ in range(rig.cpus)]
    until(lambda: all(rig.states()[hog] == "RUNNING" for hog in hogs), "every slot is taken")
    name = rig.ask(Kind.QUICK)
    until(lambda: rig.states()[name] == "QUEUED", "the job waits for a slot")
    first.kill()
    rig.cancel(name)
    while rig.states()[name] != "CANCELLED":  # each controller stores one thing and dies before it tidies up
        last = rig.start_controller("controller.after_apply=kill")
        until_gone(last, "a controller stores something")
    end_supervisors(rig)
    for wrapper in rig.wrappers():
        strike(rig, wrapper, group=True)
    rig.start_supervisor()
    until(lambda: not rig.wrappers(), "whatever starts has ended")
    verdict = rig.verdict()
    rig.start_controller()
    ended = rig.finish()
    return verdict if verdict.wrong else ended


def cut_off(rig: Rig) -> Verdict:
    """A running program and its wrapper are killed."""
    rig.start_controller()
    name = rig.ask(Kind.ENDLESS)
    until(lambda: len(read_ledger(rig.ledger).starts) == 1, "the program starts")
    (wrapper,) = rig.wrappers()
    strike(rig, wrapper, group=True)
    until(
        lambda: rig.states()[name] in ("FAILED", "COMPLETED") or len(read_ledger(rig.ledger).starts) > 1, "it is seen"
    )
    if rig.states()[name] not in ("FAILED", "COMPLETED"):
        rig.cancel(name)
    return rig.finish()


def slow_to_end(rig: Rig) -> Verdict:
    """A running job is cancelled, and its program takes long to end: longer than a loaded machine delays a round."""
    rig.start_controller()
    name = rig.ask(Kind.POLITE, 3)
    until(lambda: bool(read_ledger(rig.ledger).starts), "the program starts")
    until(lambda: rig.states()[name] == "RUNNING", "its start is known")
    rig.cancel(name)
    until(rig.all_final, "the job is shown as ended")
    until(lambda: not rig.wrappers(), "the program ends")
    return rig.verdict()


def late_write(rig: Rig) -> Verdict:
    """A controller freezes with a decision in its hand, another finishes the job, and the first goes on."""
    for _ in range(TRIES):
        frozen = rig.start_controller("controller.before_apply=freeze")
        rig.ask(Kind.QUICK)
        until_frozen(frozen, "a controller freezes before it stores what it decided")
        other = rig.start_controller()
        until(rig.all_final, "the job is finished")
        if holds_lease(other):
            break
        rig.end_controllers()
    before = len(frozen.log.read_text())
    frozen.send(signal.SIGCONT)
    until(lambda: not rig.verdict().is_clean or "lease lost" in frozen.log.read_text()[before:], "the first goes on")
    return rig.verdict()


def unanswered_request(rig: Rig) -> Verdict:
    """The front dies before its transaction is durable; its user repeats what was not answered."""
    rig.replace_front("store.before_commit=kill:4")
    rig.start_controller()
    rig.ask(Kind.QUICK)
    rig.ask(Kind.QUICK)
    return rig.finish(within_s=5)


def unheard_answer(rig: Rig) -> Verdict:
    """The front dies after its transaction is durable and before it answers; its user repeats the request."""
    rig.replace_front("store.after_commit=kill:4")
    rig.start_controller()
    rig.ask(Kind.QUICK)
    return rig.finish()
