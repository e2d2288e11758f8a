"""Errors as problem documents: one shape, a status for every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from isthmus import errors
from isthmus.api.problem import (
    MalformedJson,
    RangeNotSatisfiable,
    TooManyAttempts,
    UnsupportedMediaType,
    respond_to,
    status_of,
)
from isthmus.errors import InputFault, InvalidInput, IsthmusError
from isthmus.store import IdempotencyMismatch
from isthmus.store.wishes import ChangedMeanwhile

STATUSES = {
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.NotSignedIn: 401,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.ConfigurationError: 500,
    errors.StorageFault: 507,
    errors.NoAnswer: 503,
    errors.LeaseLost: 500,
    IdempotencyMismatch: 422,
    ChangedMeanwhile: 412,
    MalformedJson: 400,
    UnsupportedMediaType: 415,
}


def kinds(of: type[IsthmusError]) -> Iterator[type[IsthmusError]]:
    for kind in of.__subclasses__():
        if kind.__module__ == "isthmus.errors":
            yield kind
        yield from kinds(kind)


def test_every_kind_of_error_has_its_status() -> None:
    assert set(kinds(IsthmusError)) <= set(STATUSES)
    assert {kind: status_of(kind("words")) for kind in STATUSES} == STATUSES


@pytest.mark.parametrize("kind", STATUSES)
def test_an_error_is_told_with_its_code_and_without_the_operators_detail(kind: type[IsthmusError]) -> None:
    answer = respond_to(kind("the disk is full", detail="/srv/secret/place"))
    body = json.loads(bytes(answer.body))
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["status"], body["code"], body["detail"]) == (STATUSES[kind], kind.code, "the disk is full")
    assert "secret" not in str(body)


def test_faults_are_listed_by_field() -> None:
    answer = respond_to(InvalidInput("two things", (InputFault("b", "x", "is wrong"), InputFault("a", "y", "\ud800"))))
    assert [fault["field"] for fault in json.loads(bytes(answer.body))["errors"]] == ["a", "b"]


def test_an_error_says_what_to_do_next_where_http_has_a_word_for_it() -> None:
    assert respond_to(errors.NotSignedIn("who?")).headers["www-authenticate"].startswith("Bearer")
    assert respond_to(TooManyAttempts(7)).headers["retry-after"] == "7"
    assert respond_to(RangeNotSatisfiable(9)).headers["content-range"] == "bytes */9"
