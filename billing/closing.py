"""Closing a project's billing cycles: which are due, what a report still lacks, and what becomes of a close.

Cycles follow one another without a gap: the next one begins on the day after the last, whatever became of that one, and ends
where the project's cycles end. So no day is closed twice and none never, also when the project's anchor day changes: then one
cycle is shorter than the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from billing.coverage import DAILY_RETENTION, FINAL_AFTER, MEETING_RETENTION, Coverage, DailyStatus
from billing.discrepancy import Code
from billing.facts import Kind
from billing.invoice import may_invoice
from billing.model import Verdict
from billing.period import BillingPeriod, cycle, day_of, day_start, next_day

READING = timedelta(hours=6)
"""After its last day is final, a cycle is left so long to the collection of that day."""
RETRY = timedelta(days=1)
_UNCERTAIN = (DailyStatus.MISSING, DailyStatus.PROVISIONAL, DailyStatus.EXPIRED)
_WORDS = {Kind.DAILY_USAGE: "the daily usage of", Kind.MEETINGS: "all meetings created on"}
_RETENTION = {Kind.DAILY_USAGE: DAILY_RETENTION, Kind.MEETINGS: MEETING_RETENTION}


_OUTDATED = "Its invoice does not hold what has changed since."


class State(StrEnum):
    """What has become of a close: it waits for something, is done, or can no longer become complete."""

    WAITING = "waiting"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True)
class Settled:
    """What the period came to for one customer: its invoice and the notes to it, and why it has none or they do not hold all
    that is known by now. `given_up` says that the invoice was voided, or credited in full."""

    customer_id: str
    invoice_ids: Sequence[str] = ()
    refusal: str = ""
    given_up: bool = False


@dataclass(frozen=True)
class Outcome:
    """What one attempt at a close comes to, and when another is worth it, if ever."""

    state: State
    reason: str
    again_at: datetime | None = None


def final_at(period: BillingPeriod) -> datetime:
    """The instant (UTC) from which the period's data is final."""
    return period.end + FINAL_AFTER


def ready_at(period: BillingPeriod) -> datetime:
    """The instant (UTC) at which the period is closed: its last day is final, and there was time to read it."""
    return final_at(period) + READING


def first_day(created_at: datetime, anchor_day: int) -> date:
    """The first day that is closed of a project: that of the cycle in which it was added.

    >>> from datetime import UTC
    >>> first_day(datetime(2026, 10, 20, tzinfo=UTC), 31)
    datetime.date(2026, 9, 30)
    """
    return cycle(day_of(created_at), anchor_day).first_day


def due(now: datetime, anchor_day: int, since: date) -> list[BillingPeriod]:
    """The cycles from the day `since` on that are ready at `now` (zone-aware), the oldest first."""
    found = []
    while day_start(since) + FINAL_AFTER < now:
        period = BillingPeriod(since, cycle(since, anchor_day).last_day)
        if ready_at(period) > now:
            break
        found.append(period)
        since = next_day(period.last_day)
    return found


def conclude(report: Mapping[str, Any], settled: Sequence[Settled], now: datetime, retry: timedelta = RETRY) -> Outcome:
    """What becomes of the close of a period with this report (its JSON), for whose customers so much was settled; where another
    attempt is worth it, after so long."""
    refused, again_at = [it for it in settled if it.refusal], now + retry
    uninvoiced = [it for it in refused if not it.invoice_ids]
    if report["verdict"] == Verdict.INCOMPLETE and (uninvoiced or not settled):
        return _incomplete(report, now, again_at)
    refusals = " ".join(dict.fromkeys(it.refusal for it in refused))
    if refused and not may_invoice([report["verdict"]]):
        may_change = now < day_start(date.fromisoformat(report["days"][-1]["day"])) + DAILY_RETENTION
        but = "It is reconciled, but not invoiced." if uninvoiced else f"It is reconciled. {_OUTDATED}"
        return Outcome(State.CLOSED, f"{but} {refusals}", again_at if may_change else None)
    if refused:
        return Outcome(State.WAITING, refusals if uninvoiced else f"{_OUTDATED} {refusals}", again_at)
    if not settled:
        return Outcome(State.CLOSED, "It is reconciled. The project belongs to no customer, so nothing is invoiced.")
    if any(it.given_up for it in settled):
        return Outcome(State.CLOSED, "It is reconciled. An invoice that was voided or credited is not drafted again by itself.")
    return Outcome(State.CLOSED, "It is reconciled and invoiced.")


def moved_away(project_id: str, customer_id: str, number: str) -> Outcome:
    """What becomes of the close of a period that was invoiced to a customer before its project became another's."""
    return Outcome(
        State.CLOSED,
        f"It is reconciled. It was invoiced to the customer {customer_id}, by {number}, to whom the project {project_id} "
        "belongs no longer: no other invoice and no note is drafted by itself.",
    )


def has_aged(report: Mapping[str, Any], now: datetime) -> bool:
    """Whether a day that the report calls missing has expired since."""
    missing = [date.fromisoformat(it["day"]) for it in report["days"] if it["project_status"] == DailyStatus.MISSING]
    return any(day_start(day) < now - DAILY_RETENTION for day in missing)


def _incomplete(report: Mapping[str, Any], now: datetime, again_at: datetime) -> Outcome:
    lacking: dict[tuple[bool, Kind], list[date]] = {}
    for kind, day in sorted(_lacking(report)):
        lacking.setdefault((day_start(day) + _RETENTION[kind] <= now, kind), []).append(day)
    phrases = {key: f"{_WORDS[key[1]]} {runs(days)}" for key, days in lacking.items()}
    lost = " and ".join(phrase for (gone, _), phrase in phrases.items() if gone)
    wanting = " and ".join(phrase for (gone, _), phrase in phrases.items() if not gone)
    if not lost:
        return Outcome(State.WAITING, f"It is not complete: {wanting or 'something'} cannot be relied on yet.", again_at)
    more = f" Upstream may still say {wanting}." if wanting else ""
    return Outcome(
        State.FAILED,
        f"It cannot become complete any more: upstream has forgotten {lost}.{more} It can be invoiced with an override.",
    )


def _lacking(report: Mapping[str, Any]) -> set[tuple[Kind, date]]:
    """What would have to be read for the report to be complete."""
    windows = {
        date.fromisoformat(it["day"]): it["complete"] for it in report["observations"] if it["kind"] == Kind.MEETINGS
    }  # in order of time: the last of a day counts
    found = set()
    for line in report["days"]:
        day = date.fromisoformat(line["day"])
        if line["project_status"] in _UNCERTAIN:
            found.add((Kind.DAILY_USAGE, day))
        if line["meeting_coverage"] == Coverage.INCOMPLETE:
            found |= {(Kind.MEETINGS, it) for it in (day - timedelta(days=1), day) if not windows.get(it)}
    for it in report["discrepancies"]:
        if it["code"] == Code.PROJECT_DAY_MISSING:
            found |= {(Kind.DAILY_USAGE, date.fromisoformat(day)) for day in it["days"]}
    return found


def runs(days: Sequence[date]) -> str:
    """Ascending days in words.

    >>> runs([date(2026, 10, 5), date(2026, 10, 7), date(2026, 10, 8), date(2026, 10, 9)])
    '2026-10-05, 2026-10-07 to 2026-10-09'
    """
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in _runs(days))


def _runs(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    first = days[0]
    for day, following in zip(days, [*days[1:], None], strict=True):
        if following != next_day(day):
            yield first, day
            first = following or day
