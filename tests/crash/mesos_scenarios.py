"""Short stories with one fault each, told to a gateway whose jobs run on Mesos."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from isthmus.tickets import Tickets
from lab.mesos.cluster import MASTER
from tests.crash.mesos_rig import MesosRig
from tests.crash.rig import process_state, until
from tests.crash.scenarios import every_way
from tests.crash.witness import Kind, Verdict, read_ledger, read_shown

Story = Callable[[MesosRig], Verdict]


def killed_for_a_node(place: str) -> Story:
    """The API dies at the place while a node talks to it; the node asks again until there is one that answers."""

    def play(rig: MesosRig) -> Verdict:
        rig.start_controller()
        rig.replace_front(f"{place}=kill")
        rig.ask(Kind.QUICK)
        armed = rig.front.pid
        until(lambda: process_state(armed) in "ZX", f"the API reaches {place}")
        return rig.finish()

    return play


def agent_killed_and_back(rig: MesosRig) -> Verdict:
    """Every agent dies while programs run, and comes back; they run on all the time."""
    with_programs_running(rig)
    for name in rig.lab.agents:
        rig.lab.kill(name)
    for name in rig.lab.agents:
        rig.lab.start(name)
    return rig.finish()


def agent_cut_off_and_back(rig: MesosRig) -> Verdict:
    """Every agent is silent until its master has given it up, and then comes back with its programs."""
    with_programs_running(rig)
    for name in rig.lab.agents:
        rig.lab.freeze(name)
    rig.lab.wait_for_agents(0)
    for name in rig.lab.agents:
        rig.lab.thaw(name)
    rig.lab.wait_for_agents()
    return rig.finish()


def master_killed_and_back(rig: MesosRig) -> Verdict:
    """The master dies with programs running and jobs waiting, and comes back."""
    with_programs_running(rig)
    rig.lab.restart(MASTER)
    return rig.finish()


def taken_over(rig: MesosRig) -> Verdict:
    """The controller dies with programs running; another one is the framework from then on."""
    with_programs_running(rig)
    rig.end_controllers()
    rig.start_controller()
    return rig.finish()


def second_copy(rig: MesosRig) -> Verdict:
    """A copy of a running task appears, as from a launch that was long taken for lost."""
    rig.start_controller()
    name = rig.ask(Kind.NAP, 3)
    until(lambda: bool(read_ledger(rig.ledger).starts), "the program starts")
    run_late_copy(rig, name)
    return rig.finish()


def copy_of_a_cancelled_job(rig: MesosRig) -> Verdict:
    """A job is cancelled while it waits, and then a copy of its task appears."""
    rig.start_controller()
    hogs = [rig.ask(Kind.ENDLESS) for _ in range(rig.cpus)]
    until(lambda: all(rig.look()[hog] == "RUNNING" for hog in hogs), "every slot is taken")
    name = rig.ask(Kind.QUICK)
    until(lambda: rig.look()[name] == "QUEUED", "the job waits for a slot")
    rig.cancel(name)
    until(lambda: rig.look()[name] == "CANCELLED", "the job is cancelled")
    run_late_copy(rig, name)
    for hog in hogs:
        rig.cancel(hog)
    return rig.finish()


def run_late_copy(rig: MesosRig, name: str) -> None:
    """One more task of the job's attempt ran, under a native id of its own, and has ended."""

    def tags() -> Sequence[str]:
        return next(job.tags for job in read_shown(rig.database_url) if job.name == name)

    until(lambda: bool(tags()), "the job has an attempt to copy")
    (tag,) = tags()
    assert rig.address is not None
    environment = {
        "PATH": "/usr/bin:/bin",
        "ISTHMUS_URL": f"http://127.0.0.1:{rig.address.port}/api/v1/attempts/{tag}",
        "ISTHMUS_TICKET": Tickets.at(rig.home).of(tag),
        "ISTHMUS_TAG": tag,
        "ISTHMUS_NATIVE_ID": f"{tag}.99",
        "ISTHMUS_WALLTIME_S": "60",
        "ISTHMUS_GRACE_S": "1",
        "ISTHMUS_CLAIM_WAIT_S": "20",
        "ISTHMUS_REPORT_S": "20",
        "ISTHMUS_CURL": "",
    }
    sandbox = rig.folder / f"late-{rig.next_number()}"
    sandbox.mkdir()
    script = rig.source / "isthmus" / "scheduler" / "templates" / "fetch.sh"
    words = ["sh", "-c", script.read_text(encoding="utf-8")]
    subprocess.run(words, cwd=sandbox, env=environment, check=False, timeout=60, stderr=subprocess.DEVNULL)


def with_programs_running(rig: MesosRig) -> None:
    """One program of each kind runs or waits, and a controller sees to them."""
    rig.start_controller()
    every_way(rig)
    known = len(read_ledger(rig.ledger).starts)
    until(lambda: bool(rig.look()) and len(read_ledger(rig.ledger).starts) > known, "a program starts")
