"""The names a user's program may rest on: a change here is a change for users, and goes into the CHANGELOG."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from isthmus import client
from isthmus.client import AsyncClient, AsyncJob, Client, Job

CLIENT = [
    *("application", "applications", "close", "find", "job", "jobs", "request", "run"),
    *("shared", "submit", "upload", "url"),
]
JOB = [
    "application",
    "attempts",
    "cancel",
    "cause",
    "diff",
    "download",
    "exit_code",
    "id",
    "inputs",
    "is_final",
    "log",
    "name",
    "outputs",
    "parent",
    "refresh",
    "resubmit",
    "script",
    "seconds",
    "share",
    "shares",
    "state",
    "unshare",
    "wait",
    "waiting_reason",
    "why",
]


def public(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def test_the_module_s_public_names_are_these() -> None:
    assert client.__all__ == [
        "ApplicationRecord",
        "ApplicationSummary",
        "AsyncClient",
        "AsyncJob",
        "AttemptRecord",
        "Change",
        "Client",
        "InputRecord",
        "Job",
        "JobQuery",
        "JobRecord",
        "NoConnection",
        "OutputOf",
        "OutputRecord",
        "ShareRecord",
        "UploadRecord",
    ]
    assert all(hasattr(client, name) for name in client.__all__)


def test_a_client_and_a_job_have_these_names() -> None:
    assert public(Client) == CLIENT
    assert public(Job) == JOB


def parameters(method: Callable[..., object]) -> list[tuple[str, object]]:
    return [(name, found.default) for name, found in inspect.signature(method).parameters.items()]


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (Job, AsyncJob)])
def test_both_clients_have_the_same_methods_with_the_same_parameters_and_defaults(one: type, other: type) -> None:
    assert public(one) == public(other)
    for name in public(one):
        if inspect.isfunction(method := getattr(one, name)):
            assert parameters(method) == parameters(getattr(other, name)), name
