"""Routes of the catalogue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from isthmus.api.authentication import Administrator, Caller, Reader
from isthmus.api.documents import answer, application_document, application_summary, broken_files
from isthmus.api.requests import Word, WordInPath
from isthmus.api.responses.applications import ApplicationList, ApplicationOut, BrokenList
from isthmus.api.services import TheGateway
from isthmus.gateway.catalogue import Entry

router = APIRouter(prefix="/applications", tags=["applications"])


def _enabled(entry: Entry, caller: Caller) -> bool:
    return entry.is_open_to(administrator=caller.is_administrator)


@router.get("", response_model=ApplicationList)
def list_applications(gateway: TheGateway, caller: Reader) -> Response:
    """The newest version of each application; those that are not enabled for the caller are marked."""
    newest = [versions[0] for versions in gateway.catalogue().entries.values()]
    return answer({"applications": [application_summary(entry, enabled=_enabled(entry, caller)) for entry in newest]})


@router.get("/broken", response_model=BrokenList)
def list_broken_applications(gateway: TheGateway, caller: Administrator) -> Response:
    """Application files that can't be used, with line and fault of each."""
    return answer(broken_files(gateway.catalogue()))


@router.get("/{name}", response_model=ApplicationOut)
def show_application(
    name: WordInPath, gateway: TheGateway, caller: Reader, version: Annotated[Word | None, Query()] = None
) -> Response:
    """One version of an application, the newest by default: everything its form, its flags and its page are made of."""
    listing = gateway.catalogue()
    entry = listing.find(name, version)
    return answer(application_document(entry, listing, gateway.clusters(), enabled=_enabled(entry, caller)))
