"""`python -m bench.mesos_loop MASTER COUNT CPUS MEMORY_MIB`: the bare loop that `bench.mesos` compares with.

It keeps nothing, fetches nothing and sends nothing back: what a task costs it is what Mesos costs. A process of its
own, so that its processor time can be told from everybody else's.
"""

from __future__ import annotations

import json
import sys
import time

from tests.live.bare import BareFramework, scalars

COMMAND = "true"


def main() -> None:
    """So many tasks are finished; prints the seconds that took, our processor's, and the calls to the master."""
    master, count, cpus, memory_mib = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    with _Loop(master, "loop") as loop:
        start, before_s = time.monotonic(), time.process_time()
        loop.finish(count, cpus, memory_mib)
        taken_s, used_s = time.monotonic() - start, time.process_time() - before_s
    print(json.dumps({"seconds": taken_s, "cpu_s": used_s, "calls": loop.calls}))


class _Loop(BareFramework):
    """Takes whatever is offered, for as long as there is something to launch."""

    calls = 0

    def call(self, kind: str, **said: object) -> None:
        self.calls += 1
        super().call(kind, **said)

    def finish(self, count: int, cpus: float, memory_mib: int) -> None:
        """So many tasks are finished, as many at a time as fit. RuntimeError: one ended otherwise."""
        launched = finished = 0
        for event in self.events():
            if event["type"] == "OFFERS":
                for offer in event["offers"]["offers"]:
                    launched += self._fill(offer, launched, count, cpus, memory_mib)
            elif event["type"] == "UPDATE":
                finished += self._take(event["update"]["status"])
                if finished == count:
                    return

    def _fill(self, offer: dict, launched: int, count: int, cpus: float, memory_mib: int) -> int:  # type: ignore[type-arg]
        """How many tasks the offer took, in one call."""
        held = {one["name"]: one["scalar"]["value"] for one in offer["resources"] if one["type"] == "SCALAR"}
        fits = min(int(held.get("cpus", 0) / cpus), int(held.get("mem", 0) / memory_mib), count - launched)
        tasks = [
            {
                "name": "loop",
                "task_id": {"value": f"loop-{launched + number}"},
                "agent_id": offer["agent_id"],
                "command": {"value": COMMAND},
                "resources": scalars({"cpus": cpus, "mem": memory_mib}),
            }
            for number in range(fits)
        ]
        operations = [{"type": "LAUNCH", "launch": {"task_infos": tasks}}] if tasks else []
        self.call("ACCEPT", offer_ids=[offer["id"]], operations=operations, filters={"refuse_seconds": 0.0})
        return len(tasks)

    def _take(self, status: dict) -> int:  # type: ignore[type-arg]
        """1 if this was a task's good end; the update is acknowledged."""
        if "uuid" in status:
            self.call("ACKNOWLEDGE", agent_id=status["agent_id"], task_id=status["task_id"], uuid=status["uuid"])
        if status["state"] not in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
            raise RuntimeError(f"a task of the loop is {status['state']}: {status.get('message', '')}")
        return int(status["state"] == "TASK_FINISHED")


if __name__ == "__main__":
    main()
