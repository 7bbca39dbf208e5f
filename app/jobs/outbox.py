"""Hands the jobs that a transaction queued to the engine, before that transaction commits and as part of it."""

from sqlalchemy import event
from sqlmodel import Session

from app.jobs.work import queue_of
from app.store import jobs
from app.store.tables import Job


@event.listens_for(Session, "before_commit")
def hand_over(session: Session) -> None:
    """Queue them. Every process does so, whether it runs jobs or not."""
    for job in jobs.handed_over(session):
        # Only here, because it takes a quarter of a second, which a command without jobs need not wait.
        from app.jobs import engine

        delay = (job.run_at - job.updated_at).total_seconds() if job.run_at else 0
        engine.enqueue(session, queue_of(job.kind), workflow_id(job), job.partition, delay, job.id, job.queued)


def workflow_id(job: Job) -> str:
    """The engine's name for a job as it is queued now."""
    return f"{job.id}-{job.queued}"
