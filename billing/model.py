"""What a reconciliation is made of: the project's terms, the evidence, and the lines of the answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from billing.attribution import Tiers
from billing.coverage import Coverage, DailyReading, DailyStatus
from billing.discrepancy import Code, Discrepancy
from billing.facts import MeetingDay, MeetingDetail, Observation
from billing.period import AlignedPeriod
from billing.tiers import TierPlan


class Basis(StrEnum):
    """The level that is invoiced."""

    PROJECT_LEVEL = "project_level"
    MEETING_LEVEL = "meeting_level"


class Verdict(StrEnum):
    """What a report comes to; `balanced`, `explained` and `unchecked` may be invoiced."""

    BALANCED = "balanced"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    INCOMPLETE = "incomplete"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Tolerance:
    """What a day's difference in one tier may be: the larger of `minutes` (micro-minutes) and the relative part."""

    minutes: int = 10_000
    relative: Decimal = Decimal("0.000001")

    def of(self, one: int, other: int) -> int:
        """The tolerance between two figures, in micro-minutes."""
        return max(self.minutes, int(self.relative * max(abs(one), abs(other))))


@dataclass(frozen=True)
class ProjectTerms:
    """The settings of a project that its reports depend on."""

    project_id: str
    basis: Basis
    cross_check: bool
    plan: TierPlan
    tolerance: Tolerance


@dataclass(frozen=True)
class Evidence:
    """What a reconciliation rests on.

    `daily` is every observation of the daily usage of the period's days; `meetings` the latest window of each day from the
    one before the period on, and of older ones that reach into it; `details` the session details held for their
    midnight-crossers; `superseded` the first complete readings of those windows that were answered otherwise later.
    """

    daily: Sequence[DailyReading]
    meetings: Iterable[tuple[Observation, MeetingDay]]
    details: Sequence[MeetingDetail]
    detail_observations: Sequence[Observation]
    as_of: datetime
    superseded: Iterable[tuple[Observation, MeetingDay]] = ()


@dataclass(frozen=True)
class DayLine:
    """One billing day: both levels in micro-minutes by tier, and what each is worth; None is an unknown figure.

    `usage` is every other kind of usage, and `observation_id` the reading that the project level rests on.
    """

    day: date
    project_level: Tiers | None
    project_status: DailyStatus
    meeting_level: Tiers | None
    meeting_coverage: Coverage
    gaps: Sequence[str]
    usage: Mapping[str, int] = field(default_factory=dict)
    observation_id: str | None = None


@dataclass(frozen=True)
class BridgeLine:
    """One step of the bridge, signed micro-minutes by tier; a `subtotal` is the sum of the lines above it."""

    step: str
    minutes: Tiers
    subtotal: bool = False


@dataclass(frozen=True)
class Part:
    """What one cause accounts for on one day, signed micro-minutes by tier."""

    code: Code
    day: date
    minutes: Tiers


@dataclass(frozen=True)
class Reconciliation:
    """A period reconciled: everything that a report says but its name and the money. `causes` are the residual's, by day."""

    aligned: AlignedPeriod
    terms: ProjectTerms
    verdict: Verdict
    explained: Decimal
    totals: Mapping[str, Tiers]
    bridge: Sequence[BridgeLine]
    causes: Sequence[Part]
    days: Sequence[DayLine]
    discrepancies: Sequence[Discrepancy]
    observations: Sequence[Observation]
