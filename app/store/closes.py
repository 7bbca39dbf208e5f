"""Closes: one row for each project's period, however often it is attempted."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import func, or_, update
from sqlmodel import Session, col, select

from app.errors import NotFound
from app.store.close_tables import Close
from app.store.jobs import UNFINISHED
from app.store.paging import Page, page
from app.store.tables import Job, ObservationRow, ProjectRow, Report, insert_into
from billing.closing import Outcome, State
from billing.facts import Kind
from billing.period import BillingPeriod


class Cycles(NamedTuple):
    """What is known of a project's cycles: the last day of the latest one that was opened, None before the first."""

    project_id: str
    anchor_day: int
    created_at: datetime
    last_day: date | None


def id_of(project_id: str, period: BillingPeriod) -> str:
    """The id of the close of a project's period, whether it is there or not."""
    identity = f"{project_id}\n{period.first_day}\n{period.last_day}"
    return f"cls_{sha256(identity.encode()).hexdigest()[:24]}"


def add(session: Session, project_id: str, period: BillingPeriod, now: datetime, *, is_cycle: bool) -> Close:
    """The close of a project's period, which is new or there already; a period that somebody chose may turn out a cycle.

    Raises NotFound for an unknown project.
    """
    if session.get(ProjectRow, project_id) is None:
        raise NotFound(f"There is no project {project_id}.")
    add_all(session, [(project_id, period)], now, is_cycle=is_cycle)
    return lock(session, id_of(project_id, period))


def add_all(session: Session, periods: Iterable[tuple[str, BillingPeriod]], now: datetime, *, is_cycle: bool) -> None:
    """The closes of periods of known projects, by `add`'s rules. In one statement: at a month's turn every project has one."""
    rows = [
        Close(
            id=id_of(project_id, period),
            project_id=project_id,
            first_day=period.first_day,
            last_day=period.last_day,
            is_cycle=is_cycle,
            reason="It has not been attempted yet.",
            next_attempt_at=now,
            seen_until=now,
            created_at=now,
            changed_at=now,
        ).model_dump()
        for project_id, period in periods
    ]
    added = insert_into(session, Close).values(rows)
    either = {"is_cycle": or_(col(Close.is_cycle), added.excluded.is_cycle)}
    session.connection().execute(added.on_conflict_do_update(index_elements=["id"], set_=either))


def get(session: Session, close_id: str) -> Close:
    """The close of that id. Raises NotFound."""
    return _found(session.get(Close, close_id), close_id)


def lock(session: Session, close_id: str) -> Close:
    """The close of that id, which nobody else changes until this transaction ends. Raises NotFound."""
    return _found(session.get(Close, close_id, with_for_update=True, populate_existing=True), close_id)


def begin(session: Session, close_id: str, now: datetime, again_at: datetime) -> Close:
    """Count an attempt. One that is killed is made again at `again_at`, whoever else may know of it."""
    close = lock(session, close_id)
    close.sqlmodel_update({"attempts": close.attempts + 1, "next_attempt_at": again_at, "changed_at": now})
    session.flush()
    return close


def conclude(
    session: Session,
    close_id: str,
    outcome: Outcome,
    now: datetime,
    *,
    seen_until: datetime,
    report_id: str | None = None,
    invoice_ids: Sequence[str] | None = None,
) -> Close:
    """Say what the attempt came to; None leaves the report or the invoices of an earlier one."""
    close = lock(session, close_id)
    close.sqlmodel_update(
        {
            "state": outcome.state,
            "reason": outcome.reason,
            "next_attempt_at": outcome.again_at,
            "seen_until": seen_until,
            "report_id": report_id or close.report_id,
            "invoice_ids": close.invoice_ids if invoice_ids is None else list(invoice_ids),
            "changed_at": now,
        }
    )
    session.flush()
    return close


def hurry(session: Session, project_ids: Collection[str], period: BillingPeriod, now: datetime) -> None:
    """What these projects' closes of the period waited for may be there: they need not wait until tomorrow."""
    others = update(Close).where(
        col(Close.project_id).in_(project_ids),
        col(Close.first_day) == period.first_day,
        col(Close.last_day) == period.last_day,
        col(Close.state) == State.WAITING,
    )
    session.connection().execute(others.values(next_attempt_at=now))


def cycles(session: Session) -> Iterator[Cycles]:
    """Every project that runs unattended, with the last day of its latest cycle, the oldest first."""
    latest = (
        select(Close.project_id, func.max(Close.last_day).label("last_day"))
        .where(col(Close.is_cycle))
        .group_by(col(Close.project_id))
        .subquery()
    )
    statement = (
        select(ProjectRow.project_id, ProjectRow.cycle_anchor_day, ProjectRow.created_at, latest.c.last_day)
        .outerjoin(latest, latest.c.project_id == ProjectRow.project_id)
        .where(col(ProjectRow.collect_automatically))
        .order_by(col(ProjectRow.created_at), col(ProjectRow.project_id))
    )
    for found in session.execute(statement):
        yield Cycles(*found)


def awaited(session: Session, now: datetime) -> Sequence[Close]:
    """The closes whose next attempt is due, the oldest period first; and those of a time to come: the clock was set back."""
    due = select(Close).where(or_(col(Close.next_attempt_at) <= now, col(Close.seen_until) > now))
    return session.exec(due.order_by(col(Close.last_day), col(Close.first_day), col(Close.project_id))).all()


def done(session: Session, since: date, unseen_since: datetime) -> Sequence[Close]:
    """The closes that are done, end at `since` or later, and were not looked at since then whether anything has changed."""
    wanted = (
        col(Close.state).in_((State.CLOSED, State.FAILED)),
        Close.last_day >= since,
        col(Close.seen_until) <= unseen_since,
    )
    return session.exec(select(Close).where(*wanted).order_by(col(Close.last_day), col(Close.id))).all()


def seen(session: Session, close_ids: Collection[str], until: datetime) -> None:
    """Whatever was observed of these periods until then is in their reports."""
    session.connection().execute(update(Close).where(col(Close.id).in_(close_ids)).values(seen_until=until))


def under_way(session: Session, kinds: Collection[str]) -> set[str]:
    """What the unfinished jobs of these kinds are for."""
    return set(session.exec(select(Job.key).where(col(Job.kind).in_(kinds), col(Job.state).in_(UNFINISHED))).all())


def has_news(session: Session, close: Close) -> bool:
    """Whether something of its days, or of the day before them, was observed that was not looked at yet."""
    news = select(ObservationRow.id).where(
        ObservationRow.project_id == close.project_id,
        col(ObservationRow.kind).in_((Kind.DAILY_USAGE, Kind.MEETINGS)),
        ObservationRow.day >= close.first_day - timedelta(days=1),
        ObservationRow.day <= close.last_day,
        ObservationRow.observed_at >= close.seen_until,
    )
    return session.exec(news.limit(1)).first() is not None


def newest_report(session: Session, close: Close) -> str | None:
    """The id of the newest version of the report of its period."""
    versions = select(Report.id).where(
        Report.project_id == close.project_id, Report.first_day == close.first_day, Report.last_day == close.last_day
    )
    return session.exec(versions.order_by(col(Report.version).desc()).limit(1)).first()


def list_page(
    session: Session,
    *,
    project_id: str | None = None,
    state: State | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[Close]:
    """Closes, the last opened first. Raises InvalidRequest for a cursor that is none."""
    statement = select(Close)
    for column, value in ((Close.project_id, project_id), (Close.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    return page(session, statement, Close.created_at, Close.id, limit=limit, cursor=cursor)


def _found(close: Close | None, close_id: str) -> Close:
    if close is None:
        raise NotFound(f"There is no close {close_id}.")
    return close
