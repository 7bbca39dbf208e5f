"""Several workers on PostgreSQL: what one of them leaves is done by the others, and what a schedule starts happens once."""

import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.db import transaction
from app.store.tables import Job, WorkerRow
from tests.e2e.kill.machine import Machine, machine
from tests.e2e.kill.test_kills import assert_whole

pytestmark = pytest.mark.postgresql


def pending(made: Machine) -> dict[str, list[str]]:
    """The jobs that run, by worker."""
    statement = "SELECT executor_id, split_part(workflow_uuid, '-', 1) FROM dbos.workflow_status WHERE status = 'PENDING'"
    found: dict[str, list[str]] = {}
    with made.engine.connect() as connection:
        for worker_id, job_id in connection.execute(text(f"{statement} AND name = 'job'")):
            found.setdefault(worker_id, []).append(job_id)
    return found


def places(made: Machine) -> dict[str, str]:
    with transaction(made.engine, read_only=True) as session:
        return {it.id: it.place for it in session.exec(select(WorkerRow))}


@pytest.mark.parametrize(("workers", "elsewhere", "limit"), [(2, False, 10), (3, True, 30)])
def test_what_a_killed_worker_leaves_is_done_by_the_others(
    tmp_path: Path, postgresql_url: str, workers: int, elsewhere: bool, limit: float
) -> None:
    """`elsewhere`: the others cannot see that its process is gone, as on another machine, only that it is silent."""
    ids = [f"{100 + number}" for number in range(workers * 4)]
    with machine(tmp_path, postgresql_url, ids) as made:
        made.upstream.delay = 2.0
        by_pid = {process.pid: process for process in (made.start("worker") for _ in range(workers))}
        made.until(lambda: len(places(made)) == workers)
        for project_id in ids:
            made.project(project_id)
        made.until(lambda: len(pending(made)) == workers)
        victim, left = max(pending(made).items(), key=lambda it: len(it[1]))
        pid = int(places(made)[victim].split()[-1])
        if elsewhere:
            with transaction(made.engine) as session:
                session.get_one(WorkerRow, victim).place = f"elsewhere {pid}"
        by_pid[pid].kill()
        begun = time.monotonic()
        made.until(lambda: victim not in pending(made), limit)
        with transaction(made.engine, read_only=True) as session:
            waiting = [job_id for job_id in left if session.get_one(Job, job_id).state != "succeeded"]
        again = time.monotonic() - begun
        made.upstream.delay = 0.05
        made.until(lambda: made.states()["succeeded"] == len(ids))
        done = time.monotonic() - begun
        sys.stdout.write(
            f"{workers} workers: {len(waiting)} jobs queued again after {again:.1f} s, all done after {done:.1f} s\n"
        )
        assert_whole(made, ids)


def test_what_a_schedule_starts_happens_once_among_three_workers(tmp_path: Path, postgresql_url: str) -> None:
    ticks = tmp_path / "ticks"
    with machine(tmp_path, postgresql_url, ["100"]) as made:
        made.environment["TICKS"] = str(ticks)
        started = [made.start("worker") for _ in range(3)]
        made.until(lambda: ticks.exists() and len(ticks.read_text().splitlines()) >= 4)
        for process in started:
            process.terminate()
        for process in started:
            process.join(30)
            assert process.exitcode == 0
        with made.engine.connect() as connection:
            statement = "SELECT count(*) FROM dbos.workflow_status WHERE schedule_name = 'tick' AND status = 'SUCCESS'"
            assert connection.execute(text(statement)).scalar_one() == len(ticks.read_text().splitlines())
