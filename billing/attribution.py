"""Attribution: a meeting that crosses midnights is split into the parts on each side.

It is split by who was connected and publishing when (`exact`) where that detail is held, otherwise by the time on each side
(`proportional`) with the largest error that could make. The parts add up to the whole, to the micro-minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from billing.facts import MeetingDetail
from billing.minutes import share
from billing.sweep import sweep
from billing.tiers import TierPlan

MICROSECONDS_A_MICRO_MINUTE = 60
Tiers = tuple[int, ...]
"""Micro-minutes, in the order of the plan."""


@dataclass(frozen=True)
class Split:
    """A meeting's parts and the largest possible error of each, both by part and tier."""

    parts: Sequence[Tiers]
    errors: Sequence[Tiers]
    exact: bool


def split(minutes: Tiers, edges: Sequence[int], plan: TierPlan, detail: MeetingDetail | None, connections: int) -> Split:
    """The parts of a meeting between its `edges`: its creation, the boundaries it crosses, its end (microseconds).

    Where the split is proportional, `connections` (the most at once) bounds what a part can hold at all, and so the error.

    >>> plan = TierPlan.of(["from1To10Publishers", "from11PlusPublishers"])
    >>> split((60_000_000, 0), [0, 600_000_000, 1_800_000_000], plan, None, 3).parts
    [(20000000, 0), (40000000, 0)]
    """
    durations = [high - low for low, high in pairwise(edges)]
    measured = _measured(detail, edges, plan) if detail is not None else None
    parts: list[list[int]] = []
    errors: list[list[int]] = []
    exact = True
    for tier, total in enumerate(minutes):
        weights = measured[tier] if measured is not None else durations
        proportional = bool(total) and (measured is None or not any(weights))
        if proportional:
            exact, weights = False, durations
        parts.append(share(total, weights) if total else [0] * len(durations))
        errors.append(_largest_errors(total, parts[-1], durations, connections) if proportional else [0] * len(durations))
    return Split(list(zip(*parts, strict=True)), list(zip(*errors, strict=True)), exact)


def _measured(detail: MeetingDetail, edges: Sequence[int], plan: TierPlan) -> list[list[int]]:
    """Participant time on each side, by tier: microseconds × participants."""
    table = [[0] * (len(edges) - 1) for _ in plan]
    for segment in sweep(detail.connections, detail.publishing):
        tier = next((index for index, tier in enumerate(plan) if tier.holds(segment.publishers)), None)
        if tier is not None:
            for side, (low, high) in enumerate(pairwise(edges)):
                table[tier][side] += max(0, min(segment.end, high) - max(segment.start, low)) * segment.participants
    return table


def _largest_errors(total: int, parts: Sequence[int], durations: Sequence[int], connections: int) -> list[int]:
    """How far each part may be from the truth, when at most `connections` were there at any time."""
    room = [min(total, connections * duration // MICROSECONDS_A_MICRO_MINUTE + 1) if duration else 0 for duration in durations]
    everywhere = sum(room)
    errors = []
    for part, most in zip(parts, room, strict=True):
        least = max(0, total - (everywhere - most))
        errors.append(max(part - least, most - part, 0))
    return errors
