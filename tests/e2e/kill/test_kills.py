"""`kill -9` at every step and at random moments: afterwards every day is there once, and every period has one report.

RECKONER_TEST_KILLS is how many random kills each database takes.
"""

import os
import random
import sys
import time
from pathlib import Path

from app.db import transaction
from app.store import jobs
from tests.e2e.kill.machine import WHOLE, Machine, machine

KILLS = int(os.environ.get("RECKONER_TEST_KILLS", "50"))
STEPS = 10
"""What can be seen of one job: that it begins, its daily usage, three windows, how far it is, its report, and its end."""


def assert_whole(made: Machine, project_ids: list[str]) -> None:
    assert made.states() == {"succeeded": len(project_ids)}, made.failures()
    for project_id in project_ids:
        assert made.report_of(project_id) == ([(1, "balanced")], {1}, WHOLE), project_id


def test_a_kill_at_every_step(tmp_path: Path, database_url: str) -> None:
    ids = [f"{100 + number}" for number in range(STEPS)]
    with machine(tmp_path, database_url, ids) as made:
        for steps, project_id in enumerate(ids):
            job = made.project(project_id)
            process = made.start("worker")
            for _ in range(steps):
                made.moves()
            process.kill()
            process.join()
            made.finish("worker")
            with transaction(made.engine, read_only=True) as session:
                assert jobs.get(session, job.id).attempts <= 2
        assert_whole(made, ids)


def test_kills_at_random_moments(tmp_path: Path, database_url: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    ids = [f"{100 + number}" for number in range(max(4, KILLS // 2))]
    with machine(tmp_path, database_url, ids) as made:
        for project_id in ids:
            made.project(project_id)
        for _ in range(KILLS):
            process = made.start(*chance.choice([("worker",), ("worker",), ("serve",)]))
            for _ in range(chance.choice([0, 3, 6, 8, 10])):
                made.moves()
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
            process.join()
        sys.stdout.write(f"seed {seed}: {made.states()} after {KILLS} kills\n")
        made.finish("worker")
        assert_whole(made, ids)
