"""Jobs: work that a request left behind. Each may run more than once, so what it does is idempotent."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlmodel import Session, col, select

from app.errors import NotFound
from app.store.paging import Page, page
from app.store.tables import Job, add_missing


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


UNFINISHED = (State.QUEUED, State.RUNNING)


def add(session: Session, kind: str, key: str, project_id: str, arguments: dict[str, Any], now: datetime) -> Job:
    """A job in the queue for what `key` says: the one that is queued or running for it already, else a new one.

    `arguments` are JSON and all that it will know when it runs.
    """
    new = Job(
        id=f"job_{uuid4().hex}", kind=kind, key=key, project_id=project_id, arguments=arguments, created_at=now, updated_at=now
    )
    while not add_missing(session, new):
        # The other one may end between these two statements; then the key is free.
        unfinished = select(Job).where(Job.key == key, col(Job.state).in_(UNFINISHED))
        if job := session.exec(unfinished).first():
            return job
    return get(session, new.id)


def get(session: Session, job_id: str) -> Job:
    """The job of that id. Raises NotFound."""
    if job := session.get(Job, job_id):
        return job
    raise NotFound(f"There is no job {job_id}.")


def take(session: Session, now: datetime) -> Job | None:
    """Begin the oldest queued job of a project that has none running; None if there is no such job.

    Raises IntegrityError if another process began one of the same project at the same moment.
    """
    waiting = select(Job).where(Job.state == State.QUEUED, col(Job.project_id).not_in(_busy()))
    job = session.exec(waiting.order_by(col(Job.created_at), col(Job.id)).with_for_update(skip_locked=True).limit(1)).first()
    if job:
        _change(session, job, now, state=State.RUNNING, attempts=job.attempts + 1)
    return job


def is_any_waiting(session: Session) -> bool:
    """Whether `take` would find a job."""
    return (
        session.exec(select(Job.id).where(Job.state == State.QUEUED, col(Job.project_id).not_in(_busy())).limit(1)).first()
        is not None
    )


def progress(session: Session, job_id: str, done: int, total: int, now: datetime) -> None:
    """Say how far a job is."""
    _change(session, get(session, job_id), now, done=done, total=total)


def succeed(session: Session, job_id: str, result: dict[str, Any], now: datetime) -> None:
    """The job is done; `result` is JSON."""
    _change(session, get(session, job_id), now, state=State.SUCCEEDED, result=result)


def fail(session: Session, job_id: str, problem: dict[str, Any], now: datetime) -> None:
    """The job has failed for good; `problem` is JSON."""
    _change(session, get(session, job_id), now, state=State.FAILED, problem=problem)


def requeue(session: Session, job_id: str, now: datetime) -> None:
    """The job was interrupted: it waits to run again."""
    _change(session, get(session, job_id), now, state=State.QUEUED)


def running(session: Session) -> Sequence[Job]:
    """The jobs that run, or that a process left running when it died."""
    return session.exec(select(Job).where(Job.state == State.RUNNING).order_by(col(Job.created_at), col(Job.id))).all()


def list_page(session: Session, *, limit: int, cursor: str | None = None) -> Page[Job]:
    """Jobs, newest first. Raises InvalidRequest for a cursor that is none."""
    return page(session, select(Job), Job.created_at, Job.id, limit=limit, cursor=cursor)


def _busy() -> Any:
    return select(Job.project_id).where(Job.state == State.RUNNING)


def _change(session: Session, job: Job, now: datetime, **changes: Any) -> None:
    job.sqlmodel_update(changes | {"updated_at": now})
    session.flush()
