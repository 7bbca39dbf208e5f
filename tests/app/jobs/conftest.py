"""Waiting for jobs."""

import time

from sqlalchemy.engine import Engine

from app.db import transaction
from app.store import jobs
from app.store.jobs import UNFINISHED
from app.store.tables import Job


def wait(engine: Engine, job_id: str, timeout: float) -> Job:
    """The job once it has ended, or as it is after so many seconds."""
    until = time.monotonic() + timeout
    while True:
        with transaction(engine, read_only=True) as session:
            job = jobs.get(session, job_id)
        if job.state not in UNFINISHED or time.monotonic() >= until:
            return job
        time.sleep(0.02)
