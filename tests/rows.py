"""Rows as they are stored, for tests and benchmarks that need not make them by the service."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from app.store.tables import Report


def project_row(project_id: str, created_at: datetime) -> dict[str, Any]:
    """The columns of a project on the usual terms, whose credentials nobody can use."""
    return {
        "project_id": project_id,
        "name": "Acme",
        "credentials": "",
        "insights_url": None,
        "basis": "project_level",
        "cross_check": True,
        "tier_plan": [],
        "cycle_anchor_day": 1,
        "tolerance_minutes": 10_000,
        "tolerance_relative": Decimal("0.000001"),
        "created_at": created_at,
    }


def stored_report(document: Mapping[str, Any], created_at: datetime) -> Report:
    """A report's document as it is stored, whatever its hash says."""
    days = document["period"]["aligned"]
    return Report(
        **{name: document[name] for name in ("id", "project_id", "version", "supersedes", "sha256", "verdict")},
        first_day=date.fromisoformat(days["first_day"]),
        last_day=date.fromisoformat(days["last_day"]),
        created_at=created_at,
        body=msgspec.json.encode(document),
    )
