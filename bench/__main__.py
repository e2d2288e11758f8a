"""`python -m bench`: what `scripts/bench` runs after its set-up."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import latency, listing, mesos, portal, restart, submitting, throughput
from bench.figures import Figure, Setting, json_line, table
from bench.options import Options

MEASUREMENTS: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "submit": submitting.measure,
    "jobs": throughput.measure,
    "latency": latency.measure,
    "restart": restart.measure,
    "list": listing.measure,
    "portal": portal.measure,
    "mesos": mesos.measure,
}
DATABASES = {"sqlite": ("sqlite",), "postgresql": ("postgresql",), "both": ("sqlite", "postgresql"), None: None}


def main() -> int:
    """The measurements asked for are taken and printed; 1 when one could not be taken, whatever the targets."""
    arguments = _arguments()
    setting = Setting.here(shlex.join(["./scripts/bench", *sys.argv[1:]]))
    print(f"bench: {setting.words}", file=sys.stderr)
    options = Options(DATABASES[arguments.database], arguments.quick)
    wanted = [name for name in MEASUREMENTS if arguments.what in (name, "all")]
    figures: list[Figure] = []
    taken = [_take(name, options, figures) for name in wanted]
    lines = [json_line(figure, setting) for figure in figures]
    print(table(figures), *lines, sep="\n")
    if arguments.json is not None:
        arguments.json.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return 0 if all(taken) else 1


def _take(name: str, options: Options, figures: list[Figure]) -> bool:
    """Whether the measurement came to its end; what it gave before a fault stays."""
    start = time.monotonic()
    print(f"bench: {name}", file=sys.stderr)
    try:
        for figure in MEASUREMENTS[name](options):
            figures.append(figure)
            print(f"bench: {figure.name} {figure.value:.3g} {figure.unit}", file=sys.stderr)
    except Exception:  # one measurement's fault must not cost the others
        traceback.print_exc()
        return False
    finally:
        print(f"bench: {name} took {time.monotonic() - start:.0f} s", file=sys.stderr)
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Isthmus beside its peers.")
    parser.add_argument("what", nargs="?", default="all", choices=[*MEASUREMENTS, "all"])
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], help="default: each measurement's own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON lines there, too")
    parser.add_argument("--quick", action="store_true", help="fewer samples: does it work, rather than how fast")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
