"""Whether the tiers outside a plan agree with the plan: they are compared and reported, never added up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from billing.facts import Ints, MeetingDay, Observation
from billing.period import day_start, microseconds, next_day
from billing.tiers import Tier, TierPlan


@dataclass(frozen=True)
class Contradiction:
    """A tier outside the plan that the plan's tiers do not account for (`unplanned`) or that holds less than they do.

    `rows` are the places in the columns, `minutes` the signed micro-minutes beyond what the plan's tiers allow there.
    """

    field: str
    unplanned: bool
    rows: NDArray[np.intp]
    minutes: Ints


def contradictions(columns: Mapping[str, Ints], plan: TierPlan, tolerance: int) -> Iterator[Contradiction]:
    """Where the tiers outside the plan contradict it by more than `tolerance` micro-minutes.

    Such a tier can hold no less than the plan's tiers that lie within it and no more than those that overlap it. Zero is
    taken as not filled: upstream may fill only the tiers of the project's own price plan.
    """
    for field in sorted(set(columns) - set(plan.fields)):
        tier, values = Tier.parse(field), columns[field]
        if not values.any():
            continue
        none = np.zeros_like(values)
        most = sum((columns[it.field] for it in plan if it.overlaps(tier)), none)
        least = sum((columns[it.field] for it in plan if tier.contains(it)), none)
        above = np.flatnonzero(values > most + tolerance)
        if above.size:
            yield Contradiction(field, True, above, (values - most)[above])
        below = np.flatnonzero((values > 0) & (values < least - tolerance))
        if below.size:
            yield Contradiction(field, False, below, (values - least)[below])


SessionContradictions = dict[tuple[str, bool], dict[str, int]]
"""By session and whether unplanned: the signed micro-minutes by tier field."""


def add_session_contradictions(
    found: SessionContradictions, observation: Observation, window: MeetingDay, plan: TierPlan, tolerance: int
) -> None:
    """Add to `found` what the meetings created on the window's own day contradict."""
    start, end = microseconds(day_start(observation.day)), microseconds(day_start(next_day(observation.day)))
    for it in contradictions(window.minutes, plan, tolerance):
        for row, minutes in zip(it.rows.tolist(), it.minutes.tolist(), strict=True):
            if start <= window.created[row] < end:
                index = int(np.searchsorted(window.sessions, window.meeting_sessions[row]))
                by_field = found.setdefault((window.session_ids[index], it.unplanned), {})
                by_field[it.field] = by_field.get(it.field, 0) + minutes
