"""Submitting a job again: the form filled in from it, what differs marked, and the new job made of the two."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from starlette.requests import Request

from isthmus.application import Application, Input
from isthmus.errors import InvalidInput, NotFound
from isthmus.gateway import By, Changes, Key
from isthmus.gateway.catalogue import Entry, Listing
from isthmus.gateway.submission import LATEST, FileReference, asked_resources
from isthmus.portal.amounts import same_amount, text_of_amount
from isthmus.portal.catalogue import closed_words
from isthmus.portal.chosen import kept_texts, references
from isthmus.portal.fields import name_of
from isthmus.portal.filling import Filling, Parent, dropped_resources, usual_notices
from isthmus.portal.forms import Kind, routes_at, send_new
from isthmus.portal.formtexts import KeptFile, Texts, last, texts_of_value
from isthmus.portal.naming import next_name, write_labels
from isthmus.portal.visitor import Visitor, visitor_of
from isthmus.store.views import JobView


def open_again(request: Request) -> Filling:
    """The form of the job in the address, filled in from it. NotFound: there is none for the visitor."""
    visitor, job_id = visitor_of(request), request.path_params["id"]
    access = visitor.access(job_id)
    job = visitor.gateway.store.job(access.viewer, job_id)
    listing = visitor.gateway.catalogue()
    exact = Application.from_json(job.definition)
    newest = _newest(listing, job.application)
    entry = _entry(listing, job, exact, newest, request.query_params.get("version"), access.may_change)
    is_mine = job.owner_id == visitor.user_id
    texts = _texts(job, exact, entry.application, with_labels=is_mine)
    relatives = visitor.gateway.store.family(visitor.viewer, job_id) if is_mine else ()
    name = next_name(job.name, (one.name for one in relatives)) if is_mine else job.name
    parent = Parent(job, texts, asked_resources(exact, job), access.may_change)
    version = request.query_params.get("version")
    return Filling(
        visitor=visitor,
        entry=entry,
        path=f"/jobs/{job_id}/resubmit",
        query="" if version is None else f"?{urlencode({'version': version})}",
        draft_key=f"job {job_id}",
        template="forms/again.html",
        start={**texts, "name": (name,), "notices": ("chosen", *usual_notices(visitor))},
        clusters=visitor.gateway.clusters(),
        parent=parent,
        more={
            "job": job,
            "is_own": parent.is_own,
            "newest": newest,
            "differs_by": list(_definition_changes(exact, newest.application)) if newest else [],
            "closed": _closed(visitor, job, newest),
        },
    )


def _newest(listing: Listing, name: str) -> Entry | None:
    found = listing.entries.get(name)
    return found[0] if found else None


def _closed(visitor: Visitor, job: JobView, newest: Entry | None) -> str:
    if newest is None:
        return (
            f"The application {job.application} is not in this gateway's catalogue any more, so it can't be run again."
        )
    return closed_words(newest, visitor.is_administrator)


def _entry(
    listing: Listing, job: JobView, exact: Application, newest: Entry | None, version: str | None, is_own: bool
) -> Entry:
    """The definition the new job runs: the very one of the earlier job, unless another is asked for.

    Of somebody else's job it is one of the catalogue's: the same version if there is one, else the newest.
    """
    if version == LATEST and newest is not None:
        return newest
    if not is_own and newest is not None:
        try:
            return listing.find(job.application, version or job.version)
        except NotFound:
            return newest
    if version is not None and version != job.version:
        return listing.find(job.application, version)
    enabled_for = exact.enabled_for if newest is None else newest.enabled_for
    return Entry(exact, job.digest, exact.to_json(), enabled_for)


def _texts(
    job: JobView, exact: Application, application: Application, *, with_labels: bool
) -> dict[str, tuple[str, ...]]:
    """What the form holds for the job: its inputs, its files where they are still there, what it asked for.

    Its labels are its owner's order, so a copy of somebody else's job has none.
    """
    inputs = {
        name_of(found): texts_of_value(found, job.inputs.get(found.name))
        for found in application.inputs
        if not found.file
    }
    asked = asked_resources(exact, job)
    amounts = {f"resources.{name}": (text_of_amount(name, amount),) for name, amount in asked.items()}
    labels = write_labels(job.labels) if with_labels else ""
    plain = {"cluster": (job.cluster,), "name": (job.name,), "labels": (labels,)}
    return {**inputs, **({} if job.deleted_at is not None else kept_texts(job)), **amounts, **plain}


def _definition_changes(old: Application, new: Application) -> Iterator[str]:
    """What the newer version asks for that the older did not, in words."""
    before, now = ({one.name: one for one in application.inputs} for application in (old, new))
    yield from (f"“{now[name].label}” is new" for name in now.keys() - before.keys())
    yield from (f"“{before[name].label}” is gone" for name in before.keys() - now.keys())
    for name in before.keys() & now.keys():
        yield from _input_changes(before[name], now[name])
    if old.command != new.command or old.script != new.script:
        yield "it is started in another way"
    if old.resources != new.resources:
        yield "it asks for other resources by itself"


def _input_changes(old: Input, new: Input) -> Iterator[str]:
    if old.default != new.default:
        yield f"“{new.label}” is by itself {_shown(new)}, not {_shown(old)}"
    if old.schema != new.schema or old.file != new.file:
        yield f"“{new.label}” permits other values"
    if old.unit != new.unit:
        yield f"“{new.label}” is in {new.unit or 'no unit'}, not {old.unit or 'no unit'}"


def _shown(found: Input) -> str:
    return "nothing" if found.default is None else " ".join(texts_of_value(found, found.default)) or "empty"


# --- sending it -------------------------------------------------------------------------------------------------------
def send_again(filling: Filling, texts: Texts, key: Key | None) -> str:
    """A new job made of the earlier one and what was changed; of somebody else's, a job of the visitor's own."""
    parent = filling.parent
    if parent is None:
        raise AssertionError("a form of a job submitted again has a parent")
    if not parent.is_own:
        _note_taken(filling, parent, texts)
        return send_new(filling, texts, key)
    changes = changes_of(filling, parent, texts)
    return filling.visitor.gateway.resubmit(_acting(filling, parent), parent.job.id, changes, key).job.id


def _note_taken(filling: Filling, parent: Parent, texts: Texts) -> None:
    """Each file that is taken from somebody else's job is written down."""
    visitor, chooser = filling.visitor, filling.chooser
    for files in filling.said(texts).files.values():
        for kept in (chooser.kept(one) for one in files if isinstance(one, KeptFile)):
            if kept is not None:
                said = f"input {kept.file_name}"
                by, address, viewer = visitor.name, visitor.address, visitor.caller.viewer
                visitor.gateway.access(viewer, parent.job.id, by=by, address=address, copied=said)


def _acting(filling: Filling, parent: Parent) -> By:
    """The visitor as themselves, or as the administrator they are where the job is another's or for those only."""
    visitor = filling.visitor
    is_open = filling.entry.is_open_to(administrator=False)
    return visitor.by if parent.job.owner_id == visitor.user_id and is_open else visitor.caller.by


def changes_of(filling: Filling, parent: Parent, texts: Texts) -> Changes:
    """What the form says otherwise than the earlier job. InvalidInput: a file is gone."""
    said, application = filling.said(texts), filling.application
    exact = Application.from_json(parent.job.definition)
    changed = [found for found in application.inputs if not filling.is_same(found, texts)]
    inputs = {found.name: said.inputs[found.name] for found in changed if found.name in said.inputs}
    files = {found.name: _references(filling, texts, found) for found in changed if found.name in said.files}
    left_out = [found.name for found in changed if found.name not in inputs and found.name not in files]
    left_out += [found.name for found in exact.inputs if application.input(found.name) is None]
    if parent.job.deleted_at is not None:  # their bytes are gone, so each must be given or left out
        left_out += [found.name for found in application.inputs if found.file and found.name not in files]
    labels = said.labels if {*said.labels} != {*parent.job.labels} else None
    return Changes(
        inputs=inputs,
        unset=tuple(dict.fromkeys(name for name in left_out if exact.input(name) is not None)),
        files=files,
        resources=dict(_amounts(application, parent, texts)),
        cluster=said.cluster if said.cluster != parent.job.cluster else None,
        version=_version(filling, parent),
        name=said.name,
        labels=labels,
        notices=said.notices,
    )


def _version(filling: Filling, parent: Parent) -> str | None:
    if filling.entry.digest == parent.job.digest:
        return None
    version = filling.application.version
    return LATEST if version == parent.job.version else version


def _references(filling: Filling, texts: Texts, found: Input) -> tuple[FileReference, ...]:
    try:
        return references(filling.chooser, filling.said(texts).files[found.name], filling.visitor.viewer)
    except NotFound as gone:
        raise InvalidInput(gone.message) from gone


def _amounts(application: Application, parent: Parent, texts: Texts) -> Iterator[tuple[str, str | None]]:
    """Each resource that was changed; None where the application is to say it again."""
    for rule in application.resources:
        text = last(texts, f"resources.{rule.name}").strip()
        if not same_amount(rule.name, text, parent.asked.get(rule.name)):
            yield rule.name.value, text or None
    yield from ((name, None) for name in dropped_resources(application, parent.asked))


routes = routes_at("/jobs/{id}/resubmit", Kind(open_again, send_again))
