"""The jobs of this process: threads that take jobs from the database, the oldest first, one at a time for each project.

A job that is interrupted, by `stop` or because its process died, runs again from its start: what it does is idempotent, and
what it had stored by then stays.
"""

import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, Self

import structlog
from sqlalchemy.exc import IntegrityError

from app.db import transaction
from app.errors import Interrupted, Unavailable
from app.jobs.run import Run
from app.jobs.work import Kind
from app.service import Service
from app.store import jobs
from app.store.tables import Job

Explain = Callable[[Exception], dict[str, Any]]
"""A failure as the JSON that `GET /v1/jobs/{id}` shows as the job's problem."""

THREADS = 2
POLL = 0.1
"""Seconds between two looks at the queue, which cost a fraction of a millisecond."""
PAUSE = 1.0
"""Seconds to leave the database alone after it failed."""
MAX_ATTEMPTS = 3
"""A job that was running so often when its process died has likely killed it, and is not tried again."""

_log = structlog.get_logger()


class Worker:
    """Runs the jobs of one database. It is for one process at a time: at its start it takes over what a dead one left."""

    def __init__(self, service: Service, kinds: Mapping[str, Kind], *, explain: Explain) -> None:
        """`service.stopping` is set by `stop`, for handlers that wait: one that raises Interrupted has its job queued again."""
        self._service = service
        self._engine = service.engine
        self._kinds = kinds
        self._clock = service.clock
        self._explain = explain
        self._stopping = service.stopping
        self._threads = [Thread(target=self._run, name=f"jobs-{number}") for number in range(THREADS)]

    def start(self) -> None:
        """Queue again what a dead process left running, then begin to work."""
        with transaction(self._engine) as session:
            for job in jobs.running(session):
                if job.attempts < MAX_ATTEMPTS:
                    jobs.let_go(session, jobs.Attempt(job.id, job.attempts), self._clock.now())
                else:
                    died = Unavailable(f"The process died {job.attempts} times while it ran this job.")
                    jobs.fail(session, jobs.Attempt(job.id, job.attempts), self._explain(died), self._clock.now())
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more jobs; the running ones end, or go back into the queue at their next progress or wait."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if job := self._take():
                    with structlog.contextvars.bound_contextvars(job_id=job.id):
                        self._work(job)
                    continue
            except Exception as error:
                # The database cannot be reached, most likely. A job whose end could not be written runs again after a restart.
                _log.error("jobs stumble", exc_info=error)
                self._stopping.wait(PAUSE)
            self._stopping.wait(POLL)

    def _take(self) -> Job | None:
        """The next job, begun. Looking comes first: it needs no lock, and the queue is nearly always empty."""
        try:
            with transaction(self._engine) as session:
                return jobs.take(session, self._clock.now())
        except IntegrityError:
            return None

    def _work(self, job: Job) -> None:
        attempt = jobs.Attempt(job.id, job.attempts)

        started = time.perf_counter()
        try:
            result = self._kinds[job.kind].handler(self._service, job.arguments, Run(self._service, attempt))
        except Interrupted:
            outcome = "interrupted"
            with transaction(self._engine) as session:
                jobs.let_go(session, attempt, self._clock.now())
        except Exception as error:
            outcome = "failed"
            _log.error("job failed", kind=job.kind, exc_info=error)
            with transaction(self._engine) as session:
                jobs.fail(session, attempt, self._explain(error), self._clock.now())
        else:
            outcome = "succeeded"
            with transaction(self._engine) as session:
                jobs.succeed(session, attempt, result, self._clock.now())
        _log.info("job", kind=job.kind, outcome=outcome, milliseconds=round((time.perf_counter() - started) * 1000))
