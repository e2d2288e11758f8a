"""Submitting from the command line: flags made of inputs, what is refused, and earlier jobs again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isthmus.cli.exits import ExitCode
from tests.service.gateway_process import GatewayProcess


def test_an_application_s_inputs_are_flags_with_help_unit_range_and_default(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--help")
    assert ended.code == 0
    words = " ".join(ended.out.split())
    assert "--upto INTEGER Count up to. How far it counts. [steps; at least 0 and at most 99; default 3]" in words
    assert "--loud / --no-loud" in words
    assert "--extra FILE" in words
    assert "--linger-s" in words


def test_flags_settings_and_resources_reach_the_job(gateway: GatewayProcess) -> None:
    (gateway.folder / "extra.txt").write_text("extra\n")
    words = (
        "--upto 1 --tags a --tags b --loud --factor 2 --extra extra.txt --set name=Bob --walltime 0:02 --memory 31.5M"
    )
    ended = gateway.run("submit", "counting", *words.split(), "--label", "x", "--json")
    assert ended.code == 0, ended.err
    job = json.loads(ended.out)
    given = {"upto": 1, "tags": ["a", "b"], "loud": True, "factor": 2, "name": "Bob"}
    assert given.items() <= job["inputs"].items()
    assert job["files"]["extra"][0]["name"] == "extra.txt"
    assert (job["resources"]["walltime_s"], job["resources"]["memory_mib"]) == (120, 32)
    assert job["labels"] == ["x"]


def test_a_submitted_job_s_id_is_all_that_stdout_holds(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "0")
    assert ended.code == 0
    assert len(ended.lines) == 1
    assert len(ended.lines[0]) == 20
    assert f"isthmus watch {ended.lines[0]}" in ended.err


def test_the_same_key_gives_the_same_job(gateway: GatewayProcess) -> None:
    assert gateway.submit("--upto", "0", "--key", "k1") == gateway.submit("--upto", "0", "--key", "k1")
    assert gateway.run("submit", "counting", "--upto", "1", "--key", "k1").code == 4


def test_a_submission_with_a_file_is_repeated_under_its_key(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "extra.txt").write_text("more")
    words = ("submit", "counting", "--upto", "1", "--extra", str(tmp_path / "extra.txt"), "--key", "same file")
    first, again = gateway.run(*words), gateway.run(*words)
    assert (first.code, again.code, again.lines) == (0, 0, first.lines), again.err


def test_waiting_for_a_job_that_fails_shows_its_lines_and_ends_with_10(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "1", "--code", "3", "--wait")
    assert ended.code == 10
    assert "  | step 1" in ended.lines
    assert "FAILED (exit_nonzero)" in ended.lines[-1]
    assert ended.is_plain


def test_every_refused_input_is_named_on_stderr_and_ends_with_4(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "400", "--factor", "x", "--set", "unheard=1")
    assert (ended.code, ended.out) == (4, "")
    assert "inputs.upto: " in ended.err
    assert "inputs.factor: " in ended.err
    assert "inputs.unheard: " in ended.err
    assert ended.is_plain


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("submit", "counting", "--nonsense", "1"), 2, "No such option: --nonsense"),
        (("submit", "--upto", "1", "counting"), 2, "come after its name"),
        (("submit",), 2, "Usage: isthmus submit"),
        (("submit", "nothing"), 3, "no application 'nothing'"),
        (("submit", "counting", "--walltime", "soon"), 4, "resources.walltime_s: "),
        (("submit", "counting", "--memory", "4 parsecs"), 4, "resources.memory_mib: "),
        (
            ("submit", "counting", "--extra", "none.txt"),
            4,
            "files.extra: none.txt can't be read: No such file or directory",
        ),
        (("submit", "counting", "--extra", "."), 4, "files.extra: . can't be read: Is a directory"),
        (("submit", "counting", "--set", "upto"), 2, "--set takes NAME=VALUE"),
        (("resubmit", "last", "--set", "upto"), 2, "--set takes NAME=VALUE"),
        (("submit", "counting", "--from", "extra=last"), 2, "--from takes NAME=ID/OUTPUT"),
        (("submit", "counting", "--factor", "nan"), 4, "  inputs.factor: must be a finite number"),
        (("submit", "counting", "--factor", "1e400"), 4, "  inputs.factor: must be a finite number"),
        (("submit", "counting", "--extra", "a", "--extra", "b"), 2, "extra takes one file, not 2: a, b"),
        (("--url", "foo", "jobs"), 2, "'foo' is not a gateway's address"),
        (("archive", "last", "--undo"), 3, "you have no archived jobs"),
        (("submit", "counting", "--cluster", "moon"), 4, "  cluster: "),
        (("jobs", "--since", "someday"), 2, "--since takes"),
        (("show", "zzzz"), 3, "no job of yours"),
        (("show", "what!"), 3, "no job's id"),
        (("show", "0" * 20), 3, "isthmus: "),
        (("show", "0"), 4, "give more of it"),
        (("get", "last", "nonsense"), 3, "no output nonsense"),
        (("delete", "last"), 4, "--yes"),
    ],
)
def test_a_mistake_has_its_exit_code_and_one_clear_sentence(
    gateway: GatewayProcess, completed: str, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = gateway.run(*words)
    assert ended.code == code, ended.err
    assert said in ended.err
    assert ended.is_plain


def test_a_job_is_submitted_again_with_changes(gateway: GatewayProcess, completed: str) -> None:
    words = (
        "--set",
        "upto=1",
        "--unset",
        "factor",
        "--from",
        f"extra={completed}/counted",
        "--name",
        "again",
        "--json",
    )
    ended = gateway.run("resubmit", completed, *words)
    assert ended.code == 0, ended.err
    child = json.loads(ended.out)
    assert (child["parent"], child["inputs"]["upto"], child["name"]) == (completed, 1, "again")
    assert child["files"]["extra"][0]["job"] == completed
    different = [json.loads(line) for line in gateway.run("diff", completed, child["id"], "--json").lines]
    assert {"field": "inputs.upto", "a": 2, "b": 1} in different
    assert "inputs.upto" in gateway.run("diff", completed, child["id"]).out


def test_a_job_that_cannot_be_resubmitted_does_not_keep_the_others_back(
    gateway: GatewayProcess, completed: str
) -> None:
    ended = gateway.run("resubmit", "0" * 20, completed, completed)
    assert ended.code == ExitCode.NOT_FOUND
    assert len(set(ended.lines)) == 2
    assert all(gateway.run("show", made, "--json").code == 0 for made in ended.lines)
