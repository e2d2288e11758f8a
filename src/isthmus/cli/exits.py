"""What the command line ends with: exit codes that scripts can rely on, and one clear sentence for each error."""

from __future__ import annotations

import sys
from enum import IntEnum

from isthmus.cli.printing import shown, shown_lines
from isthmus.errors import Conflict, InvalidInput, IsthmusError, NotAllowed, NotFound, NotSignedIn, TooLarge
from isthmus.job import JobState


class ExitCode(IntEnum):
    """Every code a command ends with; docs/reference/command-line.md lists them. 130 is Ctrl-C, as in any shell."""

    OK = 0
    ERROR = 1  # something went wrong that no other code is for
    USAGE = 2  # the command line itself is wrong
    NOT_FOUND = 3
    REFUSED = 4  # invalid input, a conflict, too large
    NO_CONNECTION = 5  # the gateway did not answer or is not ready
    NOT_ALLOWED = 6  # not signed in, or not allowed
    JOB_FAILED = 10  # only from commands that wait for a job
    JOB_CANCELLED = 11


class Misuse(InvalidInput):
    """The command line itself is wrong, as can be told without asking the gateway."""

    code = "usage"


_BY_ERROR: tuple[tuple[type[IsthmusError], ExitCode], ...] = (
    (Misuse, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (InvalidInput, ExitCode.REFUSED),
    (Conflict, ExitCode.REFUSED),
    (TooLarge, ExitCode.REFUSED),
    (NotSignedIn, ExitCode.NOT_ALLOWED),
    (NotAllowed, ExitCode.NOT_ALLOWED),
)
_BY_STATE = {JobState.FAILED: ExitCode.JOB_FAILED, JobState.CANCELLED: ExitCode.JOB_CANCELLED}


def code_of_error(error: IsthmusError) -> ExitCode:
    """The code a command that met this error ends with."""
    if error.code == "no_connection":  # by its code: the class comes with httpx, which --help must not wait for
        return ExitCode.NO_CONNECTION
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.ERROR)


def code_of_state(state: JobState) -> ExitCode:
    """The code a command that waited for a job ends with."""
    return _BY_STATE.get(state, ExitCode.OK)


def say(words: str) -> None:
    """The words are on stderr, where they disturb no output that a script reads."""
    print(words, file=sys.stderr)


def say_error(error: IsthmusError) -> None:
    """The error is told on stderr: one sentence, or a line for each field that was refused."""
    if not (isinstance(error, InvalidInput) and error.faults):
        return say(f"isthmus: {shown_lines(error.message)}")
    say(f"isthmus: {len(error.faults)} {'thing' if len(error.faults) == 1 else 'things'} in the request must change:")
    for fault in error.faults:
        say(f"  {shown(fault.field)}: {shown_lines(fault.message)}")
    return None
