"""Sees which tasks run on while no controller lives. It imports nothing of Isthmus and asks nothing of it.

    mesos_watch.py --home HOME --ledger FILE --seconds S AGENT_URL…

It looks twice, S seconds apart. A task is *seen running on* when both times its agent calls it TASK_RUNNING and no
controller of the home is among this machine's processes, when its processor time has grown in between, and when the
ledger, which the task itself writes, has its start and no end. Lines of the ledger are `start TAG UUID` and
`end TAG UUID CODE`; Mesos' id of a task is TAG.N. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 5.0


@dataclass(frozen=True)
class Look:
    """What there was at one moment; answers may take a while on a busy machine."""

    at: float
    controllers: tuple[int, ...]
    running: dict[str, str]  # task: its agent
    cpu_s: dict[str, float]
    started: frozenset[str]  # tags
    ended: frozenset[str]


def main() -> None:
    asked = arguments()
    first = look(asked.home, asked.ledger, asked.agents)
    time.sleep(asked.seconds)
    second = look(asked.home, asked.ledger, asked.agents)
    seen = seen_running_on(first, second)
    for task in sorted(seen):
        grown = second.cpu_s[task] - first.cpu_s[task]
        print(
            f"  {task}  on {second.running[task]}  {grown:5.2f} s of processor time more, start in its ledger, no end"
        )
    told = {
        "controllers_alive": len(first.controllers + second.controllers),
        "tasks_seen_running": len(seen),
        "ended_meanwhile": len(second.ended - first.ended),
        "seconds": round(second.at - first.at, 1),
    }
    print(json.dumps(told))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True, help="of the gateway whose controllers are looked for")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("agents", nargs="+", metavar="AGENT_URL")
    return parser.parse_args()


def seen_running_on(first: Look, second: Look) -> set[str]:
    """The tasks that ran all the time with nobody there; none if a controller was."""
    if first.controllers or second.controllers:
        return set()
    return {
        task
        for task in first.running.keys() & second.running.keys()
        if tag_of(task) in first.started - second.ended and second.cpu_s.get(task, 0) > first.cpu_s.get(task, 0)
    }


def tag_of(task: str) -> str:
    return task.rpartition(".")[0]


def look(home: Path, ledger: Path, agents: list[str]) -> Look:
    lines = [line.split() for line in ledger.read_text(encoding="utf-8").splitlines()]
    running: dict[str, str] = {}
    cpu_s: dict[str, float] = {}
    for agent in agents:
        running |= dict.fromkeys(running_on(agent), agent)
        cpu_s |= cpu_on(agent)
    return Look(
        time.monotonic(),
        controllers_of(home),
        running,
        cpu_s,
        frozenset(words[1] for words in lines if words[0] == "start"),
        frozenset(words[1] for words in lines if words[0] == "end"),
    )


def running_on(agent: str) -> list[str]:
    """The tasks that the agent calls TASK_RUNNING."""
    frameworks = read(f"{agent}/state")["frameworks"]
    executors = [executor for framework in frameworks for executor in framework["executors"]]
    return [task["id"] for executor in executors for task in executor["tasks"] if task["state"] == "TASK_RUNNING"]


def cpu_on(agent: str) -> dict[str, float]:
    """The processor time that each task of the agent has used so far: a command task's executor has its id."""
    return {
        box["executor_id"]: box["statistics"].get("cpus_user_time_secs", 0)
        + box["statistics"].get("cpus_system_time_secs", 0)
        for box in read(f"{agent}/containers")
        if "statistics" in box
    }


def read(address: str) -> Any:
    """Whatever JSON the agent sends."""
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:  # noqa: S310  an http address that we were given
        return json.load(answer)


def controllers_of(home: Path) -> tuple[int, ...]:
    """The controllers of the home among this machine's processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(home) in words and any(word in ("isthmus.controller", "controller") for word in words):
            found.append(int(entry.parent.name))
    return tuple(found)


if __name__ == "__main__":
    main()
