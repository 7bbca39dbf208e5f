"""The collection plan: what of a project is to be asked of upstream now, from what was observed so far.

Nothing is remembered but the observations, so a plan that was missed is made again, whatever happened in between.

- *Meetings* of a billing day are read once the day has ended and upstream's latency is over; again on each following day until
  two complete readings agree; and once more from day 18 on, before they are gone after day 21. Never in maintenance.
- *Daily usage* is read every day until a reading is final (48 hours after the day ended), then once a week until day 89.

"Once a day" is once in each billing day. Days are asked for the oldest first: they are lost first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from billing.coverage import DAILY_RETENTION, FINAL_AFTER, MEETING_LATENCY, MEETING_RETENTION
from billing.facts import Kind, Observation
from billing.period import day_of, day_start, next_day

LAST_READING = timedelta(days=18)
"""Meetings are read once more, and one that was never read is at risk, when their day began so long ago."""
AT_RISK = timedelta(days=80)
"""Daily usage that was never final is at risk when its day began so long ago."""
RECHECK = timedelta(days=7)
MARGIN = timedelta(minutes=10)
"""A day so close to its end is not begun: it could vanish between two pages."""

Agree = Callable[[Observation, Observation], bool]
"""Whether two readings say the same of the meetings created on their day."""


class Reason(StrEnum):
    """Why a day is asked for."""

    FIRST = "never read"
    INCOMPLETE = "not complete yet"
    AGREEMENT = "two readings do not agree yet"
    LAST_READING = "about to be forgotten by upstream"
    NOT_FINAL = "not final yet"
    RECHECK = "may have been restated"


@dataclass(frozen=True)
class Due:
    """One day of one kind that upstream is to be asked for now."""

    kind: Kind
    day: date
    reason: Reason


@dataclass(frozen=True)
class Loss:
    """A day that upstream forgets at `gone_at` (zone-aware) or has forgotten, and that was not read as it ought to be."""

    kind: Kind
    day: date
    gone_at: datetime


def same_answer(one: Observation, other: Observation) -> bool:
    """Whether two readings are the same to the last byte."""
    return one.sha256 == other.sha256


def due(
    now: datetime,
    held: Iterable[Observation],
    *,
    cross_check: bool,
    closed: bool,
    agree: Agree = same_answer,
) -> list[Due]:
    """What is to be asked for at `now` (zone-aware), the oldest day first.

    `held` are all observations of the project's retained days, in any order; `closed` says that the session level is in
    maintenance; without `cross_check` the project has no meetings to read.
    """
    known = _by_day(held)
    reasons = {
        (Kind.DAILY_USAGE, day): _usage_is_due(now, day, known.get((Kind.DAILY_USAGE, day), ()))
        for day in _days(now, DAILY_RETENTION)
    }
    if cross_check and not closed:
        reasons |= {
            (Kind.MEETINGS, day): _meetings_are_due(now, day, known.get((Kind.MEETINGS, day), ()), agree)
            for day in _days(now, MEETING_RETENTION)
        }
    found = [Due(kind, day, why) for (kind, day), why in reasons.items() if why]
    return sorted(found, key=lambda it: (it.day, it.kind))


def at_risk(now: datetime, held: Iterable[Observation], since: date, *, cross_check: bool) -> list[Loss]:
    """The days from `since` on that upstream will forget within days, and that were not read as they ought to be."""
    return [it for it in _unread(now, held, since, cross_check) if it.gone_at > now]


def lost(now: datetime, held: Iterable[Observation], since: date, *, cross_check: bool) -> list[Loss]:
    """The days from `since` on that upstream has forgotten, and that were not read as they ought to be."""
    return [it for it in _unread(now, held, since, cross_check) if it.gone_at <= now]


def _unread(now: datetime, held: Iterable[Observation], since: date, cross_check: bool) -> list[Loss]:
    known = _by_day(held)
    rules = [(Kind.DAILY_USAGE, DAILY_RETENTION, AT_RISK)]
    if cross_check:
        rules.append((Kind.MEETINGS, MEETING_RETENTION, LAST_READING))
    found = []
    for kind, retention, patience in rules:
        day = since
        while day_start(day) + patience <= now:
            if not any(it.complete for it in known.get((kind, day), ())):
                found.append(Loss(kind, day, day_start(day) + retention))
            day = next_day(day)
    return sorted(found, key=lambda it: (it.day, it.kind))


def _by_day(held: Iterable[Observation]) -> dict[tuple[Kind, date], list[Observation]]:
    known: dict[tuple[Kind, date], list[Observation]] = {}
    for it in sorted(held, key=lambda it: it.observed_at):
        known.setdefault((it.kind, it.day), []).append(it)
    return known


def _days(now: datetime, retention: timedelta) -> list[date]:
    """The days that have ended and are retained, the oldest first."""
    day, today = day_of(now - retention + MARGIN), day_of(now)
    days = []
    while day < today:
        if day_start(day) > now - retention + MARGIN:
            days.append(day)
        day = next_day(day)
    return days


def _usage_is_due(now: datetime, day: date, readings: Sequence[Observation]) -> Reason | None:
    final = day_start(next_day(day)) + FINAL_AFTER
    if not readings:
        return Reason.FIRST
    last = readings[-1].observed_at
    if last >= final:
        return Reason.RECHECK if now >= last + RECHECK else None
    return Reason.NOT_FINAL if now >= final or day_of(last) < day_of(now) else None


def _meetings_are_due(now: datetime, day: date, readings: Sequence[Observation], agree: Agree) -> Reason | None:
    ready = day_start(next_day(day)) + MEETING_LATENCY
    if now < ready:
        return None
    readings = [it for it in readings if it.observed_at >= ready]
    if not readings:
        return Reason.FIRST
    last = readings[-1]
    if day_start(day) + LAST_READING <= now and last.observed_at < day_start(day) + LAST_READING:
        return Reason.LAST_READING
    if day_of(last.observed_at) == day_of(now):
        return None
    complete = [it for it in readings if it.complete]
    if not last.complete:
        return Reason.INCOMPLETE
    return None if len(complete) > 1 and agree(*complete[-2:]) else Reason.AGREEMENT
