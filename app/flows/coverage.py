"""Coverage: what is known of each billing day, by source, and why it may not be all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlmodel import Session

from app.clock import Clock
from app.store import observations
from app.store.payloads import decode_daily
from app.store.projects import Project
from billing.collection_plan import Risk, gone_at, risk_of
from billing.coverage import Coverage, DailyReading, daily_status, meeting_gaps
from billing.facts import Kind, Observation
from billing.period import BillingPeriod


@dataclass(frozen=True)
class CoverageRow:
    """One source of one billing day; `observed_at` is None if it was never observed, `gaps` says what may be wanting.

    `risk` says that upstream will soon forget what it says of the day, at `gone_at`, or has forgotten it, and that it was not
    read as it ought to be.
    """

    day: date
    source: Kind
    status: str
    observed_at: datetime | None
    gaps: Sequence[str] = ()
    risk: Risk | None = None
    gone_at: datetime | None = None


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
        status: str = daily_status(day, reading, now)
        at, lapse = seen.observed_at if seen else None, _lapse(now, Kind.DAILY_USAGE, day, seen)
        rows.append(CoverageRow(day, Kind.DAILY_USAGE, status, at, (), *lapse))
        gaps = meeting_gaps(day, windows, now)
        status = Coverage.UNCHECKED if not project.cross_check else Coverage.INCOMPLETE if gaps else Coverage.COMPLETE
        at, lapse = window.observed_at if window else None, _lapse(now, Kind.MEETINGS, day, window)
        checked = project.cross_check
        rows.append(CoverageRow(day, Kind.MEETINGS, status, at, gaps if checked else (), *(lapse if checked else ())))
    return rows


def _lapse(now: datetime, kind: Kind, day: date, latest: Observation | None) -> tuple[Risk | None, datetime | None]:
    """Whether a day is at risk or lost, and if so, when upstream forgets it."""
    risk = risk_of(now, kind, day, [latest] if latest else [])
    return risk, gone_at(kind, day) if risk else None
