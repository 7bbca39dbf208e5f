"""Jobs: work that a request or a schedule left behind, for a worker to do.

A job is queued in the transaction of what wants it: `add` also leaves it in `HANDED_OVER` of the session, and `app.jobs` gives
it to the engine before that transaction commits. Whoever works on a job holds an `Attempt`; a later one takes the job away from
it, so that a process that was thought dead can no longer write anything in the job's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from app.errors import Cancelled, Conflict, Interrupted, NotFound
from app.store.paging import Page, page
from app.store.tables import Job, JobStep, add_missing

HANDED_OVER = "jobs"
"""Under this name a session's `info` holds the jobs that were queued in it."""
LONGEST_PAUSE = timedelta(minutes=1)
"""Between two attempts at a job that stumbles."""
BEHIND = timedelta(seconds=1)
"""How much later a job is queued that another has to go before: on SQLite the engine counts in seconds."""


class State(StrEnum):
    """Where a job is. One that is `cancelling` runs, and ends before its next step."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (State.QUEUED, State.RUNNING, State.CANCELLING)


class Attempt(NamedTuple):
    """One worker's turn at a job: its `number` grows with each, and only the latest may write."""

    job_id: str
    number: int


def add(
    session: Session,
    kind: str,
    key: str,
    arguments: Mapping[str, Any],
    now: datetime,
    *,
    project_id: str | None = None,
    partition: str | None = None,
    run_at: datetime | None = None,
) -> Job:
    """A job in the queue for what `key` says: the one that is unfinished for it already, else a new one.

    `arguments` are JSON, all that it will know when it runs, and never a secret. Of the jobs of one `partition`, by default the
    project's, one runs at a time; without either, it waits for no other. It waits until `run_at`, if that is given.
    """
    job_id = f"job_{uuid4().hex}"
    new = Job(
        id=job_id,
        kind=kind,
        key=key,
        project_id=project_id,
        partition=partition or project_id or job_id,
        arguments=dict(arguments),
        run_at=run_at,
        created_at=now,
        updated_at=now,
    )
    while not add_missing(session, new):
        # The other one may end between these two statements; then the key is free.
        unfinished = select(Job).where(Job.key == key, col(Job.state).in_(UNFINISHED))
        if job := session.exec(unfinished).first():
            return job
    job = get(session, job_id)
    hand_over(session, job)
    return job


def hand_over(session: Session, job: Job) -> None:
    """Give the job to the engine, in this transaction. Doing so again for one that the engine has changes nothing."""
    session.info.setdefault(HANDED_OVER, []).append(job)


def get(session: Session, job_id: str) -> Job:
    """The job of that id. Raises NotFound."""
    if job := session.get(Job, job_id):
        return job
    raise NotFound(f"There is no job {job_id}.")


def begin(session: Session, job_id: str, queued: int, now: datetime) -> Job | None:
    """Begin an attempt at a job as it was queued for the so many-th time; None if there is nothing to do any more.

    One that is found running was lost with the process that ran it. Where another of its partition stands as running, that one
    was lost and comes back: this one is queued behind it, or each would wait for the other.
    """
    job = _locked(session, job_id)
    if job is None or job.queued != queued or job.state not in UNFINISHED:
        return None
    if job.state == State.CANCELLING:
        _end(session, job, now, State.CANCELLED)
        return None
    lost = job.state == State.RUNNING
    try:
        with session.begin_nested():
            return _change(session, job, now, state=State.RUNNING, attempts=job.attempts + 1, losses=job.losses + lost)
    except IntegrityError:
        session.refresh(job)
        _queue_again(session, job, now, run_at=now + BEHIND)
        return None


def steps(session: Session, attempt: Attempt) -> dict[str, Any]:
    """The steps that the job has done, by name, each with what it left."""
    return {it.name: it.result for it in session.exec(select(JobStep).where(JobStep.job_id == attempt.job_id))}


def record_step(session: Session, attempt: Attempt, name: str, result: Any) -> None:
    """The step is done, if this transaction is committed. Raises as `hold` does."""
    job = hold(session, attempt)
    session.add(JobStep(job_id=attempt.job_id, name=name, result=result))
    job.losses = 0
    session.flush()


def progress(session: Session, attempt: Attempt, done: int, total: int, now: datetime) -> None:
    """Say how far a job is. Raises as `hold` does."""
    _change(session, hold(session, attempt), now, done=done, total=total)


def succeed(session: Session, attempt: Attempt, result: Mapping[str, Any], now: datetime) -> None:
    """The job is done; `result` is JSON. Raises Interrupted if another has the job now."""
    _end(session, _own(session, attempt), now, State.SUCCEEDED, result=dict(result))


def fail(session: Session, attempt: Attempt, problem: Mapping[str, Any], now: datetime) -> None:
    """The job has failed; `problem` is JSON. Raises Interrupted if another has the job now."""
    _end(session, _own(session, attempt), now, State.FAILED, problem=dict(problem))


def let_go(session: Session, attempt: Attempt, now: datetime, *, stumbled: bool = False) -> None:
    """The attempt ends before the job does: it is queued again, or cancelled if that is wanted. If it stumbled it is lost, and
    the next one waits, longer each time. Raises Interrupted if another has the job now."""
    job = _own(session, attempt)
    if job.state == State.CANCELLING:
        _end(session, job, now, State.CANCELLED)
    elif stumbled:
        pause = min(timedelta(seconds=2**job.losses), LONGEST_PAUSE)
        _queue_again(session, job, now, losses=job.losses + 1, run_at=now + pause)
    else:
        _queue_again(session, job, now, losses=0)


def hold(session: Session, attempt: Attempt) -> Job:
    """The job, locked until the transaction ends: whatever is written in it counts only if the attempt is still the latest.

    Raises Interrupted if another has the job now, and Cancelled if it is to end.
    """
    job = _own(session, attempt)
    if job.state == State.CANCELLING:
        raise Cancelled
    return job


def cancel(session: Session, job_id: str, now: datetime) -> Job:
    """End a job: at once if it has not begun, else before its next step. Raises NotFound, and Conflict if it has ended."""
    job = _locked(session, job_id) or get(session, job_id)
    if job.state not in UNFINISHED:
        raise Conflict(f"The job has ended: it is {job.state}.")
    if job.state == State.QUEUED:
        return _end(session, job, now, State.CANCELLED)
    return _change(session, job, now, state=State.CANCELLING)


def retry(session: Session, job_id: str, now: datetime) -> Job:
    """Let a job that failed or was cancelled begin again. Raises NotFound, and Conflict if it is in another state or if another
    job is at the same by now."""
    job = _locked(session, job_id) or get(session, job_id)
    if job.state not in (State.FAILED, State.CANCELLED):
        raise Conflict(f"Only a job that failed or was cancelled can be retried; this one is {job.state}.")
    try:
        with session.begin_nested():
            return _queue_again(session, job, now, losses=0, done=0, total=0, problem=None, run_at=None)
    except IntegrityError as error:
        raise Conflict("Another job does the same by now.") from error


def unfinished(session: Session) -> Sequence[Job]:
    """The jobs that have not ended."""
    return session.exec(select(Job).where(col(Job.state).in_(UNFINISHED))).all()


def revive(session: Session, known: Job, now: datetime) -> bool:
    """Queue a job again that the engine has lost, unless it has changed since it was `known`; whether that was done."""
    job = _locked(session, known.id)
    if job is None or (job.state, job.queued, job.attempts) != (known.state, known.queued, known.attempts):
        return False
    if job.state == State.CANCELLING:
        _end(session, job, now, State.CANCELLED)
    else:
        _queue_again(session, job, now)
    return True


def forget(session: Session, before: datetime) -> int:
    """Delete the jobs that ended before then; how many there were."""
    finished = col(Job.state).not_in(UNFINISHED)
    return session.connection().execute(delete(Job).where(finished, col(Job.updated_at) < before)).rowcount


def list_page(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    state: State | None = None,
    kind: str | None = None,
    project_id: str | None = None,
) -> Page[Job]:
    """Jobs, newest first. Raises InvalidRequest for a cursor that is none."""
    wanted = {Job.state: state, Job.kind: kind, Job.project_id: project_id}
    statement = select(Job).where(*(column == value for column, value in wanted.items() if value is not None))
    return page(session, statement, Job.created_at, Job.id, limit=limit, cursor=cursor)


def handed_over(session: Session) -> Iterator[Job]:
    """The jobs that were queued in this session since the last call."""
    while waiting := session.info.get(HANDED_OVER):
        yield waiting.pop(0)


def _locked(session: Session, job_id: str) -> Job | None:
    return session.exec(select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)).first()


def _own(session: Session, attempt: Attempt) -> Job:
    job = _locked(session, attempt.job_id)
    if job is None or job.attempts != attempt.number or job.state not in (State.RUNNING, State.CANCELLING):
        raise Interrupted
    return job


def _queue_again(session: Session, job: Job, now: datetime, **changes: Any) -> Job:
    _change(session, job, now, state=State.QUEUED, queued=job.queued + 1, **changes)
    hand_over(session, job)
    return job


def _end(session: Session, job: Job, now: datetime, state: State, **changes: Any) -> Job:
    session.connection().execute(delete(JobStep).where(col(JobStep.job_id) == job.id))
    return _change(session, job, now, state=state, **changes)


def _change(session: Session, job: Job, now: datetime, **changes: Any) -> Job:
    job.sqlmodel_update(changes | {"updated_at": now})
    session.flush()
    return job
