"""The witness of mails: what the mail server has, beside what happened to the jobs.

It imports nothing of Isthmus. What happened, it reads from the history by plain SELECTs, and not from the outbox; what
was sent, from the server's spool. `judge_mails` holds the two against each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.crash.witness import FINAL, Shown, select
from tests.mail_server import Spooled

OWN_ENDS = frozenset({"exit_zero", "exit_nonzero", "signal"})
WORDS = {
    "began": "b",
    "ended": "e",
    "completed": "e",
    "was aborted": "a",
    "was cancelled": "a",
}
"""What the end of a subject stands for; `failed` may be either kind of end, which the job's cause tells."""


@dataclass(frozen=True, slots=True)
class MailVerdict:
    """What was found, in sentences. `repeated` mails came again under the id they had: no promise is broken by it."""

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    wanted: int = 0
    arrived: int = 0
    repeated: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unwanted)

    def __str__(self) -> str:
        found = (("lost", self.lost), ("under two ids", self.doubled), ("unwanted", self.unwanted))
        return "\n".join(f"{name}: {sentence}" for name, sentences in found for sentence in sentences)


def read_waiting(database_url: str) -> int:
    """How many mails are still to be sent, so that nobody judges too early."""
    ((row,),) = select(database_url, ("SELECT count(*) FROM notices WHERE next_try_at IS NOT NULL",))
    assert isinstance(row[0], int)
    return row[0]


def judge_mails(shown: Sequence[Shown], letters: Callable[[str], str | None], spool: Sequence[Spooled]) -> MailVerdict:
    """Every mail that is missing, doubled or wanted by nobody. `letters` says what each job's owner asked for."""
    wanted = {(job.name, kind) for job in shown for kind in _happened(job) if kind in (letters(job.name) or "")}
    ends = {job.name: _end(job) for job in shown}
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in spool:
        name, _, words = str(one.mail["Subject"]).partition(" ")
        ids[name, WORDS.get(words) or ends.get(name) or "?"].add(one.message_id)
    times = Counter(one.message_id for one in spool)
    return MailVerdict(
        lost=tuple(f"{name}: no mail tells of '{kind}'" for name, kind in sorted(wanted - ids.keys())),
        doubled=tuple(_doubled(ids.items())),
        unwanted=tuple(f"{name}: a mail tells of '{kind}'" for name, kind in sorted(ids.keys() - wanted)),
        wanted=len(wanted),
        arrived=len(times),
        repeated=sum(n - 1 for n in times.values()),
    )


def _doubled(ids: Iterable[tuple[tuple[str, str], set[str]]]) -> Iterator[str]:
    for (name, kind), several in ids:
        if len(several) > 1:
            yield f"{name}: '{kind}' came under {len(several)} ids"


def _happened(job: Shown) -> Iterator[str]:
    if any(step.after == "RUNNING" for step in job.steps):
        yield "b"
    if end := _end(job):
        yield end


def _end(job: Shown) -> str | None:
    if job.state not in FINAL:
        return None
    return "e" if job.cause in OWN_ENDS else "a"
