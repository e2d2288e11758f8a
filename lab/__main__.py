"""`scripts/lab`: a cluster to try things on, started, looked at, harmed and ended from the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from lab.mesos.cluster import PROJECT, Agent, Cluster, LabError

_PART_VERBS = {
    "start": "start a part again, with the port and the memory it had",
    "kill": "SIGKILL a part; tasks of an agent run on",
    "freeze": "SIGSTOP a part: what a network that swallows everything looks like",
    "thaw": "let a frozen part go on",
    "restart": "kill and start a part",
}


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    folder = Path(asked.folder or os.environ.get("ISTHMUS_LAB") or PROJECT / "build" / "lab") / asked.lab
    try:
        if asked.verb == "up":
            _up(folder, asked.agents, asked.cpus, asked.memory_mib)
        elif asked.verb == "status":
            return _status(Cluster(folder), asked.json)
        elif asked.verb == "down":
            _down(Cluster(folder))
        else:
            _harm(Cluster(folder), asked.verb, asked.part)
    except (LabError, TimeoutError) as fault:
        print(f"lab: {fault}", file=sys.stderr)
        return 1
    return 0


def _up(folder: Path, agents: int, cpus: float, memory_mib: int) -> None:
    lab = Cluster(folder)
    if lab.exists():
        lab.resize(agents, Agent(cpus, memory_mib))
    else:
        lab = Cluster.make(folder, agents, cpus, memory_mib)
    lab.up()
    _status(lab, False)
    print(f"\n[mesos]\nmasters = {json.dumps([*reversed(lab.masters)])}\n\nscripts/lab down mesos ends it.")


def _down(lab: Cluster) -> None:
    if not lab.exists():
        print(f"there is no lab in {lab.folder}")
        return
    lab.down()
    print(f"nothing of {lab.folder} runs any more; its logs are in {lab.folder / 'logs'}")


def _harm(lab: Cluster, verb: str, part: str) -> None:
    acts = {"start": lab.start, "kill": lab.kill, "freeze": lab.freeze, "thaw": lab.thaw, "restart": lab.restart}
    acts[verb](part)
    print(f"{part}: {next(one.condition for one in lab.status() if one.name == part)}")


def _status(lab: Cluster, as_json: bool) -> int:
    """0 when every part runs, else 1."""
    parts = lab.status()
    if as_json:
        print(json.dumps([dataclasses.asdict(part) for part in parts], indent=1))
    else:
        for part in parts:
            print(f"{part.name:10}{part.condition:9}{part.pid or '':>8}  {part.url}  {os.path.relpath(part.log)}")
    return 0 if all(part.condition == "running" for part in parts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/lab", description="A cluster to try things on, on this machine.")
    parser.add_argument("--folder", help="below which labs are kept; $ISTHMUS_LAB or build/lab unless told")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, words in {
        "up": "everything runs: a master, a master that never leads, agents",
        "status": "what runs, and where; exit code 1 when a part does not",
        "down": "nothing runs any more, tasks included",
        **_PART_VERBS,
    }.items():
        one = verbs.add_parser(verb, help=words)
        one.add_argument("lab", choices=["mesos"], help="which lab")
        if verb == "up":
            one.add_argument("--agents", type=_count, default=2, help="how many; 2 unless told")
            one.add_argument(
                "--cpus", type=float, default=4.0, help="that each agent offers, whatever the machine has; 4"
            )
            one.add_argument("--memory-mib", type=int, default=2048, help="that each agent offers; 2048")
        if verb == "status":
            one.add_argument("--json", action="store_true")
        if verb in _PART_VERBS:
            one.add_argument("part", help="master, follower, agent0, agent1, …")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 50:
        raise argparse.ArgumentTypeError("from 0 to 50 agents")
    return number


if __name__ == "__main__":
    sys.exit(main())
