"""Coverage: what is known of each billing day, by source, and why it may not be all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlmodel import Session

from app.clock import Clock
from app.store import observations
from app.store.payloads import decode_daily
from app.store.projects import Project
from billing.coverage import Coverage, DailyReading, daily_status, meeting_gaps
from billing.facts import Kind
from billing.period import BillingPeriod


@dataclass(frozen=True)
class CoverageRow:
    """One source of one billing day; `observed_at` is None if it was never observed, `gaps` says what may be wanting."""

    day: date
    source: Kind
    status: str
    observed_at: datetime | None
    gaps: Sequence[str] = ()


def coverage(session: Session, project: Project, period: BillingPeriod, *, clock: Clock) -> list[CoverageRow]:
    """Two rows a day, in order: the status of its daily usage, and how complete its meetings are."""
    now = clock.now()
    reach = (project.project_id, Kind.MEETINGS, period.first_day - timedelta(days=1), period.last_day)
    windows = observations.latest(session, *reach)
    daily = observations.latest(session, project.project_id, Kind.DAILY_USAGE, period.first_day, period.last_day)
    rows = []
    for day in period.days:
        seen, window = daily.get(day), windows.get(day)
        reading = DailyReading(seen, decode_daily(observations.payload(session, seen.sha256))) if seen else None
        rows.append(CoverageRow(day, Kind.DAILY_USAGE, daily_status(day, reading, now), seen.observed_at if seen else None))
        gaps = meeting_gaps(day, windows, now)
        status = Coverage.UNCHECKED if not project.cross_check else Coverage.INCOMPLETE if gaps else Coverage.COMPLETE
        rows.append(
            CoverageRow(day, Kind.MEETINGS, status, window.observed_at if window else None, gaps if project.cross_check else ())
        )
    return rows
