"""The collection plan's own notes: when each project is looked at, what was asked for in vain, and which days are wanting."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col, or_, select

from app.store.jobs import UNFINISHED
from app.store.plan_tables import CollectionGap, CollectionPlan
from app.store.projects import Project
from app.store.tables import Job, ProjectRow, add_missing
from billing.collection_plan import Gap, Risk
from billing.facts import Kind


def to_look_at(session: Session, now: datetime) -> Sequence[str]:
    """The projects that are collected by plan and that are to be looked at now, those that have waited longest first.

    One that was looked at in a time to come is among them: the clock was set back.
    """
    statement = select(ProjectRow.project_id).join(CollectionPlan, isouter=True).where(col(ProjectRow.collect_automatically))
    at, last = col(CollectionPlan.look_at), col(CollectionPlan.looked_at)
    statement = statement.where(or_(at.is_(None), at <= now, last > now))
    return session.exec(statement.order_by(col(CollectionPlan.look_at), col(ProjectRow.project_id))).all()


def look(session: Session, project_id: str, now: datetime) -> tuple[ProjectRow, CollectionPlan] | None:
    """A project and its plan, locked; None if another has looked at it meanwhile."""
    project = session.get_one(ProjectRow, project_id)
    add_missing(session, CollectionPlan(project_id=project_id, look_at=now, looked_at=project.created_at))
    plan = session.get_one(CollectionPlan, project_id, with_for_update=True, populate_existing=True)
    return (project, plan) if not plan.looked_at <= now < plan.look_at and project.collect_automatically else None


def follow(session: Session, before: Project, project: Project, now: datetime) -> None:
    """A project was changed: where that may help, look at it at once, whatever it failed at before.

    What was lost while nothing was to be collected of it is not told.
    """
    planned = (project.collect_automatically, project.cross_check)
    begins = planned > (before.collect_automatically, before.cross_check)
    if not begins and (project.credentials, project.insights_url) == (before.credentials, before.insights_url):
        return
    add_missing(session, CollectionPlan(project_id=project.project_id, look_at=now, looked_at=now))
    changes = {"look_at": now, "asked": {}} | ({"looked_at": now} if begins else {})
    this = col(CollectionPlan.project_id) == project.project_id
    session.connection().execute(update(CollectionPlan).where(this).values(**changes))


def is_unfinished(session: Session, key: str) -> bool:
    """Whether a job for that is queued or runs."""
    return session.exec(select(Job.id).where(Job.key == key, col(Job.state).in_(UNFINISHED))).first() is not None


def is_behind(session: Session, project_id: str, key: str, now: datetime) -> bool:
    """Whether a project is to be looked at, or is being collected by a job for that `key`: more of it will be known soon."""
    waiting = select(CollectionPlan.project_id).join(ProjectRow).where(col(ProjectRow.collect_automatically))
    waiting = waiting.where(CollectionPlan.project_id == project_id, col(CollectionPlan.look_at) <= now)
    return session.exec(waiting).first() is not None or is_unfinished(session, key)


def told(session: Session, project_id: str) -> dict[tuple[Kind, date], Risk]:
    """The gaps of a project that were told, and as what."""
    rows = session.exec(select(CollectionGap).where(CollectionGap.project_id == project_id))
    return {(Kind(row.kind), row.day): Risk(row.state) for row in rows}


def tell(session: Session, project_id: str, gap: Gap, now: datetime) -> None:
    """The gap is told as what it is now."""
    row = CollectionGap(project_id=project_id, kind=gap.kind, day=gap.day, state=gap.risk, gone_at=gap.gone_at, told_at=now)
    session.merge(row)
    session.flush()


def forget(session: Session, project_id: str, kind: Kind, day: date) -> None:
    """What was a gap is none any more."""
    this = (col(CollectionGap.project_id) == project_id, col(CollectionGap.kind) == kind, col(CollectionGap.day) == day)
    session.connection().execute(delete(CollectionGap).where(*this))
