"""Publisher tiers and the plans made of them.

A tier is a range of concurrently publishing connections. Upstream names it by a field such as `from3To6Publishers`
and fills up to seventeen of them that overlap, so only the tiers of one plan may ever be added up.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from billing.errors import InvalidTier, InvalidTierPlan

_FIELD = re.compile(r"from([1-9][0-9]{0,5})(?:To([1-9][0-9]{0,5})|Plus)Publishers")


@dataclass(frozen=True, order=True)
class Tier:
    """The connections publishing at once, from `low` to `high` inclusive; `high` None is without end."""

    low: int
    high: int | None

    @classmethod
    def parse(cls, field: object) -> "Tier":
        """The tier that upstream's field name stands for, also one that upstream adds tomorrow.

        >>> Tier.parse("from3To6Publishers"), Tier.parse("from36PlusPublishers")
        (Tier(low=3, high=6), Tier(low=36, high=None))
        """
        match = _FIELD.fullmatch(field) if isinstance(field, str) else None
        if match and (match[2] is None or int(match[1]) <= int(match[2])):
            return cls(int(match[1]), int(match[2]) if match[2] else None)
        raise InvalidTier(
            f"{field!r} is no publisher tier", expected="a name such as 'from3To6Publishers' or 'from36PlusPublishers'"
        )

    @property
    def field(self) -> str:
        """The name that upstream gives it."""
        return f"from{self.low}PlusPublishers" if self.high is None else f"from{self.low}To{self.high}Publishers"

    @property
    def label(self) -> str:
        """A short name for people: `3-6`, `36+`."""
        return f"{self.low}+" if self.high is None else f"{self.low}-{self.high}"

    def holds(self, publishers: int) -> bool:
        """Whether so many publishing connections are in this tier."""
        return self.low <= publishers and (self.high is None or publishers <= self.high)

    def contains(self, other: "Tier") -> bool:
        """Whether every number of publishers of `other` is also in this tier."""
        return self.low <= other.low and (self.high is None or (other.high is not None and other.high <= self.high))

    def overlaps(self, other: "Tier") -> bool:
        """Whether some number of publishers is in both."""
        return (other.high is None or self.low <= other.high) and (self.high is None or other.low <= self.high)


@dataclass(frozen=True)
class TierPlan:
    """Tiers that do not overlap and leave no gap from 1 up, lowest first: what may be added up."""

    tiers: tuple[Tier, ...]

    @classmethod
    def of(cls, fields: Iterable[str]) -> "TierPlan":
        """The plan of these field names, in any order. Raises InvalidTier or InvalidTierPlan with what is wrong."""
        tiers = []
        for index, field in enumerate(fields):
            try:
                tiers.append(Tier.parse(field))
            except InvalidTier as error:
                raise InvalidTier(error.message, pointer=f"/{index}", expected=error.expected) from None
        return cls(tuple(sorted(tiers, key=lambda tier: tier.low)))

    def __post_init__(self) -> None:
        expected = "tiers that do not overlap and leave no gap from 1 up, such as 1-2, 3-6, 7-8, 9-10, 11-35, 36+"
        if not self.tiers or self.tiers[0].low != 1 or self.tiers[-1].high is not None:
            raise InvalidTierPlan("the tiers do not reach from 1 publisher up", expected=expected)
        for lower, upper in pairwise(self.tiers):
            if lower.high is None or upper.low <= lower.high:
                raise InvalidTierPlan(f"{lower.field} and {upper.field} overlap", expected=expected)
            if upper.low != lower.high + 1:
                raise InvalidTierPlan(f"no tier between {lower.field} and {upper.field}", expected=expected)

    def __iter__(self) -> Iterator[Tier]:
        return iter(self.tiers)

    def __len__(self) -> int:
        return len(self.tiers)

    @property
    def fields(self) -> tuple[str, ...]:
        """Upstream's names of the tiers, lowest first."""
        return tuple(tier.field for tier in self.tiers)


KNOWN_FIELDS = tuple(
    f"from{name}Publishers"
    for name in (
        "1To2 3To6 7To8 1To4 5To8 1To8 1To10 9To10 11To35 11To20 36Plus 21To35 36To40 41Plus 1To25 3To25 26To35"
    ).split()
)
"""The seventeen tier fields of the Insights API, in the guide's order. They overlap."""

KNOWN_PLANS = tuple(
    TierPlan.of(f"from{name}Publishers" for name in names.split())
    for names in (
        "1To2 3To6 7To8 9To10 11To35 36Plus",
        "1To2 3To6 7To8 9To10 11To35 36To40 41Plus",
        "1To4 5To8 9To10 11To20 21To35 36To40 41Plus",
        "1To8 9To10 11To35 36Plus",
        "1To10 11To35 36Plus",
        "1To25 26To35 36Plus",
        "1To2 3To25 26To35 36Plus",
    )
)
"""The plans known today; the first is the default of a new project."""
