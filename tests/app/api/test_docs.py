"""docs/api.md tells the truth: its JSON is part of recorded examples, and its addresses are those of the service."""

import json
import re
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from app.api.openapi import EXAMPLES

GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def part_of(part: Any, whole: Any) -> bool:
    """Whether `whole` says all that `part` says: an object may have more fields, a list more items behind."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and part_of(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) <= len(whole) and all(map(part_of, part, whole))
    return bool(part == whole)


def test_every_json_block_is_recorded() -> None:
    recorded = [
        spoken
        for example in json.loads(EXAMPLES.read_text()).values()
        for spoken in (example.get("request"), *example["answers"].values())
    ]
    blocks = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) > 5
    for block in blocks:
        assert any(part_of(json.loads(block), whole) for whole in recorded), block


def test_every_address_is_there_and_every_address_is_told(client: TestClient) -> None:
    there = {f"{method.upper()} {path}" for path, operations in client.app.openapi()["paths"].items() for method in operations}
    told = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`?]*)`", GUIDE))
    assert told <= there
    left_out = {
        "GET /v1/projects",
        "GET /v1/projects/{project_id}",
        "GET /v1/reports",
        "GET /v1/reports/{report_id}",
        "GET /v1/rate-cards",
    }
    assert there - told == left_out
