"""How the command line starts: at once, and without a gateway where none is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import isthmus
from isthmus.cli import app
from isthmus.cli.exits import ExitCode

SLOW = (
    "httpx",
    "rich",
    "pydantic",
    "fastapi",
    "sqlalchemy",
    "jsonschema",
    "asyncio",
    "isthmus.client",
    "isthmus.store",
)
ENVIRONMENT = {"PYTHONPATH": str(Path(isthmus.__file__).parents[1]), "PATH": "/usr/bin:/bin"}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )


def test_help_waits_for_nothing_slow() -> None:
    script = (
        "import sys\n"
        "from isthmus.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print('loaded:', [name for name in {SLOW!r} if name in sys.modules])\n"
    )
    ended = python("-c", script)
    assert ended.returncode == 0, ended.stderr
    assert "Commands:" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "loaded: []"


def test_every_command_has_a_line_of_help() -> None:
    ended = python("-m", "isthmus.cli", "--help")
    commands = ended.stdout.split("Commands:")[1].split("Exit codes:")[0].strip().splitlines()
    assert len(commands) >= 20
    assert all(len(line.split(maxsplit=1)) == 2 for line in commands)


def test_an_unknown_command_is_a_usage_error_with_a_hint() -> None:
    ended = python("-m", "isthmus.cli", "submitt")
    assert ended.returncode == 2
    assert "Did you mean 'submit'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broken_definition_is_told_with_file_and_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\nversion: 1.0.0\ntitel: Oops\n", encoding="utf-8")
    ended = python("-m", "isthmus.cli", "apps", "check", str(broken))
    assert ended.returncode == 1
    assert f"{broken}:3: " in ended.stdout
    assert "titel" in ended.stdout


def test_a_file_that_is_not_there_is_told_by_apps_check(tmp_path: Path) -> None:
    ended = python("-m", "isthmus.cli", "apps", "check", str(tmp_path / "none.yaml"))
    assert ended.returncode == 1
    assert "can't be read" in ended.stdout


def test_good_definitions_are_no_news() -> None:
    folder = Path(isthmus.__file__).parents[2] / "applications"
    ended = python("-m", "isthmus.cli", "apps", "check", str(folder))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_reference_has_every_command_and_every_exit_code() -> None:
    page = (Path(isthmus.__file__).parents[2] / "docs/reference/command-line.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    told = {word.strip("`,… ") for row in rows for word in row.replace("[", " ").split()}
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {str(group.name) for group in app.registered_groups}
    assert sorted((commands | groups) - told) == []
    assert sorted({str(int(code)) for code in ExitCode} - told) == []
