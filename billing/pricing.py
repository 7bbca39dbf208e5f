"""Pricing: from usage by billing day to priced lines and a total, exact and pure.

The order is: quantity rounded, allowance taken, price, line amount; then the discounts in the order given, the commitment's
true-up on the discounted sum, tax on the result.

A customer's usage is priced together: brackets, packages and allowances are the customer's, not a project's. A period in which
the rate card changes is split by day into segments of one version each. Brackets and packages go on over the segments (they are
positions reached in the period), and a volume's bracket is chosen by what the whole period comes to. An allowance, a fixed
discount and a commitment belong to the period: of each version counts the part of its days.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, localcontext
from functools import partial
from itertools import accumulate, pairwise

from billing.errors import NoRateCard
from billing.facts import USAGE_KINDS
from billing.minutes import MICRO, share
from billing.money import EXACT, WIDE, Currency, rounded
from billing.period import BillingPeriod
from billing.prices import Piece, pieces
from billing.ratecard import Bracket, CardHistory, Package, RateCard, TaxRate

KINDS = ("usage", "unowned", "level_difference")
"""What a line is about: a customer's own usage; sessions that nobody owns; what the two levels differ by (signed)."""


@dataclass(frozen=True)
class Usage:
    """What is priced: one project's usage of one tier or other kind, micro-minutes by billing day, and what it rests on."""

    project_id: str
    usage: str
    days: Mapping[date, int]
    report_id: str = ""
    observations: Mapping[date, str] = field(default_factory=dict)
    kind: str = "usage"


@dataclass(frozen=True)
class Line:
    """One priced line: `quantity` minutes, of which `allowance_used` are free; `amount` is `units` × `unit_price`, rounded.

    Units are the minutes that are paid for, or packages.
    """

    position: int
    kind: str
    project_id: str
    usage: str
    first_day: date
    last_day: date
    quantity: Decimal
    allowance_used: Decimal
    model: str
    bracket: Bracket | None
    units: Decimal
    unit_price: Decimal
    amount: Decimal
    tax: TaxRate | None
    rate_card: RateCard
    report_id: str
    observations: tuple[str, ...]


@dataclass(frozen=True)
class DiscountLine:
    """What one discount of one version takes off, as a positive amount, before tax of that rate."""

    kind: str
    value: Decimal
    amount: Decimal
    tax: TaxRate | None


@dataclass(frozen=True)
class TaxLine:
    """The tax of one rate on its base."""

    rate: TaxRate
    base: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Priced:
    """Lines and totals: `total` = `subtotal` − `discount` + `commitment` + `tax`, and each is the sum of its lines."""

    currency: Currency
    lines: tuple[Line, ...]
    discounts: tuple[DiscountLine, ...]
    commitment: Decimal
    commitment_tax: TaxRate | None
    """The rate of the true-up: that of the period's last day, on which it is settled."""
    taxes: tuple[TaxLine, ...]

    @property
    def subtotal(self) -> Decimal:
        """The sum of the lines."""
        return _sum(line.amount for line in self.lines)

    @property
    def discount(self) -> Decimal:
        """The sum of the discounts, positive."""
        return _sum(line.amount for line in self.discounts)

    @property
    def tax(self) -> Decimal:
        """The sum of the taxes."""
        return _sum(line.amount for line in self.taxes)

    @property
    def total(self) -> Decimal:
        """What is to be paid."""
        with localcontext(EXACT):
            return self.subtotal - self.discount + self.commitment + self.tax


@dataclass(frozen=True)
class _Segment:
    """Days with one version of the card: its place among the period's days, to weigh what belongs to the whole period."""

    card: RateCard
    period: BillingPeriod
    start: int
    end: int
    days: int
    tax: TaxRate | None

    def part(self, value: Decimal, places: int, mode: str) -> Decimal:
        """What of a period's value falls to this segment's days. Versions that say the same give it whole together."""
        until, before = (
            rounded(WIDE.divide(value * edge, Decimal(self.days)), places, mode) for edge in (self.end, self.start)
        )
        return until - before


@dataclass(frozen=True)
class _Quantity:
    """A usage in one segment: its rounded minutes, and those of them that are free."""

    segment: _Segment
    of: Usage
    quantity: Decimal
    allowance: Decimal = Decimal(0)

    @property
    def billable(self) -> Decimal:
        return self.quantity - self.allowance

    @property
    def unit(self) -> int:
        """The last decimal of its minutes, in micro-minutes."""
        return MICRO // int(10**self.segment.card.rounding.quantity_decimals)


def price(usages: Sequence[Usage], cards: CardHistory, period: BillingPeriod, *, tax: str | None = None) -> Priced:
    """Price a customer's usage of one period; `tax` names a rate of the cards' table, in place of their own.

    Raises NoRateCard where a day has no card or a tier that was used has no price, or the currency changes within the period.
    The other kinds of usage cost something where the card prices them, and nothing where it does not.

    100 minutes at 0.004 with 20 of them free, less 10 %, with 1.00 committed, and 19 % of tax:

    >>> from billing.ratecard_file import parse
    >>> card = parse({"name": "Doc", "currency": "EUR", "effective_from": "2026-01-01", "tier_plan": ["from1PlusPublishers"],
    ...     "prices": {"from1PlusPublishers": {"model": "flat", "unit_price": "0.004"}},
    ...     "allowance": {"scope": "pooled", "minutes": "20"}, "discounts": [{"kind": "percentage", "value": "10"}],
    ...     "commitment": {"amount": "1.00"}, "tax": {"name": "DE VAT", "percent": "19"}})
    >>> october = BillingPeriod(date(2026, 10, 1), date(2026, 10, 31))
    >>> usage = Usage("100", "from1PlusPublishers", {date(2026, 10, 5): 100_000_000})
    >>> it = price([usage], CardHistory([card]), october)
    >>> str(it.subtotal), str(it.discount), str(it.commitment), str(it.tax), str(it.total)
    ('0.32', '0.03', '0.71', '0.19', '1.19')
    """
    with localcontext(EXACT):
        segments = _segments(cards, period, tax)
        quantities = _with_allowance(_quantities(usages, segments), segments)
        return _settled(_lines(quantities, segments[-1].card), segments)


def settle(lines: Sequence[Line], cards: CardHistory, period: BillingPeriod, *, tax: str | None = None) -> Priced:
    """Discounts, true-up and taxes of any lines, as `price` reckons those of its own.

    A line belongs to the version in effect from its first day on, which must begin a segment, and bears its own rate of tax.
    """
    with localcontext(EXACT):
        return _settled(lines, _segments(cards, period, tax))


def _settled(lines: Sequence[Line], segments: Sequence[_Segment]) -> Priced:
    discounts = [it for segment in segments for it in _discounts(segment, _subtotal(lines, segment))]
    commitment = _true_up(segments, _sum(line.amount for line in lines) - _sum(it.amount for it in discounts))
    taxes = _taxes(lines, discounts, commitment, segments[-1])
    return Priced(segments[-1].card.currency, tuple(lines), tuple(discounts), commitment, segments[-1].tax, taxes)


def _segments(cards: CardHistory, period: BillingPeriod, tax: str | None) -> list[_Segment]:
    runs = cards.segments(period)
    if len({card.currency for card, _ in runs}) > 1:
        raise NoRateCard(
            f"The currency of the rate card {runs[0][0].name!r} changes within the period",
            pointer="/rate_card_id",
            expected="versions in one currency for one period",
        )
    edges = pairwise(accumulate((len(days) for _, days in runs), initial=0))
    return [
        _Segment(card, days, start, end, len(period), card.tax_of(tax))
        for (card, days), (start, end) in zip(runs, edges, strict=True)
    ]


def _quantities(usages: Sequence[Usage], segments: Sequence[_Segment]) -> list[_Quantity]:
    """The rounded quantities that are not zero, in order of time, tier, kind and project."""
    found = []
    for segment in segments:
        rounding = segment.card.rounding
        order = {usage: place for place, usage in enumerate((*segment.card.plan.fields, *USAGE_KINDS))}
        for it in sorted(usages, key=lambda it: (order.get(it.usage, len(order)), KINDS.index(it.kind), it.project_id)):
            micro = sum(value for day, value in it.days.items() if day in segment.period)
            quantity = rounded(Decimal(micro).scaleb(-6), rounding.quantity_decimals, rounding.quantity_mode)
            if quantity and (it.usage not in USAGE_KINDS or it.usage in segment.card.usage_prices):
                segment.card.price_of(it.usage)
                found.append(_Quantity(segment, it, quantity))
    return found


def _with_allowance(quantities: Sequence[_Quantity], segments: Sequence[_Segment]) -> list[_Quantity]:
    """The same with what is free taken in order of time: of the tier first, then of the pool; several share in proportion."""
    funds, most = _funds(segments), _most_free(quantities)
    taken = list(quantities)
    for segment in segments:
        mine = [place for place, it in enumerate(taken) if it.segment is segment and it.quantity > 0]
        for fund in funds:
            places = [place for place in mine if taken[place].of.usage in segment.card.plan.fields]
            places = [place for place in places if fund in ("", taken[place].of.usage)]
            _take(funds, fund, taken, places, most)
    return taken


def _most_free(quantities: Sequence[_Quantity]) -> list[int]:
    """Of each, the micro-minutes that could be free. What is taken back of a usage is not: free minutes were never paid for,
    and would be given back at their price."""
    found = [int(max(it.quantity, Decimal(0)) * MICRO) for it in quantities]
    for usage in {it.of.usage for it in quantities if it.quantity < 0}:
        places = [place for place, it in enumerate(quantities) if it.of.usage == usage]
        unit = max(quantities[place].unit for place in places)
        whole = [found[place] // unit for place in places]
        left = min(int(sum(quantities[place].quantity for place in places) * MICRO) // unit, sum(whole))
        parts = share(left, whole) if left > 0 else [0 for _ in places]
        for place, part in zip(places, parts, strict=True):
            found[place] = part * unit
    return found


def _funds(segments: Sequence[_Segment]) -> dict[str, Decimal]:
    """The minutes that are free in the period, by tier; `""` is the pool."""
    funds: dict[str, Decimal] = {}
    for segment in segments:
        rounding, allowance = segment.card.rounding, segment.card.allowance
        if allowance is not None:
            given = allowance.by_tier if allowance.pooled is None else {"": allowance.pooled}
            for name, minutes in given.items():
                part = segment.part(minutes, rounding.quantity_decimals, rounding.quantity_mode)
                funds[name] = funds.get(name, Decimal(0)) + part
    return dict(sorted(funds.items(), key=lambda it: it[0] == ""))


def _take(funds: dict[str, Decimal], fund: str, taken: list[_Quantity], places: Sequence[int], most: Sequence[int]) -> None:
    wanted = [most[place] - int(taken[place].allowance * MICRO) for place in places]
    # Taken in units of the rounded quantities, so that no line's free minutes have more decimals than its quantity.
    unit = taken[places[0]].unit if places else 1
    units = [value // unit for value in wanted]
    free = min(int(funds[fund] * MICRO) // unit, sum(units))
    if free <= 0:
        return
    for place, part in zip(places, share(free, units), strict=True):
        taken[place] = replace(taken[place], allowance=taken[place].allowance + Decimal(part * unit).scaleb(-6))
    funds[fund] -= Decimal(free * unit).scaleb(-6)


def _lines(quantities: Sequence[_Quantity], last: RateCard) -> list[Line]:
    whole: dict[str, Decimal] = {}
    for it in quantities:
        whole[it.of.usage] = whole.get(it.of.usage, Decimal(0)) + it.billable
    reached: dict[str, Decimal] = {}
    drafts: list[partial[Line]] = []
    amounts: list[Decimal] = []
    for it in quantities:
        usage, card = it.of.usage, it.segment.card
        start = reached.get(usage, Decimal(0))
        reached[usage] = start + it.billable
        for place, piece in enumerate(pieces(card.price_of(usage), start, reached[usage], whole[usage])):
            drafts.append(partial(_line, it, piece, it.allowance if place == 0 else Decimal(0)))
            amounts.append(piece.units * piece.unit_price)
    exact = _rounded(amounts, last)
    return [make(position, amount) for position, (make, amount) in enumerate(zip(drafts, exact, strict=True), 1)]


def _line(it: _Quantity, piece: Piece, allowance: Decimal, position: int, amount: Decimal) -> Line:
    days = it.segment.period
    return Line(
        position=position,
        kind=it.of.kind,
        project_id=it.of.project_id,
        usage=it.of.usage,
        first_day=days.first_day,
        last_day=days.last_day,
        quantity=_tidy(piece.quantity + allowance, it),
        allowance_used=_tidy(allowance, it),
        model=it.segment.card.price_of(it.of.usage).model,
        bracket=piece.bracket,
        units=piece.units if isinstance(it.segment.card.price_of(it.of.usage), Package) else _tidy(piece.units, it),
        unit_price=piece.unit_price,
        amount=amount,
        tax=it.segment.tax,
        rate_card=it.segment.card,
        report_id=it.of.report_id,
        observations=tuple(name for day, name in sorted(it.of.observations.items()) if day in days),
    )


def _tidy(minutes: Decimal, it: _Quantity) -> Decimal:
    """The minutes with the decimals of the card's quantities; with more only where a bracket ends at a finer one."""
    tidy = rounded(minutes, it.segment.card.rounding.quantity_decimals)
    return tidy if tidy == minutes else minutes.normalize()


def _rounded(amounts: Sequence[Decimal], card: RateCard) -> list[Decimal]:
    """The lines' amounts: each rounded by itself, or the sum rounded and shared by the largest remainder."""
    currency, mode = card.currency, card.rounding.amount_mode
    if card.rounding.per == "line":
        return [currency.round(amount, mode) for amount in amounts]
    parts = [rounded(amount, currency.decimals, "floor") for amount in amounts]
    left = int((currency.round(_sum(amounts), mode) - _sum(parts)) / currency.minor)
    for place in sorted(range(len(parts)), key=lambda place: parts[place] - amounts[place])[:left]:
        parts[place] += currency.minor
    return parts


def _subtotal(lines: Sequence[Line], segment: _Segment) -> Decimal:
    return _sum(line.amount for line in lines if line.first_day == segment.period.first_day)


def _discounts(segment: _Segment, left: Decimal) -> list[DiscountLine]:
    """What the segment's discounts take off its lines, one after the other; never more than there is."""
    card, found = segment.card, []
    mode = card.rounding.amount_mode
    for it in card.discounts:
        off = (
            card.currency.round(left * it.value / 100, mode)
            if it.kind == "percentage"
            else segment.part(it.value, card.currency.decimals, mode)
        )
        off = max(min(off, left), Decimal(0))
        left -= off
        if off:
            found.append(DiscountLine(it.kind, it.value, off, segment.tax))
    return found


def _true_up(segments: Sequence[_Segment], discounted: Decimal) -> Decimal:
    """What is missing to the minimum that was committed to, if any was: a sum below zero alone is no promise."""
    parts = [
        segment.part(segment.card.commitment, segment.card.currency.decimals, segment.card.rounding.amount_mode)
        for segment in segments
        if segment.card.commitment is not None
    ]
    nothing = segments[-1].card.currency.round(Decimal(0))
    return max(_sum(parts) - discounted, nothing) if parts else nothing


def _taxes(
    lines: Sequence[Line], discounts: Sequence[DiscountLine], commitment: Decimal, last: _Segment
) -> tuple[TaxLine, ...]:
    bases: dict[TaxRate, Decimal] = {}
    parts = [*((line.tax, line.amount) for line in lines), *((it.tax, -it.amount) for it in discounts)]
    for rate, amount in [*parts, (last.tax, commitment)]:
        if rate is not None:
            bases[rate] = bases.get(rate, Decimal(0)) + amount
    currency, mode = last.card.currency, last.card.rounding.amount_mode
    return tuple(TaxLine(rate, base, currency.round(base * rate.percent / 100, mode)) for rate, base in bases.items())


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))
