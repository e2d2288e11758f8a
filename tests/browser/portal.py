"""A gateway for people with browsers: `isthmus serve`, the shipped applications and two quick ones, and its users."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from isthmus.client import Client
from isthmus.config import read_configuration
from isthmus.serve.home import make_home, name_programs
from isthmus.store import Store
from isthmus.store.users import Role, Scope
from tests.service.gateway_process import COUNTING, PASSWORD, GatewayProcess, until

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = PROJECT / ".venvs"
RADAR = "pyart/testing/data/example_nexrad_level3_msg19"  # a storm over Alabama, 2 January 2015

TICKING = """\
name: ticking
version: 1.0.0
title: Ticking
summary: Writes a line every now and then, and may be hard to stop.
inputs:
  lines: {label: Lines, schema: {type: integer, minimum: 1, maximum: 10000}, default: 5}
  every_s: {label: Pause, unit: s, schema: {type: number, minimum: 0, maximum: 60}, default: 0.1}
  stubborn: {label: Hard to stop, schema: {type: boolean}, default: false}
outputs: {}
script: |
  {% if inputs.stubborn %}
  trap '' TERM
  {% endif %}
  n=0
  while [ "$n" -lt {{ inputs.lines }} ]; do
    n=$((n + 1))
    echo tick "$n"
    sleep {{ inputs.every_s }}
  done
resources:
  walltime_s: {default: 3600, min: 5, max: 3600}
  memory_mib: {default: 64, min: 16, max: 512}
isolation: preferred
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has an account and a token."""

    name: str
    token: str


@dataclass(slots=True)
class Portal:
    """The running gateway and its people: two researchers who share nothing, and an administrator."""

    process: GatewayProcess
    ada: Person
    bob: Person
    root: Person

    @property
    def url(self) -> str:
        return self.process.url

    def client(self, person: Person) -> Client:
        """The REST API as this person, to arrange what a test looks at."""
        return Client(self.url, person.token)

    def stop(self) -> None:
        """The gateway is stopped; its jobs go on."""
        self.process.words = ("--port", self.url.rpartition(":")[2])
        self.process.stop()

    def start(self) -> None:
        """It answers again, where it did."""
        self.process.start()

    def kill(self, part: str) -> None:
        """The gateway's process of this module is dead; `isthmus serve` starts another."""
        (pid,) = until_some(self.process, part)
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in self.process.processes(part))


def until_some(process: GatewayProcess, part: str) -> list[int]:
    until(lambda: process.processes(part))
    return process.processes(part)


def radar_file() -> Path:
    """The real NEXRAD product that comes with arm-pyart."""
    (found,) = (PROGRAMS / "storm-clustering").glob(f"lib/python3*/site-packages/{RADAR}")
    return found


def prepared(folder: Path) -> GatewayProcess:
    """A home whose jobs find the programs, whose cluster has room for many, not yet served."""
    home = folder / "home"
    make_home(home)
    name_programs(home, PROGRAMS)
    cluster = home / "clusters.d/local.toml"
    quick = cluster.read_text(encoding="utf-8").replace("[local]\n", "[local]\ngrace_s = 1.5\ncpus = 8\n")
    applications = {"counting": COUNTING, "ticking": TICKING}
    return GatewayProcess(folder, cluster=quick, applications=applications)


def populated(process: GatewayProcess) -> Portal:
    """The running gateway has its people."""
    configuration = read_configuration(process.home)
    with Store.open(configuration.database_url) as store:

        def person(name: str, role: Role) -> Person:
            user = store.create_user(name, PASSWORD, role)
            return Person(name, store.create_token(user.id, "test", tuple(Scope), None).text)

        return Portal(process, person("ada", Role.USER), person("bob", Role.USER), person("root", Role.ADMIN))
