"""`python -m isthmus.controller HOME [--lease-timeout SECONDS]`: one controller process."""

from __future__ import annotations

import argparse
from pathlib import Path

from isthmus.controller.process import run


def main() -> None:
    """Reads the arguments and runs until SIGTERM."""
    parser = argparse.ArgumentParser(prog="isthmus controller", description="Runs one controller.")
    parser.add_argument("home", type=Path)
    parser.add_argument("--lease-timeout", type=float, default=15.0, metavar="SECONDS")
    arguments = parser.parse_args()
    run(arguments.home, arguments.lease_timeout)


if __name__ == "__main__":
    main()
