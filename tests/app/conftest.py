"""What the tests of the store, of the jobs and of REST share."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import Engine

from app.db import transaction
from app.store.tables import ProjectRow, Report

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
on_one_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
"""For a property whose examples leave nothing behind: they share the test's database."""


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


@pytest.fixture
def projects(engine: Engine) -> None:
    """The projects 100 and 200, for rows that belong to one."""
    with transaction(engine) as session:
        for project_id in ("100", "200"):
            row = ProjectRow(
                project_id=project_id,
                name="Acme",
                credentials="",
                insights_url=None,
                basis="project_level",
                cross_check=True,
                tier_plan=[],
                cycle_anchor_day=1,
                tolerance_minutes=10_000,
                tolerance_relative=Decimal("0.000001"),
                created_at=NOW,
            )
            session.add(row)
