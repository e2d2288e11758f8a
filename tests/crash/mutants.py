"""Broken copies of the source, each without one of the things that keep the promises: the witness must see it.

A mutant is a set of text replacements; each replaced text must stand exactly once in its file, so that a mutant which
no longer bites is noticed when the code moves on.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.crash.rig import SOURCE


@dataclass(frozen=True, slots=True)
class Replacement:
    """In `file`, below the package, `new` stands for `old`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing removed, in words and in code."""

    name: str
    replacements: tuple[Replacement, ...]


def plant(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source with the replacements made; AssertionError where one of them does not fit any more."""
    source = folder / "src"
    shutil.copytree(SOURCE, source)
    for change in mutant.replacements:
        file = source / "isthmus" / change.file
        text = file.read_text(encoding="utf-8")
        found = text.count(change.old)
        assert found == 1, f"{mutant.name}: {change.old!r} stands {found} times in {change.file}"
        file.write_text(text.replace(change.old, change.new), encoding="utf-8")
    return source


CLAIM = Mutant(
    "the wrapper starts without heeding the claim",
    (Replacement("scheduler/templates/wrapper.sh", "    exit 75\n", "    :\n"),),
)
SUBMIT_MARKER = Mutant(
    "the supervisor ignores the submit marker",
    (
        Replacement(
            "cluster/supervisor/engine.py",
            "            if native_id := native_id_of(directory):\n",
            "            if False:\n",
        ),
        Replacement(
            "cluster/supervisor/engine.py",
            '            held = hold(directory / f"submit.{number}", mine)\n',
            '            (directory / f"submit.{number}").unlink(missing_ok=True)\n'
            '            held = hold(directory / f"submit.{number}", mine)\n',
        ),
        Replacement(
            "cluster/supervisor/engine.py",
            " for tag, answer in accepted if not self._knows(tag)]",
            " for tag, answer in accepted]",
        ),
    ),
)
GONE_IS_COMPLETED = Mutant(
    "a job that is gone counts as completed",
    (Replacement("lifecycle.py", "    cause = listed.cause or Cause.LOST\n", "    cause = Cause.EXIT_ZERO\n"),),
)
SENT_IS_CANCELLED = Mutant(
    "a cancel that was sent counts as cancelled",
    (
        Replacement(
            "lifecycle.py",
            "        job = _with(job, cancel_sent_at=_attempt(job).cancel_sent_at or now)\n",
            '        return _end(job, JobState.CANCELLED, Cause.CANCELLED_BY_USER, "sent", now)\n',
        ),
    ),
)
ALWAYS_AGAIN = Mutant(
    "a program that was cut off is started again, restartable or not",
    (Replacement("lifecycle.py", "    elif job.restartable and cause in _RESTARTS", "    elif cause in _RESTARTS"),),
)
LATE_WRITE = Mutant(
    "a controller that lost its lease can still write",
    (
        Replacement("store/applying.py", "    hold(connection, lease)\n", ""),
        Replacement("store/applying.py", "old is not None and old.seq == decision.job.seq\n", "old is not None\n"),
        Replacement("store/applying.py", "        _refuse_impossible(change)\n", "        pass\n"),
    ),
)
ANSWER_FIRST = Mutant(
    "a job is answered for before it is durable",
    (
        Replacement(
            "store/__init__.py",
            "        return self._writer.run_together(self._accept, accepting.Asked(viewer, new, key, body_sha256))\n",
            "        from concurrent.futures import Future\n"
            "        from threading import Thread\n"
            "        answer = Future()\n"
            "        def work(c):\n"
            "            answer.set_result(self._accept(c, [accepting.Asked(viewer, new, key, body_sha256)])[0])\n"
            "            time.sleep(0.3)  # the caller tells its user meanwhile\n"
            "        Thread(target=self._writer.run, args=(work,), daemon=True).start()\n"
            "        return answer.result()\n",
        ),
    ),
)
KEY_IGNORED = Mutant(
    "a repeated request makes another job",
    (Replacement("store/accepting.py", " if asked.key is not None}", " if False}"),),
)
VOID = Mutant(
    "a withdrawn attempt is called voided, and its claim stays free",
    (
        Replacement(
            "cluster/local.py",
            '                held = read_claim(hold(link, f"{VOID}{epoch}"), link.lstat().st_mtime)\n',
            "                held = claim_of(link.parent) or Voided(epoch)\n",
        ),
        Replacement(
            "cluster/supervisor/engine.py",
            '            held = hold(directory / "claim", SUPERVISOR_VOID)\n        except',
            "            held = SUPERVISOR_VOID\n"
            '            self.ended[waiting.tag] = ended(waiting.native_id, "withdrawn before it started", None)\n'
            "        except",
        ),
    ),
)
HTTP_CLAIM = Mutant(
    "a task starts whatever the gateway answers to its claim",
    (
        Replacement(
            "scheduler/templates/over_http.sh",
            """--data-binary "$body" || refused
  [ "$status" = 200 ] || refused
  run_program
""",
            """--data-binary "$body"
  run_program
""",
        ),
    ),
)
HTTP_VOID = Mutant(
    "a node may still claim an attempt that is void or over",
    (
        Replacement("api/attempts.py", "if found is None or found.is_void or found.is_over:", "if found is None:"),
        Replacement(
            "store/remote.py",
            "    if found is None or found.is_over or found.claim is not None:\n        return found\n",
            "    if found is None or not (found.claim is None or found.is_void):\n        return found\n",
        ),
        Replacement(
            "store/remote.py",
            "_FREE = remote_attempts.c.claim.is_(None)\n",
            "_FREE = remote_attempts.c.tag.is_not(None)\n",
        ),
    ),
)
UNREACHABLE_IS_GONE = Mutant(
    "a task whose agent does not answer counts as ended",
    (
        Replacement(
            "cluster/mesos/states.py",
            '    "TASK_UNREACHABLE": Meaning(Phase.ABSENT, _S.UNKNOWN, ',
            '    "TASK_UNREACHABLE": Meaning(Phase.ENDED, _S.ENDED, cause=Cause.NODE_FAILURE, words=',
        ),
    ),
)
