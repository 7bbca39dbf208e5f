"""What the residual is made of: each day's and tier's difference between the levels, taken apart into its causes.

A cause takes only what it can account for, and never turns a difference round: what no cause takes is `residual`. A
difference within tolerance needs no cause.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal

from billing.attribution import Tiers
from billing.coverage import Coverage, DailyReading, DailyStatus, by_day
from billing.discrepancy import Code
from billing.model import DayLine, Part, ProjectTerms
from billing.tiers import TierPlan


@dataclass(frozen=True)
class Cell:
    """One day and tier: project level minus meeting level, its tolerance, and what a proportional split may be wrong by."""

    difference: int
    tolerance: int
    attribution_error: int


@dataclass(frozen=True)
class Residual:
    """The differences taken apart.

    `parts` are explained; `unexplained` holds, day by day, what is above tolerance and has no cause; `rest` is the bridge's
    residual line, which also holds what is within tolerance.
    """

    parts: Sequence[Part]
    unexplained: Sequence[Part]
    rest: Tiers
    explained_ratio: Decimal

    @property
    def by_cause(self) -> Mapping[Code, Tiers]:
        """The sum of each cause over the days, in the order of the codes, without those that come to nothing."""
        sums: dict[Code, Tiers] = {}
        for part in self.parts:
            known = sums.get(part.code, (0,) * len(part.minutes))
            sums[part.code] = tuple(one + other for one, other in zip(known, part.minutes, strict=True))
        return {code: sums[code] for code in Code if any(sums.get(code, ()))}


@dataclass(frozen=True)
class Restatement:
    """A day whose usage changed after it was final: its first final reading and its latest, which may say the same again."""

    first: DailyReading
    latest: DailyReading

    def minutes(self, plan: TierPlan) -> Tiers:
        """The change by tier of the plan, signed micro-minutes; a day left out counts as nothing."""
        nothing = (0,) * len(plan)
        before, after = (it.value.of(plan.fields) if it.value else nothing for it in (self.first, self.latest))
        return tuple(one - other for one, other in zip(after, before, strict=True))


def restatements(daily: Sequence[DailyReading]) -> dict[date, Restatement]:
    """The days of which a final value changed, from every reading there is."""
    finals = by_day(reading for reading in daily if reading.final)
    return {
        day: Restatement(readings[0], readings[-1])
        for day, readings in finals.items()
        if any(it.value != readings[-1].value for it in readings)
    }


def explain(
    cells: Sequence[Sequence[Cell]], days: Sequence[DayLine], daily: Sequence[DailyReading], terms: ProjectTerms
) -> Residual:
    """Take the difference of each day apart, in the order in which the causes are certain."""
    restated = {day: it.minutes(terms.plan) for day, it in restatements(daily).items()}
    parts: list[Part] = []
    unexplained: list[Part] = []
    rest = [0] * len(terms.plan)
    whole = missed = 0
    for row, line in zip(cells, days, strict=True):
        left = [cell.difference for cell in row]
        for code, part in _causes(row, line, restated.get(line.day, ()), terms):
            taken = part(left)
            if any(taken):
                parts.append(Part(code, line.day, taken))
                left = [one - other for one, other in zip(left, taken, strict=True)]
        above = tuple(value if abs(value) > cell.tolerance else 0 for value, cell in zip(left, row, strict=True))
        if any(above):
            unexplained.append(Part(Code.RESIDUAL, line.day, above))
        rest = [one + other for one, other in zip(rest, left, strict=True)]
        whole += sum(abs(cell.difference) for cell in row)
        missed += sum(abs(value) for value in above)
    ratio = Decimal(whole - missed) / whole if whole else Decimal(1)
    return Residual(parts, unexplained, tuple(rest), ratio.quantize(Decimal("0.000001"), ROUND_DOWN))


Taker = Callable[[Sequence[int]], Tiers]
"""From what is left of a day's difference, what a cause takes of it."""


def _causes(row: Sequence[Cell], line: DayLine, restated: Sequence[int], terms: ProjectTerms) -> Sequence[tuple[Code, Taker]]:
    """The causes that may apply to a day, the most certain first."""

    def over(left: Sequence[int]) -> list[bool]:
        return [abs(value) > cell.tolerance for value, cell in zip(left, row, strict=True)]

    def everything(left: Sequence[int]) -> Tiers:
        return tuple(value if above else 0 for value, above in zip(left, over(left), strict=True))

    def usage_without_meetings(left: Sequence[int]) -> Tiers:
        return tuple(max(value, 0) for value in everything(left))

    def restatement(left: Sequence[int]) -> Tiers:
        return tuple(
            (min(value, change) if value > 0 else max(value, change)) if value * change > 0 else 0
            for value, change in zip(everything(left), restated, strict=True)
        )

    def shift(left: Sequence[int]) -> Tiers:
        moved = everything(left)
        total = terms.tolerance.of(sum(line.project_level or ()), sum(line.meeting_level or ()))
        return moved if min(moved) < 0 < max(moved) and abs(sum(left)) <= total else (0,) * len(moved)

    def attribution(left: Sequence[int]) -> Tiers:
        return tuple(
            value if abs(value) <= cell.attribution_error else 0 for value, cell in zip(everything(left), row, strict=True)
        )

    causes: list[tuple[Code, Taker]] = []
    if line.project_status in (DailyStatus.MISSING, DailyStatus.EXPIRED, DailyStatus.NO_USAGE):
        causes.append((Code.PROJECT_DAY_MISSING, everything))
    if line.meeting_coverage is Coverage.INCOMPLETE:
        causes.append((Code.MEETING_DAY_MISSING, usage_without_meetings))
    if line.project_status is DailyStatus.PROVISIONAL:
        causes.append((Code.DAY_NOT_FINAL, everything))
    if restated:
        causes.append((Code.RESTATED, restatement))
    return [*causes, (Code.TIER_SHIFT, shift), (Code.BOUNDARY_STRADDLE, attribution)]
