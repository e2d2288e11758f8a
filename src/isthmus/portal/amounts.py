"""Resources in words: what each is called, and how its amounts are written and read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from isthmus.application import Json, ResourceName, read_amount
from isthmus.errors import InvalidInput
from isthmus.portal.rendering import duration, memory_words

LABELS: Mapping[str, str] = MappingProxyType(
    {
        ResourceName.CPUS: "CPUs",
        ResourceName.MEMORY_MIB: "Memory",
        ResourceName.GPUS: "GPUs",
        ResourceName.WALLTIME_S: "Longest run time",
        ResourceName.NODES: "Nodes",
        ResourceName.PROCESSES_PER_NODE: "Processes on each node",
        "queue": "Queue",
        "account": "Account",
    }
)


def amount_words(name: str, amount: int) -> str:
    """The amount as a page says it: `1 h 30 min`, `2 GiB`, `4`."""
    if name == ResourceName.WALLTIME_S:
        return duration(amount) if amount >= 10 else f"{amount} s"
    if name == ResourceName.MEMORY_MIB:
        return f"{amount // 1024} GiB" if amount and amount % 1024 == 0 else f"{amount} MiB"
    return str(amount)


def used_words(name: str, amount: int) -> str:
    """The same where it was measured, so that a tenth of the unit is enough."""
    return memory_words(amount) if name == ResourceName.MEMORY_MIB else amount_words(name, amount)


def text_of_amount(name: str, amount: Json) -> str:
    """The amount as people write it: 5400 of `walltime_s` is `1h30m`, 2048 of `memory_mib` is `2GiB`."""
    if not isinstance(amount, int) or isinstance(amount, bool):
        return "" if amount is None else str(amount)
    if name == ResourceName.WALLTIME_S:
        parts = zip((amount // 3600, amount // 60 % 60, amount % 60), "hms", strict=True)
        return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
    if name == ResourceName.MEMORY_MIB:
        return f"{amount // 1024}GiB" if amount and amount % 1024 == 0 else f"{amount}MiB"
    return str(amount)


def same_amount(name: str, text: str, amount: Json) -> bool:
    """Whether the text stands for the amount; an empty one for none."""
    if not text or amount is None:
        return not text and amount is None
    try:
        return text == str(amount) or read_amount(ResourceName(name), text) == amount
    except (ValueError, InvalidInput):
        return False
