"""What can be done to a running gateway from outside, and the places inside where it can be stopped."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from random import Random

from tests.crash.rig import SHIMMED, Process, Rig, send

CONTROLLER_PLACES = tuple(
    f"controller.{moment}_{deed}"
    for deed in ("apply", "stage_in", "submit", "settle", "observe", "cancel", "withdraw", "stage_out")
    for moment in ("before", "after")
)
STORE_PLACES = ("store.before_commit", "store.after_commit")
SUPERVISOR_PLACES = (
    "supervisor.after_marker",
    "supervisor.before_answer",
    "supervisor.after_accounting",
    "supervisor.after_fork",
    "supervisor.after_end",
)
MESOS_PLACES = ("mesos.launch_stored", "mesos.accepted", "mesos.update_stored")
NODE_PLACES = ("api.before_claim", "api.after_claim", "api.after_end", "api.file_stored", "api.part_written")
"""Where the API may die while a node talks to it."""

MAIL_PLACE = "mailing.after_250"
PLACES = frozenset((*CONTROLLER_PLACES, *STORE_PLACES, *SUPERVISOR_PLACES, *MESOS_PLACES, *NODE_PLACES, MAIL_PLACE))

_REACHED = re.compile(r"""reach\(f?["']([^"']+)["']\)""")
_ACTION = "{action.name.lower()}"


def places_in(source: Path) -> Iterator[str]:
    """Every place that the source can reach, the actions' places spelt out."""
    actions = re.findall(r"^    ([A-Z_]+) = auto\(\)", (source / "isthmus" / "lifecycle.py").read_text(), re.MULTILINE)
    for file in source.rglob("*.py"):
        for place in _REACHED.findall(file.read_text()):
            for action in actions if _ACTION in place else [""]:
                yield place.replace(_ACTION, action.lower())


class Deed(StrEnum):
    """What a shim does to the wrapper that calls it; see shim.sh."""

    DELAY = "delay"
    HOLD = "hold"
    SLOW_ANSWER = "slow-answer"
    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    KILL_ORPHAN = "kill-orphan"


def plan_shim(rig: Rig, command: str, deed: Deed, seconds: float = 0.0) -> None:
    """The next call of the command by a wrapper meets this."""
    assert command in SHIMMED
    plans = rig.shims / "plans"
    number = rig.next_number()
    new = rig.shims / f"new.{number}"
    new.write_text(f"{deed} {seconds}\n")
    new.rename(plans / f"{command}.{number:06}")


def release_held(rig: Rig) -> None:
    """Every shim that holds a command back lets it go on."""
    (rig.shims / "go").touch()


def strike(rig: Rig, wrapper: Process, *, group: bool) -> None:
    """The wrapper's shell is killed, alone or with all that it started; the ledger's judge is told whose it was."""
    tag = tag_of(wrapper)
    with rig.struck.open("a", encoding="ascii") as told:
        told.write(f"{'kill-group' if group else 'kill-shell'} {tag}\n")
    send(signal.SIGKILL, wrapper.pid, group=group)


def tag_of(wrapper: Process) -> str:
    """The second argument of wrapper.sh."""
    at = next(n for n, word in enumerate(wrapper.words) if word.endswith(b"/wrapper.sh"))
    return wrapper.words[at + 2].decode()


def random_shim(rig: Rig, random: Random) -> str:
    """Some command of some wrapper will meet something; says what."""
    command = random.choice(SHIMMED)
    deed = random.choice([deed for deed in Deed if deed is not Deed.HOLD])
    plan_shim(rig, command, deed, round(random.uniform(0.05, 1.5), 2))
    return f"{command}-{deed}"
