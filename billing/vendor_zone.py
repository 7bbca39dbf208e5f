"""The period by the days of UTC, from the meetings: the project level plus the hours before it, minus its last hours.

A billing day begins 7 or 8 hours after the day of the same name in UTC. Whoever bills by UTC counts the evening before the
period, and not its last evening. The project level is told by the day alone, so those hours are taken from the meetings: one
that crosses an edge is split as one that crosses a midnight is, with the error that this may make.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from billing.attribution import split
from billing.facts import LIVE, MeetingDay, MeetingDetail, Observation
from billing.period import BillingPeriod, microseconds, next_day
from billing.tiers import TierPlan
from billing.vendor_minutes import Minutes, Zone


def needed(period: BillingPeriod) -> list[date]:
    """The days whose meetings it takes: those of the two evenings, and those before, whose meetings may reach into them."""
    edges = (period.first_day - timedelta(days=1), period.last_day)
    return sorted({day - timedelta(days=back) for day in edges for back in (0, 1)})


def in_utc(
    used: Minutes,
    windows: Iterable[tuple[Observation, MeetingDay]],
    details: Iterable[MeetingDetail],
    period: BillingPeriod,
    plan: TierPlan,
) -> Zone:
    """What was used from UTC midnight to UTC midnight, where `used` is the project level of the period.

    `windows` are those of the `needed` days. Kinds of usage that no meeting tells are left as they are. Raises TierNotObserved.
    """
    held = [(observation, window.only(plan.fields)) for observation, window in windows]
    known = {(it.session, it.meeting_key, it.created): it for it in details}
    edges = (
        (_midnight(period.first_day), microseconds(period.start)),
        (_midnight(next_day(period.last_day)), microseconds(period.end)),
    )
    total, error = dict(used), dict.fromkeys(plan.fields, 0)
    for sign, (start, end) in zip((1, -1), edges, strict=True):
        for observation, window in held:
            for minutes, wrong in _between(observation, window, known, start, end, plan):
                for tier, value, most in zip(plan.fields, minutes, wrong, strict=True):
                    total[tier] = total.get(tier, 0) + sign * value
                    error[tier] += most
    return Zone("UTC", total, error)


def _between(
    observation: Observation,
    window: MeetingDay,
    details: Mapping[tuple[int, int, int], MeetingDetail],
    start: int,
    end: int,
    plan: TierPlan,
) -> Iterable[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Of each meeting that was created on the window's own day: its minutes from `start` to `end`, and their largest error."""
    day = BillingPeriod(observation.day, observation.day)
    own = (window.created >= microseconds(day.start)) & (window.created < microseconds(day.end))
    reaches = (window.created < end) & (window.destroyed > start)
    for index in np.flatnonzero(own & reaches).tolist():
        created, destroyed = int(window.created[index]), int(window.destroyed[index])
        destroyed = max(microseconds(observation.observed_at) if destroyed == LIVE else destroyed, created + 1)
        sides = [created, *(edge for edge in (start, end) if created < edge < destroyed), destroyed]
        key = int(window.meeting_sessions[index]), int(window.meeting_keys[index]), created
        minutes = tuple(int(window.minutes[tier][index]) for tier in plan.fields)
        it = split(minutes, sides, plan, details.get(key), int(window.max_connections[index]))
        place = sides.index(max(start, created))
        yield it.parts[place], it.errors[place]


def _midnight(day: date) -> int:
    return microseconds(datetime.combine(day, time(), UTC))
