"""Every error Isthmus raises on purpose.

IsthmusError                  message for the user, detail for the operator, can a retry help, a stable code
├── InvalidInput              the request names something wrong; `faults` name the fields
├── NotFound                  no such thing, or not yours: the two are never told apart
├── NotAllowed                known who you are, and you may not
├── NotSignedIn               no, wrong or expired credentials
├── Conflict                  true of an earlier state of the thing; read it again
├── TooLarge                  more bytes than the limit
├── ConfigurationError        a file of the operator's is wrong; names file and fault
├── StorageFault              disk full, unwritable, unreadable
├── NoAnswer                  a cluster did not answer: says nothing about any job
└── LeaseLost                 another controller has taken over: stop at once
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputFault:
    """One thing wrong with one field of a request."""

    field: str
    code: str
    message: str


class IsthmusError(Exception):
    """Something went wrong that a person can be told about.

    `message` is for the user and says what to do; `detail` is for the operator's log; `can_retry` says whether
    the same request may succeed later; `code` is stable, for programs.
    """

    code = "error"
    can_retry = False

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InvalidInput(IsthmusError):
    """The request is refused for what it says; `faults` holds one entry a field, sorted by field."""

    code = "invalid_input"

    def __init__(self, message: str, faults: tuple[InputFault, ...] = (), *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.faults = tuple(sorted(faults, key=lambda fault: fault.field))


class NotFound(IsthmusError):
    """There is no such thing for this user."""

    code = "not_found"


class NotAllowed(IsthmusError):
    """The user is known and may not do this."""

    code = "not_allowed"


class NotSignedIn(IsthmusError):
    """The request carries no valid credentials."""

    code = "not_signed_in"


class Conflict(IsthmusError):
    """The thing has changed, or its state does not permit this."""

    code = "conflict"


class TooLarge(IsthmusError):
    """More bytes than the limit named in the message."""

    code = "too_large"


class ConfigurationError(IsthmusError):
    """A configuration file is wrong; the message names the file and the fault."""

    code = "configuration"


class StorageFault(IsthmusError):
    """The disk is full, or a folder can't be read or written."""

    code = "storage"
    can_retry = True


class NoAnswer(IsthmusError):
    """A cluster did not answer, which says nothing about any of its jobs."""

    code = "no_answer"
    can_retry = True


class LeaseLost(IsthmusError):
    """Another controller holds the lease now: this one must act no more."""

    code = "lease_lost"
