"""`python -m isthmus.api HOME [--host HOST] [--port PORT] [--fd N]`: one web process."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from isthmus.api import serve


def main(program: str, description: str, serve: Callable[..., None]) -> None:
    """Reads the arguments and serves until SIGTERM."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("home", type=Path)
    parser.add_argument("--host", help="the address to listen at; isthmus.toml says which by default")
    parser.add_argument("--port", type=int, help="the port to listen at; isthmus.toml says which by default")
    parser.add_argument("--fd", type=int, help="a listening socket that is open already, by its number")
    arguments = parser.parse_args()
    serve(arguments.home, host=arguments.host, port=arguments.port, fd=arguments.fd)


if __name__ == "__main__":
    main("isthmus api", "Serves the REST API.", serve)
