"""What the OpenAPI document says beyond what the routes say by themselves: the headers of all, and an example of each."""

import json
from collections.abc import Iterator
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
    """Complete the application's OpenAPI document."""
    document = app.openapi()
    recorded = json.loads(EXAMPLES.read_text())
    for method, operation in operations(document):
        if method == "post":
            operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
        example = recorded.get(operation["operationId"])
        if example is None:
            continue
        if "request" in example:
            operation["requestBody"]["content"]["application/json"]["example"] = example["request"]
        for status, body in example["answers"].items():
            operation["responses"][status]["content"]["application/json"]["example"] = body


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of an OpenAPI document with its method."""
    for path in document["paths"].values():
        yield from path.items()
