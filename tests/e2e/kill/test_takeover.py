"""Several workers on PostgreSQL: what a schedule starts happens once, and what a killed worker leaves is done by the others."""

import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.db import transaction
from app.store.tables import WorkerRow
from tests.e2e.kill.machine import TICKS, Machine
from tests.e2e.kill.world import assert_whole, finish, world

pytestmark = pytest.mark.postgresql
EACH = 4
"""A worker runs so many of such jobs at a time."""


def pending(made: Machine) -> dict[str, set[str]]:
    """The jobs that run, by worker."""
    statement = "SELECT executor_id, split_part(workflow_uuid, '-', 1) FROM dbos.workflow_status WHERE status = 'PENDING'"
    found: dict[str, set[str]] = {}
    with made.engine.connect() as connection:
        for worker_id, job_id in connection.execute(text(f"{statement} AND name = 'job'")):
            found.setdefault(worker_id, set()).add(job_id)
    return found


def places(made: Machine) -> dict[str, str]:
    with transaction(made.engine, read_only=True) as session:
        return {it.id: it.place for it in session.exec(select(WorkerRow))}


def ticks(made: Machine, status: str) -> set[datetime]:
    """The instants of the ticks that have such a status; the engine has no more than one for an instant."""
    statement = "SELECT workflow_uuid FROM dbos.workflow_status WHERE schedule_name = 'tick' AND status"
    with made.engine.connect() as connection:
        names = connection.execute(text(f"{statement} {status}")).scalars().all()
    instants = {datetime.fromisoformat(name.removeprefix("sched-tick-")) for name in names}
    assert len(instants) == len(names)
    return instants


def test_two_of_three_workers_are_killed(tmp_path: Path, postgresql_url: str) -> None:
    """The second as if on another machine: the last cannot see that its process is gone, only that it is silent.

    Upstream does not answer meanwhile, so that all have jobs and keep them, however fast the machine is.
    """
    with world(tmp_path, postgresql_url, 3 * EACH) as it:
        made = it.made
        made.upstream.answering.clear()
        by_pid = {process.pid: process for process, _ in (made.start("worker", TICKS="1") for _ in range(3))}
        made.until(lambda: len(places(made)) == 3)
        for _ in range(3 * EACH):
            it.add()
        made.until(lambda: sum(map(len, pending(made).values())) == 3 * EACH)
        made.until(lambda: len(ticks(made, "= 'SUCCESS'")) >= 3)
        ended = ticks(made, "= 'SUCCESS'")
        happened = len((tmp_path / TICKS).read_text().splitlines())
        assert len(ended) <= happened <= len(ticks(made, "<> 'ENQUEUED'")), "each happens once"

        for elsewhere, limit in ((False, 15), (True, 30)):
            victim, left = min(pending(made).items())
            pid = int(places(made)[victim].split()[-1])
            if elsewhere:
                with transaction(made.engine) as session:
                    session.get_one(WorkerRow, victim).place = f"elsewhere {pid}"
            by_pid[pid].kill()
            begun = time.monotonic()
            made.until(lambda victim=victim: victim not in pending(made), limit)
            sys.stdout.write(f"{len(left)} jobs queued again after {time.monotonic() - begun:.1f} s\n")
            assert len(left) == EACH

        made.upstream.answering.set()
        made.until(it.close)
        finish(it)
        assert_whole(it)
