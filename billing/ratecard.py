"""Rate cards: what a minute costs, per tier of publishers and per other kind of usage, from one billing day on.

A card goes through versions. A published version never changes; each is in effect on the billing days from `effective_from`
to `effective_to`, both inclusive, and where two hold a day the later version counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, ClassVar

from billing.errors import NoRateCard
from billing.money import Currency
from billing.period import BillingPeriod
from billing.tiers import TierPlan


@dataclass(frozen=True)
class Bracket:
    """The quantities above `start`, up to and with `up_to` (None: without end), in minutes, and the price of a minute there."""

    start: Decimal
    up_to: Decimal | None
    unit_price: Decimal


@dataclass(frozen=True)
class Flat:
    """Every minute costs the same."""

    model: ClassVar[str] = "flat"
    unit_price: Decimal


@dataclass(frozen=True)
class Graduated:
    """Each minute costs what its bracket says: the first ones as the first bracket, those above as the next."""

    model: ClassVar[str] = "graduated"
    brackets: tuple[Bracket, ...]


@dataclass(frozen=True)
class Volume:
    """All minutes cost what the bracket says that the whole quantity falls into."""

    model: ClassVar[str] = "volume"
    brackets: tuple[Bracket, ...]


@dataclass(frozen=True)
class Package:
    """Minutes are sold in packages of `size`; one that is begun is paid for."""

    model: ClassVar[str] = "package"
    size: Decimal
    package_price: Decimal


Price = Flat | Graduated | Volume | Package


@dataclass(frozen=True)
class Allowance:
    """Minutes of a period that are free: of each tier its own, or one pool for all tiers of the plan."""

    pooled: Decimal | None
    by_tier: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Discount:
    """What is taken off: a percentage of what is left after the discounts before it, or a fixed amount of a period."""

    kind: str
    value: Decimal


@dataclass(frozen=True)
class TaxRate:
    """A named rate. `category` is UNCL 5305's code, as EN 16931 has it: S standard, Z zero, E exempt, AE reverse charge,
    K within the EU, G export, O outside the scope of tax; `reason` says why there is none."""

    name: str
    percent: Decimal
    category: str
    reason: str = ""


@dataclass(frozen=True)
class Rounding:
    """How quantities and amounts are rounded; `per` line, or per invoice, where the lines share the rounded sum."""

    quantity_decimals: int = 2
    quantity_mode: str = "half_up"
    amount_mode: str = "half_up"
    per: str = "line"


@dataclass(frozen=True)
class RateCard:
    """One version of a rate card; `billing.ratecard_file` reads and writes it."""

    id: str
    version: int
    name: str
    currency: Currency
    effective_from: date
    effective_to: date | None
    plan: TierPlan
    prices: Mapping[str, Price]
    usage_prices: Mapping[str, Price]
    allowance: Allowance | None
    commitment: Decimal | None
    discounts: tuple[Discount, ...]
    tax: TaxRate | None
    taxes: Mapping[str, TaxRate]
    rounding: Rounding
    note: str = ""

    def holds(self, day: date) -> bool:
        """Whether it is in effect on a billing day."""
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)

    def price_of(self, usage: str) -> Price:
        """The price of a tier or another kind of usage. Raises NoRateCard."""
        found = self.prices.get(usage) or self.usage_prices.get(usage)
        if found is None:
            raise NoRateCard(
                f"The rate card {self.name!r} (version {self.version}) has no price for {usage}",
                pointer="/rate_card_id",
                expected="a rate card with this tier in its plan, or this kind among its usage_prices",
            )
        return found

    def tax_of(self, name: str | None) -> TaxRate | None:
        """The named rate of its table, or without a name its own. Raises NoRateCard where the table lacks the name."""
        if name is None:
            return self.tax
        if self.tax is not None and self.tax.name == name:
            return self.tax
        if name not in self.taxes:
            raise NoRateCard(
                f"The rate card {self.name!r} (version {self.version}) has no tax rate {name!r}",
                pointer="/tax",
                expected=f"one of {', '.join(sorted(self.taxes)) or 'none: its table is empty'}",
            )
        return self.taxes[name]


@dataclass(frozen=True)
class CardHistory:
    """All published versions of one rate card, in any order."""

    versions: Sequence[RateCard]

    def on(self, day: date) -> RateCard:
        """The version in effect on a billing day: the highest of those that hold it. Raises NoRateCard."""
        found = max((card for card in self.versions if card.holds(day)), key=lambda card: card.version, default=None)
        if found is None:
            name = self.versions[0].name if self.versions else ""
            raise NoRateCard(
                f"No version of the rate card {name!r} is in effect on {day}",
                pointer="/rate_card_id",
                expected="a version that is in effect on every day of the period",
            )
        return found

    def segments(self, period: BillingPeriod) -> list[tuple[RateCard, BillingPeriod]]:
        """The period in runs of days with one version each, in order of time. Raises NoRateCard for a day without one."""
        runs = groupby(((self.on(day), day) for day in period.days), key=lambda it: it[0].version)
        split = [list(run) for _, run in runs]
        return [(run[0][0], BillingPeriod(run[0][1], run[-1][1])) for run in split]


def describe(card: RateCard) -> dict[str, Any]:
    """The card's name in lines and reports."""
    return {"id": card.id, "version": card.version, "name": card.name}
