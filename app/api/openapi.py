"""What the OpenAPI document says beyond what the routes say by themselves: the headers of all, and an example of each."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

EXAMPLES = Path(__file__).with_name("examples.json")
"""By operation id, a real request and its answer: recorded by tests/e2e from the worked example."""

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
    "description": "Makes it happen once: the same again gets the first answer, with `Idempotency-Replayed: true`",
}


def describe(app: FastAPI) -> None:
    """Let the application's OpenAPI document be the complete one; it is made when it is first asked for."""
    plain = app.openapi

    @cache
    def complete() -> dict[str, Any]:
        document = plain()
        recorded = json.loads(EXAMPLES.read_text())
        for method, operation in operations(document):
            if method == "post":
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            _illustrate(operation, recorded.get(operation["operationId"], {}))
        return document

    app.openapi = complete  # type: ignore[method-assign]  # FastAPI documents this way of extending it


def _illustrate(operation: dict[str, Any], example: dict[str, Any]) -> None:
    if "request" in example:
        operation["requestBody"]["content"]["application/json"]["example"] = example["request"]
    for status, body in example.get("answers", {}).items():
        operation["responses"][status]["content"]["application/json"]["example"] = body


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of an OpenAPI document with its method."""
    for path in document["paths"].values():
        yield from path.items()
