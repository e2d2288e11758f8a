"""Starts a cluster's supervisor just as a controller does, so that a test can arm this one and not those after it.

python open_cluster.py HOME CLUSTER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from isthmus.cluster.local import LocalCluster, settings_of
from isthmus.config import read_configuration
from isthmus.files import FileStore


async def main(home: Path, name: str) -> None:
    """The cluster's supervisor answers."""
    configuration = read_configuration(home)
    settings = settings_of(configuration.clusters[name].local)
    cluster = LocalCluster(name, configuration.cluster_root(name), FileStore(home / "files"), settings)
    await cluster.open()
    await cluster.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
