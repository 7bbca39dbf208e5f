"""Jobs to queue, workers that do them, and waiting for both."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Engine

from app.auth import Scope, Vault
from app.clock import MovableClock
from app.db import transaction
from app.jobs.run import Run
from app.jobs.work import Kind, Schedule
from app.jobs.worker import Worker
from app.service import Service
from app.settings import Settings
from app.store import jobs
from app.store.jobs import UNFINISHED
from app.store.tables import Job
from app.webhooks.sender import Sender
from tests.app.conftest import NOW


def add(engine: Engine, key: str, project_id: str | None = "100", kind: str = "work") -> Job:
    with transaction(engine) as session:
        return jobs.add(session, kind, key, {"key": key}, NOW, project_id=project_id)


def state(engine: Engine, job: Job) -> str:
    with transaction(engine, read_only=True) as session:
        return jobs.get(session, job.id).state


Handler = Callable[[Mapping[str, Any], Run], dict[str, Any]]


@contextmanager
def working(
    engine: Engine, work: Handler, schedules: Mapping[str, Schedule] | None = None, **others: Handler
) -> Iterator[Worker]:
    vault = Vault("jobs-under-test-0123456789abcdefghijklmn")
    service = Service(Settings(_env_file=None), engine, MovableClock(NOW), vault, Sender(development=True))
    kinds = {
        name: Kind(lambda _, arguments, run, handler=handler: handler(arguments, run), Scope.ADMIN)
        for name, handler in {"work": work, **others}.items()
    }
    with Worker(service, kinds, schedules, explain=lambda error: {"detail": str(error)}) as running:
        yield running


def echo(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    run.progress(1, 2)
    run.progress(2, 2)
    return dict(arguments)


def abandon(engine: Engine, key: str = "abandoned", times: int = 1) -> Job:
    """A job as a process leaves it that dies while it runs, so many times; the engine may know of it or not."""
    job = add(engine, key)
    for _ in range(times):
        with transaction(engine) as session:
            assert jobs.begin(session, job.id, job.queued, NOW)
    return job


def wait(engine: Engine, job_id: str, timeout: float) -> Job:
    """The job once it has ended, or as it is after so many seconds."""
    until = time.monotonic() + timeout
    while True:
        with transaction(engine, read_only=True) as session:
            job = jobs.get(session, job_id)
        if job.state not in UNFINISHED or time.monotonic() >= until:
            return job
        time.sleep(0.02)
