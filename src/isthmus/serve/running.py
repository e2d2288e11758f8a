"""Keeping a gateway running: a web process (portal and API) and a controller, each started again when it ends.

Nothing is lost with either: the web process' socket is held here, so that requests wait for its new process, and a
controller finds all it needs in the store. Jobs and the local engine's supervisor are no children of theirs, and go on
without.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from isthmus.config import Configuration, checkout_programs, read_configuration
from isthmus.gateway.catalogue import Shelf, unknown_names
from isthmus.serve.home import Welcome, address_of, listen, locked, make_home, prepare

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
"""A process that ran for so long is taken as sound: the pause before its next start is short again."""

STOP_S = 10.0


def serve(home: Path, host: str | None, port: int | None) -> int:
    """Runs until SIGTERM or SIGINT, then 0. Conflict, ConfigurationError, StorageFault: it can't start."""
    make_home(home, checkout_programs())
    configuration = read_configuration(home)
    api = configuration.house.api
    with locked(home) as lock, listen(host or api.host, api.port if port is None else port) as listening:
        url = address_of(listening)
        welcome = prepare(home, configuration.database_url, url)
        descriptors = (lock, listening.fileno())
        children = (
            _Child("web process", ["isthmus.portal", str(home), "--fd", str(listening.fileno())], descriptors),
            _Child("controller", ["isthmus.controller", str(home)], (lock,)),
        )
        for fault in configuration.broken:
            _say(f"a cluster is disabled: {fault.message}")
        _tell_unknown_applications(configuration)
        asyncio.run(_run(children, url, home, welcome))
    return 0


def _tell_unknown_applications(configuration: Configuration) -> None:
    for said in unknown_names(Shelf(configuration).listing(), configuration.house.applications):
        _say(f"{configuration.home / 'isthmus.toml'}: {said}")


async def _run(children: Sequence[_Child], url: str, home: Path, welcome: Welcome) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(child.keep()) for child in children]
    greeting = asyncio.create_task(_greet(url, home, welcome))
    await stop.wait()
    greeting.cancel()
    await asyncio.gather(*(child.stop() for child in children))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, greeting, return_exceptions=True)
    _say("stopped; jobs that run go on, and are seen again at the next start")


@dataclass(slots=True)
class _Child:
    """One process that is there for as long as the gateway is."""

    name: str
    words: list[str]
    descriptors: tuple[int, ...]
    _process: asyncio.subprocess.Process | None = field(default=None)
    _stopping: bool = False

    async def keep(self) -> None:
        """Starts it, and starts it again whenever it ends, after a pause that grows while it ends soon."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping:
            started = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "isthmus.serve.child", str(os.getpid()), *self.words),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=self.descriptors,
                process_group=0,  # Ctrl-C is for us; we tell them
            )
            code = await self._process.wait()
            if self._stopping:
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - started > STEADY_S else pause_s
            _say(f"the {self.name} {_ended(code)}; it is started again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """It has ended, by its own will or, if it doesn't in time, by force."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            _say(f"the {self.name} does not stop; it is killed, which loses nothing")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


async def _greet(url: str, home: Path, welcome: Welcome) -> None:
    """Says where the gateway is once it answers."""
    while not await asyncio.to_thread(_answers, url):
        await asyncio.sleep(FIRST_PAUSE_S)
    if welcome.password:
        print(f"First start. Sign in as {welcome.administrator} with the one-time password {welcome.password}")
    print(f"Isthmus serves {url} from {home}", flush=True)


def _answers(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(words: str) -> None:
    print(f"isthmus: {words}", file=sys.stderr, flush=True)
