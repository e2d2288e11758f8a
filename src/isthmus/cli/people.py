"""`isthmus login`, `whoami`, `account`, `password`, `logout` and `users`."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import say
from isthmus.cli.printing import emit, print_facts, print_table, size_text
from isthmus.cli.session import Me, connect, connect_to, letters_of, the_login, who_am_i
from isthmus.errors import IsthmusError, NotAllowed, NotFound, NotSignedIn

if TYPE_CHECKING:
    from isthmus.client import Client

users = typer.Typer(help="Users of the gateway; for administrators.", no_args_is_help=True, rich_markup_mode=None)


def login(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The gateway's address.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Your name there; asked for if not given.")
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="What it may be used for: read, submit, admin; again for more."),
    ] = None,
) -> None:
    """Sign in: asks for name and password, keeps a token.

    The token is for this user of this machine.
    """
    from isthmus.client.login import Login, find_login, login_file, write_login

    found = find_login(url)
    who = name or _line(f"Name at {found.url}: ")
    password = _secret(f"Password of {who} at {found.url}: ")
    token = _token_of(found.url, who, password, scopes or ())
    write_login(login_file(), Login(found.url, token))
    print(f"Signed in to {found.url} as {who}; the token is in {login_file()}.")
    if (used := find_login()).token != token:
        say(f"isthmus: commands go to {used.url} all the same ({used.origin});")
        say("unset ISTHMUS_HOME, ISTHMUS_URL and ISTHMUS_TOKEN to use this login")


def _token_of(url: str, name: str, password: str, scopes: Sequence[str]) -> str:
    """A token for this user. A one-time password gives none but for choosing another, which is asked for first."""
    from isthmus.client import calls
    from isthmus.client.login import Login

    token_name = f"command line on {socket.gethostname()}"[:100]
    with connect_to(Login(url, "-")) as gateway:
        answer = gateway.request(calls.make_token(name, password, token_name, scopes))
        if answer.get("must_change_password"):
            say("This password is for one time: choose one of your own, of 12 characters or more.")
            chosen = _new_password()
            with connect_to(Login(url, str(answer["token"]))) as newcomer:
                newcomer.request(calls.change_password(password, chosen))
            answer = gateway.request(calls.make_token(name, chosen, token_name, scopes))
    return str(answer["token"])


def whoami(as_json: options.JsonOption = False) -> None:
    """Say which gateway commands speak to, and as whom."""
    login = the_login()
    with connect_to(login) as gateway:
        me = who_am_i(gateway)
        usage = _usage(gateway)
    if as_json:
        return emit({**me.document, "url": login.url, "origin": login.origin, "usage": usage})
    return print_facts(
        [
            ("gateway", login.url),
            ("user", me.name),
            ("role", me.role),
            ("scopes", ", ".join(me.scopes)),
            ("found in", login.origin),
            ("holds", _holds(usage)),
            ("jobs", f"{usage['jobs_waiting']} waiting, {usage['jobs_running']} running" if usage else ""),
        ]
    )


def _usage(gateway: Client) -> dict[str, object]:
    """What the user takes up; empty for a token that is not good for that, or a gateway that can't say."""
    from isthmus.client import calls

    try:
        return gateway.request(calls.get("me", "usage"))
    except (NotAllowed, NotFound):
        return {}


def _holds(usage: dict[str, object]) -> str:
    held, limit = usage.get("held_bytes"), usage.get("limit_bytes")
    if not isinstance(held, int):
        return ""
    return f"{size_text(held)} of {size_text(limit)}" if isinstance(limit, int) else size_text(held)


def account(
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="Where mails about your jobs go; `none`: nowhere.")
    ] = None,
    notify: options.NotifyOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show your settings, or change of what you are told.

    --notify is for all your jobs; `isthmus submit --notify` is for one.
    """
    from isthmus.client import calls
    from isthmus.client.records import record

    changes: dict[str, object] = {} if email is None else {"email": "" if email == "none" else email}
    if notify is not None:
        changes["notices"] = letters_of(notify)
    with connect() as gateway:
        me = record(Me, gateway.request(calls.send("PATCH", "me", json=changes))) if changes else who_am_i(gateway)
    if as_json:
        return emit(me.document)
    told = ", ".join(_TOLD[letter] for letter in me.notices)
    return print_facts([("user", me.name), ("e-mail", me.email or "none"), ("told when a job", told or "never")])


_TOLD = {"b": "began", "e": "ended", "a": "was aborted"}


def password() -> None:
    """Change your own password; asks for the old one first.

    Where there is no terminal, stdin holds the old one and the new one, a line each. Tokens stay valid.
    """
    from isthmus.client import calls

    with connect() as gateway:
        me = who_am_i(gateway)
        old = _secret(f"Present password of {me.name} at {gateway.url}: ")
        gateway.request(calls.change_password(old, _new_password()))
    print(f"{me.name} has a new password.")


def _secret(question: str) -> str:
    """One line that is not shown while it is typed; read from stdin elsewhere than on a terminal."""
    return getpass.getpass(question) if sys.stdin.isatty() else _line("")


def _line(question: str) -> str:
    """One line: asked for on a terminal, read from stdin elsewhere."""
    return input(question) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def logout() -> None:
    """Sign out: the token that `login` keeps is revoked."""
    from isthmus.client import Client, calls
    from isthmus.client.login import login_file, read_login

    kept = read_login(login_file())
    if kept is None:
        raise NotSignedIn("nobody is signed in here")
    login_file().unlink(missing_ok=True)
    try:
        with Client(kept.url, kept.token) as gateway:
            gateway.request(calls.send("DELETE", "tokens", "current"))
    except NotSignedIn:
        pass  # it was revoked or has expired already
    except IsthmusError as fault:
        raise IsthmusError(f"forgotten here, but not revoked at {kept.url}: {fault.message}") from fault
    print(f"Signed out of {kept.url}.")


@users.command("list", cls=options.PlainCommand)
def list_users(as_json: options.JsonOption = False) -> None:
    """List the users."""
    from isthmus.client import calls
    from isthmus.client.records import parsed

    with connect() as gateway:
        found = parsed(list[dict[str, object]], gateway.request(calls.get("users")).get("users"))
    if as_json:
        for user in found:
            emit(user)
        return
    rows = [(str(user["name"]), str(user["role"]), "disabled" if user.get("disabled") else "") for user in found]
    print_table(("NAME", "ROLE", ""), rows)


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@users.command("add", cls=options.PlainCommand)
def add_user(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="user or admin.")] = "user",
    as_json: options.JsonOption = False,
) -> None:
    """Add a user: asks for a first password, or reads stdin."""
    _send("POST", ["users"], {"name": name, "password": _new_password(), "role": role}, f"{name} was added.", as_json)


@users.command("disable", cls=options.PlainCommand)
def disable_user(
    name: NameArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let the user in again.", show_default=False)] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Keep a user out; their jobs go on."""
    _set_disabled(name, not undo, as_json)


@users.command("enable", cls=options.PlainCommand)
def enable_user(name: NameArgument, as_json: options.JsonOption = False) -> None:
    """Let a disabled user in again."""
    _set_disabled(name, False, as_json)


def _set_disabled(name: str, disabled: bool, as_json: bool) -> None:
    done = f"{name} is {'disabled' if disabled else 'enabled'}."
    _send("PATCH", ["users", name], {"disabled": disabled}, done, as_json)


@users.command("password", cls=options.PlainCommand)
def set_password(name: NameArgument, as_json: options.JsonOption = False) -> None:
    """Give a user another password: asks, or reads stdin."""
    with connect() as gateway:
        me = who_am_i(gateway)
    if me.name == name and not me.sees_all:
        raise NotAllowed("this is for administrators; change your own password with `isthmus password`")
    _send("PATCH", ["users", name], {"password": _new_password()}, f"{name} has a new password.", as_json)


@users.command("role", cls=options.PlainCommand)
def set_role(
    name: NameArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="user or admin.")],
    as_json: options.JsonOption = False,
) -> None:
    """Make a user an administrator, or a user again."""
    _send("PATCH", ["users", name], {"role": role}, f"{name} is {role} now.", as_json)


def _send(method: str, path: list[str], body: dict[str, object], done: str, as_json: bool) -> None:
    from isthmus.client import calls

    with connect() as gateway:
        answer = gateway.request(calls.send(method, *path, json=body))
    emit(answer) if as_json else print(done)


def _new_password() -> str:
    """Typed twice on a terminal; one line of stdin elsewhere."""
    if not sys.stdin.isatty():
        return _line("")
    while True:
        first, second = getpass.getpass("New password: "), getpass.getpass("Again: ")
        if first == second:
            return first
        say("They differ; once more.")
