"""The command line, `isthmus`: what each command does stands in its module; here they get their names.

Nothing slow is imported before a command runs, so that `--help` and mistakes are answered at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from isthmus.cli import (
    acting,
    audit,
    catalogue,
    clusters,
    configuration,
    files,
    jobs,
    options,
    people,
    processes,
    projects,
    sharing,
    submitting,
)
from isthmus.cli.exits import code_of_error, say_error
from isthmus.errors import IsthmusError

_PLAIN = {"help_option_names": ["-h", "--help"]}
_OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}  # the rest is for the application's own flags

app = typer.Typer(
    name="isthmus",
    help="Run catalogued programs as jobs on the clusters you have.",
    epilog="Exit codes: 0 good, 1 error, 2 usage, 3 not found, 4 refused, 5 no connection, 6 not allowed; "
    "after waiting for a job: 10 failed, 11 cancelled.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_PLAIN,
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415  not needed by any command

        print(f"isthmus {version('isthmus')}")
        raise typer.Exit


@app.callback()
def _root(
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="The gateway's address, before all others known.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    if url:
        os.environ["ISTHMUS_URL"] = url


app.command(cls=options.PlainCommand, context_settings=_OPEN, add_help_option=False)(submitting.submit)
for command in (
    jobs.jobs,
    jobs.show,
    jobs.watch,
    jobs.logs,
    jobs.why,
    acting.get,
    acting.cancel,
    submitting.resubmit,
    jobs.diff,
    acting.archive,
    acting.delete,
    sharing.share,
    sharing.shares,
    sharing.unshare,
    catalogue.apps,
    people.login,
    people.whoami,
    people.account,
    people.password,
    people.logout,
    audit.audit,
    processes.serve,
    processes.portal,
    processes.api,
    processes.controller,
):
    app.command(cls=options.PlainCommand, context_settings=_PLAIN)(command)
app.add_typer(clusters.clusters, name="clusters")
app.add_typer(files.files, name="files")
app.add_typer(people.users, name="users")
app.add_typer(projects.projects, name="projects")
app.add_typer(configuration.config, name="config")


def main() -> None:
    """The command has run; the process ends with its exit code."""
    try:
        app(prog_name="isthmus")
    except IsthmusError as fault:
        say_error(fault)
        sys.exit(code_of_error(fault))
