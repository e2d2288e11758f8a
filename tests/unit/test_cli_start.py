"""How the command line starts: at once, and without a gateway where none is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
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
NOT_FOR_ASKING = (
    "asyncio",
    "jsonschema",
    "yaml",
    "jinja2",
    "sqlalchemy",
    "isthmus.application",
    "isthmus.store",
)
ENVIRONMENT = {"PYTHONPATH": str(Path(isthmus.__file__).parents[1]), "PATH": "/usr/bin:/bin"}


APPLICATIONS = Path(isthmus.__file__).parents[2] / "applications"


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def check(*words: str, home: Path = APPLICATIONS / "none") -> subprocess.CompletedProcess[str]:
    """`isthmus apps check WORDS…`, where the gateway's home is this."""
    return python("-m", "isthmus.cli", "apps", "check", *words, ISTHMUS_HOME=str(home))


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


def test_a_command_that_asks_the_gateway_waits_only_for_what_that_takes(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from isthmus.cli import main\n"
        "from isthmus.cli.printing import print_facts\n"
        "sys.argv = ['isthmus', 'whoami']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print_facts([('asked', 'yes' if 'httpx' in sys.modules else 'no')])\n"
        f"    print('loaded:', [name for name in {NOT_FOR_ASKING!r} if name in sys.modules])\n"
    )
    ended = python("-c", script, HOME=str(tmp_path))
    assert ended.returncode == ExitCode.NOT_ALLOWED, ended.stderr
    assert ended.stdout.splitlines() == ["asked  yes", "loaded: []"]


def test_every_command_has_a_line_of_help() -> None:
    ended = python("-m", "isthmus.cli", "--help")
    commands = ended.stdout.split("Commands:")[1].split("Exit codes:")[0].strip().splitlines()
    assert len(commands) >= 20
    assert all(len(line.split(maxsplit=1)) == 2 for line in commands)


def test_no_line_of_help_is_cut() -> None:
    for group in ((), ("users",), ("projects",), ("clusters",)):
        commands = python("-m", "isthmus.cli", *group, "--help").stdout.split("Commands:")[1].split("Exit codes:")[0]
        cut = [line for line in commands.splitlines() if line.endswith(("...", "e.g."))]
        assert cut == []


def test_help_names_no_python_type() -> None:
    for words in (("get",), ("cancel",), ("submit",), ("users", "add")):
        assert "<" not in python("-m", "isthmus.cli", *words, "--help").stdout


def test_the_version_is_told() -> None:
    ended = python("-m", "isthmus.cli", "--version")
    assert (ended.returncode, ended.stdout) == (0, f"isthmus {version('isthmus')}\n")


def test_an_unknown_command_is_a_usage_error_with_a_hint() -> None:
    ended = python("-m", "isthmus.cli", "submitt")
    assert ended.returncode == 2
    assert "Did you mean 'submit'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broken_definition_is_told_with_file_and_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\nversion: 1.0.0\ntitel: Oops\n", encoding="utf-8")
    ended = check(str(broken))
    assert ended.returncode == 1
    assert f"{broken}:3: " in ended.stdout
    assert "titel" in ended.stdout


def test_a_file_that_is_not_there_is_told_by_apps_check(tmp_path: Path) -> None:
    ended = check(str(tmp_path / "none.yaml"))
    assert ended.returncode == 1
    assert ended.stdout == f"{tmp_path / 'none.yaml'}:1: can't be read: No such file or directory\n"


def test_each_good_definition_has_a_line_that_says_so() -> None:
    ended = check(str(APPLICATIONS))
    told = [f"{path.stem} 1.0.0: fine" for path in sorted(APPLICATIONS.glob("*.yaml"))]
    assert (ended.returncode, ended.stdout.splitlines(), ended.stderr) == (0, told, "")


def test_without_a_file_every_folder_that_the_gateway_reads_is_checked(tmp_path: Path) -> None:
    (tmp_path / "home/applications").mkdir(parents=True)
    (tmp_path / "more").mkdir()
    (tmp_path / "home/isthmus.toml").write_text(f"[applications]\nfolders = ['{tmp_path / 'more'}']\n")
    storms = (APPLICATIONS / "storm-clustering.yaml").read_text(encoding="utf-8")
    (tmp_path / "home/applications/storms.yaml").write_text(storms.replace("1.0.0", "2.0.0"), encoding="utf-8")
    (tmp_path / "more/mine.yaml").write_text("name: mine\n", encoding="utf-8")
    ended = check(home=tmp_path / "home")
    assert ended.returncode == 1
    assert {"storm-clustering 1.0.0: fine", "storm-clustering 2.0.0: fine"} <= set(ended.stdout.splitlines())
    assert f"{tmp_path / 'more/mine.yaml'}:1: " in ended.stdout


def test_two_files_of_one_name_and_version_are_both_told(tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_bytes((APPLICATIONS / "storm-clustering.yaml").read_bytes())
    ended = check(str(APPLICATIONS), str(tmp_path), "--json")
    assert ended.returncode == 1
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["name"] for one in told if not one["faults"]] == ["python-script"]
    assert {one["file"] for one in told if one["faults"]} == {
        str(APPLICATIONS / "storm-clustering.yaml"),
        str(tmp_path / "copy.yaml"),
    }


def test_without_a_file_and_without_a_home_it_is_said_what_to_do() -> None:
    ended = check()
    assert ended.returncode == 4
    assert f"no gateway's home at {APPLICATIONS / 'none'}: name the files to check, or set ISTHMUS_HOME" in ended.stderr


def test_a_home_without_applications_of_its_own_is_in_order(tmp_path: Path) -> None:
    assert check(home=tmp_path).returncode == 0


def test_the_reference_has_every_command_and_every_exit_code() -> None:
    page = (Path(isthmus.__file__).parents[2] / "docs/reference/command-line.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    told = {word.strip("`,… ") for row in rows for word in row.replace("[", " ").split()}
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {str(group.name) for group in app.registered_groups}
    assert sorted((commands | groups) - told) == []
    assert sorted({str(int(code)) for code in ExitCode} - told) == []
