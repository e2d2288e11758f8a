"""The API against its own description: whatever is sent, no fault of ours, and every answer as described.

Schemathesis makes requests up from the OpenAPI document: valid ones, boundary values, and ones that break the rules;
ids that answers hold are used again. It runs as its users run it, against a served gateway.
"""

from __future__ import annotations

import subprocess
import sys

from isthmus.store.users import Role
from tests.service.api_rig import Rig
from tests.service.test_api_files import uploaded
from tests.service.test_api_jobs import submitted

EXAMPLES = 8

# A request of the right form may still ask for what can't be: a cursor of another list, an input the program lacks.
NOT_CHECKED = "positive_data_acceptance"

ENDLESS = r"/events$|/events/stream$"  # tests of their own, test_api_events.py
SIGNS_OUT = r"/tokens/|/me/password$"  # what would end the run's own right to ask


def run(rig: Rig, token: str, seconds: int, *options: str) -> None:
    arguments = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{rig.address}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing"),
        *("--max-time", str(seconds), "--max-examples", str(EXAMPLES), "--generation-deterministic", "--no-shrink"),
        *("--exclude-checks", NOT_CHECKED, "--continue-on-failure", "--request-timeout", "20"),
        *("--warnings", "off", "--no-color", *options),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds + 120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " generated" in done.stdout, "it made no requests"


def test_every_answer_is_as_described_and_none_is_a_fault_of_ours(rig: Rig) -> None:
    root = rig.person("root", Role.ADMIN)
    upload = uploaded(root)
    jobs = [submitted(root, files={"paper": upload}) for _ in range(4)]
    rig.run_to_end(jobs[0], {"said.txt": b"hello", "stdout": b"out\n", "stderr": b""})
    rig.run_to_end(jobs[1], {}, code=3)
    rig.start(jobs[2])
    run(rig, root.token, 60, "--exclude-path-regex", f"{ENDLESS}|{SIGNS_OUT}")


def test_operations_that_end_a_sign_in_answer_as_described_too(rig: Rig) -> None:
    run(rig, rig.person("ada").token, 15, "--include-path-regex", SIGNS_OUT)
