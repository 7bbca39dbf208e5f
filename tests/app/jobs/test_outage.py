"""A database that goes away while jobs run: they go on when it is back, and none is lost or failed."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.db import create_engine, transaction
from app.jobs.run import Run
from app.store.jobs import State
from tests.app.jobs.conftest import add, wait, working

pytestmark = pytest.mark.postgresql


def test_jobs_outlive_a_database_that_goes_away(postgresql_url: str, postgres_template: tuple[Engine, str]) -> None:
    engine, (admin, _) = create_engine(postgresql_url), postgres_template
    name = engine.url.database

    def steps(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        for step in map(str, range(6)):
            if run.done(step) is None:
                with transaction(engine) as session:
                    run.record(session, step, [])
                    time.sleep(0.1)
            run.progress(int(step), 6)
        return {}

    def throw_out() -> None:
        statement = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        with admin.connect() as connection:
            connection.execute(statement, {"name": name})

    def allow(connections: bool) -> None:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {connections}")

    queued = [add(engine, f"{number}", project_id=None) for number in range(6)]
    with working(engine, steps):
        for _ in range(2):
            time.sleep(0.5)
            throw_out()
        allow(False)
        throw_out()
        time.sleep(1.5)
        allow(True)
        ended = [wait(engine, job.id, timeout=60) for job in queued]
        assert [it.state for it in ended] == [State.SUCCEEDED] * len(queued)
        assert any(it.attempts > 1 for it in ended), "or nothing was tried"
        late = add(engine, "late", project_id=None)
        assert wait(engine, late.id, timeout=20).state == State.SUCCEEDED
    engine.dispose()
