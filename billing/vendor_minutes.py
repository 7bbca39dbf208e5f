"""Why the vendor billed other minutes than the project level has: each usage's difference, taken apart into its causes.

The causes are asked in this order, and each takes only what it explains of what the one before left:

1. *period* or *spillover*: what was billed is, for more usages than fit as it is, what was used on other days, or the session
   level with the minutes that reused sessions and straddling meetings hold outside the period. More than half of the usages
   must fit, so well that it is hardly by chance; of several such readings the one with the fewest misfits counts, then the
   nearest.
2. *rounding*: less than one unit of the last decimal that the quantity was written with, for each of its rows.
3. *tier mix*: minutes that one tier has too many and another too few.
4. *volume*: the rest.

The other days are every run of days held near the period that is as long as it or up to three days longer or shorter: another
cycle, or the days that a month in UTC touches. A `Zone` is the period by the hours of another time zone, from the meetings.

    >>> from datetime import date
    >>> one, two = "from1To2Publishers", "from3To6Publishers"
    >>> days = {date(2026, 10, day): {one: day * 10_000_000, two: 5_000_000} for day in range(1, 8)}
    >>> unit = Unit("100", days)
    >>> week = BillingPeriod(date(2026, 10, 2), date(2026, 10, 4))
    >>> take_apart(unit, week, {one: Billed(120_000_000, 1), two: Billed(15_000_000, 1)}, Tolerance()).parts
    {<Cause.PERIOD: 'period'>: {'from1To2Publishers': 30000000}}
    >>> take_apart(unit, week, {one: Billed(92_000_000, 1), two: Billed(14_000_000, 1)}, Tolerance()).parts[Cause.VOLUME]
    {'from1To2Publishers': 1000000}
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import accumulate

from billing.minutes import share
from billing.model import Tolerance
from billing.period import BillingPeriod
from billing.vendor import is_tier

REACH = 35
"""How many days before and after the period are looked at: a cycle is at most a month off."""
_LONGER = 3
_BY_CHANCE = 0.05
"""A reading that fits with more than this likelihood, had anything been billed, explains nothing."""

Minutes = Mapping[str, int]
"""Micro-minutes by usage."""


class Cause(StrEnum):
    """What a variance is split into, in the order in which it is told."""

    VOLUME = "volume"
    PRICE = "price"
    TIER_MIX = "tier_mix"
    PERIOD = "period"
    ROUNDING = "rounding"
    CREDIT = "credit"
    SPILLOVER = "spillover"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Billed:
    """What was billed of one usage: micro-minutes, and how much of them the rounding of its rows can hide."""

    minutes: int
    step: int


@dataclass(frozen=True)
class Zone:
    """The period by the hours of another time zone: what was used in it, and what the proportional parts may be wrong by."""

    name: str
    minutes: Minutes
    error: Minutes


@dataclass(frozen=True)
class Unit:
    """What is held of one project, or of several together (`project_id` is ""), in and around a period.

    `days` is the project level of each day that is held, `partly` those that not every one of the projects has. The levels of
    meetings and sessions are of the period, None where they are not known; `spillover` is what the session level has more, by
    reuse and straddling.
    """

    project_id: str
    days: Mapping[date, Minutes]
    meeting_level: Minutes | None = None
    session_level: Minutes | None = None
    spillover: Minutes = field(default_factory=dict)
    zone: Zone | None = None
    partly: frozenset[date] = frozenset()

    def used(self, period: BillingPeriod) -> Minutes:
        """The project level of a period."""
        return _sum(self.days.get(day, {}) for day in period.days)


@dataclass(frozen=True)
class TakenApart:
    """The difference of each usage by cause, without zeros: they add up exactly. `finding` says which other reading fits."""

    parts: Mapping[Cause, Minutes]
    finding: str = ""


@dataclass(frozen=True)
class _Reading:
    """Another reading of what was billed: what it would be, and what of it is explained where it fits.

    `spread` is how far readings of its kind lie apart, and `tried` how many lie as near: by both a fit may be chance.
    """

    cause: Cause
    words: str
    minutes: Minutes
    explains: Minutes
    spread: Minutes
    tried: int = 1
    error: Minutes = field(default_factory=dict)


def together(units: Sequence[Unit]) -> Unit:
    """Several projects as one: a level is known where it is of all."""
    days = sorted({day for unit in units for day in unit.days})
    zones = [unit.zone for unit in units if unit.zone]
    return Unit(
        "",
        {day: _sum(unit.days.get(day, {}) for unit in units) for day in days},
        _level(unit.meeting_level for unit in units),
        _level(unit.session_level for unit in units),
        _sum(unit.spillover for unit in units),
        Zone(zones[0].name, _sum(it.minutes for it in zones), _sum(it.error for it in zones))
        if len(zones) == len(units)
        else None,
        frozenset(day for day in days if any(day not in unit.days for unit in units)),
    )


def take_apart(unit: Unit, period: BillingPeriod, billed: Mapping[str, Billed], tolerance: Tolerance) -> TakenApart:
    """Split what was billed minus what was used, of each usage, into its causes."""
    used = unit.used(period)
    rest = {usage: -value for usage, value in used.items() if usage not in billed}
    rest |= {usage: it.minutes - used.get(usage, 0) for usage, it in billed.items()}
    parts: dict[Cause, dict[str, int]] = {}

    def take(cause: Cause, minutes: Minutes) -> None:
        for usage, value in minutes.items():
            if value:
                parts.setdefault(cause, {})[usage] = value
                rest[usage] -= value

    reading = _best(unit, period, billed, used, tolerance)
    if reading:
        take(reading.cause, reading.explains)
    take(Cause.ROUNDING, {usage: value for usage, value in rest.items() if usage in billed and abs(value) < billed[usage].step})
    take(Cause.TIER_MIX, _moved({usage: value for usage, value in rest.items() if is_tier(usage)}))
    take(Cause.VOLUME, dict(rest))
    return TakenApart(parts, reading.words if reading else "")


def _best(
    unit: Unit, period: BillingPeriod, billed: Mapping[str, Billed], used: Minutes, tolerance: Tolerance
) -> _Reading | None:
    asked = {usage: it for usage, it in billed.items() if it.minutes}
    fewest = _misfits(asked, used, used, {}, tolerance)
    fewest = min(fewest, (len(asked) + 1) // 2)  # so that more than half fit
    best = None
    for reading in (*_spilled(unit, used), *_other_days(unit, period, used, asked), *_zones(unit, used)) if fewest else ():
        misfits = _misfits(asked, reading.minutes, used, reading.error, tolerance)
        if misfits < fewest and _chance(asked, reading, used, tolerance) <= _BY_CHANCE:
            best, fewest = reading, misfits
    if best is None:
        return None
    # Within a proportional part's error, all of the difference is the reading's.
    explains = {
        usage: it.minutes - used.get(usage, 0)
        if best.error and _fits(it, best.minutes.get(usage, 0), used.get(usage, 0), best.error.get(usage, 0), tolerance)
        else best.explains.get(usage, 0)
        for usage, it in billed.items()
    }
    return replace(best, explains=explains)


def _chance(asked: Mapping[str, Billed], reading: _Reading, used: Minutes, tolerance: Tolerance) -> float:
    """How likely one of so many readings would fit so well, if what was billed lay anywhere among them."""
    likelihood = float(reading.tried)
    for usage, it in asked.items():
        minutes, spread = reading.minutes.get(usage, 0), abs(reading.spread.get(usage, 0))
        if spread and _fits(it, minutes, used.get(usage, 0), reading.error.get(usage, 0), tolerance):
            off = max(abs(it.minutes - minutes), it.step, tolerance.of(it.minutes, minutes))
            likelihood *= min(2 * off / spread, 1)
    return likelihood


def _misfits(asked: Mapping[str, Billed], minutes: Minutes, used: Minutes, error: Minutes, tolerance: Tolerance) -> int:
    return sum(
        not _fits(it, minutes.get(usage, 0), used.get(usage, 0), error.get(usage, 0), tolerance) for usage, it in asked.items()
    )


def _fits(it: Billed, minutes: int, used: int, error: int, tolerance: Tolerance) -> bool:
    """Whether it is these minutes; within their error too, where they are clearly nearer than what was used."""
    off = abs(it.minutes - minutes)
    return off <= max(it.step - 1, tolerance.of(it.minutes, minutes)) or off <= min(error, abs(it.minutes - used) // 4)


def _spilled(unit: Unit, used: Minutes) -> Iterator[_Reading]:
    if any(unit.spillover.values()):
        words = "What was billed is the session level, which holds minutes outside the period."
        yield _Reading(Cause.SPILLOVER, words, _sum((used, unit.spillover)), unit.spillover, unit.spillover)
        if unit.session_level:
            minutes = _sum((used, unit.session_level, _less(unit, used)))
            yield _Reading(Cause.SPILLOVER, words, minutes, unit.spillover, _change(used, minutes))


def _less(unit: Unit, used: Minutes) -> Minutes:
    """What of the used minutes the session level replaces: those of the tiers, and not the other kinds of usage."""
    return {usage: -value for usage, value in used.items() if usage in (unit.session_level or {})}


def _other_days(unit: Unit, period: BillingPeriod, used: Minutes, asked: Iterable[str]) -> Iterator[_Reading]:
    """Every run of held days near the period, the nearest first."""
    first = period.first_day - timedelta(days=REACH)
    span = [first + timedelta(days=offset) for offset in range(len(period) + 2 * REACH)]
    sums = {usage: [0, *accumulate(unit.days.get(day, {}).get(usage, 0) for day in span)] for usage in asked}
    held = [0, *accumulate(day in unit.days and day not in unit.partly for day in span)]
    runs = [
        (start, start + length)
        for start in range(len(span))
        for length in range(max(len(period) - _LONGER, 1), len(period) + _LONGER + 1)
        if start + length <= len(span) and (start, length) != (REACH, len(period))
    ]
    runs = [(start, end) for start, end in runs if held[end] - held[start] == end - start]
    runs.sort(key=lambda run: (abs(run[0] - REACH) + abs(run[1] - REACH - len(period)), run))
    spread = {usage: _range(column[end] - column[start] for start, end in runs) for usage, column in sums.items()}
    for tried, (start, end) in enumerate(runs, 1):
        minutes = {usage: column[end] - column[start] for usage, column in sums.items()}
        words = f"What was billed is what was used from {span[start]} to {span[end - 1]}."
        yield _Reading(Cause.PERIOD, words, minutes, _change(used, minutes), spread, tried)


def _zones(unit: Unit, used: Minutes) -> Iterator[_Reading]:
    if unit.zone:
        words = f"What was billed is what was used in the period by the days of {unit.zone.name}."
        change = _change(used, unit.zone.minutes)
        yield _Reading(Cause.PERIOD, words, unit.zone.minutes, change, change, error=unit.zone.error)


def _range(values: Iterable[int]) -> int:
    found = list(values)
    return max(found) - min(found) if found else 0


def _change(used: Minutes, minutes: Minutes) -> Minutes:
    return {usage: value - used.get(usage, 0) for usage, value in minutes.items()}


def _moved(rest: Minutes) -> Minutes:
    """The minutes that some tiers have too many and others too few, shared in proportion to how many; they add up to zero."""
    moved = min(sum(value for value in rest.values() if value > 0), -sum(value for value in rest.values() if value < 0))
    parts: dict[str, int] = {}
    for sign in (1, -1) if moved else ():
        side = {usage: abs(value) for usage, value in rest.items() if value * sign > 0}
        parts |= {usage: sign * part for usage, part in zip(side, share(moved, list(side.values())), strict=True)}
    return parts


def _level(levels: Iterable[Minutes | None]) -> Minutes | None:
    known = list(levels)
    return None if None in known else _sum(level for level in known if level)


def _sum(rows: Iterable[Minutes]) -> Minutes:
    total: dict[str, int] = {}
    for row in rows:
        for usage, value in row.items():
            total[usage] = total.get(usage, 0) + value
    return total
