"""What becomes of ended jobs on the command line: why they ended so, their files, archive and deletion."""

from __future__ import annotations

import json
from pathlib import Path

from tests.service.gateway_process import GatewayProcess, until

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


def test_why_a_job_ended_is_said_in_sentences(gateway: GatewayProcess, completed: str) -> None:
    assert "completed" in gateway.run("why", completed).out
    assert json.loads(gateway.run("why", completed, "--json").out)["job"] == completed


def test_a_completed_job_has_no_last_words(gateway: GatewayProcess, completed: str) -> None:
    assert "stderr" not in gateway.run("why", completed).out


def test_why_a_job_failed_is_said_with_its_last_lines_of_stderr(gateway: GatewayProcess) -> None:
    (gateway.home / "applications/failing.yaml").write_text(FAILING, encoding="utf-8")
    until(lambda: "failing" in gateway.run("apps").out)
    ended = gateway.run("submit", "failing", "--wait")
    assert ended.code == 10, ended.err
    told = gateway.run("why", "last")
    assert told.lines[-3:] == ["Its last words on stderr:", "  | Oops: \\x1b[31mred", "  | and that was all"]
    assert json.loads(gateway.run("why", "last", "--json").out)["stderr"] == ["Oops: \x1b[31mred", "and that was all"]
    assert told.is_plain


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
