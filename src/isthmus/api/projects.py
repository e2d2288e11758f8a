"""Routes of projects: administrators put them together, members see them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from isthmus.api.access import actor_of
from isthmus.api.authentication import Administrator, Reader
from isthmus.api.documents import answer, project_document
from isthmus.api.openapi import errors
from isthmus.api.requests import ProjectBody, WordInPath
from isthmus.api.responses.sharing import ProjectList, ProjectOut
from isthmus.api.services import Shared, TheGateway

router = APIRouter(prefix="/projects", tags=["projects"])

_TAKEN = errors(_409="the name is taken")


@router.get("", response_model=ProjectList)
def list_projects(gateway: TheGateway, caller: Reader) -> Response:
    """The projects the caller is in; an administrator's token lists all."""
    return answer({"projects": [project_document(one) for one in gateway.store.projects(caller.viewer)]})


@router.post("", response_model=ProjectOut, status_code=201, responses=_TAKEN)
def create_project(request: Request, body: ProjectBody, gateway: TheGateway, caller: Administrator) -> Response:
    """There is a new project, without members."""
    return answer(project_document(gateway.store.create_project(body.name, actor_of(request, caller))), 201)


@router.get("/{name}", response_model=ProjectOut)
def show_project(name: WordInPath, gateway: TheGateway, caller: Reader) -> Response:
    """One project that the caller is in, with its members."""
    return answer(project_document(gateway.store.project(caller.viewer, name)))


@router.patch("/{name}", response_model=ProjectOut, responses=_TAKEN)
def rename_project(
    request: Request, name: WordInPath, body: ProjectBody, gateway: TheGateway, caller: Administrator
) -> Response:
    """The project has the new name; its members and what is shared with it stay."""
    return answer(project_document(gateway.store.rename_project(name, body.name, actor_of(request, caller))))


@router.put("/{name}/members/{user}", response_model=ProjectOut)
def add_member(
    request: Request, name: WordInPath, user: WordInPath, gateway: TheGateway, caller: Administrator
) -> Response:
    """The user is in the project, and sees what is shared with it."""
    return answer(project_document(gateway.store.add_member(name, user, actor_of(request, caller))))


@router.delete("/{name}/members/{user}", response_model=ProjectOut)
def remove_member(
    request: Request, name: WordInPath, user: WordInPath, services: Shared, caller: Administrator
) -> Response:
    """The user is not in the project, and sees nothing that is shared with it; their own jobs stay in it."""
    left = services.gateway.store.remove_member(name, user, actor_of(request, caller))
    services.tail.nudge()  # streams that were open because of it end
    return answer(project_document(left))
