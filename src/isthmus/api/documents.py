"""Answers as JSON: our records in the words of the API. `responses` describes the same shapes.

They are made as plain dictionaries and sent as they are: checking each answer against its model again would cost more
than making it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from math import floor
from typing import TypeAlias

from starlette.responses import Response

from isthmus.application import Input, Json, input_schema
from isthmus.gateway.catalogue import Entry, Listing
from isthmus.gateway.clusters import KnownCluster, runs_on
from isthmus.gateway.submission import files_by_input
from isthmus.job import Attempt, Resources
from isthmus.store.audit import AuditRow
from isthmus.store.filerows import Upload
from isthmus.store.history import EventRow
from isthmus.store.listing import JobSummary
from isthmus.store.notices import NoticeChoice
from isthmus.store.projects import Project
from isthmus.store.records import CopiedFrom, JobInput
from isthmus.store.shares import Share
from isthmus.store.usage import Usage
from isthmus.store.users import Identity, NewToken, Scope, Token, User
from isthmus.store.views import JobView, OutputView
from isthmus.store.wishes import CancelAnswer, CancelOutcome

Document: TypeAlias = dict[str, Json]

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)  # json.dumps would make one each time


def answer(document: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The document as a response. ASCII, so that any text a database gave back can be sent."""
    content = _ENCODER.encode(document).encode("ascii")
    return Response(content, status, dict(headers or {}), "application/json")


def moment(at: float) -> str:
    """Epoch seconds as RFC 3339 in UTC with milliseconds."""
    seconds, milliseconds = divmod(floor(at * 1000), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{milliseconds:03d}Z"


def moment_or_none(at: float | None) -> str | None:
    return None if at is None else moment(at)


# --- applications ------------------------------------------------------------
def application_summary(entry: Entry, *, enabled: bool) -> Document:
    application = entry.application
    return {
        "name": application.name,
        "version": application.version,
        "title": application.title,
        "summary": application.summary,
        "keywords": list(application.keywords),
        "enabled": enabled,
        "inputs": input_schema(application),
    }


def application_document(
    entry: Entry, listing: Listing, clusters: Mapping[str, KnownCluster], *, enabled: bool
) -> Document:
    application = entry.application
    form = entry.form
    ordered = sorted(application.inputs, key=lambda found: found.order)
    return {
        **{name: form[name] for name in ("name", "version", "title", "summary", "description", "keywords")},
        "versions": [one.application.version for one in listing.entries[application.name]],
        "enabled": enabled,
        "digest": entry.digest,
        "inputs": [_input(found) for found in ordered],
        **{name: form[name] for name in ("outputs", "resources", "restartable", "max_attempts", "isolation")},
        "clusters": list(runs_on(application, clusters.values())),
        **{name: form[name] for name in ("progress", "examples")},
    }


def _input(found: Input) -> Document:
    rule = found.file
    return {
        "name": found.name,
        "label": found.label,
        "type": found.type,
        "required": found.required,
        "default": found.default,
        "help": found.help,
        "unit": found.unit,
        "group": found.group,
        "advanced": found.advanced,
        "order": found.order,
        "schema": found.schema,
        "file": None
        if rule is None
        else {**asdict(rule), "extensions": list(rule.extensions), "media_types": list(rule.media_types)},
    }


def broken_files(listing: Listing) -> Document:
    return {
        "broken": [
            {
                "file": broken.source,
                "faults": [{"line": f.line, "where": f.where, "message": f.message} for f in broken.faults],
            }
            for broken in listing.broken
        ]
    }


# --- jobs ------------------------------------------------------------
def job_summary(job: JobSummary) -> Document:
    return {
        "id": job.id,
        "name": job.name,
        "labels": list(job.labels),
        "application": job.application,
        "version": job.version,
        "cluster": job.cluster,
        "state": job.state.value,
        "state_at": moment(job.state_at),
        "cause": job.cause and job.cause.value,
        "waiting_reason": job.waiting_reason,
        "created_at": moment(job.created_at),
        "started_at": moment_or_none(job.started_at),
        "ended_at": moment_or_none(job.ended_at),
        "exit_code": job.exit_code,
        "owner": job.owner,
        "parent": job.parent_id,
        "archived_at": moment_or_none(job.archived_at),
        "cancel_requested_at": moment_or_none(job.cancel_requested_at),
    }


def job_document(job: JobView) -> Document:
    return {
        "id": job.id,
        "name": job.name,
        "labels": list(job.labels),
        "application": job.application,
        "version": job.version,
        "digest": job.digest,
        "cluster": job.cluster,
        "state": job.state.value,
        "state_at": moment(job.state_at),
        "cause": job.cause and job.cause.value,
        "evidence": job.evidence,
        "waiting_reason": job.waiting_reason,
        "created_at": moment(job.created_at),
        "started_at": moment_or_none(job.started_at),
        "ended_at": moment_or_none(job.ended_at),
        "exit_code": job.exit_code,
        "owner": job.owner,
        "project": job.project,
        "parent": job.parent_id,
        "children": list(job.children),
        "inputs": dict(job.inputs),
        "files": {name: [_input_file(file) for file in found] for name, found in files_by_input(job).items()},
        "resources": _resources(job.resources),
        "attempts": [_attempt(attempt) for attempt in job.attempts],
        "outputs": [output(one) for one in job.outputs],
        "contact_lost_since": None if job.state.is_final else moment_or_none(job.contact_lost_since),
        "cancel_requested_at": moment_or_none(job.cancel_requested_at),
        "cancelled_by": job.cancelled_by or None,
        "copied_from": _origin(job.copied_from),
        "archived_at": moment_or_none(job.archived_at),
        "deleted_at": moment_or_none(job.deleted_at),
        "notices": job.notices,
        "seq": job.seq,
    }


def _origin(copied: CopiedFrom | None) -> Document | None:
    return None if copied is None else {"owner": copied.owner, "job": copied.job_id}


def _input_file(file: JobInput) -> Document:
    return {
        "name": file.file_name,
        "sha256": file.sha256,
        "size": file.size,
        "upload": file.upload_id,
        "job": file.from_job,
        "output": file.from_output,
    }


def _resources(resources: Resources) -> Document:
    return {name: getattr(resources, name) for name in Resources.__slots__}  # asdict is ten times as slow


def _attempt(attempt: Attempt) -> Document:
    return {
        "n": attempt.n,
        "tag": attempt.tag,
        "native_id": attempt.native_id,
        "scheduler_state": attempt.scheduler_state and attempt.scheduler_state.value,
        "scheduler_word": attempt.scheduler_word,
        "node": attempt.node,
        "claimed_by": attempt.claimed_by,
        "run": attempt.run,
        "started_at": moment_or_none(attempt.started_at),
        "ended_at": moment_or_none(attempt.ended_at),
        "exit_code": attempt.exit_code,
        "cpu_s": attempt.cpu_s,
        "peak_memory_mib": attempt.peak_memory_mib,
    }


def output(one: OutputView) -> Document:
    return {
        "name": one.name,
        "path": one.path,
        "sha256": one.sha256,
        "size": one.size,
        "media_type": one.media_type,
    }


def cancel_document(found: CancelAnswer) -> Document:
    return {
        "job": found.job_id,
        "outcome": found.outcome.value,
        "state": found.state and found.state.value,
        "detail": _CANCEL_WORDS[found.outcome],
    }


_CANCEL_WORDS = {
    CancelOutcome.REQUESTED: "asked for; the job is CANCELLED once it is proved not to run",
    CancelOutcome.REQUESTED_BEFORE: "asked for before; it is repeated until proved",
    CancelOutcome.ALREADY_ENDED: "the job has ended already",
    CancelOutcome.NOT_FOUND: "there is no such job",
}


def event_document(row: EventRow) -> Document:
    to = row.body.get("to") if row.kind == "state" else None
    return {
        "id": str(row.position),
        "job": row.job_id,
        "at": moment(row.at),
        "kind": row.kind,
        "body": dict(row.body),
        "state": to,
    }


# --- files, clusters, people ------------------------------------------------------------
def upload_document(upload: Upload, jobs: int) -> Document:
    return {
        "id": upload.id,
        "sha256": upload.sha256,
        "size": upload.size,
        "name": upload.name,
        "media_type": upload.media_type,
        "created_at": moment(upload.created_at),
        "jobs": jobs,
    }


def cluster_document(cluster: KnownCluster) -> Document:
    status, limits = cluster.status, cluster.limits
    nodes: list[Json] = [dict(asdict(node)) for node in status.nodes] if status else []
    notes: list[Json] = list(status.notes) if status else []
    return {
        "name": cluster.name,
        "title": cluster.title,
        "kind": cluster.config.kind,
        "enabled": cluster.config.enabled,
        "status": {
            "queued": status.queued,
            "running": status.running,
            "nodes": nodes,
            "isolation": status.isolation,
            "notes": notes,
            "calls_per_minute": dict(status.calls_per_minute),
            "recent_failures": [{"at": moment(one.at), "words": one.words} for one in status.recent_failures],
            "details": [{"label": one.label, "value": one.value} for one in status.details],
        }
        if status
        else None,
        "seen_at": moment_or_none(cluster.seen_at),
        "contact_lost_since": moment_or_none(cluster.contact_lost_since),
        "closed_reason": cluster.closed_reason,
        "limits": asdict(limits),
        "isolation": status.isolation if status else "",
        "notes": notes,
    }


def token_document(token: Token) -> Document:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": _scopes(token.scopes),
        "created_at": moment(token.created_at),
        "expires_at": moment_or_none(token.expires_at),
        "last_used_at": moment_or_none(token.last_used_at),
    }


def new_token_document(made: NewToken, *, must_change_password: bool) -> Document:
    return {**token_document(made.token), "token": made.text, "must_change_password": must_change_password}


def _scopes(scopes: frozenset[Scope]) -> list[Json]:
    return [scope.value for scope in Scope if scope in scopes]


def me_document(identity: Identity, choice: NoticeChoice) -> Document:
    return {
        "name": identity.name,
        "role": identity.role.value,
        "scopes": _scopes(identity.scopes),
        "email": choice.email,
        "notices": choice.notices,
    }


def user_document(user: User) -> Document:
    return {
        "id": user.id,
        "name": user.name,
        "role": user.role.value,
        "disabled": user.disabled_at is not None,
        "created_at": moment(user.created_at),
        "must_change_password": user.must_change_password,
    }


# --- shares, projects, audit, usage ------------------------------------------------------------
def share_document(share: Share) -> Document:
    return {
        "id": share.id,
        "job": share.job_id,
        "kind": share.kind.value,
        "name": share.name,
        "by": share.by,
        "created_at": moment(share.created_at),
        "expires_at": moment_or_none(share.expires_at),
    }


def project_document(project: Project) -> Document:
    return {
        "id": project.id,
        "name": project.name,
        "created_at": moment(project.created_at),
        "members": list(project.members),
    }


def audit_document(row: AuditRow) -> Document:
    return {
        "id": row.id,
        "at": moment(row.at),
        "user": row.user,
        "kind": row.kind.value,
        "job": row.job_id,
        "words": row.words,
        "address": row.address,
    }


def usage_document(usage: Usage, limit_bytes: int | None) -> Document:
    return {
        "held_bytes": usage.held_bytes,
        "limit_bytes": limit_bytes,
        "upload_bytes": usage.upload_bytes,
        "output_bytes": usage.output_bytes,
        "jobs_waiting": usage.jobs_waiting,
        "jobs_running": usage.jobs_running,
    }
