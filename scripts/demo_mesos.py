"""What `scripts/demo mesos` does after the set-up: twenty storm analyses on Mesos, and a controller that is killed.

The gateway is run as its two processes, web and controller, so that it can be without a controller for a while. The
tasks run the storm analysis between two lines that they write into a ledger.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.cli.exits import ExitCode
from isthmus.client import Client, Job
from isthmus.client.login import HOME_TOKEN, read_login
from isthmus.config import ApiConfig, read_configuration
from isthmus.errors import IsthmusError
from isthmus.job import JobState
from isthmus.serve.home import locked, make_home, name_programs, prepare
from lab.mesos.cluster import Cluster, LabError
from scripts.demo import APPLICATION, HOME, PROGRAMS, PROJECT, free_port, keep_password, radar_file, sign_in_words, stop

JOBS = 20
AGENTS = 2
MEMORY_MIB = 512
FIRST_DBZ = 30
START_WAIT_S = 180.0
END_WAIT_S = 600.0
WATCHED_S = 3.0

# The lab's agents and the gateway are one machine; the tasks are its user's, and see its files.
CLUSTER = """\
# Written by scripts/demo mesos: the lab's cluster.
kind = "mesos"
title = "Mesos lab"

[variables]
programs = {programs}

[mesos]
masters = {masters}
gateway_url = {url}
user = {user}
"""

# What the application's deployment runs as "the program": the program, and a word to the ledger before and after.
LEDGERED = """\
#!/bin/sh
read -r uuid </proc/sys/kernel/random/uuid
echo "start $ISTHMUS_TAG $uuid" >>'{ledger}'
'{program}' "$@"
code=$?
echo "end $ISTHMUS_TAG $uuid $code" >>'{ledger}'
exit $code
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demonstration plays."""

    home: Path
    url: str
    lab: Cluster
    ledger: Path


@dataclass(frozen=True, slots=True)
class Told:
    """What the last line says."""

    jobs: int
    completed: int
    runs: int
    controllers_killed: int
    tasks_seen_running_meanwhile: int
    seconds: float

    @property
    def is_good(self) -> bool:
        """Every job completed, ran once, and some were seen running while no controller lived."""
        return self.completed == self.runs == self.jobs and self.tasks_seen_running_meanwhile > 0


def main() -> int:
    once = "--once" in sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts it with & has it ignored
    try:
        with contextlib.ExitStack() as open_things:
            stage = open_things.enter_context(set_up())
            told = perform(stage, open_things)
            if not once:
                stay(stage)
        if once:  # when the gateway has said its last word
            print(told_line(told), flush=True)
    except (IsthmusError, LabError, TimeoutError) as fault:
        print(f"demo: {getattr(fault, 'message', fault)}", file=sys.stderr)
        return ExitCode.ERROR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT if once else ExitCode.OK
    return ExitCode.OK if told.is_good else ExitCode.ERROR


def told_line(told: Told) -> str:
    return json.dumps({name: getattr(told, name) for name in Told.__dataclass_fields__})


# --- the stage --------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def set_up() -> Iterator[Stage]:
    """A cluster and the web process of a gateway run while the block does; no controller yet."""
    home = HOME / "mesos"
    make_home(home)
    with locked(home):
        lab = Cluster.make(home / "lab", AGENTS, cpus=JOBS / AGENTS, memory_mib=MEMORY_MIB * JOBS)
        try:
            lab.up()
            say(f"Mesos: the master at {lab.url()}, {AGENTS} agents at {', '.join(map(lab.url, lab.agents))}")
            stage = Stage(home, f"http://127.0.0.1:{usable_port()}", lab, new_ledger(home))
            configure(stage)
            with process("portal", "--home", str(home), "--port", stage.url.rpartition(":")[2]):
                wait_until(lambda: answers(stage.url), "the web process to answer", START_WAIT_S)
                yield stage
        finally:
            lab.down()


def configure(stage: Stage) -> None:
    """The gateway knows the cluster, the program with its ledger, and its first user."""
    name_programs(stage.home, PROGRAMS)  # each time: the checkout may have been moved
    ledgered = stage.home / "programs" / APPLICATION / "bin" / APPLICATION
    ledgered.parent.mkdir(parents=True, exist_ok=True)
    program = PROGRAMS / APPLICATION / "bin" / APPLICATION
    ledgered.write_text(LEDGERED.format(ledger=stage.ledger, program=program), encoding="utf-8")
    ledgered.chmod(0o755)
    words = {
        "programs": stage.home.as_posix() + "/programs",
        "masters": list(stage.lab.masters),  # the one that only redirects comes first
        "url": stage.url,
        "user": getpass.getuser(),
    }
    text = CLUSTER.format(**{name: json.dumps(word) for name, word in words.items()})  # JSON is TOML here
    (stage.home / "clusters.d" / "mesos.toml").write_text(text, encoding="utf-8")
    configuration = read_configuration(stage.home)
    for fault in configuration.broken:
        raise fault
    prepare(stage.home, configuration.database_url, stage.url)
    keep_password(stage.home)


def new_ledger(home: Path) -> Path:
    folder = home / "ledgers"
    folder.mkdir(exist_ok=True)
    ledger = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    ledger.touch()
    return ledger


def usable_port() -> int:
    """The usual port, or any: the tasks must be told it before the web process listens."""
    if port := free_port():
        return port
    with socket.socket() as probe:
        probe.bind((ApiConfig().host, 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    place = url.removeprefix("http://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((place[0], int(place[1])), timeout=1):
        return True
    return False


@contextlib.contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the gateway's runs while the block does, unless somebody kills it."""
    started = subprocess.Popen(
        [sys.executable, "-m", "isthmus.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),  # stdout is for what the demonstration says
        text=True,
        process_group=0,  # Ctrl-C is for us: we tell it to stop
    )
    try:
        yield started
    finally:
        stop(started)


# --- the play ---------------------------------------------------------------------------------------------------------
def perform(stage: Stage, open_things: contextlib.ExitStack) -> Told:
    """Twenty jobs have ended; their first controller was killed while they ran, another one saw them to their end."""
    login = read_login(stage.home / HOME_TOKEN)
    assert login is not None  # noqa: S101  `prepare` has written it
    first = open_things.enter_context(process("controller", "--home", str(stage.home)))
    began = time.monotonic()
    with Client(login.url, login.token) as gateway:
        jobs = submit(gateway)
        say(f"Watch them:   {login.url}/jobs   ({sign_in_words(stage.home)})")
        wait_until(
            lambda: all_run(gateway, stage.ledger), f"{JOBS} jobs to run; see {login.url}/clusters", START_WAIT_S
        )
        say(f"\n{starts(stage.ledger)} tasks have started: {counted(states_of(gateway))}.")
        say(f"The controller, process {first.pid}, gets SIGKILL.")
        first.kill()
        first.wait()
        seen = watch(stage)
        say("\nAnother controller starts.")
        open_things.enter_context(process("controller", "--home", str(stage.home)))
        see_to_end(gateway)
        seconds = round(time.monotonic() - began, 1)
        states = Counter(job.refresh().state for job in jobs)
        say_steps(jobs[0])
    return Told(JOBS, states[JobState.COMPLETED], starts(stage.ledger), 1, seen, seconds)


def submit(gateway: Client) -> list[Job]:
    """Twenty jobs: the storms of one radar file at twenty thresholds."""
    radar = gateway.upload(radar_file())
    jobs = [
        gateway.submit(
            APPLICATION,
            cluster="mesos",
            job_name=f"Storms of {dbz} dBZ or more",
            labels=["mesos demonstration"],
            resources={"memory_mib": MEMORY_MIB},
            radar=radar,
            threshold_dbz=dbz,
        )
        for dbz in range(FIRST_DBZ, FIRST_DBZ + JOBS)
    ]
    say(f"\nSubmitted {len(jobs)} jobs to the cluster mesos.")
    return jobs


def watch(stage: Stage) -> int:
    """How many tasks ran on with no controller there, by a program of its own that knows nothing of Isthmus."""
    say(f"No controller lives. What the agents and the tasks' own ledger say over {WATCHED_S:g} s:")
    watcher = [sys.executable, "-I", str(PROJECT / "scripts" / "mesos_watch.py"), "--home", str(stage.home)]
    watcher += ["--ledger", str(stage.ledger), "--seconds", str(WATCHED_S), *map(stage.lab.url, stage.lab.agents)]
    said = subprocess.run(watcher, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    say(*said)
    return int(json.loads(said[-1])["tasks_seen_running"])


def see_to_end(gateway: Client) -> None:
    """All jobs have ended; what changed meanwhile was shown."""
    shown = ""

    def ended() -> bool:
        nonlocal shown
        now = states_of(gateway)
        if counted(now) != shown:
            shown = counted(now)
            say(f"  {shown}")
        return all(state.is_final for state in now)

    wait_until(ended, "all jobs to end", END_WAIT_S)


def say_steps(job: Job) -> None:
    """One job's way, as its page shows it."""
    say(f"\nThe way of {job.id}, {job.record.name}:")
    for attempt in job.record.attempts:
        say(f"  attempt {attempt.n}: task {attempt.claimed_by} on {attempt.node}")
    say(f"  {job.record.state}: {job.record.evidence}")


def states_of(gateway: Client) -> list[JobState]:
    """What the gateway says of the twenty: the newest jobs on the cluster."""
    return [job.record.state for job in gateway.jobs(cluster="mesos", limit=JOBS)]


def counted(states: list[JobState]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(Counter(states).items()))


def all_run(gateway: Client, ledger: Path) -> bool:
    """Every job is shown as running; or, on a machine too busy for that, the first has ended already."""
    is_shown = all(state is JobState.RUNNING for state in states_of(gateway))
    return starts(ledger) == JOBS and (is_shown or "\nend " in ledger.read_text(encoding="utf-8"))


def starts(ledger: Path) -> int:
    return sum(line.startswith("start ") for line in ledger.read_text(encoding="utf-8").splitlines())


def wait_until(true: Callable[[], bool], what: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:g} s for {what}")
        time.sleep(0.25)


def stay(stage: Stage) -> None:
    """The gateway and the cluster go on until Ctrl-C."""
    say(f"\nThe portal:    {stage.url}")
    say(f"Sign in as:    {sign_in_words(stage.home)}")
    say(f"The jobs:      {stage.url}/jobs")
    say(f"The cluster:   {stage.url}/clusters")
    say(f"Mesos itself:  {stage.lab.url()}/state")
    say(f"Command line:  export ISTHMUS_HOME={os.fspath(stage.home)}")
    say("Ctrl-C ends it.")
    signal.pause()


def say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
