"""A form in front of somebody: for which application, what it holds, and how it is drawn and looked at.

Filling    the form itself: a new job's, or that of a job submitted again, which has a `Parent`
drawn      what the template needs, from the texts the form holds and what is wrong with them
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from isthmus.application import Application, Example, Input, Json, ResourceName, ResourceRule
from isthmus.application.encoding import canonical
from isthmus.errors import InputFault
from isthmus.gateway import Key
from isthmus.gateway.catalogue import Entry
from isthmus.gateway.clusters import KnownCluster, Limits
from isthmus.job import Resources
from isthmus.portal.amounts import LABELS, amount_words, same_amount, text_of_amount
from isthmus.portal.changes import Change
from isthmus.portal.checking import OTHER_LABELS, Look, look
from isthmus.portal.chosen import Chooser, ChosenFile
from isthmus.portal.fields import (
    Control,
    Earlier,
    Field,
    FieldGroup,
    Was,
    fault_words,
    filled,
    groups,
    name_of,
    same,
    words,
)
from isthmus.portal.formtexts import Said, Texts, last, read, texts_of_value
from isthmus.portal.naming import read_labels, write_labels
from isthmus.portal.rendering import cluster_titles, size
from isthmus.portal.sentform import Form
from isthmus.portal.visitor import Visitor
from isthmus.store import Upload
from isthmus.store.views import JobView

MIB = 1024 * 1024
_OWN = frozenset({"csrf", "key"})
_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
_USUAL = "what the application says"

_AS_WRITTEN = {
    ResourceName.WALLTIME_S: "written like 90m, 1h30m or 1:30:00",
    ResourceName.MEMORY_MIB: "written like 512MiB or 4GiB",
}


@dataclass(frozen=True, slots=True)
class Parent:
    """The job that is submitted again, in the words of the form: `texts` are what the form would hold for it."""

    job: JobView
    texts: Texts
    asked: Mapping[str, Json]
    is_own: bool


@dataclass(frozen=True, slots=True)
class Filling:
    """A form: where it is (`path` and `query`), its draft's key, and what it holds at first (`start`)."""

    visitor: Visitor
    entry: Entry
    path: str
    query: str
    draft_key: str
    template: str
    start: Texts
    clusters: Mapping[str, KnownCluster]
    parent: Parent | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def application(self) -> Application:
        return self.entry.application

    @property
    def chooser(self) -> Chooser:
        job = None if self.parent is None else self.parent.job
        return Chooser(self.visitor.gateway.store, self.visitor.viewer, job)

    def said(self, texts: Texts) -> Said:
        """What the form says; a value that nobody changed is the earlier job's own, also where no text can hold it."""
        said = read(self.application, texts)
        if said.notices == usual_notices(self.visitor):
            said = replace(said, notices=None)
        if self.parent is None:
            return said
        kept = {
            found.name: self.parent.job.inputs[found.name]
            for found in self.application.inputs
            if found.name in self.parent.job.inputs and self.is_same(found, texts)
        }
        return replace(said, inputs={**said.inputs, **kept})

    def is_same(self, found: Input, texts: Texts) -> bool:
        """Whether the form has for this input what the earlier job has."""
        before = {} if self.parent is None else self.parent.texts
        name = name_of(found)
        return same(found, texts.get(name, ()), before.get(name, ()))

    def look(self, texts: Texts) -> Look:
        return look(self.application, self.said(texts), self.chooser.all(self.application, texts), self.clusters)

    def changes(self, texts: Texts) -> list[Change]:
        """In what the form differs from the earlier job, as people read it."""
        return [] if self.parent is None else list(_changes(self, self.parent, texts))

    def key(self, form_key: str, texts: Texts) -> Key | None:
        """Names what the form says: sent twice, it makes one job; sent again with a change, it makes another."""
        if not _KEY.fullmatch(form_key):
            return None
        said: list[Json] = [self.path, [[name, list(given)] for name, given in sorted(texts.items())]]
        digest = hashlib.sha256(canonical(said).encode()).hexdigest()
        return Key(f"form {form_key} {digest[:24]}", digest)


def texts_of_form(form: Form) -> dict[str, tuple[str, ...]]:
    """What the form holds; lines end as they do in values, not as browsers send them."""
    return {
        name: tuple(text.replace("\r\n", "\n") for text in form.all(name)) for name in form.names() if name not in _OWN
    }


def texts_of_draft(body: Json) -> dict[str, tuple[str, ...]]:
    """What a kept draft holds; nothing if it is of another kind than ours."""
    texts = body.get("texts") if isinstance(body, dict) else None
    if not isinstance(texts, dict):
        return {}
    return {name: tuple(map(str, given)) for name, given in texts.items() if isinstance(given, list)}


def usual_notices(visitor: Visitor) -> str:
    return visitor.gateway.store.notice_choice(visitor.user_id).notices


# --- what a form holds at first ---------------------------------------------------------------------------------------
def blank(application: Application, notices: str) -> dict[str, tuple[str, ...]]:
    """The form with its defaults."""
    inputs = {name_of(found): texts_of_value(found, found.default) for found in application.inputs}
    return {**inputs, "notices": ("chosen", *notices)}


def texts_of_example(application: Application, example: Example, uploads: list[Upload]) -> dict[str, tuple[str, ...]]:
    """What the example fills in; its files are those of the same names that were sent before, the newest of each."""
    known = {upload.name: upload.id for upload in reversed(uploads)}
    inputs = {
        name_of(found): texts_of_value(found, example.inputs[found.name])
        for found in application.inputs
        if found.name in example.inputs
    }
    files = {
        f"files.{name}": tuple(f"upload:{known[one]}" for one in names if one in known)
        for name, names in example.files.items()
    }
    amounts = {f"resources.{name}": (text_of_amount(name, amount),) for name, amount in example.resources.items()}
    return {**inputs, **files, **amounts}


# --- how it is drawn --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Place:
    """A cluster as the form offers it; with a `refusal` it can't be chosen."""

    name: str
    title: str
    words: str
    refusal: str
    is_chosen: bool


def drawn(filling: Filling, texts: Texts, found: Look, faults: tuple[InputFault, ...], key: str) -> dict[str, object]:
    """What the templates need."""
    application = filling.application
    said = {fault.field: fault_words(application, fault) for fault in reversed(faults)}
    chosen = _under_fields(filling.chooser.all(application, texts))
    parent = filling.parent
    before = {} if parent is None else _under_fields(filling.chooser.all(application, parent.texts))
    names = {field: [one.name for one in files] for field, files in before.items()}
    shown = groups(application, texts, said, None if parent is None else Earlier(parent.texts, names))
    resources = tuple(_resource_field(rule, texts, said, filling) for rule in application.resources)
    return {
        "filling": filling,
        "application": application,
        "groups": shown,
        "resources": resources,
        "chosen": chosen,
        "before": before,
        "places": list(_places(filling, texts)),
        "chosen_by_gateway": found.cluster,
        "text": {name: last(texts, name) for name in texts},
        "letters": texts.get("notices", ()),
        "projects": filling.visitor.gateway.store.projects(filling.visitor.viewer),
        "faults": said,
        "summary": _summary(said, shown, resources),
        "look": found,
        "gets": gets(found.resources),
        "changes": filling.changes(texts),
        "key": key or secrets.token_urlsafe(18),
        **filling.more,
    }


def _under_fields(files: Mapping[str, tuple[ChosenFile, ...]]) -> dict[str, tuple[ChosenFile, ...]]:
    return {f"files.{name}": found for name, found in files.items()}


def _summary(
    said: Mapping[str, str], shown: tuple[FieldGroup, ...], resources: tuple[Field, ...]
) -> list[tuple[str, str, str]]:
    """Where each fault is (an id on the page, or nothing), its field's label, and the fault."""
    fields = [one for group in shown for one in (*group.fields, *group.advanced)] + list(resources)
    known = {one.name: (one.id, one.label) for one in fields}
    known |= {name: (name, label) for name, label in OTHER_LABELS.items()}
    in_order = sorted(said, key=lambda name: list(known).index(name) if name in known else len(known))
    return [(*known.get(name, ("", name)), said[name]) for name in in_order]


def gets(resources: Resources | None) -> dict[str, str]:
    """What the job would get, in words, under the fields' names."""
    if resources is None:
        return {}
    amounts = {name: getattr(resources, name.value) for name in ResourceName}
    return {f"resources.{name}": amount_words(name, amount) for name, amount in amounts.items() if amount is not None}


def _resource_field(rule: ResourceRule, texts: Texts, said: Mapping[str, str], filling: Filling) -> Field:
    name = f"resources.{rule.name}"
    text = last(texts, name)
    was = None
    if filling.parent is not None:
        asked = filling.parent.asked.get(rule.name)
        before = text_of_amount(rule.name, asked)
        was = Was(before or _USUAL, f'["{before}"]', not same_amount(rule.name, text, asked))
    return Field(
        name=name,
        label=LABELS[rule.name],
        control=Control.TEXT if rule.name in _AS_WRITTEN else Control.NUMBER,
        text=text,
        hint=_resource_hint(rule, _most(rule, texts, filling)),
        usual="" if rule.computed else amount_words(rule.name, rule.default),
        is_whole=True,
        fault=said.get(name, ""),
        was=was,
    )


def permits(filling: Filling, texts: Texts) -> dict[str, str]:
    """What is permitted of each resource on the chosen cluster, under the fields' names, as the form says it."""
    fields = (_resource_field(rule, texts, {}, filling) for rule in filling.application.resources)
    return {one.name: one.hint_words for one in fields}


def _resource_hint(rule: ResourceRule, most: int | None) -> str:
    least = amount_words(rule.name, rule.min)
    permitted = f"at least {least}" if most is None else f"{least} to {amount_words(rule.name, most)}"
    follows = "follows from the inputs if left empty" if rule.computed else ""
    return ", ".join(part for part in (permitted, _AS_WRITTEN.get(rule.name, ""), follows) if part)


def _most(rule: ResourceRule, texts: Texts, filling: Filling) -> int | None:
    """The most that the application permits and the chosen cluster has; of several to choose from, the largest."""
    chosen = filling.clusters.get(last(texts, "cluster"))
    fit = [chosen] if chosen else [one for one in filling.clusters.values() if one.refusal(filling.application) is None]
    there = [_there(rule.name, one.limits) for one in fit]
    known = [amount for amount in there if amount is not None]
    if not known or len(known) < len(there):
        return rule.max
    if rule.min is not None and max(known) < rule.min:
        return rule.max  # it fits nowhere there, which the check says in words
    return max(known) if rule.max is None else min(rule.max, max(known))


def _there(name: ResourceName, limits: Limits) -> int | None:
    known = {
        ResourceName.CPUS: limits.cpus,
        ResourceName.MEMORY_MIB: limits.memory_mib,
        ResourceName.GPUS: limits.gpus,
        ResourceName.NODES: limits.nodes,
    }
    return known.get(name)


def _places(filling: Filling, texts: Texts) -> Iterator[Place]:
    chosen = last(texts, "cluster")
    for cluster in filling.clusters.values():
        refusal = cluster.refusal(filling.application)
        refused = "" if refusal is None else refusal[1]
        yield Place(cluster.name, cluster.title, _busy(cluster), refused, cluster.name == chosen)


def _busy(cluster: KnownCluster) -> str:
    """How it is there now, and how large its nodes are."""
    parts = []
    if cluster.contact_lost_since is not None:
        parts.append("does not answer at the moment: the job waits until it does")
    if cluster.status is not None:
        parts.append(f"{cluster.status.running} running, {cluster.status.queued} waiting")
    limits = cluster.limits
    if limits.cpus is not None and limits.memory_mib is not None:
        parts.append(f"up to {limits.cpus} CPUs and {size(limits.memory_mib * MIB)} a job")
    return "; ".join(parts) or "nothing is known of it yet"


# --- what differs from the earlier job --------------------------------------------------------------------------------
def _changes(filling: Filling, parent: Parent, texts: Texts) -> Iterator[Change]:
    for found in filling.application.inputs:
        if not filling.is_same(found, texts):
            name = name_of(found)
            was, now = (filled(one.get(name, ())) for one in (parent.texts, texts))
            if found.file:
                yield Change(name, found.label, _names(filling, was), _names(filling, now))
            else:
                yield Change(name, found.label, words(found, was), words(found, now))
    yield from _resource_changes(filling, parent, texts)
    yield from _plain_changes(filling, parent, texts)
    if parent.job.digest != filling.entry.digest:
        before, now_version = parent.job.version, filling.application.version
        again = " as it is now" if before == now_version else ""
        yield Change("version", "Version of the application", before, f"{now_version}{again}")


def _resource_changes(filling: Filling, parent: Parent, texts: Texts) -> Iterator[Change]:
    for rule in filling.application.resources:
        name = f"resources.{rule.name}"
        text, asked = last(texts, name).strip(), parent.asked.get(rule.name)
        if not same_amount(rule.name, text, asked):
            before = text_of_amount(rule.name, asked) or _USUAL
            yield Change(name, LABELS[rule.name], before, text or _USUAL)
    for dropped in dropped_resources(filling.application, parent.asked):
        before = text_of_amount(dropped, parent.asked[dropped])
        yield Change(f"resources.{dropped}", LABELS[dropped], before, "not asked for: this version has no say in it")


def dropped_resources(application: Application, asked: Mapping[str, Json]) -> list[str]:
    """What was asked for and can't be asked of this version any more."""
    return [name for name in asked if name in tuple(ResourceName) and application.resource(ResourceName(name)) is None]


def _plain_changes(filling: Filling, parent: Parent, texts: Texts) -> Iterator[Change]:
    was, now = (last(one, "name").strip() for one in (parent.texts, texts))
    if now and now not in (was, last(filling.start, "name")):  # the name that we suggest is no change of theirs
        yield Change("name", "Name of the job", was, now)
    was, now = (last(one, "cluster").strip() for one in (parent.texts, texts))
    if was != now and now:
        titles = cluster_titles(filling.visitor.gateway.configuration)
        yield Change("cluster", "Cluster", titles.get(was, was), titles.get(now, now))
    had, has = (read_labels(last(one, "labels")) for one in (parent.texts, texts))
    if {*had} != {*has}:
        yield Change("labels", "Labels", write_labels(had) or "none", write_labels(has) or "none")


def _names(filling: Filling, texts: tuple[str, ...]) -> str:
    files: list[ChosenFile] = [filling.chooser.one(text) for text in texts]
    return ", ".join(one.name for one in files) or "nothing"
