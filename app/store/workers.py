"""The processes that run jobs. Each says every few seconds that it lives; one that is silent for long is taken for dead.

On PostgreSQL the time is the database's, so that it does not matter whether the machines' clocks agree.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, select

from app.clock import SystemClock
from app.store.tables import WorkerRow

SILENCE = timedelta(seconds=20)


def alive(session: Session, worker_id: str, place: str, gone: Callable[[str], bool]) -> set[str]:
    """Say that this worker lives, and learn who else does.

    The others are forgotten when they were silent for too long, or when `gone` says so of their place.
    """
    now = _now(session)
    rows = session.exec(select(WorkerRow).where(WorkerRow.id != worker_id).with_for_update(skip_locked=True)).all()
    for row in rows:
        if row.seen_at < now - SILENCE or gone(row.place):
            session.delete(row)
    if own := session.get(WorkerRow, worker_id):
        own.seen_at = now
    else:
        session.add(WorkerRow(id=worker_id, place=place, started_at=now, seen_at=now))
    session.flush()
    return set(session.exec(select(WorkerRow.id)))


def count(session: Session) -> int:
    """How many workers live."""
    recent = select(func.count()).select_from(WorkerRow).where(WorkerRow.seen_at >= _now(session) - SILENCE)
    return session.exec(recent).one()


def leave(session: Session, worker_id: str) -> None:
    """This worker ends: what it leaves undone is for the others."""
    if row := session.get(WorkerRow, worker_id):
        session.delete(row)


def _now(session: Session) -> datetime:
    if session.get_bind().dialect.name == "sqlite":
        return SystemClock().now()
    return session.exec(select(func.now())).one()
