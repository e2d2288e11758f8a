"""Lets `python -m storm_clustering` do what the installed command does."""

import sys

from storm_clustering.cli import main

if __name__ == "__main__":
    sys.exit(main())
