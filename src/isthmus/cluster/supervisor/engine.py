"""The local scheduler: what stands in the queue, what runs, what ended, and the wrappers in between.

Invariants
 1. The file system is the truth (see `attempts`): whatever is held here can be found again by `take_in`.
 2. An attempt stands in the queue only if a submit marker holds its native id and nobody holds its claim.
 3. A `start` line is durable in the accounting before the wrapper is forked.
 4. A started attempt is listed as ENDED only when its wrapper is gone, and whatever the wrapper left behind too.
 5. No claim in the same boot means not started: it is started again, and the claim stops a wrapper that comes late.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.cluster.attempts import (
    CLOSED,
    OVER,
    Holder,
    Malformed,
    StagedOrder,
    claim_of,
    directory_of,
    hold,
    is_over,
    native_id_of,
    order_of,
)
from isthmus.cluster.supervisor.accounting import Accounting, Deed, Entry
from isthmus.cluster.supervisor.ends import ended, record_of, without_record
from isthmus.cluster.supervisor.launch import Launcher, Running, uptime_s
from isthmus.cluster.supervisor.sandbox import BUBBLEWRAP
from isthmus.cluster.supervisor.slots import Allotment, Queue, Slots, Waiting, need_of, refusal
from isthmus.cluster.supervisor.stop import Stop, stop_program, stop_word, write_stop
from isthmus.facts import Accepted, Listed, NeverSubmitted, Rejected, Voided
from isthmus.failpoint import reach
from isthmus.job import Cause, SchedulerState

SUPERVISOR_VOID = "void:0"
"""The claim of an attempt that the supervisor took out of the queue for good; epochs of controllers begin at 1."""

_RETRY_MOST_S = 60.0
_CLEAR_AGAIN_S = 5.0
_log = logging.getLogger("isthmus.supervisor")


@dataclass(slots=True)
class Engine:
    """One cluster's scheduler, in one event loop; every method returns at once.

    `started_before` holds attempts that may have started in an earlier boot, tag to native id.
    """

    root: Path
    incarnation: int
    launcher: Launcher
    slots: Slots
    accounting: Accounting
    started_before: dict[str, str]
    grace_s: float
    queue: Queue = field(default_factory=Queue)
    running: dict[str, Running] = field(default_factory=dict)
    ended: dict[str, Listed] = field(default_factory=dict)  # only those that no end record tells of
    _resting: dict[str, Waiting] = field(default_factory=dict)  # could not be started; will stand in the queue again
    _lingering: dict[str, Listed] = field(default_factory=dict)  # wrapper gone, something it left can't be killed
    _troubles: dict[str, int] = field(default_factory=dict)
    _timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _stops: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _counter: int = 0
    _start_is_due: bool = False

    # --- what the controller asks for -------------------------------------------------------------------------
    def submit(self, tries: Iterable[tuple[str, int]]) -> dict[str, Accepted | Rejected | NeverSubmitted]:
        """Each attempt stands in the queue, once, under the native id in its submit marker; or why not, for good.

        NeverSubmitted: this try is closed. Asked again, the marker that is there answers.
        """
        answers = {tag: self._submit(tag, number) for tag, number in tries}
        reach("supervisor.after_marker")
        accepted = [(tag, answer) for tag, answer in answers.items() if isinstance(answer, Accepted)]
        fresh = [Entry(Deed.SUBMIT, tag, answer.native_id) for tag, answer in accepted if not self._knows(tag)]
        self._account(fresh)  # not synced: an attempt whose marker a power failure takes is found unlisted, and voided
        for tag, _ in accepted:
            if not self._knows(tag):
                self.take_in([tag])
        self._start_soon()
        return answers

    def _submit(self, tag: str, number: int) -> Accepted | Rejected | NeverSubmitted:
        try:
            directory = directory_of(self.root, tag)
            if is_over(self.root, tag):
                return Rejected(OVER)
            if native_id := native_id_of(directory):
                return Accepted(native_id)
            if words := refusal(need_of(order_of(directory).resources), self.slots.capacity):
                return Rejected(words)
            mine = f"{self.incarnation}.{self._counter + 1}"
            held = hold(directory / f"submit.{number}", mine)
        except FileNotFoundError:
            return Rejected("the attempt is not staged: its directory or its order is missing")
        except (Malformed, ValueError) as fault:
            return Rejected(str(fault))
        if held.startswith(CLOSED):
            return NeverSubmitted()
        self._counter += 1
        return Accepted(held)

    def listing(self, tags: Iterable[str]) -> dict[str, Listed]:
        """The state of each of these tags that this cluster has; one that is missing is proved not to be there."""
        found = {tag: self._listed(tag) for tag in tags}
        return {tag: listed for tag, listed in found.items() if listed}

    def cancel(self, tags: Iterable[str]) -> None:
        """Each tag that waited is out of the queue for good; each that ran was told to end."""
        for tag in tags:
            if running := self.running.get(tag):
                self._stop(running, Stop.CANCEL)
            elif waiting := self._waiting(tag):
                self._withdraw(waiting)
        self._start_soon()

    @property
    def is_idle(self) -> bool:
        return not (self.queue or self._resting or self.running or self._lingering)

    @property
    def waiting_count(self) -> int:
        return len(self.queue) + len(self._resting)

    # --- taking in: at a submission, and at a start of the supervisor ------------------------------------------
    def take_in(self, tags: Iterable[str]) -> None:
        """Each attempt is where its files say: in the queue, watched, or listed as ended."""
        gone: dict[str, Holder] = {}
        for tag in tags:
            try:
                holder = self._take_in(tag, directory_of(self.root, tag))
            except (FileNotFoundError, NotADirectoryError, ValueError):
                continue  # no attempt, or one that is being discarded
            except OSError as fault:  # one that can't be read keeps no other from its place; its listing looks again
                _log.error("%s can't be taken in: %s", tag, fault)
                continue
            if holder:
                gone[tag] = holder
        all_gone = self.launcher.bury(list(gone))
        for tag, holder in gone.items():
            if all_gone:
                self._conclude(tag, holder, None)
            else:
                self._clear_away(tag, holder, None)

    def recover(self) -> None:
        """Every attempt of the cluster is where its files say."""
        names = os.listdir(self.root / "attempts")  # noqa: PTH208 (names, not ten thousand paths)
        self.take_in(name for name in names if not name.startswith("."))
        if groups := self.launcher.groups:
            for tag in groups.tags():
                if tag not in self.running:
                    groups.remove(tag)
        self._start_soon()

    def _take_in(self, tag: str, directory: Path) -> Holder | None:
        """Puts the attempt where it belongs; returns its holder if that one's process is gone."""
        native_id = native_id_of(directory)
        claim = claim_of(directory)
        if native_id is None or isinstance(claim, Voided):
            return None
        if isinstance(claim, Holder):
            if record_of(directory, claim.run):
                return None
            return None if self._adopt(tag, directory, claim) else claim
        if tag in self.started_before:
            self.ended[tag] = ended(self.started_before[tag], "machine restarted", Cause.NODE_FAILURE)
        elif order := self._order(tag, directory, native_id):
            self.queue.add(Waiting(tag, native_id, need_of(order.resources)))
        return None

    def _adopt(self, tag: str, directory: Path, holder: Holder) -> bool:
        """The claim's holder is watched, if it runs."""
        order = self._order(tag, directory, holder.native_id)
        running = self.launcher.adopt(directory, holder, order, need_of(order.resources)) if order else None
        if running is None:
            return False
        self._account([Entry(Deed.ADOPT, tag, holder.native_id)])
        self.slots.adopt(tag, running.allotment)
        self._watch(running)
        if why := stop_word(directory):
            self._stop(running, why)
        return True

    def _order(self, tag: str, directory: Path, native_id: str) -> StagedOrder | None:
        """The attempt's order; without a readable one the attempt can never start, and is listed so."""
        try:
            return order_of(directory)
        except (Malformed, FileNotFoundError) as fault:
            _log.error("%s: %s", tag, fault)
            if isinstance(claim_of(directory), Holder):
                return None
            hold(directory / "claim", SUPERVISOR_VOID)
            self.ended[tag] = ended(native_id, "its order can't be read", Cause.LAUNCH_FAILED)
            return None

    # --- starting ----------------------------------------------------------------------------------------------
    def _start_soon(self) -> None:
        if not self._start_is_due:
            self._start_is_due = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        """Every attempt whose turn has come was started: all their `start` lines first, with one fsync."""
        self._start_is_due = False
        batch = list(self._due())
        if not batch:
            return
        try:
            self.accounting.write(Entry(Deed.START, waiting.tag, waiting.native_id) for waiting, _, _ in batch)
        except OSError as fault:
            for waiting, _, _ in batch:
                self._rest(waiting, f"its start could not be recorded: {fault.strerror}")
            return
        reach("supervisor.after_accounting")
        for waiting, order, allotment in batch:
            self._launch(waiting, order, allotment)

    def _due(self) -> Iterable[tuple[Waiting, StagedOrder, Allotment]]:
        while (head := self.queue.head()) and self.slots.lack(head.need) is None:
            self.queue.remove(head.tag)
            directory = directory_of(self.root, head.tag)
            try:
                order = self._startable(head, directory)
            except (FileNotFoundError, NotADirectoryError):
                continue  # discarded
            except OSError as fault:
                self._rest(head, f"its files can't be read: {fault.strerror}")
                continue
            if order:
                place, _ = self.launcher.place(directory)
                yield head, order, self.slots.take(head.tag, head.need, place)

    def _startable(self, waiting: Waiting, directory: Path) -> StagedOrder | None:
        claim = claim_of(directory)
        if claim is not None:  # voided while it waited, or started by a wrapper from before a restart
            self.take_in([waiting.tag])
            return None
        order = self._order(waiting.tag, directory, waiting.native_id)
        isolation = self.launcher.sandbox.isolation
        if order and order.isolation == BUBBLEWRAP != isolation:
            hold(directory / "claim", SUPERVISOR_VOID)
            words = f"it was staged for {BUBBLEWRAP}, which no longer works here"
            self.ended[waiting.tag] = ended(waiting.native_id, words, Cause.LAUNCH_FAILED)
            return None
        return order

    def _launch(self, waiting: Waiting, order: StagedOrder, allotment: Allotment) -> None:
        directory = directory_of(self.root, waiting.tag)
        try:
            running = self.launcher.launch(directory, waiting.native_id, order, allotment)
        except OSError as fault:
            self._rest(waiting, f"it could not be started: {fault}")
            return
        reach("supervisor.after_fork")
        self._watch(running)

    def _rest(self, waiting: Waiting, words: str) -> None:
        """The attempt, not started, stands in the queue again after a while that grows with every failure."""
        _log.warning("%s: %s", waiting.tag, words)
        self.slots.free(waiting.tag)
        self._resting[waiting.tag] = replace(waiting, trouble=f"{words}; it is tried again")
        count = self._troubles[waiting.tag] = self._troubles.get(waiting.tag, 0) + 1
        pause_s = min(0.25 * 2**count, _RETRY_MOST_S)
        asyncio.get_running_loop().call_later(pause_s, self._queue_again, waiting.tag)

    def _queue_again(self, tag: str) -> None:
        if waiting := self._resting.pop(tag, None):
            self.queue.add(waiting)
            self._start_soon()

    # --- running, and the end -------------------------------------------------------------------------------------
    def _watch(self, running: Running) -> None:
        loop = asyncio.get_running_loop()
        self.running[running.tag] = running
        self._troubles.pop(running.tag, None)
        loop.add_reader(running.pidfd, self._gone, running)
        left_s = running.since_s + running.walltime_s - uptime_s()
        self._timers[running.tag] = loop.call_later(max(left_s, 0), self._stop, running, Stop.WALLTIME)

    def _stop(self, running: Running, why: Stop) -> None:
        """The program is being ended, for the first reason given."""
        if running.tag in self._stops:
            return
        directory = directory_of(self.root, running.tag)
        write_stop(directory, why)
        self._account([Entry(Deed.STOP, running.tag, running.native_id, why)])
        ending = stop_program(directory, running.tag, running.pid, self.grace_s, self.launcher.groups)
        self._stops[running.tag] = asyncio.get_running_loop().create_task(ending)

    def _gone(self, running: Running) -> None:
        """The wrapper ended: what it left behind ends too, its slots are free, and what became of it is known."""
        asyncio.get_running_loop().remove_reader(running.pidfd)
        self.running.pop(running.tag)
        self._timers.pop(running.tag).cancel()
        if stopping := self._stops.pop(running.tag, None):
            stopping.cancel()
        code = self.launcher.reap(running)
        reach("supervisor.after_end")
        self.slots.free(running.tag)
        self._start_soon()
        with suppress(FileNotFoundError):  # discarded while it ran
            self._after(running, code)
        self.release_group(running.tag)

    def _after(self, running: Running, code: int | None) -> None:
        directory = directory_of(self.root, running.tag)
        claim = claim_of(directory)
        if claim is None:
            native_id = native_id_of(directory)
            if native_id and (order := self._order(running.tag, directory, native_id)):
                waiting = Waiting(running.tag, native_id, need_of(order.resources))
                self._rest(waiting, f"its wrapper ended with code {code} before it claimed the start")
        elif isinstance(claim, Voided):
            return
        elif claim.process.pid == running.pid and claim.process.boot_id == self.launcher.boot_id:
            self._clear_away(
                running.tag, claim, code
            )  # only now: another wrapper's program has the same group and user
        else:
            self.take_in([running.tag])  # another wrapper was faster

    def _clear_away(self, tag: str, holder: Holder, code: int | None) -> None:
        """What the attempt left behind is gone, and then it is concluded; until then it is listed as completing."""
        has_record = record_of(directory_of(self.root, tag), holder.run) is not None
        if self.launcher.clear(tag) and (has_record or self.launcher.bury([tag])):
            self._lingering.pop(tag, None)
            self._conclude(tag, holder, code)
            return
        words = "a process of it can't be killed yet"
        self._lingering[tag] = Listed(holder.native_id, SchedulerState.COMPLETING, "completing", words)
        asyncio.get_running_loop().call_later(_CLEAR_AGAIN_S, self._clear_away, tag, holder, code)

    def _conclude(self, tag: str, holder: Holder, code: int | None) -> None:
        """Nothing of the attempt runs any more: its record tells how it ended, or we say what we know."""
        directory = directory_of(self.root, tag)
        if record := record_of(directory, holder.run):
            self._account([Entry(Deed.END, tag, holder.native_id, f"exit code {record.code}")])
            return
        listed = without_record(directory, holder, code, self.launcher.boot_id)
        self.ended[tag] = listed
        self._account([Entry(Deed.END, tag, holder.native_id, listed.word)])
        with suppress(OSError), (self.root / "events").open("a", encoding="ascii") as events:
            events.write(f"ended {tag} {holder.native_id}\n")  # a hint, as the wrapper's own lines are

    def release_group(self, tag: str) -> None:
        """The attempt's control group is gone, now or when its last process is."""
        if self.launcher.groups and not self.launcher.groups.remove(tag):
            asyncio.get_running_loop().call_later(1, self.release_group, tag)

    # --- the listing ----------------------------------------------------------------------------------------------
    def _listed(self, tag: str) -> Listed | None:
        if running := self.running.get(tag):
            return Listed(running.native_id, SchedulerState.RUNNING, "running")
        if known := self._lingering.get(tag) or self.ended.get(tag):
            return known
        try:
            directory = directory_of(self.root, tag)
            claim = claim_of(directory)
            native_id = native_id_of(directory)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as fault:
            return Listed("", SchedulerState.UNKNOWN, "unknown", f"its files can't be read: {fault.strerror}")
        if native_id is None:
            return None
        if isinstance(claim, Voided):
            self._forget(tag)
            return ended(native_id, "withdrawn before it started", None)
        if waiting := self._waiting(tag):
            return Listed(native_id, SchedulerState.QUEUED, "queued", self._reason(waiting))
        if claim and record_of(directory, claim.run):
            return ended(claim.native_id, "ended", None)
        self.take_in([tag])  # not known, though it has a marker: somebody mended the files
        self._start_soon()
        return Listed(native_id, SchedulerState.UNKNOWN, "unknown")

    def _reason(self, waiting: Waiting) -> str:
        if waiting.trouble:
            return waiting.trouble
        head = self.queue.head()
        if head is None or head.tag == waiting.tag:
            return self.slots.lack(waiting.need) or ""
        return "waiting for its turn"

    def _waiting(self, tag: str) -> Waiting | None:
        return self.queue.get(tag) or self._resting.get(tag)

    def _knows(self, tag: str) -> bool:
        return tag in self.running or tag in self._lingering or tag in self.ended or self._waiting(tag) is not None

    def _withdraw(self, waiting: Waiting) -> None:
        """The attempt is out of the queue; the claim makes that hold after a restart too."""
        directory = directory_of(self.root, waiting.tag)
        try:
            held = hold(directory / "claim", SUPERVISOR_VOID)
        except FileNotFoundError:
            held = SUPERVISOR_VOID  # discarded
        self._forget(waiting.tag)
        if held != SUPERVISOR_VOID:
            self.take_in([waiting.tag])

    def _forget(self, tag: str) -> None:
        self.queue.remove(tag)
        self._resting.pop(tag, None)

    def _account(self, entries: list[Entry]) -> None:
        """The entries are written, unless the disk is full: nothing rests on these."""
        if entries:
            try:
                self.accounting.write(entries)
            except OSError as fault:
                _log.error("the accounting could not be written: %s", fault)
