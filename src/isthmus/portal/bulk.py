"""What is done with the jobs that somebody selected in a list: asked first where it can't be undone, then told of.

Each job is dealt with by itself: what can't be done to one keeps nobody's others from it, and the answer says why.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlencode

import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.api.requests import MAX_LABELS
from isthmus.errors import InputFault, InvalidInput, IsthmusError, NotFound
from isthmus.gateway import By, Changes, Key
from isthmus.portal.jobfilter import Filter, read_filter
from isthmus.portal.joblist import Board, BoardOf, is_listed, own_board
from isthmus.portal.naming import label_faults, next_name, read_labels
from isthmus.portal.rendering import page, wants_part
from isthmus.portal.sentform import Form, form_of
from isthmus.portal.session import safe_next
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.views import JobView
from isthmus.store.wishes import CancelOutcome, ChangedMeanwhile, JobChanges

MOST_JOBS = 500
MOST_TOLD = 20
"""Jobs that are named one by one where something could not be done."""

_KEY = re.compile(r"[\w-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Selection:
    """Jobs chosen in a list, what is to be done with them, and who asks."""

    visitor: Visitor
    board: Board
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    key: str

    def job(self, job_id: str) -> JobView:
        """The job, if it is one of the list's. NotFound."""
        return self.visitor.gateway.store.job(self.board.viewer, job_id)

    def change(self, job_id: str, changes: JobChanges, *, expected_seq: int | None = None) -> None:
        """The job is as asked. NotFound; ChangedMeanwhile."""
        store, by = self.visitor.gateway.store, self.visitor.actor
        store.change(self.board.viewer, job_id, changes, time.time(), expected_seq=expected_seq, by=by)


@dataclass(frozen=True, slots=True)
class NotDone:
    """A job to which it was not done, and why. `name` is its id where it was not found."""

    job_id: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each job of a selection. `made` are the ids of new jobs."""

    done: tuple[str, ...]
    refused: tuple[NotDone, ...]
    made: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that can be done with jobs, in words: `done` follows "3 of 5 jobs", `fitting` "only 3 of 5 jobs".

    With a `question` it is asked first. `fits` tells to which jobs it can be done, `ends` that something ends with it.
    """

    act: Callable[[Selection], Outcome]
    verb: str
    done: str
    question: str = ""
    fitting: str = ""
    fits: Callable[[JobView], bool] = lambda job: True
    ends: bool = True


# --- one by one ---------------------------------------------------------------------------------------------
def _each(selection: Selection, act: Callable[[str], str | None]) -> Outcome:
    """The act done to each job; it gives the id of a job it made, and raises where it can't be done."""
    done, refused, made = [], [], []
    for job_id in selection.ids:
        try:
            new = act(job_id)
        except IsthmusError as error:
            refused.append(_not_done(selection, job_id, error.message))
            continue
        done.append(job_id)
        made += [] if new is None else [new]
    return Outcome(tuple(done), tuple(refused), tuple(made))


def _not_done(selection: Selection, job_id: str, words: str) -> NotDone:
    try:
        return NotDone(job_id, selection.job(job_id).name, words)
    except NotFound:
        return NotDone("", "A job that you don't have", words)


def _cancel(selection: Selection) -> Outcome:
    words = {
        CancelOutcome.REQUESTED_BEFORE: "was asked for before; it is repeated until the cluster's answer proves it",
        CancelOutcome.ALREADY_ENDED: "it has ended already",
        CancelOutcome.NOT_FOUND: "there is no such job",
    }
    visitor = selection.visitor
    answers = visitor.gateway.store.request_cancel(selection.board.viewer, selection.ids, time.time(), visitor.actor)
    done = tuple(found.job_id for found in answers if found.outcome is CancelOutcome.REQUESTED)
    others = [found for found in answers if found.outcome is not CancelOutcome.REQUESTED]
    return Outcome(done, tuple(_not_done(selection, found.job_id, words[found.outcome]) for found in others))


def _resubmit(selection: Selection) -> Outcome:
    visitor = selection.visitor
    by = By(selection.board.viewer, visitor.name)

    def again(job_id: str) -> str:
        said = f"run again {selection.key} {job_id}"
        key = Key(f"portal {said}", hashlib.sha256(said.encode()).hexdigest())
        relatives = visitor.gateway.store.family(visitor.viewer, job_id)
        name = next_name(selection.job(job_id).name, (one.name for one in relatives))
        return visitor.gateway.resubmit(by, job_id, Changes(name=name), key).job.id

    return _each(selection, again)


def _archive(selection: Selection) -> Outcome:
    return _each(selection, lambda job_id: selection.change(job_id, JobChanges(archived=True)))


def _bring_back(selection: Selection) -> Outcome:
    return _each(selection, lambda job_id: selection.change(job_id, JobChanges(archived=False)))


def _delete(selection: Selection) -> Outcome:
    visitor = selection.visitor
    return _each(selection, lambda job_id: visitor.gateway.delete(selection.board.viewer, job_id, visitor.actor))


def _label(selection: Selection) -> Outcome:
    added = _checked(selection.labels)

    def add(labels: tuple[str, ...]) -> tuple[str, ...]:
        if len({*labels, *added}) > MAX_LABELS:
            raise InvalidInput(f"a job has at most {MAX_LABELS} labels: take one off first")
        return tuple(sorted({*labels, *added}))

    return _each(selection, lambda job_id: _relabel(selection, job_id, add))


def _unlabel(selection: Selection) -> Outcome:
    taken = _checked(selection.labels)

    def take_off(labels: tuple[str, ...]) -> tuple[str, ...]:
        if not {*labels} & {*taken}:
            raise InvalidInput("it does not have this label" if len(taken) == 1 else "it has none of these labels")
        return tuple(other for other in labels if other not in taken)

    return _each(selection, lambda job_id: _relabel(selection, job_id, take_off))


def _relabel(selection: Selection, job_id: str, changed: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    """The job's labels are changed from what they are, whoever else changes them at the same time."""
    while True:
        job = selection.job(job_id)
        changes = JobChanges(labels=changed(job.labels))
        with suppress(ChangedMeanwhile):
            return selection.change(job_id, changes, expected_seq=job.seq)


def _checked(labels: tuple[str, ...]) -> tuple[str, ...]:
    if not labels:
        raise _refused("label", "Write the label beside the button first.")
    if fault := next(label_faults(labels), None):
        raise _refused("label", f"The label can't be used: it {fault.message}.")
    return labels


def _refused(field: str, words: str) -> InvalidInput:
    return InvalidInput(words, (InputFault(field, "selection", words),))


_CANCEL_WORDS = (
    "Jobs that have ended are left alone. A running program is stopped, and what it has written so far is kept. A job"
    " shows Cancelled once it is proved not to run."
)
_DELETE_WORDS = (
    "Their inputs, outputs and logs are deleted for good; that they ran stays known. Files that other jobs use stay"
    " with those. Only jobs that have ended can be deleted: cancel the others first."
)
_AGAIN_WORDS = (
    "Each becomes a new job with the same inputs, application version, cluster and resources. To change something, open"
    " a job and choose Edit & resubmit."
)
DEEDS: Mapping[str, Deed] = MappingProxyType(
    {
        "cancel": Deed(
            _cancel,
            "Cancel",
            "will be cancelled",
            _CANCEL_WORDS,
            "have not ended yet",
            lambda job: not job.state.is_final,
        ),
        "resubmit": Deed(
            *(_resubmit, "Run again", "run again, with the same inputs, as new jobs", _AGAIN_WORDS, "are there"),
            ends=False,
        ),
        "archive": Deed(_archive, "Archive", "archived: find them under Archived"),
        "bring_back": Deed(_bring_back, "Bring back", "back in the list"),
        "delete": Deed(_delete, "Delete", "deleted", _DELETE_WORDS, "have ended", lambda job: job.state.is_final),
        "label": Deed(_label, "Label", "labelled"),
        "unlabel": Deed(_unlabel, "Take the label off", "without the label now"),
    }
)


# --- the route ------------------------------------------------------------------------------------------------
def bulk_route(path: str, board_of: BoardOf) -> Route:
    """Does with the selected jobs of the list at `path` what the form says."""

    def act(request: Request, form: Form) -> Response:
        visitor = visitor_of(request)
        board = board_of(visitor)
        ids = tuple(dict.fromkeys(form.all("job")))
        if not 1 <= len(ids) <= MOST_JOBS:
            raise _refused("job", f"Select 1 to {MOST_JOBS} jobs in the list first: {len(ids)} are selected.")
        wanted = form.get("do")
        if wanted == "compare":
            return _compare(request, ids)
        deed = DEEDS.get(wanted)
        if deed is None or (wanted == "resubmit" and board.everybody):
            raise _refused("do", "There is no such button: reload the page.")
        key = form.get("key") if _KEY.fullmatch(form.get("key")) else secrets.token_urlsafe(12)
        selection = Selection(visitor, board, ids, read_labels(form.get("label")), key)
        here = safe_next(form.get("here") or board.path)
        asked = read_filter(QueryParams(here.partition("?")[2]), everybody=board.everybody)
        known = {"board": board, "filter": asked, "deed": deed, "wanted": wanted, "here": here, "n": len(ids)}
        if deed.question and form.get("sure") != "yes":
            return _ask(request, selection, deed, known)
        return _tell(request, selection, deed.act(selection), asked, known)

    async def route(request: Request) -> Response:
        form = await form_of(request)
        return await anyio.to_thread.run_sync(act, request, form)

    return Route(f"{path}/selected", route, methods=["POST"])


def _compare(request: Request, ids: Sequence[str]) -> Response:
    if len(ids) != 2:
        raise _refused("job", f"Two jobs can be compared: {len(ids)} are selected.")
    to = f"/compare?{urlencode({'a': ids[0], 'b': ids[1]})}"
    if wants_part(request):
        return Response(headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


def _ask(request: Request, selection: Selection, deed: Deed, known: Mapping[str, object]) -> Response:
    """The question, with how many jobs it can be done to."""
    found = list(_found(selection))
    fitting = sum(deed.fits(job) for job in found)
    part = wants_part(request)
    return page(
        request,
        "jobs/sure_part.html" if part else "jobs/sure.html",
        **known,
        ids=selection.ids,
        fitting=fitting,
        key=selection.key,
        first=found[0].name if found else "",
    )


def _tell(
    request: Request, selection: Selection, outcome: Outcome, asked: Filter, known: Mapping[str, object]
) -> Response:
    """What became of them; on the page itself their rows are made new."""
    more = max(len(outcome.refused) - MOST_TOLD, 0)
    told = {**known, "outcome": outcome, "refused": outcome.refused[:MOST_TOLD], "more": more}
    if not wants_part(request):
        return page(request, "jobs/done.html", **told)
    rows = {job.id: job for job in _found(selection) if is_listed(job, asked)}
    gone = [job_id for job_id in outcome.done if job_id not in rows]
    return page(request, "jobs/done_part.html", **told, rows=list(rows.values()), gone=gone)


def _found(selection: Selection) -> Iterator[JobView]:
    for job_id in selection.ids:
        try:
            job = selection.job(job_id)
        except NotFound:
            continue
        yield job


routes = [bulk_route("/jobs", own_board)]
