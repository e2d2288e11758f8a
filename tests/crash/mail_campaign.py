"""Mails under fire: every process is killed at random, the mail server goes away; its spool tells what arrived.

Rounds, users and databases are those of `campaign`; the jobs' own promises are judged there, and here as well.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.crash.api_front import api_front
from tests.crash.campaign import Round, databases
from tests.crash.faults import MAIL_PLACE
from tests.crash.mail_witness import MailVerdict, judge_mails, read_waiting
from tests.crash.rig import PATIENCE_S, Late, Rig, until
from tests.crash.witness import Verdict, read_shown
from tests.mail_server import SENDER, MailServer, Spooled

ADDRESS = "admin@example.org"
CHOICES = ("b", "e", "a", "be", "ea", "bea", "bea", "")
AWAY_S = (0.2, 2.0)
CONFIGURATION = """\
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "{sender}"
public_url = "http://gateway.example.org"
timeout_s = 10
"""


def letters_of(name: str) -> str:
    """What the owner of the job of this name asked for: always the same, of all kinds."""
    return CHOICES[zlib.crc32(name.encode()) % len(CHOICES)]


@dataclass(slots=True)
class PostOffice:
    """A mail server that can go away and come back at its port; `spool` is all that it ever took.

    `trap` is set off once, in the middle of the next mail: it is there, and the sender has not heard so.
    """

    port: int = 0
    spool: list[Spooled] = field(default_factory=list)
    trap: Callable[[], None] | None = None
    back_at: float = 0.0
    _server: MailServer | None = None

    def open(self) -> None:
        """Mails are taken."""
        self._server = MailServer(port=self.port, spool=self.spool, on_mail=self._on_mail).__enter__()
        self.port = self._server.port

    def close(self) -> None:
        """Nobody answers at the port."""
        if self._server is not None:
            self._server.__exit__(None, None, None)
            self._server = None

    def keep(self) -> None:
        """The server is back if its time has come."""
        if self._server is None and time.monotonic() > self.back_at:
            self.open()

    def _on_mail(self, spooled: Spooled) -> None:
        trap, self.trap = self.trap, None
        if trap is not None:
            trap()


@dataclass(slots=True)
class MailRound(Round):
    """A round of SIGKILLs: these are its faults. What else happens is `trouble`, and counts for nothing."""

    office: PostOffice = field(default_factory=PostOffice)
    trouble: Counter[str] = field(default_factory=Counter)

    def _strike(self) -> None:
        weights = {
            self._kill_controller: 4,
            self._arm_mailer: 5,
            self._trap_mail: 5,
            self._mail_server_away: 3,
            self._kill_supervisor: 2,
            self._kill_front: 3,
            self._kill_wrapper: 2,
            self._cancel: 2,
        }
        self.random.choices(list(weights), list(weights.values()))[0]()

    def _arm_mailer(self) -> None:
        """The controllers are replaced by one that will die between the server's 250 and the mark."""
        self._clear_the_way()
        armed = self.rig.start_controller(f"{MAIL_PLACE}=kill:{self.random.randint(1, 4)}")
        self._armed.append((armed, "killed between 250 and the mark"))

    def _trap_mail(self) -> None:
        """Who sends the next mail dies before it is answered."""

        def kill() -> None:
            for controller in list(self.rig.controllers):
                with suppress(ProcessLookupError):
                    if not controller.is_gone:
                        os.kill(controller.popen.pid, signal.SIGKILL)
            self.happened["killed before 250"] += 1

        self.office.trap = kill

    def _mail_server_away(self) -> None:
        self.office.close()
        self.office.back_at = time.monotonic() + self.random.uniform(*AWAY_S)
        self.trouble["mail server away"] += 1

    def _cancel(self) -> None:
        names = [name for name, request in self.rig.asked.items() if not request.cancelled]
        if names:
            self.rig.cancel(self.random.choice(names))
            self.trouble["cancelled by its user"] += 1

    def _keep(self) -> None:
        self.office.keep()
        super(MailRound, self)._keep()

    def _calm_down(self) -> None:
        self.office.trap = None
        if self.office.back_at:
            self.office.back_at = 0.0
            self.office.keep()
        super(MailRound, self)._calm_down()


def prepare(rig: Rig, office: PostOffice) -> None:
    """The rig's controllers send mails to the office, for the one user there is."""
    from isthmus.store import Store

    rig.letters = letters_of
    (rig.home / "isthmus.toml").write_text(CONFIGURATION.format(port=office.port, sender=SENDER))
    with Store.open(rig.database_url) as store:
        store.ensure_administrator()
        store.set_notice_choice(store.user("admin").id, ADDRESS, "")


def verdict_on_mails(rig: Rig, office: PostOffice, within_s: float = PATIENCE_S) -> MailVerdict:
    """What the witness says once all that was wanted has arrived and nothing more is to come, or it had time to."""

    def judged() -> MailVerdict:
        return judge_mails(read_shown(rig.database_url), rig.letters, list(office.spool))

    with suppress(Late):
        until(lambda: not judged().lost and not read_waiting(rig.database_url), "every mail arrives", within_s)
    return judged()


@contextmanager
def post_office() -> Iterator[PostOffice]:
    office = PostOffice()
    office.open()
    try:
        yield office
    finally:
        office.close()


# --- rounds until there were enough ---------------------------------------------------------------------------
@dataclass(slots=True)
class MailTotals:
    """What a campaign has seen so far."""

    faults: Counter[str] = field(default_factory=Counter)
    trouble: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    wanted: int = 0
    arrived: int = 0
    repeated: int = 0
    lost: int = 0
    doubled: int = 0
    unwanted: int = 0
    broken_jobs: int = 0

    def add(self, jobs: int, verdict: Verdict, mails: MailVerdict) -> None:
        self.jobs += jobs
        self.wanted += mails.wanted
        self.arrived += mails.arrived
        self.repeated += mails.repeated
        self.lost += len(mails.lost)
        self.doubled += len(mails.doubled)
        self.unwanted += len(mails.unwanted)
        self.broken_jobs += not verdict.is_clean

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unwanted or self.broken_jobs)

    def rows(self) -> dict[str, int]:
        """One row a kind of fault, then what the witness found."""
        found = {
            name.replace("_", " "): getattr(self, name)
            for name in MailTotals.__slots__
            if name not in ("faults", "trouble")
        }
        return {
            **dict(sorted(self.faults.items())),
            "all faults": self.faults.total(),
            **dict(sorted(self.trouble.items())),
            **found,
        }


def play(folder: Path, url: str, random: Random, faults: int, jobs: int) -> tuple[MailRound, Verdict, MailVerdict]:
    """One round, over, and what the witnesses say of its jobs and of its mails."""
    with post_office() as office, Rig(folder, database_url=url, cpus=6, open_front=api_front) as rig:
        prepare(rig, office)
        turn = MailRound(rig, random, faults, office=office)
        try:
            verdict = turn.play(jobs)
        except Late as late:
            verdict = Verdict(lost=(str(late),))
        rig.start_controller()
        return turn, verdict, verdict_on_mails(rig, office)


def run_on(
    database: str, faults: int, seed: int, say: Callable[[str], None], new_url: Callable[[ExitStack], str]
) -> MailTotals:
    """The totals of as many rounds on this database as it took."""
    totals, number = MailTotals(), 0
    while totals.faults.total() < faults:
        number += 1
        random = Random(f"mail/{seed}/{database}/{number}")
        folder = Path(tempfile.mkdtemp(prefix="isthmus-mail-"))
        began = time.monotonic()
        with ExitStack() as stack:
            few = min(30, faults - totals.faults.total())
            turn, verdict, mails = play(folder, new_url(stack), random, few, random.randint(20, 40))
        totals.faults += turn.injected
        totals.trouble += turn.trouble
        totals.add(len(turn.rig.asked), verdict, mails)
        clean = verdict.is_clean and mails.is_clean
        say(
            f"{database} round {number}: {len(turn.rig.asked)} jobs, {turn.injected.total()} faults,"
            f" {mails.wanted} mails wanted, {mails.arrived} arrived, {mails.repeated} of them again,"
            f" {time.monotonic() - began:.0f} s, {'clean' if clean else 'NOT CLEAN'}"
        )
        if clean:
            shutil.rmtree(folder)
        else:
            say(f"{verdict}\n{mails}\nkept: {folder}")
    return totals


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="campaign mail", description="Kills processes at random and counts mails that are missing or doubled."
    )
    parser.add_argument("--faults", type=int, default=200, help="how many, on each database")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--report", type=Path, help="file for the final table")
    arguments = parser.parse_args()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)

    with databases(arguments.database) as kinds:
        totals = {name: run_on(name, arguments.faults, arguments.seed, say, new_url) for name, new_url in kinds.items()}
    for name, found in totals.items():
        say(f"\n{name}, seed {arguments.seed}")
        say("\n".join(f"{row:<32}{count:>7}" for row, count in found.rows().items()))
    say(json.dumps({"seed": arguments.seed} | {name: found.rows() for name, found in totals.items()}))
    if arguments.report:
        arguments.report.write_text("\n".join(said) + "\n")
    return 0 if all(found.is_clean for found in totals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
