"""What a job can't see, reach or use up, as root's bubblewrap, an unprivileged user's, and without any."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from isthmus.cluster.supervisor.sandbox import BUBBLEWRAP
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.facts import StagingFailed
from tests.service.local_lab import SMALL, Lab, local_lab, passable, play

SETTINGS = LocalSettings(cpus=2, memory_mib=4096, grace_s=0.3)
SECRET = "the-gateway-and-nobody-else"


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Lab]:
    with local_lab(tmp_path, replace(SETTINGS, isolation=BUBBLEWRAP)) as made:
        yield made


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Lab]:
    with local_lab(tmp_path, replace(SETTINGS, isolation="none")) as made:
        yield made


def test_a_job_reaches_none_of_the_gateways_files_neighbours_processes_or_sockets(isolated: Lab) -> None:
    async def story() -> None:
        lab = isolated
        database = lab.home / "isthmus.db"
        database.write_text(SECRET)
        neighbour = lab.order("gneighbour", "echo; exec sleep 60", inputs={"in": SECRET})
        await lab.start(neighbour)
        await lab.running("gneighbour")
        (lab.directory("gneighbour") / "work" / "note").write_text(SECRET)
        stored = lab.files.path(neighbour.inputs[0].sha256)
        script = f"""
            cat {database} {stored} {lab.directory("gneighbour")}/work/note {lab.directory("gneighbour")}/inputs/in
            cat /proc/{os.getpid()}/environ /proc/{lab.supervisor_pid()}/cmdline
            cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -v '^ISTHMUS_\\|^PATH\\|^PWD\\|^OLDPWD\\|^HOME' | sort -u
            ls {lab.root} {lab.home} /root /home /var
            [ -S {lab.root}/supervisor.sock ] && echo socket
            echo x >{lab.directory("gspy")}/job.sh
            echo x >/usr/isthmus-was-here
            cat /etc/shadow >/dev/null && echo passwords
            kill -0 {os.getpid()} && echo reached
            :"""
        record = await lab.run(lab.order("gspy", textwrap.dedent(script)))
        assert record.code == 0
        seen = lab.stdout("gspy")
        assert SECRET not in seen and "socket" not in seen and "reached" not in seen and "passwords" not in seen
        assert "supervisor" not in seen and "isthmus.db" not in seen and "gneighbour" not in seen
        assert not Path("/usr/isthmus-was-here").exists()
        assert (lab.directory("gspy") / "job.sh").read_text() != "x\n"

    play(story)


def test_an_isolated_program_is_an_unprivileged_user_without_rights_or_network(isolated: Lab) -> None:
    async def story() -> None:
        lab = isolated
        script = "id -u; grep -h 'CapEff\\|CapInh\\|NoNewPrivs' /proc/self/status; ls /sys/class/net; cat /proc/net/dev"
        await lab.run(lab.order("gwho", script))
        seen = lab.stdout("gwho").split()
        assert int(seen[0]) != 0
        assert seen[1:7] == ["CapInh:", "0" * 16, "CapEff:", "0" * 16, "NoNewPrivs:", "1"]
        assert [word for word in seen if word.endswith(":") and word[0].islower()] == ["lo:"]

    play(story)


def test_the_cpu_time_of_an_isolated_program_is_known_or_said_not_to_be(isolated: Lab) -> None:
    async def story() -> None:
        record = await isolated.run(isolated.order("gburn", "i=0; while [ $i -lt 500000 ]; do i=$((i + 1)); done"))
        assert record.cpu_s is None or record.cpu_s > 0.05

    play(story)


def test_an_isolated_program_can_use_temporary_files_and_shared_memory(isolated: Lab) -> None:
    async def story() -> None:
        lab = isolated
        script = "echo x >/tmp/mine && echo y >/dev/shm/mine && mktemp"
        assert (await lab.run(lab.order("gtemp", script))).code == 0, lab.stderr("gtemp")

    play(story)


def test_an_isolated_program_reads_its_inputs_writes_its_work_directory_and_cannot_change_its_inputs(
    isolated: Lab,
) -> None:
    async def story() -> None:
        lab = isolated
        inputs = {"plain": "one", "folder/odd name": "two"}
        script = (
            "cat ../inputs/plain '../inputs/folder/odd name' >out\nrm -f ../inputs/plain\necho x >../inputs/plain\n:"
        )
        order = lab.order("gfiles", script, inputs=inputs)
        assert (await lab.run(order)).code == 0, lab.stderr("gfiles")
        assert (lab.directory("gfiles") / "work" / "out").read_text() == "onetwo"
        assert lab.files.path(order.inputs[0].sha256).read_text() == "one"

    play(story)


def test_paths_that_the_settings_name_can_be_read_and_not_written(tmp_path: Path) -> None:
    place = tmp_path / "environments"
    place.mkdir()
    (place / "tool").write_text("useful")
    place.chmod(0o755)
    settings = replace(SETTINGS, isolation=BUBBLEWRAP, readable=(str(place),))
    with local_lab(tmp_path / "home", settings) as lab:

        async def story() -> None:
            tool, python = place / "tool", f"{sys.base_prefix}/bin/python3"
            script = f"cat {tool}; echo x 2>/dev/null >{tool} || echo kept; {python} -c 'print(1)'"
            await lab.run(lab.order("gread", script))
            assert lab.stdout("gread") == "usefulkept\n1\n", lab.stderr("gread")

        play(story)


def test_a_stopped_isolated_program_may_end_by_itself_within_the_grace(tmp_path: Path) -> None:
    with local_lab(tmp_path, replace(SETTINGS, isolation=BUBBLEWRAP, grace_s=10)) as lab:

        async def story() -> None:
            inner = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
            await lab.start(lab.order("gstop", f'sh -c "{inner}"'))
            await lab.running("gstop")
            await lab.cluster.cancel([lab.handle("gstop")])
            record = await lab.end("gstop")
            assert (record.code, record.stopped_by) == (143, "cancel")
            assert lab.stdout("gstop") == "ready\ncleaned\n"

        play(story)


@pytest.mark.parametrize("isolation", ["none", "uid", BUBBLEWRAP])
def test_nothing_of_the_gateways_environment_reaches_a_job(
    tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", f"postgresql://isthmus:{SECRET}@db/isthmus")
    monkeypatch.setenv("LD_DEBUG_OUTPUT", SECRET)
    passable(tmp_path)
    with local_lab(tmp_path, replace(SETTINGS, isolation=isolation)) as lab:

        async def story() -> None:
            script = f"env; cat /proc/$PPID/environ /proc/{lab.supervisor_pid()}/environ"
            await lab.run(lab.order("genv", script, environment={"COLOUR": 'it\'s "green"\n$HOME'}))
            seen = lab.stdout("genv")
            assert SECRET not in seen
            assert 'COLOUR=it\'s "green"\n$HOME\n' in seen
            names = {line.partition("=")[0] for line in seen.splitlines() if "=" in line}
            expected = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "OMP_NUM_THREADS", "ISTHMUS_JOB_ID"}
            assert expected <= names
            assert "ISTHMUS_JOB_ID=job-genv\n" in seen and "PATH=/usr/local/bin:/usr/bin:/bin\n" in seen

        async def whole() -> None:
            await lab.cluster.open()
            await story()

        play(whole)


def test_an_application_that_needs_isolation_is_refused_where_there_is_none(open_house: Lab) -> None:
    async def story() -> None:
        answer = await open_house.cluster.stage_in([open_house.order("gneeds", "true", isolation_required=True)])
        refusal = answer["gneeds"]
        assert isinstance(refusal, StagingFailed) and refusal.permanent and "isolated" in refusal.words

    play(story)


def test_another_user_id_is_no_isolation_for_an_application_that_needs_it(tmp_path: Path) -> None:
    passable(tmp_path)
    with local_lab(tmp_path, replace(SETTINGS, isolation="uid")) as lab:

        async def story() -> None:
            refusal = (await lab.cluster.stage_in([lab.order("gneeds", "true", isolation_required=True)]))["gneeds"]
            assert isinstance(refusal, StagingFailed) and refusal.permanent

        play(story)


def test_with_another_user_id_a_job_cannot_read_a_neighbours_files_or_the_gateways(tmp_path: Path) -> None:
    passable(tmp_path)
    with local_lab(tmp_path, replace(SETTINGS, isolation="uid")) as lab:

        async def story() -> None:
            (tmp_path / "isthmus.db").write_text(SECRET)
            (tmp_path / "isthmus.db").chmod(0o600)
            await lab.start(lab.order("gother", "echo; exec sleep 60", inputs={"in": SECRET}))
            await lab.running("gother")
            others = f"{tmp_path}/isthmus.db {lab.directory('gother')}/inputs/in"
            script = f"id -u; cat ../inputs/mine; cat {others}; ls {lab.root}/attempts"
            await lab.run(lab.order("gspy", script, inputs={"mine": "my own"}))
            assert lab.stdout("gspy") == "61001\nmy own"

        play(story)


def test_status_says_how_jobs_are_isolated_and_what_is_missing(open_house: Lab) -> None:
    async def story() -> None:
        status = await open_house.cluster.status()
        assert status.isolation == "none"
        assert "jobs are not isolated here: only programs of the catalogue run" in status.notes

    play(story)


@pytest.mark.parametrize("isolation", ["none", BUBBLEWRAP])
def test_a_program_beyond_its_memory_limit_is_killed_and_the_record_says_so(tmp_path: Path, isolation: str) -> None:
    with local_lab(tmp_path, replace(SETTINGS, isolation=isolation)) as lab:

        async def story() -> None:
            hog = f"exec {sys.base_prefix}/bin/python3 -c 'b = bytearray(200 << 20); print(len(b))'"
            record = await lab.run(lab.order("ghog", hog, resources=replace(SMALL, memory_mib=64)))
            assert (record.code, lab.stdout("ghog")) == (137, "")
            assert record.oom_kills and record.peak_memory_mib is not None
            assert 32 <= record.peak_memory_mib <= 64
            modest = await lab.run(lab.order("gmodest", hog, resources=replace(SMALL, memory_mib=400)))
            assert (modest.code, modest.oom_kills) == (0, 0)

        play(story)


def test_an_unprivileged_user_has_the_same_isolation(tmp_path: Path) -> None:
    """The whole engine, run by a user without any rights, on a program that looks around."""
    passable(tmp_path)
    home, user = tmp_path / "home", 64_321
    home.mkdir()
    os.chown(home, user, user)
    tree = Path(__file__).parents[2]
    # The checkout and Python may lie where only root can go: in a mount namespace of its own they lie elsewhere too.
    shown = {"tree": tree, "site": Path(structlog.__file__).parents[1], "python": Path(sys.base_prefix)}
    mounts = [f"mkdir {tmp_path / name} && mount --bind {path} {tmp_path / name}" for name, path in shown.items()]
    become = f"exec setpriv --reuid={user} --regid={user} --clear-groups --no-new-privs --"
    python = tmp_path / "python" / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    script = " && ".join([*mounts, f"{become} {python} -c {shlex.quote(_UNPRIVILEGED_STORY)} {home}"])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{tmp_path / 'tree' / 'src'}:{tmp_path / 'tree'}:{tmp_path / 'site'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home),
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"0 bubblewrap ['mine{user}', 'clusters']\n", done.stderr


_UNPRIVILEGED_STORY = """
import asyncio, sys
from pathlib import Path
from isthmus.cluster.supervisor.settings import LocalSettings
from tests.service.local_lab import Lab, local_lab

async def story(lab: Lab) -> None:
    (lab.home / "isthmus.db").write_text("secret")
    script = f"cat ../inputs/in {lab.home}/isthmus.db; id -u; ls {lab.home}"
    record = await lab.run(lab.order("gspy", script, inputs={"in": "mine"}))
    status = await lab.cluster.status()
    print(record.code, status.isolation, lab.stdout("gspy").split())

with local_lab(Path(sys.argv[1]), LocalSettings(cpus=2, isolation="bubblewrap")) as lab:
    asyncio.run(story(lab))
"""
