"""A whole gateway as its users meet it: `isthmus serve` on a home of its own, and commands as processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import isthmus

DEADLINE_S = 40.0
PASSWORD = "correct horse battery"

COUNTING = """\
name: counting
version: 1.0.0
title: Counting
summary: Counts to a number, slowly if asked, and ends as it is told.
inputs:
  upto:
    label: Count up to
    help: How far it counts.
    unit: steps
    schema: {type: integer, minimum: 0, maximum: 99}
    default: 3
  factor: {label: Factor, schema: {type: number, minimum: 0.5}, default: 1}
  word: {label: Word, help: Said before each number, schema: {type: string, maxLength: 40}, default: step}
  tags: {label: Tags, schema: {type: array, items: {type: string}, maxItems: 5}, default: []}
  loud: {label: Loud, schema: {type: boolean}, default: false}
  name: {label: Name, schema: {type: string}, required: false}
  linger_s: {label: Linger, unit: s, schema: {type: integer, minimum: 0, maximum: 600}, default: 0}
  code: {label: Exit code, schema: {type: integer, minimum: 0, maximum: 125}, default: 0}
  extra: {label: Extra file, file: {max_mib: 1}, required: false}
outputs:
  counted: {label: Counted, glob: counted.txt, media_type: text/plain, required: false}
  copy: {label: Copy of the extra file, glob: "copies/*", required: false}
script: |
  n=0
  while [ "$n" -lt {{ inputs.upto }} ]; do
    n=$((n + 1))
    echo {{ inputs.word }} "$n"
  done
  echo "to stderr" >&2
  echo counted to "$n" {{ inputs.factor }} > {{ outputs_dir }}/counted.txt
  {% if files.extra %}
  mkdir -p {{ outputs_dir }}/copies
  cp {{ files.extra }} {{ outputs_dir }}/copies/extra.txt
  {% endif %}
  sleep {{ inputs.linger_s }}
  exit {{ inputs.code }}
resources:
  walltime_s: {default: 300, min: 5, max: 3600}
  memory_mib: {default: 64, min: 16, max: 512}
isolation: preferred
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and all it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def is_plain(self) -> bool:
        """No colours, no cursor movements, no traceback."""
        return "\x1b" not in self.out + self.err and "Traceback" not in self.err


@dataclass(slots=True)
class GatewayProcess:
    """`isthmus serve` for one home. `folder` also keeps what commands keep for their user."""

    folder: Path
    words: tuple[str, ...] = ("--port", "0")
    applications: Mapping[str, str] = field(default_factory=lambda: {"counting": COUNTING})
    cluster: str = "[local]\ngrace_s = 0.5\n"
    said: str = ""
    _process: subprocess.Popen[str] | None = field(default=None)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """What every command of this gateway's user runs with."""
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "ISTHMUS_DATABASE_URL") if name in os.environ}
        source = str(Path(isthmus.__file__).parents[1])
        return keep | {"HOME": str(self.folder), "ISTHMUS_HOME": str(self.home), "PYTHONPATH": source, "TZ": "UTC"}

    @property
    def url(self) -> str:
        return next(word for word in self.said.split() if word.startswith("http://"))

    def start(self) -> GatewayProcess:
        """The gateway answers; `said` holds its first lines."""
        applications = self.home / "applications"
        applications.mkdir(parents=True, exist_ok=True)
        for name, text in self.applications.items():
            (applications / f"{name}.yaml").write_text(text, encoding="utf-8")
        (self.home / "clusters.d").mkdir(exist_ok=True)
        (self.home / "clusters.d/local.toml").write_text(self.cluster, encoding="utf-8")
        log = (self.folder / "serve.log").open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            command("serve", *self.words),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        log.close()
        assert self._process.stdout is not None
        self.said = ""
        while "Isthmus serves" not in self.said:
            line = self._process.stdout.readline()
            assert line, f"serve ended: {(self.folder / 'serve.log').read_text()}"
            self.said += line
        return self

    def kill(self) -> None:
        """`isthmus serve` is dead, and had no time for anything."""
        assert self._process is not None
        self._process.kill()
        self._reap()

    def stop(self) -> int:
        """Told to stop, it has; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self._process is not None
        code = self._process.wait(DEADLINE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def close(self) -> None:
        """Nothing of the gateway runs any more, the local engine's supervisor and its jobs included."""
        if self._process is not None:
            self.stop()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes())

    def processes(self, *words: str) -> list[int]:
        """The processes whose command line names the home, and these words."""
        return [pid for pid, line in _command_lines() if all(word in line for word in (str(self.home), *words))]

    def run(self, *words: str, given: str = "", environment: Mapping[str, str] | None = None) -> Ended:
        """`isthmus WORDS…` has ended."""
        ended = subprocess.run(
            command(*words),
            env={**self.environment, **(environment or {})},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
            cwd=self.folder,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def submit(self, *words: str) -> str:
        """The id of a job of `counting`, submitted with these words."""
        ended = self.run("submit", "counting", *words)
        assert ended.code == 0, ended.err
        return ended.out.strip()


def command(*words: str) -> list[str]:
    """The argv of `isthmus WORDS…`."""
    return [sys.executable, "-m", "isthmus.cli", *words]


def _command_lines() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


@contextlib.contextmanager
def serving(folder: Path, *words: str) -> Iterator[GatewayProcess]:
    """A gateway that runs while the block does."""
    folder.mkdir(parents=True, exist_ok=True)
    gateway = GatewayProcess(folder, words or ("--port", "0"))
    try:
        yield gateway.start()
    finally:
        gateway.close()


def until(condition: Callable[[], object]) -> None:
    """The condition holds; AssertionError if it doesn't in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
