"""Projects, as administrators see them: made, named otherwise, and who is in them."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.errors import Conflict, InvalidInput, NotFound
from isthmus.portal.rendering import page, sentence
from isthmus.portal.sentform import Form, with_form
from isthmus.portal.visitor import visitor_of

_CHANGED = {
    "created": "The project is made: put people into it.",
    "renamed": "The project has its new name.",
    "member": "The members are changed.",
}


def show_projects(request: Request) -> Response:
    """Every project with its members."""
    return _projects(request)


def _projects(
    request: Request, status: int = 200, faults: Mapping[str, str] | None = None, given: Form | None = None
) -> Response:
    """The list, with what is wrong with a form that was sent; a fault's name is the field's, `new` or a project's."""
    visitor = visitor_of(request)
    store, viewer = visitor.gateway.store, visitor.admin_viewer
    return page(
        request,
        "admin/projects.html",
        status,
        projects=store.projects(viewer),
        users=[user.name for user in store.users() if user.disabled_at is None],
        faults=faults or {},
        given=given or Form([]),
        changed=_CHANGED.get(request.query_params.get("changed", ""), ""),
    )


@with_form
def create_project(request: Request, form: Form) -> Response:
    """There is a new project without members, or the form says what is wrong."""
    visitor = visitor_of(request)
    by, name = visitor.admin_actor, form.get("name").strip()
    try:
        visitor.gateway.store.create_project(name, by)
    except (InvalidInput, Conflict) as refused:
        return _projects(request, 422, {"new": sentence(refused.message)}, form)
    return RedirectResponse(f"/admin/projects?changed=created#project-{name}", 303)


@with_form
def change_project(request: Request, form: Form) -> Response:
    """The project has another name, or one member more or less; or the form says what is wrong."""
    visitor = visitor_of(request)
    by, store, name = visitor.admin_actor, visitor.gateway.store, request.path_params["name"]
    wanted, member, said = form.get("do"), form.get("member").strip(), "member"
    try:
        if wanted == "rename":
            name, said = store.rename_project(name, form.get("name").strip(), by).name, "renamed"
        elif wanted == "add":
            store.add_member(name, member, by)
        elif wanted == "remove":
            store.remove_member(name, member, by)
            visitor.services.tail.nudge()  # pages that were open because of the project end
        else:
            raise InvalidInput("there is no such button: reload the page")
    except (InvalidInput, Conflict, NotFound) as refused:
        return _projects(request, 422, {name: sentence(refused.message)}, form)
    return RedirectResponse(f"/admin/projects?changed={said}#project-{name}", 303)


routes = [
    Route("/admin/projects", show_projects, methods=["GET"]),
    Route("/admin/projects", create_project, methods=["POST"]),
    Route("/admin/projects/{name}", change_project, methods=["POST"]),
]
