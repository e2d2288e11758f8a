"""The command line as people and scripts use it: real commands, a real gateway, every exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.cli.exits import ExitCode
from tests.service.gateway_process import DEADLINE_S, Ended, GatewayProcess, command, serving, until

FAILING = """\
name: failing
version: 1.0.0
title: Failing
summary: Fails, and says why in red.
script: |
  printf 'Oops: \\033[31mred\\n\\nand that was all\\n' >&2
  exit 3
resources: {walltime_s: 60}
isolation: preferred
"""
SILENT = """\
name: silent
version: 1.0.0
title: Silent
summary: Fails without a word.
script: exit 3
resources: {walltime_s: 60}
isolation: preferred
"""
NAMING = """\
name: naming
version: 1.0.0
title: Naming
summary: Leaves a file of an odd name.
outputs:
  odd: {label: Odd, glob: "a*"}
script: |
  : > {{ outputs_dir }}/"$(printf 'a\\nb\\033[31mc')"
resources: {walltime_s: 60}
isolation: preferred
"""
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with serving(tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture(scope="module")
def completed(gateway: GatewayProcess) -> str:
    """The id of a job that has completed: two numbers counted."""
    ended = gateway.run("submit", "counting", "--upto", "2", "--name", "first", "--label", "kept", "--json", "--wait")
    assert ended.code == 0, ended.err
    return str(json.loads(ended.lines[-1])["id"])


@pytest.fixture(scope="module")
def stranger(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What makes a command another user's, who is no administrator."""
    assert gateway.run("users", "add", "bob", given=f"{PASSWORD}\n").code == 0
    environment = {"HOME": str(tmp_path_factory.mktemp("bob")), "ISTHMUS_HOME": "/nonexistent"}
    signed_in = gateway.run("login", "--name", "bob", gateway.url, given=f"{PASSWORD}\n", environment=environment)
    assert signed_in.code == 0, signed_in.err
    return environment


def is_plain(ended: Ended) -> bool:
    """No colours, no cursor movements, no traceback."""
    return "\x1b" not in ended.out + ended.err and "Traceback" not in ended.err


# --- submitting ---------------------------------------------------------------------------------------------
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


def test_waiting_for_a_job_that_fails_shows_its_lines_and_ends_with_10(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "1", "--code", "3", "--wait")
    assert ended.code == 10
    assert "  | step 1" in ended.lines
    assert "FAILED (exit_nonzero)" in ended.lines[-1]
    assert is_plain(ended)


def test_every_refused_input_is_named_on_stderr_and_ends_with_4(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "400", "--factor", "x", "--set", "unheard=1")
    assert (ended.code, ended.out) == (4, "")
    assert "inputs.upto: " in ended.err
    assert "inputs.factor: " in ended.err
    assert "inputs.unheard: " in ended.err
    assert is_plain(ended)


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
    assert is_plain(ended)


# --- looking ------------------------------------------------------------------------------------------------
def test_a_job_is_shown_by_the_beginning_of_its_id(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("show", completed[:15])
    assert ended.code == 0
    facts = {line.split("  ")[0]: line.split("  ")[-1] for line in ended.lines}
    assert facts["job"].strip() == completed
    assert facts["state"].strip() == "COMPLETED"
    assert facts["input upto"].strip() == "2"
    assert is_plain(ended)


def test_a_job_s_script_is_shown(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("show", completed, "--script")
    assert "-lt '2'" in ended.out
    assert "/job/work stand for the job's own folders" in ended.err


def test_jobs_are_listed_one_document_a_line(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("jobs", "--json", "--label", "kept", "--state", "COMPLETED")
    assert [json.loads(line)["id"] for line in ended.lines] == [completed]
    assert gateway.run("jobs", "--json", "--label", "kept", "--state", "completed").out == ended.out


def test_what_a_number_was_given_as_is_shown_and_compared(gateway: GatewayProcess) -> None:
    job = gateway.submit("--factor", "45", "--upto", "0")
    assert ["input", "factor", "45"] in [line.split() for line in gateway.run("show", job).lines]
    child = gateway.run("resubmit", job, "--set", "factor=30").out.strip()
    assert gateway.run("diff", job, child).lines[-1].split() == ["inputs.factor", "45", "30"]


def test_what_one_job_changed_of_its_parent_is_shown(gateway: GatewayProcess, completed: str) -> None:
    child = gateway.run("resubmit", completed, "--set", "upto=0").out.strip()
    assert gateway.run("diff", child).lines == gateway.run("diff", completed, child).lines
    refused = gateway.run("diff", completed)
    assert (refused.code, refused.err) == (
        2,
        f"isthmus: {completed} was not resubmitted from another job; name the one to compare it with\n",
    )


def test_jobs_are_listed_as_a_table_up_to_a_limit(gateway: GatewayProcess, completed: str) -> None:
    for _ in range(2):
        gateway.submit("--upto", "0")
    ended = gateway.run("jobs", "--limit", "2", "--since", "1d")
    assert ended.lines[0].split() == ["JOB", "STATE", "APPLICATION", "CLUSTER", "OWNER", "MADE", "RAN", "NAME"]
    assert len(ended.lines) == 3
    assert is_plain(ended)
    assert len(gateway.run("jobs", "--all").lines) > 3


def test_what_a_program_wrote_is_printed(gateway: GatewayProcess, completed: str) -> None:
    assert gateway.run("logs", completed).out == "step 1\nstep 2\n"
    assert gateway.run("logs", completed, "--stderr").out == "to stderr\n"


def test_a_log_is_followed_to_its_end(gateway: GatewayProcess) -> None:
    assert gateway.run("logs", "-f", gateway.submit("--upto", "1", "--linger-s", "1")).out == "step 1\n"


def test_why_a_job_ended_is_said_in_sentences(gateway: GatewayProcess, completed: str) -> None:
    assert "completed" in gateway.run("why", completed).out
    assert json.loads(gateway.run("why", completed, "--json").out)["job"] == completed


def test_why_a_job_failed_is_said_with_its_last_lines_of_stderr(gateway: GatewayProcess) -> None:
    (gateway.home / "applications/failing.yaml").write_text(FAILING, encoding="utf-8")
    until(lambda: "failing" in gateway.run("apps").out)
    ended = gateway.run("submit", "failing", "--wait")
    assert ended.code == 10, ended.err
    told = gateway.run("why", "last")
    assert told.lines[-3:] == ["Its last words on stderr:", "  | Oops: \\x1b[31mred", "  | and that was all"]
    assert json.loads(gateway.run("why", "last", "--json").out)["stderr"] == ["Oops: \x1b[31mred", "and that was all"]
    assert is_plain(told)


def test_why_a_silent_job_failed_is_said_with_where_else_to_look(gateway: GatewayProcess) -> None:
    (gateway.home / "applications/silent.yaml").write_text(SILENT, encoding="utf-8")
    until(lambda: "silent" in gateway.run("apps").out)
    assert gateway.run("submit", "silent", "--wait").code == 10
    told = gateway.run("why", "last").lines[-1]
    assert "wrote nothing to stderr; `isthmus logs " in told


def test_why_of_a_deleted_job_promises_no_outputs(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "0", "--wait", "--json")
    word = json.loads(ended.lines[-1])["id"]
    assert gateway.run("delete", "--yes", word).code == 0
    told = gateway.run("why", word)
    assert told.lines[0] == "It had ended as COMPLETED."
    assert "its logs and outputs are gone" in told.lines[-1]


def test_a_completed_job_has_no_last_words(gateway: GatewayProcess, completed: str) -> None:
    assert "stderr" not in gateway.run("why", completed).out


def test_outputs_are_fetched_into_a_folder(gateway: GatewayProcess, completed: str, tmp_path: Path) -> None:
    ended = gateway.run("get", completed, "counted", "--to", str(tmp_path))
    assert ended.lines == [str(tmp_path / "counted.txt")]
    assert (tmp_path / "counted.txt").read_text() == "counted to 2 1\n"


def test_a_file_of_another_job_is_overwritten_only_when_forced(
    gateway: GatewayProcess, completed: str, tmp_path: Path
) -> None:
    words = ("counted", "--to", str(tmp_path))
    other = json.loads(gateway.run("submit", "counting", "--upto", "1", "--wait", "--json").lines[-1])["id"]
    assert [gateway.run("get", completed, *words).code for _ in range(2)] == [0, 0], "the same content is no harm"
    refused = gateway.run("get", other, *words)
    assert (refused.code, refused.out) == (4, "")
    assert f"{tmp_path / 'counted.txt'} would be overwritten" in refused.err
    assert "--force" in refused.err
    assert (tmp_path / "counted.txt").read_text() == "counted to 2 1\n"
    assert gateway.run("get", other, *words, "--force").code == 0
    assert (tmp_path / "counted.txt").read_text() == "counted to 1 1\n"


def test_an_output_s_name_cannot_write_to_the_terminal(gateway: GatewayProcess, tmp_path: Path) -> None:
    (gateway.home / "applications/naming.yaml").write_text(NAMING, encoding="utf-8")
    until(lambda: "naming" in gateway.run("apps").out)
    assert gateway.run("submit", "naming", "--wait").code == 0
    fetched = gateway.run("get", "last", "odd", "--to", str(tmp_path))
    assert fetched.lines == [f"{tmp_path}/a\\x0ab\\x1b[31mc"]
    assert (tmp_path / "a\nb\x1b[31mc").exists()
    assert "a\\x0ab\\x1b[31mc" in gateway.run("show", "last").out


def test_files_that_differ_are_compared_by_name_and_size(gateway: GatewayProcess) -> None:
    jobs = []
    for folder, content in (("a", "one"), ("b", "two"), ("c", "three")):
        (gateway.folder / folder).mkdir()
        (gateway.folder / folder / "extra.txt").write_text(content)
        jobs.append(gateway.submit("--upto", "0", "--extra", f"{folder}/extra.txt"))
    same_size = gateway.run("diff", jobs[0], jobs[1]).lines[-1]
    assert same_size.split("  ")[0] == "files.extra"
    assert "extra.txt (3 B)" in same_size
    assert "extra.txt (3 B), other bytes" in same_size
    assert "other bytes" not in gateway.run("diff", jobs[0], jobs[2]).out
    assert "sha256" in gateway.run("diff", jobs[0], jobs[1], "--json").out


def test_applications_and_clusters_are_listed(gateway: GatewayProcess) -> None:
    names = [json.loads(line)["name"] for line in gateway.run("apps", "--json").lines]
    assert "counting" in names
    assert "--upto" not in gateway.run("apps", "counting").out
    assert json.loads(gateway.run("clusters", "--json").out)["name"] == "local"
    assert "local" in gateway.run("clusters").out


def test_an_administrator_is_told_of_broken_files_and_nobody_else(
    gateway: GatewayProcess, stranger: dict[str, str]
) -> None:
    broken = gateway.home / "applications/broken.yaml"
    broken.write_text("name: broken\n", encoding="utf-8")
    try:
        until(lambda: f"{broken}:1: " in gateway.run("apps").err)
        assert json.loads(gateway.run("apps", "--json").lines[0])["name"] == "counting"
        assert gateway.run("apps", environment=stranger).err.count(str(broken)) == 0
    finally:
        broken.unlink()


# --- following ----------------------------------------------------------------------------------------------
def test_watching_a_job_that_completes_ends_with_0(gateway: GatewayProcess) -> None:
    ended = gateway.run("watch", gateway.submit("--upto", "1", "--linger-s", "5"))
    assert ended.code == 0
    assert "  | step 1" in ended.lines
    assert "COMPLETED" in ended.lines[-1]
    assert is_plain(ended)


def test_watching_a_cancelled_job_ends_with_11(gateway: GatewayProcess) -> None:
    job = gateway.submit("--linger-s", "600")
    assert gateway.run("cancel", job).lines == [f"{job} cancel asked"]
    ended = gateway.run("watch", job, "--json")
    assert ended.code == 11
    assert json.loads(ended.lines[-1])["state"] == "CANCELLED"


def test_cancelling_a_job_that_had_ended_says_how_it_ended(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("cancel", completed)
    assert (ended.code, ended.lines) == (4, [f"{completed} has already ended: COMPLETED"])
    answer = json.loads(gateway.run("cancel", completed, "--json").out)
    assert (answer["job"], answer["outcome"], answer["state"]) == (completed, "already_ended", "COMPLETED")


def test_cancelling_what_is_cancelled_already_is_good(gateway: GatewayProcess) -> None:
    job = gateway.submit("--linger-s", "600")
    gateway.run("cancel", job)
    gateway.run("watch", job)
    ended = gateway.run("cancel", job)
    assert (ended.code, ended.lines) == (0, [f"{job} has already ended: CANCELLED"])


def test_watching_on_a_terminal_is_a_live_picture(gateway: GatewayProcess) -> None:
    job = gateway.submit("--upto", "1", "--linger-s", "600")
    ours, theirs = os.openpty()
    environment = {**gateway.environment, "TERM": "xterm-256color", "COLUMNS": "120"}
    watching = subprocess.Popen(command("watch", job), env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"step 1" not in said:
        said += os.read(ours, 65536)
    gateway.run("cancel", job)
    with contextlib.suppress(OSError):  # the terminal is gone when its last program is
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    assert watching.wait(DEADLINE_S) == 11
    assert b"\x1b[" in said
    assert b"RUNNING" in said
    assert b"CANCELLED" in said
    assert b"\x1b[?25h" in said, "the cursor is shown again"


def test_ctrl_c_ends_the_watching_and_not_the_job(gateway: GatewayProcess) -> None:
    job = gateway.submit("--linger-s", "600")
    watching = subprocess.Popen(
        command("watch", job), env=gateway.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, told = watching.communicate(timeout=DEADLINE_S)
    assert watching.returncode == 130
    assert "Traceback" not in told
    state = json.loads(gateway.run("show", job, "--json").out)
    assert state["cancel_requested_at"] is None
    gateway.run("cancel", job)


# --- again, and away ----------------------------------------------------------------------------------------
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


def test_a_submission_with_a_file_is_repeated_under_its_key(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "extra.txt").write_text("more")
    words = ("submit", "counting", "--upto", "1", "--extra", str(tmp_path / "extra.txt"), "--key", "same file")
    first, again = gateway.run(*words), gateway.run(*words)
    assert (first.code, again.code, again.lines) == (0, 0, first.lines), again.err


def test_two_equal_jobs_have_no_difference(gateway: GatewayProcess, completed: str) -> None:
    assert "asked the same" in gateway.run("diff", completed, completed).out


def test_an_archived_job_is_out_of_the_list_until_it_is_taken_back(gateway: GatewayProcess) -> None:
    ended = gateway.run("submit", "counting", "--upto", "0", "--label", "away", "--wait", "--json")
    word = json.loads(ended.lines[-1])["id"]
    assert gateway.run("archive", word).lines == [f"{word} archived"]
    assert gateway.run("archive", word).lines == [f"{word} was archived already"]
    assert gateway.run("jobs", "--label", "away", "--json").out == ""
    assert word in gateway.run("jobs", "--label", "away", "--archived").out
    assert gateway.run("archive", word[:18], "--undo").code == 0, "an archived job is found by the beginning of its id"
    assert gateway.run("archive", word, "--undo").lines == [f"{word} was not archived"]
    gateway.run("archive", word)
    assert gateway.run("archive", "last", "--undo").lines == [f"{word} taken out of the archive"]
    assert gateway.run("delete", "--yes", word).lines == [f"{word} deleted"]
    assert gateway.run("jobs", "--label", "away", "--json").out == ""


def test_several_jobs_are_acted_on_and_the_worst_code_is_the_last(gateway: GatewayProcess, completed: str) -> None:
    job = gateway.submit("--linger-s", "600")
    ended = gateway.run("cancel", "0" * 20, job, completed)
    assert ended.code == 4
    assert ended.lines == [f"{job} cancel asked", f"{completed} has already ended: COMPLETED"]


# --- signing in ---------------------------------------------------------------------------------------------
def test_without_a_token_a_command_ends_with_6(gateway: GatewayProcess, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    ended = gateway.run("--url", gateway.url, "jobs", environment=nobody)
    assert ended.code == 6
    assert f"isthmus login {gateway.url}" in ended.err


def test_a_user_sees_no_other_s_job_and_may_not_manage_users(
    gateway: GatewayProcess, completed: str, stranger: dict[str, str]
) -> None:
    assert gateway.run("show", completed, environment=stranger).code == 3
    listed = gateway.run("jobs", environment=stranger).lines
    assert ("OWNER" in listed[0], listed[1:]) == (False, [])
    refused = gateway.run("jobs", "--owner", "admin", environment=stranger)
    assert (refused.code, refused.out) == (6, "")
    assert "as bob you see your own jobs only" in refused.err
    assert gateway.run("jobs", "--owner", "bob", environment=stranger).code == 0
    assert gateway.run("users", "list", environment=stranger).code == 6


def test_who_and_where_one_is_can_be_asked(gateway: GatewayProcess, stranger: dict[str, str]) -> None:
    told = json.loads(gateway.run("whoami", "--json").out)
    assert (told["name"], told["url"], told["origin"]) == ("admin", gateway.url, str(gateway.home / "cli-token"))
    facts = gateway.run("whoami", environment=stranger).out
    assert "bob" in facts
    assert "login.json" in facts


def test_a_saved_login_that_is_used_although_a_home_is_named_is_told(
    gateway: GatewayProcess, stranger: dict[str, str]
) -> None:
    remark = f"ISTHMUS_HOME=/nonexistent holds no token for you, so this goes to {gateway.url}"
    assert remark in gateway.run("jobs", environment=stranger).err
    assert "ISTHMUS_HOME" not in gateway.run("--url", gateway.url, "jobs", environment=stranger).err


def test_a_login_that_commands_will_not_use_is_told(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.run("users", "add", "joe", given=f"{PASSWORD}\n")
    ended = gateway.run(
        "login", "--name", "joe", gateway.url, given=f"{PASSWORD}\n", environment={"HOME": str(tmp_path)}
    )
    assert ended.code == 0
    assert f"commands go to {gateway.url} all the same ({gateway.home / 'cli-token'})" in ended.err


def test_a_wrong_password_ends_with_6_and_keeps_nothing(gateway: GatewayProcess, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path)}
    ended = gateway.run("login", "--name", "admin", gateway.url, given="wrong password\n", environment=nobody)
    assert ended.code == 6
    assert list(tmp_path.iterdir()) == []


def test_the_first_administrator_chooses_a_password_at_the_first_login(gateway: GatewayProcess, tmp_path: Path) -> None:
    once = next(word for line in gateway.said.splitlines() if "password" in line for word in line.split()[-1:])
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    given = f"admin\n{once}\na password of my own\n"
    ended = gateway.run("login", gateway.url, given=given, environment=nobody)
    assert ended.code == 0, ended.err
    assert "for one time" in ended.err
    kept = tmp_path / ".config/isthmus/login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert gateway.run("users", "list", environment=nobody).code == 0
    assert gateway.run("logout", environment=nobody).code == 0
    assert not kept.exists()
    assert gateway.run("logout", environment=nobody).code == 6
    assert gateway.run("login", "--name", "admin", gateway.url, given=f"{once}\n", environment=nobody).code == 6


def test_a_signed_out_token_is_good_for_nothing(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.run("users", "add", "eve", given=f"{PASSWORD}\n")
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    assert gateway.run("login", "--name", "eve", gateway.url, given=f"{PASSWORD}\n", environment=nobody).code == 0
    token = json.loads((tmp_path / ".config/isthmus/login.json").read_text())["token"]
    assert gateway.run("logout", environment=nobody).code == 0
    with_token = {**nobody, "ISTHMUS_URL": gateway.url, "ISTHMUS_TOKEN": token}
    assert gateway.run("jobs", environment=with_token).code == 6


def test_one_s_own_password_is_changed_with_the_old_one(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.run("users", "add", "ada", given=f"{PASSWORD}\n")
    nobody = {"HOME": str(tmp_path), "ISTHMUS_HOME": str(tmp_path)}
    assert gateway.run("login", "--name", "ada", gateway.url, given=f"{PASSWORD}\n", environment=nobody).code == 0
    pointed = gateway.run("users", "password", "ada", given="a better one by far\n", environment=nobody)
    assert (pointed.code, "`isthmus password`" in pointed.err) == (6, True)
    wrong = gateway.run("password", given="not the old one\na better one by far\n", environment=nobody)
    assert wrong.code != 0
    changed = gateway.run("password", given=f"{PASSWORD}\na better one by far\n", environment=nobody)
    assert (changed.code, changed.lines) == (0, ["ada has a new password."])
    again = gateway.run("login", "--name", "ada", gateway.url, given="a better one by far\n", environment=nobody)
    assert again.code == 0


def test_users_are_managed(gateway: GatewayProcess) -> None:
    assert gateway.run("users", "add", "ann", given=f"{PASSWORD}\n").lines == ["ann was added."]
    assert gateway.run("users", "add", "ann", given=f"{PASSWORD}\n").code == 4
    assert gateway.run("users", "add", "kim", given="short\n").code == 4
    assert gateway.run("users", "role", "ann", "admin").code == 0
    assert gateway.run("users", "password", "ann", given="another good one\n").code == 0
    assert gateway.run("users", "disable", "ann").code == 0
    assert gateway.run("users", "enable", "ann").lines == ["ann is enabled."]
    assert gateway.run("users", "disable", "ann").code == 0
    users = {user["name"]: user for user in map(json.loads, gateway.run("users", "list", "--json").lines)}
    assert (users["ann"]["role"], users["ann"]["disabled"]) == ("admin", True)
    assert gateway.run("users", "role", "nobody", "admin").code == 3


# --- no gateway ---------------------------------------------------------------------------------------------
def test_without_a_gateway_a_command_ends_with_5(tmp_path: Path) -> None:
    away = GatewayProcess(tmp_path)
    environment = {"ISTHMUS_URL": "http://127.0.0.1:9", "ISTHMUS_TOKEN": "x"}
    ended = away.run("jobs", environment=environment)
    assert ended.code == 5
    assert "is it running" in ended.err
    assert is_plain(ended)


def test_a_pipe_that_closes_early_is_no_error_with_a_traceback(gateway: GatewayProcess, completed: str) -> None:
    listing = subprocess.Popen(
        command("jobs", "--all", "--json"), env=gateway.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listing.stdout is not None
    listing.stdout.close()
    assert listing.stderr is not None
    told = listing.stderr.read()
    listing.stderr.close()
    until(lambda: listing.poll() is not None)
    assert b"Traceback" not in told
