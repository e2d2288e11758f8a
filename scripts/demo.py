"""The part of `scripts/demo` that comes after the set-up: a gateway, a job on real data, and the same edited."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.cli.exits import ExitCode
from isthmus.cli.following import follow
from isthmus.client import Client, Job
from isthmus.client.login import HOME_TOKEN, read_login
from isthmus.config import ApiConfig, read_configuration
from isthmus.errors import IsthmusError, NotSignedIn
from isthmus.job import JobState
from isthmus.serve.home import make_home, name_programs
from isthmus.store import Store
from isthmus.store.users import FIRST_ADMINISTRATOR

PROJECT = Path(__file__).resolve().parents[1]
PROGRAMS = PROJECT / ".venvs"
HOME = PROJECT / "demo-home"
APPLICATION = "storm-clustering"
RADAR = "pyart/testing/data/example_nexrad_level3_msg19"  # a storm over Alabama, 2 January 2015
WEAKER_DBZ = 35
PASSWORD = "demo.password"  # noqa: S105  the name of a file
MOST_HOMES = 10
SHOWN_STORMS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What the demonstration's job came to."""

    job: Job
    storms: int | None


def main() -> int:
    once = "--once" in sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts it with & has it ignored
    try:
        with gateway_home() as home:
            found = analyse(home)
            told = summary(found)
            if not once:
                stay(home, found)
        if once:  # when the gateway has said its last word
            print(json.dumps(told), flush=True)
    except IsthmusError as fault:
        print(f"demo: {fault.message}", file=sys.stderr)
        return ExitCode.ERROR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT if once else ExitCode.OK
    return ExitCode.OK if found.job.state is JobState.COMPLETED else ExitCode.ERROR


# --- the gateway --------------------------------------------------------------------------------------------
@contextlib.contextmanager
def gateway_home() -> Iterator[Path]:
    """The home of a gateway that runs while the block does. Where another demo runs already, this one has its own."""
    for number in range(1, MOST_HOMES):
        home = HOME if number == 1 else HOME / str(number)
        make_home(home)
        name_programs(home, PROGRAMS)  # each time: the checkout may have been moved
        keep_password(home)
        process = subprocess.Popen(
            [sys.executable, "-m", "isthmus.cli", "serve", "--home", str(home), "--port", str(free_port())],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            process_group=0,  # Ctrl-C is for us: we tell it to stop
        )
        try:
            if starts(process):
                yield home
                return
            process.wait()
        finally:
            stop(process)
        if process.returncode != ExitCode.REFUSED:
            break
        print(f"demo: another one runs from {home}; this one gets a home of its own", file=sys.stderr)
    raise IsthmusError("the gateway did not start; what it said stands above")


def keep_password(home: Path) -> None:
    """The administrator of a new home has a password, which its owner can read there."""
    path = home / PASSWORD
    if path.exists():
        return
    password = secrets.token_urlsafe(9)
    with Store.open(read_configuration(home).database_url) as store:
        store.ensure_administrator()
        store.set_password(FIRST_ADMINISTRATOR, password)
    path.touch(mode=0o600)
    path.write_text(password, encoding="utf-8")


def sign_in_words(home: Path) -> str:
    """How to sign in to the portal."""
    password = (home / PASSWORD).read_text(encoding="utf-8")
    try:
        with Store.open(read_configuration(home).database_url) as store:
            store.verify_password(FIRST_ADMINISTRATOR, password)
    except NotSignedIn:
        return f"{FIRST_ADMINISTRATOR}, with the password that you chose"
    return f"{FIRST_ADMINISTRATOR}, with the password {password}"


def free_port() -> int:
    """The usual port, or any when that is taken."""
    usual = ApiConfig()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((usual.host, usual.port))
        except OSError:
            return 0
    return usual.port


def starts(process: subprocess.Popen[str]) -> bool:
    """True once the gateway answers; what it says until then is shown."""
    assert process.stdout is not None  # noqa: S101  asked for above
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith("Isthmus serves"):
            return True
    return False


def stop(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    process.wait()
    if process.stdout:
        process.stdout.close()


# --- the job ------------------------------------------------------------------------------------------------
def analyse(home: Path) -> Found:
    """The job has ended, its results are below the home, and both were shown."""
    login = read_login(home / HOME_TOKEN)
    assert login is not None  # noqa: S101  serve has written it
    with Client(login.url, login.token) as gateway:
        job = gateway.submit(APPLICATION, job_name="A storm over Alabama", radar=radar_file())
        print(f"\nSubmitted job {job.id}: storms in {RADAR.rsplit('/', 1)[-1]}", flush=True)
        follow(gateway, job, as_json=False)
        job.refresh()
        if job.state is not JobState.COMPLETED:
            print(*job.why(), sep="\n", file=sys.stderr)
            return Found(job, None)
        return Found(job, results(job, home / "results" / job.id))


def radar_file() -> Path:
    """The real NEXRAD product that comes with arm-pyart."""
    found = sorted((PROGRAMS / APPLICATION).glob(f"lib/python3*/site-packages/{RADAR}"))
    if not found:
        raise IsthmusError(f"{RADAR} is not in {PROGRAMS / APPLICATION}; run scripts/setup again")
    return found[0]


def results(job: Job, folder: Path) -> int:
    """The outputs are in the folder, and the strongest storms were shown; how many there are."""
    paths = job.download(folder)
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    storms = sorted(told["storms"], key=lambda storm: storm["max_dbz"], reverse=True)
    print(
        f"\n{len(storms)} storms of {told['threshold_dbz']:g} dBZ or more, {told['volume_scan_time']}. The strongest:"
    )
    for storm in storms[:SHOWN_STORMS]:
        place = f"{storm['centroid_latitude']:.2f} N, {-storm['centroid_longitude']:.2f} W"
        print(f"  {storm['max_dbz']:5.1f} dBZ  {storm['area_km2']:8.1f} km2  at {place}")
    print("Files:")
    for path in paths:
        print(f"  {os.path.relpath(path)}")
    return len(storms)


def summary(found: Found) -> dict[str, object]:
    record = found.job.record
    ended = record.ended_at or record.state_at
    return {
        "job": record.id,
        "state": record.state,
        "cause": record.cause,
        "seconds": round((ended - record.created_at).total_seconds(), 3),
        "storms": found.storms,
    }


def stay(home: Path, found: Found) -> None:
    """The gateway goes on until Ctrl-C, with an edited resubmission beside a completed job."""
    login = read_login(home / HOME_TOKEN)
    assert login is not None  # noqa: S101  serve has written it
    with Client(login.url, login.token) as gateway:
        pages = [("The storms", f"/jobs/{found.job.id}")]
        if found.job.state is JobState.COMPLETED:
            edited = resubmit(gateway.job(found.job.id))
            pages += [
                (f"From {WEAKER_DBZ} dBZ", f"/jobs/{edited.id}"),
                ("Side by side", f"/compare?a={found.job.id}&b={edited.id}"),
            ]
    print(f"\nThe portal:    {login.url}")
    print(f"Sign in as:    {sign_in_words(home)}")
    for title, path in pages:
        print(f"{title + ':':15}{login.url}{path}")
    print(f"The API:       {login.url}/api/v1 (described in {login.url}/openapi.json)")
    print(f"Command line:  export ISTHMUS_HOME={home}")
    print(f"               .venv/bin/isthmus resubmit {found.job.id} --set threshold_dbz=45 --wait")
    print("Ctrl-C ends it.", flush=True)
    signal.pause()


def resubmit(job: Job) -> Job:
    """The same analysis with a lower threshold has ended, and what it changed was shown."""
    print(f"\nThe same file again, for echoes of {WEAKER_DBZ} dBZ or more:", flush=True)
    edited = job.resubmit(job_name="Weaker echoes too", threshold_dbz=WEAKER_DBZ).wait()
    for change in edited.diff(job):
        print(f"  {change.field}: {change.b} -> {change.a}")
    print(f"  {edited.state}", flush=True)
    return edited


if __name__ == "__main__":
    sys.exit(main())
