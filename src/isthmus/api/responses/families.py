"""What answers hold about jobs made from one another, and how they differ."""

from __future__ import annotations

from pydantic import Field, JsonValue

from isthmus.api.requests import State
from isthmus.api.responses.answer import Answer, Moment


class FieldFault(Answer):
    field: str
    code: str
    message: str


class ProblemOut(Answer):
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldFault] = Field(default=[])


class ResubmitOut(Answer):
    """The new job of each, or why there is none."""

    job: str
    new_job: str | None
    problem: ProblemOut | None


class BulkResubmitOut(Answer):
    results: list[ResubmitOut]


class DifferenceOut(Answer):
    field: str
    a: JsonValue
    b: JsonValue


class Diff(Answer):
    a: str
    b: str
    differences: list[DifferenceOut]


class FamilyMember(Answer):
    id: str
    name: str
    application: str
    version: str
    state: State
    created_at: Moment
    children: list[FamilyMember]


class Family(Answer):
    """The whole tree a job belongs to, from the first of its ancestors that is still there."""

    tree: list[FamilyMember]
