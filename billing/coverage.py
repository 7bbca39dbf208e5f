"""What is known of each billing day, and whether it may change: the status of its daily usage, the coverage of its meetings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from billing.facts import DailyUsage, Observation
from billing.period import day_start, next_day

FINAL_AFTER = timedelta(hours=48)
"""A day's usage is final when observed so long after the day ended (guide: expected latency 36-48 hours)."""
DAILY_RETENTION = timedelta(days=90)
"""How long upstream keeps a day's usage (guide)."""
MEETING_RETENTION = timedelta(days=21)
"""How long upstream keeps a meeting, from its creation (guide)."""
MEETING_LATENCY = timedelta(minutes=5)
"""How late the session level may be (guide): what is said of a meeting that goes on is said of so long ago."""


class DailyStatus(StrEnum):
    """What the latest observation of a day's usage is worth."""

    FINAL = "final"
    PROVISIONAL = "provisional"
    NO_USAGE = "no_usage"
    MISSING = "missing"
    EXPIRED = "expired"


class Coverage(StrEnum):
    """Whether a day's meetings are all known."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class DailyReading:
    """What one observation says of a day's usage; the value is None where upstream left the day out."""

    observation: Observation
    value: DailyUsage | None

    @property
    def final(self) -> bool:
        """Whether it was observed at least 48 hours after the day ended."""
        return self.observation.observed_at >= day_start(next_day(self.observation.day)) + FINAL_AFTER


def by_day(readings: Iterable[DailyReading]) -> dict[date, list[DailyReading]]:
    """The readings of each day that has any, in order of days, the oldest first: the last of a day is the one that counts."""
    days: dict[date, list[DailyReading]] = {}
    for reading in sorted(readings, key=lambda it: (it.observation.day, it.observation.observed_at, it.observation.id)):
        days.setdefault(reading.observation.day, []).append(reading)
    return days


def daily_status(day: date, latest: DailyReading | None, as_of: datetime) -> DailyStatus:
    """The status of a day's usage, from its latest reading (None: never observed), as things stood at `as_of`."""
    if latest is None:
        return DailyStatus.EXPIRED if day_start(day) < as_of - DAILY_RETENTION else DailyStatus.MISSING
    if not latest.final:
        return DailyStatus.PROVISIONAL
    return DailyStatus.FINAL if latest.value is not None else DailyStatus.NO_USAGE


def meeting_gaps(day: date, windows: Mapping[date, Observation], as_of: datetime) -> Sequence[str]:
    """Why the meetings of a day may not all be known; nothing when its coverage is complete.

    A day is held by two windows: its own, and the one of the day before, whose meetings may reach into it.
    """
    gaps = []
    for window in (day - timedelta(days=1), day):
        observation = windows.get(window)
        if observation is None and day_start(window) > as_of:
            gaps.append(f"{window} has not begun")
        elif observation is None:
            past = day_start(window) < as_of - MEETING_RETENTION
            gaps.append(
                f"meetings created on {window} were never collected" + (", and upstream keeps them no longer" if past else "")
            )
        elif not observation.complete:
            gaps.append(f"meetings created on {window}: {observation.reason or 'not read to the end'}")
    return gaps
