"""The collection plan: what of a project is to be asked of upstream now, from what was observed so far.

Nothing is remembered but the observations, so a plan that was missed is made again, whatever happened in between.

- *Meetings* of a billing day are read once the day has ended and upstream's latency is over; again on each following day until
  two complete readings agree, and in the morning too if a meeting had not ended by then; and once more from day 18 on, before
  they are gone after day 21. Never in maintenance.
- *Daily usage* is read every day until a reading is final (48 hours after the day ended), then once a week until day 89: all
  days in the same night.

"Once a day" is once in each billing day. Days are asked for the oldest first: they are lost first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import numpy as np

from billing.coverage import DAILY_RETENTION, FINAL_AFTER, MEETING_LATENCY, MEETING_RETENTION
from billing.facts import Kind, MeetingDay, Observation
from billing.period import day_of, day_start, microseconds, next_day

LAST_READING = timedelta(days=18)
"""Meetings are read once more, and one that was never read is at risk, when their day began so long ago."""
AT_RISK = timedelta(days=80)
"""Daily usage that was never final is at risk when its day began so long ago."""
RECHECK = timedelta(days=7)
MORNING = timedelta(hours=6)
"""So long after midnight a day is read again of which a meeting still went on in the night."""
MARGIN = timedelta(minutes=10)
"""A day so close to its end is not begun: it could vanish between two pages."""
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(hours=6)
"""Before what failed is asked for again: twice as long each time."""

Agree = Callable[[Observation, Observation], bool]
"""Whether two readings say the same of the meetings created on their day."""
Held = Mapping[tuple[Kind, date], Sequence[Observation]]
"""The readings of each day, the oldest first."""


class Reason(StrEnum):
    """Why a day is asked for."""

    FIRST = "never read"
    INCOMPLETE = "not complete yet"
    AGREEMENT = "two readings do not agree yet"
    LAST_READING = "about to be forgotten by upstream"
    NOT_FINAL = "not final yet"
    RECHECK = "may have been restated"


class Risk(StrEnum):
    """What a day that was not read as it ought to be has come to."""

    AT_RISK = "at_risk"
    LOST = "lost"


@dataclass(frozen=True)
class Rule:
    """How long upstream keeps a kind, and when a day of it that was not read as it ought to be is at risk."""

    retention: timedelta
    patience: timedelta


RULES: Mapping[Kind, Rule] = {
    Kind.DAILY_USAGE: Rule(DAILY_RETENTION, AT_RISK),
    Kind.MEETINGS: Rule(MEETING_RETENTION, LAST_READING),
}
"""The kinds that are planned: session details come with their meetings."""


@dataclass(frozen=True)
class Due:
    """One day of one kind that upstream is to be asked for now."""

    kind: Kind
    day: date
    reason: Reason


@dataclass(frozen=True)
class Gap:
    """A day that was not read as it ought to be, and that upstream will soon forget or has forgotten, at `gone_at`."""

    kind: Kind
    day: date
    risk: Risk
    gone_at: datetime


def held(observations: Iterable[Observation]) -> Held:
    """Observations, in any order, by kind and day."""
    known: dict[tuple[Kind, date], list[Observation]] = {}
    for it in sorted(observations, key=lambda it: it.observed_at):
        known.setdefault((it.kind, it.day), []).append(it)
    return known


def same_answer(one: Observation, other: Observation) -> bool:
    """Whether two readings are the same to the last byte."""
    return one.sha256 == other.sha256


def same_meetings(day: date, one: MeetingDay, other: MeetingDay) -> bool:
    """Whether two readings say the same of the meetings created on `day`.

    A room that is used again has another statement every day, with its other meetings in it: they do not count.
    """
    first, second = _created_on(day, one), _created_on(day, other)
    return first.keys() == second.keys() and all(np.array_equal(values, second[name]) for name, values in first.items())


def _created_on(day: date, told: MeetingDay) -> dict[str, np.ndarray]:
    start, end = microseconds(day_start(day)), microseconds(day_start(next_day(day)))
    these = (start <= told.created) & (told.created < end)
    columns = {
        "session": told.meeting_sessions,
        "meeting": told.meeting_keys,
        "created": told.created,
        "destroyed": told.destroyed,
        "connections": told.max_connections,
        **told.minutes,
    }
    return {name: values[these] for name, values in columns.items()}


def due(now: datetime, held: Held, *, cross_check: bool, closed: bool, agree: Agree = same_answer) -> list[Due]:
    """What is to be asked for at `now` (zone-aware), the oldest day first.

    `held` has all readings of the retained days, of daily usage at least the newest; `closed` says that the session level is in
    maintenance; without `cross_check` the project has no meetings to read.
    """
    today, reasons = day_of(now), {}
    for day in _retained(now, DAILY_RETENTION, today):
        reasons[Kind.DAILY_USAGE, day] = _usage_is_due(now, today, day, held.get((Kind.DAILY_USAGE, day), ()))
    if Reason.RECHECK in reasons.values():
        # All in the same night of the week: on the others, upstream need not answer for three months.
        others = [what for what, why in reasons.items() if not why and day_of(held[what][-1].observed_at) < today]
        reasons |= dict.fromkeys(others, Reason.RECHECK)
    if cross_check and not closed:
        for day in _retained(now, MEETING_RETENTION, today):
            reasons[Kind.MEETINGS, day] = _meetings_are_due(now, today, day, held.get((Kind.MEETINGS, day), ()), agree)
    found = [Due(kind, day, why) for (kind, day), why in reasons.items() if why]
    return sorted(found, key=lambda it: (it.day, it.kind))


def next_look(now: datetime, back_at: datetime | None = None) -> datetime:
    """The next instant at which to look again: by then at most five minutes have passed since more came to be due than at `now`
    by the passing of time alone.

    A look follows each midnight, when upstream's latency is over, so that a night is one job. Limits are so many times 24 hours
    after a midnight: where the clocks have changed since, that is an hour beside one. After 80 and 90 days nobody minds.
    `back_at` is when a maintenance under way ends.
    """
    days = [day_of(now) + timedelta(days=ahead) for ahead in (0, 1)]
    limits = [
        day_start(day - after) + after
        for day in days
        for after in (timedelta(0), MORNING, FINAL_AFTER, LAST_READING, MEETING_RETENTION)
    ]
    looks = [limit + MEETING_LATENCY for limit in limits]
    return min(at for at in [*looks, *([back_at] if back_at else [])] if at > now)


def again_at(asked_at: datetime, times: int, gone_at: datetime) -> datetime:
    """When to ask again for what was asked for so many times, last at `asked_at`, without an answer.

    After 15 minutes, and twice as long each time, but never longer than six hours or a quarter of the time that is left.
    """
    doublings = min(times - 1, 10)  # no number of failures is too large for a timedelta
    pause = min(SHORTEST_PAUSE * (1 << doublings), LONGEST_PAUSE, (gone_at - asked_at) / 4)
    return asked_at + max(pause, SHORTEST_PAUSE)


def gone_at(kind: Kind, day: date) -> datetime:
    """When upstream forgets a day."""
    return day_start(day) + RULES[kind].retention


def risk_of(now: datetime, kind: Kind, day: date, readings: Iterable[Observation]) -> Risk | None:
    """What a day has come to that has these readings; None while there is time, and for one that was read as it ought to be:
    meetings completely, daily usage when it was final."""
    if now < day_start(day) + RULES[kind].patience or any(it.complete for it in readings):
        return None
    return Risk.LOST if now >= gone_at(kind, day) else Risk.AT_RISK


def gaps(now: datetime, held: Held, *, cross_check: bool, since: datetime) -> list[Gap]:
    """The days at risk, and those lost that upstream still had at `since` (zone-aware), the oldest first."""
    found = []
    for kind, rule in RULES.items():
        if kind is Kind.MEETINGS and not cross_check:
            continue
        day = day_of(since - rule.retention)
        while day_start(day) + rule.patience <= now:
            risk = risk_of(now, kind, day, held.get((kind, day), ()))
            if risk and gone_at(kind, day) > since:
                found.append(Gap(kind, day, risk, gone_at(kind, day)))
            day = next_day(day)
    return sorted(found, key=lambda it: (it.day, it.kind))


def _retained(now: datetime, retention: timedelta, today: date) -> list[date]:
    """The days that have ended and are retained, the oldest first."""
    oldest = now - retention + MARGIN
    first = day_of(oldest)
    days = [first + timedelta(days=number) for number in range((today - first).days)]
    return days if day_start(first) > oldest else days[1:]


def _usage_is_due(now: datetime, today: date, day: date, readings: Sequence[Observation]) -> Reason | None:
    if not readings:
        return Reason.FIRST
    last, final = readings[-1].observed_at, day_start(next_day(day)) + FINAL_AFTER
    if last >= final:
        return Reason.RECHECK if now >= day_start(day_of(last) + RECHECK) else None
    return Reason.NOT_FINAL if now >= final or day_of(last) < today else None


def _meetings_are_due(now: datetime, today: date, day: date, readings: Sequence[Observation], agree: Agree) -> Reason | None:
    ready = day_start(next_day(day)) + MEETING_LATENCY
    if now < ready:
        return None
    readings = [it for it in readings if it.observed_at >= ready]
    if not readings:
        return Reason.FIRST
    last = readings[-1]
    if last.observed_at < day_start(day) + LAST_READING <= now:
        return Reason.LAST_READING
    if not last.complete and last.observed_at < day_start(today) + MORNING <= now:
        return Reason.INCOMPLETE
    if day_of(last.observed_at) == today:
        return None
    if not last.complete:
        return Reason.INCOMPLETE
    complete = [it for it in readings if it.complete]
    return None if len(complete) > 1 and agree(*complete[-2:]) else Reason.AGREEMENT
