"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer._click import Context  # the overridden method's own type, which has no public name


class PlainCommand(TyperCommand):
    """Its help leaves out the Python types, `<list[str]>`, that Typer 0.29 puts after an argument's name."""

    def get_help(self, ctx: Context) -> str:
        return re.sub(r" <[\w\[\]]+>", lambda found: " " * len(found[0]), super().get_help(ctx))


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; for a list, one document a line.", show_default=False)
]
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="A job: its id, the beginning of its id, or `last`.")]
JobsArgument = Annotated[list[str], typer.Argument(metavar="ID", help="Jobs: ids, beginnings of ids, or `last`.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An input's value; again for each input.")
]
FileOption = Annotated[
    list[str] | None, typer.Option("--file", metavar="NAME=PATH", help="A file to upload for an input.")
]
FromOption = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="NAME=ID/OUTPUT", help="An output of an earlier job as an input; ID/OUTPUT/PATH."),
]
ClusterOption = Annotated[str | None, typer.Option("--cluster", metavar="NAME", help="Where it runs.")]
NameOption = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="The job's name in lists.")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", metavar="TEXT", help="A label; again for each.")]
CpusOption = Annotated[int | None, typer.Option("--cpus", metavar="N", help="CPUs for each process.")]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Memory per node: 4GiB, 512MiB; a bare number is MiB.")
]
GpusOption = Annotated[int | None, typer.Option("--gpus", metavar="N", help="GPUs per node.")]
WalltimeOption = Annotated[
    str | None,
    typer.Option("--walltime", metavar="TIME", help="Longest run: 90m, 1h30m, 01:30:00; a bare number is seconds."),
]
NodesOption = Annotated[int | None, typer.Option("--nodes", metavar="N", help="Nodes.")]
ProcessesOption = Annotated[
    int | None, typer.Option("--processes-per-node", metavar="N", help="Processes on each node.")
]
QueueOption = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="The scheduler's queue.")]
AccountOption = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Whom the scheduler charges for the job.")
]
NotifyOption = Annotated[
    str | None,
    typer.Option("--notify", metavar="b,e,a", help="Tell you when it began, ended, was aborted; `none`: of nothing."),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="TEXT", help="The same key and request again give the same job, not a second one."),
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow the job until it has ended.", show_default=False)]
