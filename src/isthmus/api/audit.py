"""Routes of the audit: of one job for its owner, of everything for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from isthmus.api.authentication import Administrator, Reader
from isthmus.api.documents import answer, audit_document
from isthmus.api.requests import AuditParameters, IdInPath
from isthmus.api.responses.sharing import AuditList
from isthmus.api.services import TheGateway
from isthmus.store.audit import AuditQuery, AuditRow

router = APIRouter(tags=["audit"])


@router.get("/jobs/{job_id}/audit", response_model=AuditList)
def list_job_audit(
    job_id: IdInPath,
    gateway: TheGateway,
    caller: Reader,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Who else read the caller's job, downloaded of it, and whom it was shown to, the newest first."""
    return _answer(gateway.store.audit_of_job(caller.viewer, job_id, limit, before), limit)


@router.get("/audit", response_model=AuditList)
def list_audit(query: Annotated[AuditParameters, Query()], gateway: TheGateway, caller: Administrator) -> Response:
    """Who did what, the newest first: signing in, tokens, users, projects, clusters, and jobs of others."""
    wanted = AuditQuery(query.user, query.kind, query.job, query.before, query.limit, query.since)
    return _answer(gateway.store.audit(wanted), query.limit)


def _answer(rows: Sequence[AuditRow], limit: int) -> Response:
    next_before = rows[-1].id if len(rows) == limit else None
    return answer({"lines": [audit_document(row) for row in rows], "next_before": next_before})
