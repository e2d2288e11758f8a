"""Why a run ended without results, each with the exit code a caller can rely on.

Failure
+-- BadArguments     2   the command line asks for something that cannot be
+-- UnreadableInput  3   no such file, not a NEXRAD file, or a damaged one
+-- NoReflectivity   4   a NEXRAD file without reflectivity that this program reads
+-- CannotWrite      5   the results could not be put into the output directory
"""

from typing import ClassVar


class Failure(Exception):
    """A run that cannot give results; its text is one sentence for the person who started it."""

    exit_code: ClassVar[int]


class BadArguments(Failure):
    exit_code = 2


class UnreadableInput(Failure):
    exit_code = 3


class NoReflectivity(Failure):
    exit_code = 4


class CannotWrite(Failure):
    exit_code = 5
