"""What the command line shows of jobs, their differences, the applications and the clusters."""

from __future__ import annotations

import json
import os
import subprocess

from isthmus.store import Lease, Store
from tests.service.gateway_process import GatewayProcess, command, until


def test_a_job_is_shown_by_the_beginning_of_its_id(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("show", completed[:15])
    assert ended.code == 0
    facts = {line.split("  ")[0]: line.split("  ")[-1] for line in ended.lines}
    assert facts["job"].strip() == completed
    assert facts["state"].strip() == "COMPLETED"
    assert facts["input upto"].strip() == "2"
    assert ended.is_plain


def test_a_job_s_script_is_shown(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("show", completed, "--script")
    assert "-lt '2'" in ended.out
    assert "/job/work stand for the job's own folders" in ended.err


def test_jobs_are_listed_one_document_a_line(gateway: GatewayProcess, completed: str) -> None:
    ended = gateway.run("jobs", "--json", "--label", "kept", "--state", "COMPLETED")
    assert [json.loads(line)["id"] for line in ended.lines] == [completed]
    assert gateway.run("jobs", "--json", "--label", "kept", "--state", "completed").out == ended.out


def test_jobs_are_listed_as_a_table_up_to_a_limit(gateway: GatewayProcess, completed: str) -> None:
    for _ in range(2):
        gateway.submit("--upto", "0")
    ended = gateway.run("jobs", "--limit", "2", "--since", "1d")
    assert ended.lines[0].split() == ["JOB", "STATE", "APPLICATION", "CLUSTER", "MADE", "RAN", "NAME"]
    assert len(ended.lines) == 3
    assert ended.is_plain
    assert len(gateway.run("jobs", "--all").lines) > 3


def test_an_administrator_s_list_is_their_own_unless_everybody_s_is_asked_for(
    gateway: GatewayProcess, completed: str, stranger: dict[str, str]
) -> None:
    theirs = gateway.run("submit", "counting", "--upto", "0", environment=stranger).out.strip()
    assert theirs not in gateway.run("jobs", "--all").out
    listed = gateway.run("jobs", "--all", "--everybody")
    assert "OWNER" in listed.lines[0]
    assert theirs in listed.out
    assert completed in listed.out
    refused = gateway.run("jobs", "--everybody", environment=stranger)
    assert refused.code == 6
    assert "--everybody is for administrators" in refused.err


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


def test_what_a_program_wrote_is_printed(gateway: GatewayProcess, completed: str) -> None:
    assert gateway.run("logs", completed).out == "step 1\nstep 2\n"
    assert gateway.run("logs", completed, "--stderr").out == "to stderr\n"


def test_a_log_is_followed_to_its_end(gateway: GatewayProcess) -> None:
    assert gateway.run("logs", "-f", gateway.submit("--upto", "1", "--linger-s", "1")).out == "step 1\n"


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


def test_two_equal_jobs_have_no_difference(gateway: GatewayProcess, completed: str) -> None:
    assert "asked the same" in gateway.run("diff", completed, completed).out


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
    shown = gateway.run("clusters", "show", "local")
    assert shown.code == 0 and "machine" in shown.out and "MiB" in shown.out
    assert json.loads(gateway.run("clusters", "show", "local", "--json").out)["kind"] == "local"
    unknown = gateway.run("clusters", "show", "elsewhere")
    assert unknown.code != 0 and "there is no cluster elsewhere; there is local" in unknown.err


def test_an_administrator_registers_the_gateway_anew_where_its_framework_was_removed(
    gateway: GatewayProcess, stranger: dict[str, str]
) -> None:
    early = gateway.run("clusters", "register", "local")
    assert early.code != 0 and "only a framework that its master has removed is registered again" in early.err
    with Store.open(os.environ.get("ISTHMUS_DATABASE_URL", f"sqlite:///{gateway.home / 'isthmus.db'}")) as store:
        row = store.lease_row("cluster-local")
        assert row is not None
        lease = Lease(row.name, row.holder, row.epoch)
        store.mesos.registered(lease, "local", "F-1", 1.0)
        store.mesos.removed(lease, "local", "Framework has been removed", 2.0)
        assert gateway.run("clusters", "register", "local", environment=stranger).code == 6
        ended = gateway.run("clusters", "register", "local")
        assert (ended.code, "registers anew" in ended.out) == (0, True)
        framework = store.mesos.framework("local")
    assert framework is not None and (framework.framework_id, framework.removed_at) == ("", None)


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
