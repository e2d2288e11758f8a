"""Following and cancelling jobs from the command line, on a terminal and in a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

from tests.service.gateway_process import DEADLINE_S, GatewayProcess, command


def test_watching_a_job_that_completes_ends_with_0(gateway: GatewayProcess) -> None:
    ended = gateway.run("watch", gateway.submit("--upto", "1", "--linger-s", "5"))
    assert ended.code == 0
    assert "  | step 1" in ended.lines
    assert "COMPLETED" in ended.lines[-1]
    assert ended.is_plain


def test_watching_a_cancelled_job_ends_with_11(gateway: GatewayProcess) -> None:
    job = gateway.submit("--linger-s", "600")
    assert gateway.run("cancel", job).lines == [f"{job} cancel asked"]
    ended = gateway.run("watch", job, "--json")
    assert ended.code == 11
    assert json.loads(ended.lines[-1])["state"] == "CANCELLED"


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


def test_several_jobs_are_acted_on_and_the_worst_code_is_the_last(gateway: GatewayProcess, completed: str) -> None:
    job = gateway.submit("--linger-s", "600")
    ended = gateway.run("cancel", "0" * 20, job, completed)
    assert ended.code == 4
    assert ended.lines == [f"{job} cancel asked", f"{completed} has already ended: COMPLETED"]
