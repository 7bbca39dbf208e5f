"""What the tests of the store and of the jobs share."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import Engine

from app.db import transaction
from app.store.tables import ProjectRow
from tests.rows import project_row

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
on_one_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
"""For a property whose examples leave nothing behind: they share the test's database."""


@pytest.fixture
def projects(engine: Engine) -> None:
    """The projects 100 and 200, for rows that belong to one."""
    with transaction(engine) as session:
        for project_id in ("100", "200"):
            session.add(ProjectRow(**project_row(project_id, NOW)))
