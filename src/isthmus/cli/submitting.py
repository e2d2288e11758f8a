"""`isthmus submit` and `isthmus resubmit`."""

# Imports stand where they are needed: --help and mistakes are answered without waiting for httpx and Rich.
# ruff: noqa: PLC0415
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli import options
from isthmus.cli.exits import ExitCode, Misuse, code_of_error, say, say_error
from isthmus.cli.printing import emit
from isthmus.cli.session import connect, find_job, letters_of, pair, who_am_i
from isthmus.errors import IsthmusError

if TYPE_CHECKING:
    from isthmus.client import ApplicationRecord, Client, Job


def submit(
    context: typer.Context,
    application: Annotated[
        str | None, typer.Argument(metavar="APP", help="An application; see `isthmus apps`.")
    ] = None,
    settings: options.SetOption = None,
    files: options.FileOption = None,
    origins: options.FromOption = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="A version of the application.")
    ] = None,
    cluster: options.ClusterOption = None,
    cpus: options.CpusOption = None,
    memory: options.MemoryOption = None,
    gpus: options.GpusOption = None,
    walltime: options.WalltimeOption = None,
    nodes: options.NodesOption = None,
    processes_per_node: options.ProcessesOption = None,
    queue: options.QueueOption = None,
    account: options.AccountOption = None,
    name: options.NameOption = None,
    labels: options.LabelOption = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="A project of yours that it belongs to.")
    ] = None,
    notify: options.NotifyOption = None,
    key: options.KeyOption = None,
    wait: options.WaitOption = False,
    as_json: options.JsonOption = False,
    show_help: Annotated[bool, typer.Option("--help", "-h", help="Show this; after APP, its inputs as flags.")] = False,
) -> None:
    """Submit a job; prints its id.

    APP's inputs are flags such as --threshold-dbz 45: see `isthmus submit APP --help`. An input whose flag is taken by
    an option below is given by --set or --file.
    """
    from isthmus.cli.flags import from_settings, read_flags
    from isthmus.cli.following import follow

    if application is None:
        typer.echo(context.get_help(), err=not show_help)
        raise typer.Exit(ExitCode.OK if show_help else ExitCode.USAGE)
    if application.startswith("-"):
        context.fail(f"No such option: {application}. The application's own flags come after its name.")
    changes = [pair(word, "--set") for word in settings or ()]
    given, notices = _read_files(files, origins), letters_of(notify)
    with connect() as gateway:
        definition = gateway.application(application, version)
        words = [*context.args, *(["--help"] if show_help else [])]
        values = read_flags(definition, words, f"isthmus submit {application}")
        values |= from_settings(definition, changes)
        values |= _files(gateway, given)
        resources = _resources(cpus, memory, gpus, walltime, nodes, processes_per_node, queue, account)
        job = gateway.submit(
            application,
            version=version,
            cluster=cluster,
            job_name=name,
            labels=labels,
            resources=resources,
            notices=notices,
            project=project,
            key=key,
            inputs=values,
        )
        _advise_address(gateway, notices)
        if wait:
            raise typer.Exit(follow(gateway, job, as_json=as_json))
        _tell(job, as_json=as_json, advise=True)


def resubmit(
    words: options.JobsArgument,
    settings: options.SetOption = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="NAME", help="Go back to this input's default.")
    ] = None,
    files: options.FileOption = None,
    origins: options.FromOption = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Another version of the application, or `latest`."),
    ] = None,
    cluster: options.ClusterOption = None,
    cpus: options.CpusOption = None,
    memory: options.MemoryOption = None,
    gpus: options.GpusOption = None,
    walltime: options.WalltimeOption = None,
    nodes: options.NodesOption = None,
    processes_per_node: options.ProcessesOption = None,
    queue: options.QueueOption = None,
    account: options.AccountOption = None,
    name: options.NameOption = None,
    labels: options.LabelOption = None,
    notify: options.NotifyOption = None,
    key: options.KeyOption = None,
    wait: options.WaitOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Submit earlier jobs again, with what you change.

    One that is refused does not keep the others back; the command ends with the highest code.
    """
    from isthmus.cli.flags import from_settings
    from isthmus.cli.following import follow

    resources = _resources(cpus, memory, gpus, walltime, nodes, processes_per_node, queue, account)
    changes = [pair(word, "--set") for word in settings or ()]
    given, notices = _read_files(files, origins), letters_of(notify)
    with connect() as gateway:

        def again(word: str) -> Job:
            parent = find_job(gateway, word)
            values = from_settings(_definition(gateway, parent, version), changes) if changes else {}
            return parent.resubmit(
                unset=unset or (),
                cluster=cluster,
                version=version,
                job_name=name,
                labels=labels,
                resources=resources,
                notices=notices,
                key=key and (key if len(words) == 1 else f"{key}.{parent.id}"),
                inputs=values | _files(gateway, given),
            )

        worst, made = ExitCode.OK, []
        for word in words:
            try:
                made.append(again(word))
            except IsthmusError as fault:
                say_error(fault)
                worst = max(worst, code_of_error(fault))
                continue
            if not wait:
                _tell(made[-1], as_json=as_json, advise=len(words) == 1)
        _advise_address(gateway, notices)
        codes = [follow(gateway, job, as_json=as_json) for job in made] if wait else []
    raise typer.Exit(max([worst, *codes]))


def _definition(gateway: Client, parent: Job, version: str | None) -> ApplicationRecord:
    wanted = version or parent.record.version
    return gateway.application(parent.application, None if wanted == "latest" else wanted)


@dataclass(frozen=True, slots=True)
class _Origin:
    """An output of an earlier job, which `word` names."""

    word: str
    output: str
    path: str | None


def _read_files(files: Iterable[str] | None, origins: Iterable[str] | None) -> list[tuple[str, Path | _Origin]]:
    """What --file and --from give, by input. Misuse, before anything is sent: one isn't of its form."""
    given: list[tuple[str, Path | _Origin]] = []
    for word in files or ():
        name, path = pair(word, "--file")
        given.append((name, Path(path).expanduser()))
    for word in origins or ():
        name, origin = pair(word, "--from")
        job, _, rest = origin.partition("/")
        output, _, path = rest.partition("/")
        if not (job and output):
            raise Misuse(f"--from takes NAME=ID/OUTPUT, e.g. radar=last/scan, not {word!r}")
        given.append((name, _Origin(job, output, path or None)))
    return given


def _files(gateway: Client, given: Iterable[tuple[str, Path | _Origin]]) -> dict[str, object]:
    """The file inputs; a name given again stands for a list."""
    from isthmus.client import OutputOf

    found: dict[str, list[object]] = {}
    for name, one in given:
        file = one if isinstance(one, Path) else OutputOf(find_job(gateway, one.word).id, one.output, one.path)
        found.setdefault(name, []).append(file)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _resources(
    cpus: int | None,
    memory: str | None,
    gpus: int | None,
    walltime: str | None,
    nodes: int | None,
    processes_per_node: int | None,
    queue: str | None,
    account: str | None,
) -> dict[str, object]:
    asked = {
        "cpus": cpus,
        "memory_mib": _amount("memory_mib", memory),
        "gpus": gpus,
        "walltime_s": _amount("walltime_s", walltime),
        "nodes": nodes,
        "processes_per_node": processes_per_node,
        "queue": queue,
        "account": account,
    }
    return {name: amount for name, amount in asked.items() if amount is not None}


def _amount(name: str, text: str | None) -> int | None:
    """Read here and not by the gateway, so that a slip is told before any file is uploaded."""
    if text is None:
        return None
    from isthmus.application import ResourceName, read_amount

    return read_amount(ResourceName(name), text)


def _advise_address(gateway: Client, notices: str | None) -> None:
    """Who asks for notices and has no address is told on stderr that no mail will come."""
    if notices and who_am_i(gateway).email is None:
        say("No mail can be sent: give your address with `isthmus account --email ADDRESS`. The portal tells you.")


def _tell(job: Job, *, as_json: bool, advise: bool) -> None:
    """The job's id is on stdout, and on stderr how to go on."""
    if as_json:
        return emit(job.record.document)
    print(job.id, flush=True)
    if advise:
        say(f"Accepted for {job.record.cluster}. Follow it with: isthmus watch {job.id}")
    return None
