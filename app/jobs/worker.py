"""This process as one of those that run jobs: it says that it lives, takes over from those that do not, and drains at its end.

A job that is interrupted is taken up again, here or elsewhere, after its last step: see `app.flows.steps`.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Self, TypeVar
from uuid import uuid4

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import Session

from app import tracing
from app.clock import SystemClock
from app.db import transaction
from app.errors import Interrupted, Unavailable
from app.jobs.outbox import workflow_id
from app.jobs.run import Run
from app.jobs.work import Kind, Schedule
from app.service import Service
from app.store import jobs, workers
from app.store.jobs import Attempt
from app.store.tables import Job

Explain = Callable[[Exception], dict[str, Any]]
"""A failure as the JSON that `GET /v1/jobs/{id}` shows as the job's problem."""
T = TypeVar("T")

BEAT = 2.0
"""Seconds between two signs of life, each with a look for what the dead left."""
DRAIN = 25.0
"""Seconds that a process which ends gives its running steps."""
PAUSE = 1.0
"""Seconds to leave the database alone after it failed."""
MAX_LOSSES = 25
"""How many attempts in succession may be lost, with their process or by an error of the database, without a step done between.
More, and the job is likely to blame: it is given up."""
KEPT = timedelta(days=30)
"""How long jobs are kept after they ended."""
TRACES_KEPT = timedelta(days=1)
"""How long the engine keeps its own rows of what has ended."""
TIDY = "tidy"
HOURLY = "17 * * * *"

_log = structlog.get_logger()


class Worker:
    """Runs the jobs of an installation together with the other processes that do. A process has one at most."""

    def __init__(
        self, service: Service, kinds: Mapping[str, Kind], schedules: Mapping[str, Schedule] | None = None, *, explain: Explain
    ) -> None:
        """`service.stopping` is set by `stop`, for whatever waits: a job that then raises Interrupted is queued again."""
        self.id = f"worker_{uuid4().hex}"
        self._service = service
        self._kinds = kinds
        self._schedules = {TIDY: Schedule(HOURLY, lambda _: self.tidy()), **(schedules or {})}
        self._explain = explain
        self._watcher = Thread(target=self._watch, name="jobs-watcher")

    def start(self) -> None:
        """Begin to work."""
        from app.jobs import engine

        self._engine = engine
        self._living()
        url = self._service.engine.url.render_as_string(hide_password=False)
        duties = engine.Duties(self._work, self._on_schedule)
        self._leave = engine.launch(url, self.id, duties, {name: it.cron for name, it in self._schedules.items()})
        self._watcher.start()

    def stop(self) -> None:
        """Begin nothing any more. What runs ends, or is queued again before its next step."""
        self._service.stopping.set()
        self._leave(DRAIN)
        self._watcher.join()
        with suppress(SQLAlchemyError), transaction(self._service.engine) as session:
            workers.leave(session, self.id)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tidy(self) -> None:
        """Forget what ended long ago, and queue again what the engine has lost."""
        with transaction(self._service.engine) as session:
            forgotten = jobs.forget(session, self._service.clock.now() - KEPT)
        self._engine.forget(SystemClock().now() - TRACES_KEPT)
        _log.info("jobs tidied", forgotten=forgotten, found=self._find_lost())

    def _watch(self) -> None:
        """Say that we live and take over from the dead, until the process ends."""
        sought = False
        while True:
            try:
                if dead := self._engine.executors() - self._living():
                    _log.warning("jobs taken over", workers=sorted(dead))
                    self._engine.take_over(dead)
                if not sought:
                    sought = True
                    self._find_lost()
            except Exception as error:
                # The database cannot be reached, most likely; others may take us for dead, and nothing breaks if they do.
                _log.error("jobs unwatched", exc_info=error)
            if self._service.stopping.wait(BEAT):
                return

    def _living(self) -> set[str]:
        with transaction(self._service.engine, durable=False) as session:
            return workers.alive(session, self.id, here(), gone)

    def _find_lost(self) -> int:
        """Queue again the unfinished jobs that the engine knows nothing of: from before it came, or from a backup of half a
        database. How many there were."""
        with transaction(self._service.engine, read_only=True) as session:
            waiting = {workflow_id(job): job for job in jobs.unfinished(session)}
        found = 0
        for lost in self._engine.ended(waiting):
            with transaction(self._service.engine) as session:
                found += jobs.revive(session, waiting[lost], self._service.clock.now())
        return found

    def _on_schedule(self, name: str) -> None:
        try:
            if schedule := self._schedules.get(name):
                schedule.function(self._service)
        except Interrupted:
            pass
        except Exception as error:
            _log.error("schedule failed", schedule=name, exc_info=error)

    def _work(self, job_id: str, queued: int) -> None:
        """Run a job to its end, or until the process stops or somebody else has it."""
        now = self._service.clock.now
        if job := self._insist(lambda session: jobs.begin(session, job_id, queued, now())):
            with structlog.contextvars.bound_contextvars(job_id=job_id), tracing.span(f"job {job.kind}", job_id=job_id):
                started = time.perf_counter()
                attempt = Attempt(job_id, job.attempts)
                outcome, end = self._outcome(job, attempt)
                try:
                    self._insist(end)
                except Interrupted:
                    outcome = "superseded"
                spent = round((time.perf_counter() - started) * 1000)
                _log.info("job", kind=job.kind, outcome=outcome, attempt=attempt.number, milliseconds=spent)

    def _outcome(self, job: Job, attempt: Attempt) -> tuple[str, Callable[[Session], None]]:
        """What came of it, in a word, and how to write that down."""
        now = self._service.clock.now
        try:
            self._service.go_on()
            if job.losses > MAX_LOSSES:
                raise Unavailable(f"The process died {job.losses} times while it ran this job.")
            result = self._kinds[job.kind].handler(self._service, job.arguments, Run(self._service, attempt))
            return "succeeded", lambda session: jobs.succeed(session, attempt, result, now())
        except Interrupted:
            return "interrupted", lambda session: jobs.let_go(session, attempt, now())
        except Exception as error:
            passing = isinstance(error, OperationalError) and job.losses < MAX_LOSSES  # a deadlock, a database that restarts
            _log.error("job stumbled" if passing else "job failed", kind=job.kind, exc_info=error)
            if passing:
                return "stumbled", lambda session: jobs.let_go(session, attempt, now(), stumbled=True)
            problem = self._explain(error)
            return "failed", lambda session: jobs.fail(session, attempt, problem, now())

    def _insist(self, write: Callable[[Session], T]) -> T:
        """Write in a transaction, and again while the database fails: otherwise the job would wait for `tidy`."""
        while True:
            try:
                with transaction(self._service.engine) as session:
                    return write(session)
            except SQLAlchemyError as error:
                _log.error("jobs stumble", exc_info=error)
                if self._service.stopping.wait(PAUSE):
                    raise


def prepare(url: str) -> None:
    """Make or migrate what the jobs need in a database besides the tables of `app.db.upgrade`; to be called before that."""
    from app.jobs import engine

    engine.prepare(url)


def here() -> str:
    """Where this process is: its machine, its world of process ids (a container has its own), and its id there."""
    world = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {world.readlink() if world.is_symlink() else ''} {os.getpid()}"


def gone(place: str) -> bool:
    """Whether a process was here and is no more. Of another place nobody can say."""
    world, _, pid = place.rpartition(" ")
    ours, _, own = here().rpartition(" ")
    if world != ours:
        return False
    if pid == own:
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
