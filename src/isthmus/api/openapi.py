"""The description of the API: OpenAPI 3.1, every error documented as problem+json."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

PREFIX = "/api/v1"
PROBLEM_TYPE = "application/problem+json"

_PUBLIC_ERRORS = {"500": "a fault of the gateway"}
_ERRORS = {
    "400": "the body can't be read",
    "401": "not signed in",
    "403": "not allowed",
    "404": "no such thing, or not yours",
    "413": "the body is too large",
    "415": "not a kind of body that is read here",
    "422": "invalid input",
    "507": "the gateway's disk is full",
}


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    code: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; `errors` names fields of an invalid request."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    code: str
    errors: list[FieldProblem] = []


def errors(**more: str) -> dict[int | str, dict[str, Any]]:
    """Documents more errors of a route: `errors(_409="not final")`; the usual ones need not be said."""
    return {int(name.lstrip("_")): {"description": said} for name, said in more.items()}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        _complete(made)
        app.openapi_schema = made
    return app.openapi_schema


def methods_at(app: FastAPI, path: str) -> tuple[str, ...]:
    """The methods that this path answers to, none if there is nothing there; a fixed path goes before a pattern."""
    paths: dict[str, dict[str, Any]] = describe(app)["paths"]
    steps = path.split("/")
    found = path if path in paths else next((one for one in paths if _fits(one.split("/"), steps)), None)
    return () if found is None else tuple(method.upper() for method in sorted(paths[found]))


def _fits(template: list[str], steps: list[str]) -> bool:
    pairs = zip(template, steps, strict=False)
    return len(template) == len(steps) and all(one == step or one.startswith("{") for one, step in pairs)


def _complete(made: dict[str, Any]) -> None:
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "an API token"},
        "password": {"type": "http", "scheme": "basic", "description": "name and password"},
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            _document_errors(path, operation)
            if path.startswith(PREFIX):
                operation["security"] = [{"token": []}]
    made["paths"][f"{PREFIX}/tokens"]["post"]["security"] = [{"token": []}, {"password": []}]


def _document_errors(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status, said in (_ERRORS if path.startswith(PREFIX) else _PUBLIC_ERRORS).items():
        responses.setdefault(status, {"description": said})
    for status, response in responses.items():
        if int(status) >= 400 and "content" not in response:
            response["content"] = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
