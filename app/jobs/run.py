"""An attempt at a job, as the function that does the job sees it."""

from typing import Any

from sqlmodel import Session

from app.db import transaction
from app.service import Service
from app.store import jobs
from app.store.jobs import Attempt


class Run:
    """Tells how far the job is and which of its steps are done (`app.flows.steps.Steps`), as long as the attempt is the latest.

    Between two steps is where a job ends early: the methods raise Interrupted when the process stops or another has the job,
    and Cancelled when nobody wants it any more.
    """

    def __init__(self, service: Service, attempt: Attempt) -> None:
        self.attempt = attempt
        self._service = service
        with transaction(service.engine, read_only=True) as session:
            self._steps = jobs.steps(session, attempt)

    def progress(self, done: int, total: int) -> None:
        """Say how much of how much is done."""
        self._service.go_on()
        with transaction(self._service.engine, durable=False) as session:
            jobs.progress(session, self.attempt, done, total, self._service.clock.now())

    def done(self, name: str) -> Any | None:
        """What a step left in this attempt or an earlier one; None if it is still to be done."""
        self._service.go_on()
        return self._steps.get(name)

    def record(self, session: Session, name: str, result: Any) -> None:
        """The step is done, if the transaction is committed. A process that stops lets it end."""
        jobs.record_step(session, self.attempt, name, result)
