"""`isthmus projects`: groups of users that jobs can be shown to."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from typing import Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import say
from isthmus.cli.printing import emit, print_table
from isthmus.cli.session import connect

projects = typer.Typer(
    help="Projects: groups of users that jobs can be shown to.", no_args_is_help=True, rich_markup_mode=None
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The project's name.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="A user's name.")]


@projects.command("list", cls=options.PlainCommand)
def list_projects(as_json: options.JsonOption = False) -> None:
    """List your projects and their members; administrators see all."""
    from isthmus.client import calls
    from isthmus.client.records import parsed

    with connect() as gateway:
        found = parsed(list[dict[str, object]], gateway.request(calls.get("projects")).get("projects"))
    if as_json:
        for project in found:
            emit(project)
        return
    if not found:
        say("You are in no project; an administrator can make one with `isthmus projects create`.")
    print_table(("NAME", "MEMBERS"), [(str(one["name"]), _members(one)) for one in found])


def _members(project: dict[str, object]) -> str:
    members = project.get("members")
    return ", ".join(map(str, members)) if isinstance(members, list) else ""


@projects.command("create", cls=options.PlainCommand)
def create(name: NameArgument, as_json: options.JsonOption = False) -> None:
    """Make a project. For administrators."""
    _send(
        "POST",
        ["projects"],
        {"name": name},
        f"{name} is there; put users into it with `isthmus projects add {name} USER`.",
        as_json,
    )


@projects.command("rename", cls=options.PlainCommand)
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    as_json: options.JsonOption = False,
) -> None:
    """Give a project another name; all else stays. For administrators."""
    _send("PATCH", ["projects", name], {"name": new_name}, f"{name} is {new_name} now.", as_json)


@projects.command("add", cls=options.PlainCommand)
def add(name: NameArgument, user: UserArgument, as_json: options.JsonOption = False) -> None:
    """Put a user into a project. For administrators."""
    _send("PUT", ["projects", name, "members", user], None, f"{user} is in {name}.", as_json)


@projects.command("remove", cls=options.PlainCommand)
def remove(name: NameArgument, user: UserArgument, as_json: options.JsonOption = False) -> None:
    """Take a user out of a project; their own jobs stay in it. For administrators."""
    _send("DELETE", ["projects", name, "members", user], None, f"{user} is not in {name} any more.", as_json)


def _send(method: str, path: list[str], body: dict[str, object] | None, done: str, as_json: bool) -> None:
    from isthmus.client import calls

    with connect() as gateway:
        answer = gateway.request(calls.send(method, *path, json=body))
    emit(answer) if as_json else print(done)
