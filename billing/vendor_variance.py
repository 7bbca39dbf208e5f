"""The variance of a vendor's invoice: what it bills minus what the rate card makes of the project level, split into causes.

The invoice's total is reached from the card's total for what was used, one cause after the other; each cause is what its step
adds, with the discounts and the tax that follow from it. So the parts add up to the variance exactly.

1. *period*, *spillover*, *tier mix*, *volume* and *rounding* of the minutes, as `billing.vendor_minutes` takes them apart: the
   card's total for the minutes up to and with that cause, minus its total for those before.
2. What the vendor's rows of a usage bill minus what the card makes of the same minutes. Where each row's amount is its quantity
   times its unit price, to less than a minor unit, it is *price* as far as that comes to another sum than the card's own prices
   and free minutes, and *rounding* for the rest. Where rows do not state a price, less than a minor unit for each row is
   *rounding*, more is *price*. Where they state the card's own prices and bill another amount, that is *unexplained*.
3. *credit*: what the vendor takes off minus what the card's discounts take off the vendor's own lines.
4. What else is billed, but for the card's true-up, is *unexplained*. So is a tax that is not the card's rate on the vendor's
   own net amount, and a total that is not the sum of the lines; what rounding can do to each row is *rounding*.

A usage that the card has no price for is *volume* where nothing of it was used, else *price*.

By hand: 1,000 minutes were used, and the card has 0.004 a minute less 10 %, so 3.60. The vendor bills 1,100 minutes at 0.005,
5.50, less 10 %: 4.95. Of the variance, 1.35, the 100 minutes too many are 0.36, and the price is 0.001 × 1,100 less 10 %, 0.99.

>>> from datetime import date
>>> from billing import ratecard_file, vendor
>>> card = ratecard_file.parse({"name": "Doc", "currency": "USD", "effective_from": "2026-01-01",
...     "tier_plan": ["from1PlusPublishers"], "prices": {"from1PlusPublishers": {"model": "flat", "unit_price": "0.004"}},
...     "discounts": [{"kind": "percentage", "value": "10"}]})
>>> unit = Unit("", {date(2026, 10, 9): {"from1PlusPublishers": 1_000_000_000}})
>>> usage = {"kind": "usage", "usage": "from1PlusPublishers", "quantity": "1100", "unit_price": "0.005", "amount": "5.50"}
>>> billed = vendor.parse({"vendor": "v", "number": "1", "currency": "USD", "period": {"month": "2026-10"}, "lines": [
...     {"line": 1, **usage}, {"line": 2, "kind": "credit", "amount": "-0.55"}]})
>>> found = vary(billed, [unit], CardHistory([card]), Tolerance())
>>> {cause.value: str(part) for cause, part in found.parts.items() if part}
{'volume': '0.36', 'price': '0.99'}
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from billing.minutes import share
from billing.model import Tolerance
from billing.money import EXACT, Currency
from billing.pricing import Line, Priced, Usage, price, settle
from billing.ratecard import CardHistory, Flat, Package, Price
from billing.vendor import BilledInvoice, BilledLine, Kind
from billing.vendor_minutes import Billed, Cause, Unit, take_apart

Key = tuple[str, str]
"""A project, "" for all together, and a usage."""

_OF_MINUTES = (Cause.PERIOD, Cause.SPILLOVER, Cause.TIER_MIX, Cause.VOLUME, Cause.ROUNDING)


@dataclass(frozen=True)
class Group:
    """The rows that bill one usage, beside what is held of it; amounts are before discounts and tax.

    `minutes` and `money` split `billed - used` and `amount - our_amount` by cause, without zeros.
    """

    project_id: str
    usage: str
    rows: tuple[BilledLine, ...]
    billed: int
    used: int
    amount: Decimal
    our_amount: Decimal
    our_prices: frozenset[Decimal]
    meeting_level: int | None
    minutes: Mapping[Cause, int]
    money: Mapping[Cause, Decimal]


@dataclass(frozen=True)
class Other:
    """The rows of one kind that bill no usage, or the `total`: what they come to, what they ought to, and why they do not."""

    kind: str
    rows: tuple[BilledLine, ...]
    amount: Decimal
    our_amount: Decimal
    cause: Cause


@dataclass(frozen=True)
class Variance:
    """All of it: `parts` and `minutes` have every cause, and add up to `billed - expected` and to the minutes' difference."""

    groups: Sequence[Group]
    others: Sequence[Other]
    billed: Decimal
    expected: Decimal
    parts: Mapping[Cause, Decimal]
    minutes: Mapping[Cause, int]
    findings: Sequence[str]


def vary(invoice: BilledInvoice, units: Sequence[Unit], cards: CardHistory, tolerance: Tolerance) -> Variance:
    """Take a vendor's invoice apart. `units` is each project, where the rows name theirs, else one of all of them together.

    Raises NoRateCard where the card has no version for a day of the period.
    """
    with localcontext(EXACT):
        return _Walk(invoice, units, cards, tolerance).variance()


class _Walk:
    """The way from what the card makes of the project level to what was billed."""

    def __init__(self, invoice: BilledInvoice, units: Sequence[Unit], cards: CardHistory, tolerance: Tolerance) -> None:
        self.invoice, self.cards, self.period = invoice, cards, invoice.period
        self.segments = cards.segments(self.period)
        self.card = self.segments[-1][0]
        self.currency = self.card.currency
        self.units = {unit.project_id: unit for unit in units}
        self.rows = _grouped(invoice)
        self.billed: dict[str, dict[str, Billed]] = {}
        for (project, usage), rows in self.rows.items():
            minutes = Billed(sum(row.micro for row in rows), sum(row.step for row in rows))
            self.billed.setdefault(project, {})[usage] = minutes
        self.apart = {
            unit.project_id: take_apart(unit, self.period, self.billed.get(unit.project_id, {}), tolerance) for unit in units
        }
        self.used = {
            (unit.project_id, usage): micro for unit in units for usage, micro in unit.used(self.period).items() if micro
        }
        self.keys = [key for key in {**self.rows, **self.used} if key in self.rows or self._prices(key[1])]
        self.parts = dict.fromkeys(Cause, Decimal(0))
        self.money: dict[Key, dict[Cause, Decimal]] = {key: {} for key in self.keys}

    def variance(self) -> Variance:
        before = first = self._price({key: self.used.get(key, 0) for key in self.keys})
        ours = _amounts(first)
        minutes = {key: self.used.get(key, 0) for key in self.keys}
        for cause in _OF_MINUTES:
            change = {key: self._minutes(key).get(cause, 0) for key in self.keys}
            if any(change.values()):
                minutes = {key: value + change[key] for key, value in minutes.items()}
                after = self._price(minutes)
                self._step(cause, before, after)
                self._note(cause, _less(_amounts(after), _amounts(before)))
                before = after
        last = self._bill(before)
        others = self._others(last)
        groups = [self._group(key, ours.get(key, Decimal(0))) for key in self.keys]
        counted = {cause: sum(group.minutes.get(cause, 0) for group in groups) for cause in Cause}
        findings = [f"{name and f'Project {name}: '}{it.finding}" for name, it in self.apart.items() if it.finding]
        return Variance(groups, others, self.invoice.total, first.total, self.parts, counted, findings)

    def _minutes(self, key: Key) -> dict[Cause, int]:
        return {cause: part[key[1]] for cause, part in self.apart[key[0]].parts.items() if key[1] in part}

    def _price(self, minutes: Mapping[Key, int]) -> Priced:
        """The card's lines and total for these minutes, spread over the days as they were used."""
        usages = []
        for (project, usage), micro in minutes.items():
            if self._prices(usage):
                days = self.units[project].days
                weights = [days.get(day, {}).get(usage, 0) for day in self.period.days]
                spread = share(micro, weights if any(weights) else [1] * len(weights))
                usages.append(Usage(project, usage, dict(zip(self.period.days, spread, strict=True))))
        return price(usages, self.cards, self.period)

    def _prices(self, usage: str) -> frozenset[Decimal]:
        """The unit prices that the card has for a usage; none where a version of it has no price."""
        found = [card.prices.get(usage) or card.usage_prices.get(usage) for card, _ in self.segments]
        return frozenset(unit for it in found for unit in _units(it)) if None not in found else frozenset()

    def _bill(self, before: Priced) -> Priced:
        """From the card's lines for the billed minutes to the vendor's own: what its rows bill more, by cause."""
        lines: dict[Key, list[Line]] = {}
        for line in before.lines:
            lines.setdefault((line.project_id, line.usage), []).append(line)
        more = {key: self._blame(key, rows, lines.get(key, ())) for key, rows in self.rows.items()}
        for cause in (Cause.VOLUME, Cause.PRICE, Cause.ROUNDING, Cause.UNEXPLAINED):
            change = {key: part[cause] for key, part in more.items() if part.get(cause)}
            if change:
                added = [self._line(key, amount) for key, amount in change.items()]
                after = settle([*before.lines, *added], self.cards, self.period)
                self._step(cause, before, after)
                self._note(cause, change)
                before = after
        return before

    def _blame(self, key: Key, rows: Sequence[BilledLine], lines: Sequence[Line]) -> dict[Cause, Decimal]:
        """Why the rows of a usage come to another amount than the card makes of their minutes."""
        billed = sum((row.amount for row in rows), Decimal(0))
        more = self.currency.round(billed) - sum((line.amount for line in lines), Decimal(0))
        exact = sum((line.units * line.unit_price for line in lines), Decimal(0))
        minor, prices = self.currency.minor, self._prices(key[1])
        if not more:
            return {}
        if not prices:
            return {Cause.PRICE if self.used.get(key) else Cause.VOLUME: more}
        stated = {row.unit_price for row in rows}
        known = stated <= prices
        products = [(row.quantity or Decimal(0)) * row.unit_price for row in rows if row.unit_price is not None]
        if None not in stated and all(abs(row.amount - it) < minor for row, it in zip(rows, products, strict=True)):
            dearer = sum(products, Decimal(0)) - exact
            if known and abs(dearer) < minor * len(rows):
                return {Cause.ROUNDING: more}
            part = self.currency.round(dearer)
            return {Cause.PRICE: part, Cause.ROUNDING: more - part} if abs(more - part) > minor else {Cause.PRICE: more}
        if abs(billed - exact) < minor * len(rows):
            return {Cause.ROUNDING: more}
        return {Cause.UNEXPLAINED if known else Cause.PRICE: more}

    def _others(self, last: Priced) -> list[Other]:
        """Credits, other charges and taxes against what the card makes of the vendor's own lines; then the total."""
        billed = {kind.value: self.currency.round(_sum(row.amount for row in self.invoice.of(kind))) for kind in Kind}
        usage = _sum(self.currency.round(_sum(row.amount for row in rows)) for rows in self.rows.values())
        credited, charged = billed[Kind.CREDIT] + last.discount, billed[Kind.OTHER] - last.commitment
        taxes = [_tax(last, self.currency, net, self.card.rounding.amount_mode) for net in (0, credited, credited + charged)]
        net = usage + billed[Kind.CREDIT] + billed[Kind.OTHER]
        slack = self.currency.minor * (len(self.invoice.lines) + 1) / 2
        others = [
            self._other(
                Kind.CREDIT, billed, -last.discount, Cause.CREDIT, self.currency.minor if last.discount else Decimal(0)
            ),
            self._other(Kind.OTHER, billed, last.commitment, Cause.UNEXPLAINED, Decimal(0)),
            self._other(Kind.TAX, billed, taxes[2], Cause.UNEXPLAINED, slack if taxes[2] else Decimal(0)),
        ]
        self.parts[others[0].cause] += taxes[1] - taxes[0]
        self.parts[others[1].cause] += taxes[2] - taxes[1]
        whole = net + billed[Kind.TAX]
        total = self._other("total", {"total": self.invoice.total}, whole, Cause.UNEXPLAINED, slack)
        return [it for it in (*others, total) if (it.rows or it.amount != it.our_amount)]

    def _other(self, kind: str, billed: Mapping[str, Decimal], ours: Decimal, cause: Cause, slack: Decimal) -> Other:
        rows = tuple(row for row in self.invoice.lines if row.kind == kind)
        more = billed[kind] - ours
        cause = Cause.ROUNDING if abs(more) <= slack else cause
        self.parts[cause] += more
        return Other(kind, rows, billed[kind], ours, cause)

    def _step(self, cause: Cause, before: Priced, after: Priced) -> None:
        self.parts[cause] += after.total - before.total

    def _note(self, cause: Cause, change: Mapping[Key, Decimal]) -> None:
        for key, amount in change.items():
            if amount:
                self.money[key][cause] = self.money[key].get(cause, Decimal(0)) + amount

    def _group(self, key: Key, ours: Decimal) -> Group:
        rows = self.rows.get(key, ())
        level = self.units[key[0]].meeting_level
        return Group(
            project_id=key[0],
            usage=key[1],
            rows=rows,
            billed=sum(row.micro for row in rows),
            used=self.used.get(key, 0),
            amount=self.currency.round(_sum(row.amount for row in rows)),
            our_amount=ours,
            our_prices=self._prices(key[1]),
            meeting_level=level.get(key[1]) if level is not None else None,
            minutes=self._minutes(key),
            money={cause: amount for cause, amount in self.money[key].items() if amount},
        )

    def _line(self, key: Key, amount: Decimal) -> Line:
        """A line for what is billed beyond the card's own."""
        days = self.segments[-1][1]
        nothing = Decimal(0)
        return Line(
            position=0,
            kind="usage",
            project_id=key[0],
            usage=key[1],
            first_day=days.first_day,
            last_day=days.last_day,
            quantity=nothing,
            allowance_used=nothing,
            model="flat",
            bracket=None,
            units=nothing,
            unit_price=nothing,
            amount=amount,
            tax=self.card.tax,
            rate_card=self.card,
            report_id="",
            observations=(),
        )


def _grouped(invoice: BilledInvoice) -> dict[Key, tuple[BilledLine, ...]]:
    """The usage rows by project and usage: each row is in one group."""
    groups: dict[Key, list[BilledLine]] = {}
    for row in invoice.of(Kind.USAGE):
        groups.setdefault((row.project_id or "", row.usage), []).append(row)
    return {key: tuple(rows) for key, rows in groups.items()}


def _units(it: Price | None) -> Iterable[Decimal]:
    if it is None:
        return ()
    if isinstance(it, Flat):
        return (it.unit_price,)
    return (it.package_price,) if isinstance(it, Package) else [bracket.unit_price for bracket in it.brackets]


def _tax(priced: Priced, currency: Currency, more: Decimal | int, mode: str) -> Decimal:
    """The tax where so much more is taxed, in proportion to the bases of the rates."""
    parts = currency.share(Decimal(more), [it.base for it in priced.taxes]) if priced.taxes else []
    return _sum(
        currency.round((it.base + part) * it.rate.percent / 100, mode) for it, part in zip(priced.taxes, parts, strict=True)
    )


def _amounts(priced: Priced) -> dict[Key, Decimal]:
    amounts: dict[Key, Decimal] = {}
    for line in priced.lines:
        key = line.project_id, line.usage
        amounts[key] = amounts.get(key, Decimal(0)) + line.amount
    return amounts


def _less(one: Mapping[Key, Decimal], other: Mapping[Key, Decimal]) -> dict[Key, Decimal]:
    return {key: one.get(key, Decimal(0)) - other.get(key, Decimal(0)) for key in {**one, **other}}


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
