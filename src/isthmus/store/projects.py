"""Projects: groups of users, put together by administrators, that jobs can be shown to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, select, update

from isthmus.errors import Conflict, InputFault, InvalidInput, NotFound
from isthmus.store import users as people
from isthmus.store.conflicts import insert_new
from isthmus.store.ids import new_id
from isthmus.store.records import Viewer
from isthmus.store.schema import project_members, projects, users

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Project:
    """A group of users; `members` are their names, in order."""

    id: str
    name: str
    created_at: float
    members: tuple[str, ...]


def create_project(connection: Connection, name: str, now: float) -> Project:
    """The project is there, without members. InvalidInput: the name can't be one; Conflict: it is taken."""
    project = Project(new_id(now), _checked(name), now, ())
    if not insert_new(connection, projects, {"id": project.id, "name": name, "created_at": now}):
        raise _taken(name)
    return project


def rename_project(connection: Connection, name: str, new_name: str) -> Project:
    """The project has the new name. NotFound; InvalidInput: it can't be one; Conflict: it is taken."""
    project_id = _id_of(connection, name)
    taken = connection.execute(select(projects.c.id).where(projects.c.name == _checked(new_name))).scalar_one_or_none()
    if taken not in (None, project_id):
        raise _taken(new_name)
    connection.execute(update(projects).where(projects.c.id == project_id).values(name=new_name))
    return _read(connection, _PROJECT.where(projects.c.id == project_id))[0]


def add_member(connection: Connection, name: str, user_name: str) -> Project:
    """The user is in the project. NotFound: there is no such project or user."""
    project_id, user = _id_of(connection, name), people.user(connection, user_name)
    insert_new(connection, project_members, {"project_id": project_id, "user_id": user.id})
    return _read(connection, _PROJECT.where(projects.c.id == project_id))[0]


def remove_member(connection: Connection, name: str, user_name: str) -> Project:
    """The user is not in the project, and sees nothing that is shared with it. NotFound."""
    project_id, user = _id_of(connection, name), people.user(connection, user_name)
    theirs = (project_members.c.project_id == project_id, project_members.c.user_id == user.id)
    if not connection.execute(delete(project_members).where(*theirs)).rowcount:
        raise NotFound(f"{user_name} is not in project {name}")
    return _read(connection, _PROJECT.where(projects.c.id == project_id))[0]


def list_projects(connection: Connection, viewer: Viewer) -> list[Project]:
    """The projects the viewer is in, for an administrator all, by name."""
    return _read(connection, _visible(viewer).order_by(projects.c.name))


def project(connection: Connection, viewer: Viewer, name: str) -> Project:
    """The project. NotFound: there is none, or the viewer is not in it."""
    found = _read(connection, _visible(viewer).where(projects.c.name == name)) if _NAME.fullmatch(name) else []
    if not found:
        raise NotFound("there is no project of that name, or you are not in it")
    return found[0]


_PROJECT = select(projects.c.id, projects.c.name, projects.c.created_at)


def _visible(viewer: Viewer) -> Select[str, str, float]:
    if viewer.is_admin:
        return _PROJECT
    mine = select(project_members.c.project_id).where(project_members.c.user_id == viewer.user_id)
    return _PROJECT.where(projects.c.id.in_(mine))


def _read(connection: Connection, query: Select[str, str, float]) -> list[Project]:
    rows = connection.execute(query).all()
    members = _members(connection, [row.id for row in rows])
    return [Project(row.id, row.name, row.created_at, tuple(members[row.id])) for row in rows]


def _members(connection: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    query = (
        select(project_members.c.project_id, users.c.name)
        .join(users, users.c.id == project_members.c.user_id)
        .where(project_members.c.project_id.in_(ids))
        .order_by(users.c.name)
    )
    members: dict[str, list[str]] = defaultdict(list)
    for project_id, name in connection.execute(query):
        members[project_id].append(name)
    return members


def _id_of(connection: Connection, name: str) -> str:
    query = select(projects.c.id).where(projects.c.name == name).with_for_update()
    found = connection.execute(query).scalar_one_or_none() if _NAME.fullmatch(name) else None
    if found is None:
        raise NotFound("there is no project of that name")
    return str(found)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = "a project's name has 1 to 64 lower-case letters, digits and . _ @ -, the first a letter or digit"
        raise InvalidInput(message, (InputFault("name", "form", message),))
    return name


def _taken(name: str) -> Conflict:
    return Conflict(f"there is a project {name} already")
