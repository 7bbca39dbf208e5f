"""The money of a report: what each step of the bridge and each discrepancy comes to at the project's rate card.

An amount is the difference between two charges, since a price need not be the same for every minute:

- a subtotal of the bridge is what its minutes would cost, and a line between two is what it adds to the subtotal before;
- a discrepancy is what its minutes would cost on top of what is invoiced (the report's basis), each by itself.

A charge is the sum of the lines before discounts, commitment and tax. Minutes before the period are priced at the card of its
first day, those after it at the card of its last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.attribution import Tiers
from billing.discrepancy import Discrepancy
from billing.errors import NoRateCard
from billing.model import Reconciliation
from billing.pricing import Usage, price
from billing.ratecard import CardHistory

_BEFORE = ("reuse_before", "straddles_start")
"""The steps whose minutes are reckoned at the first day; the other steps above the meeting level are at the last."""

_State = dict[date, tuple[int, ...]]


@dataclass(frozen=True)
class Amounts:
    """The amounts of a report's bridge lines and discrepancies, in their order; None where there is no price.

    Where the card cannot price the period at all, `problem` says why and all of them are None.
    """

    card_id: str
    versions: Sequence[int]
    currency: str | None
    bridge: Sequence[str | None]
    discrepancies: Sequence[str | None]
    problem: str | None = None


def amounts(it: Reconciliation, card_id: str, history: CardHistory) -> Amounts:
    """What a reconciliation comes to at the versions of a rate card that are in effect on any of its days."""
    period = it.aligned.period
    held = sorted((card for card in history.versions if any(map(card.holds, period.days))), key=lambda card: card.version)
    versions = [card.version for card in held]
    try:
        charge = _Charge(it, CardHistory(held))
        bridge = list(_bridge(it, charge))
        found = [_discrepancy(each, it, charge) for each in it.discrepancies]
    except NoRateCard as error:
        nothing: list[str | None] = [None] * len(it.bridge)
        return Amounts(card_id, versions, None, nothing, [None] * len(it.discrepancies), error.message)
    return Amounts(card_id, versions, held[0].currency.code, bridge, found)


class _Charge:
    """What minutes by day and tier cost, as text; the basis is worked out once."""

    def __init__(self, it: Reconciliation, cards: CardHistory) -> None:
        for card, _ in cards.segments(it.aligned.period):
            if card.plan != it.terms.plan:
                raise NoRateCard(
                    f"The rate card {card.name!r} (version {card.version}) has another tier plan than the project."
                )
        self._it, self._cards = it, cards
        self.currency = cards.versions[0].currency
        invoiced = [(line.day, getattr(line, it.terms.basis)) for line in it.days]
        self.basis: _State = {day: tiers or (0,) * len(it.terms.plan) for day, tiers in invoiced}
        self.of_basis = self.of(self.basis)

    def of(self, state: Mapping[date, Sequence[int]]) -> Decimal:
        """The charge of these minutes."""
        usages = [
            Usage("", tier, {day: minutes[place] for day, minutes in state.items()})
            for place, tier in enumerate(self._it.terms.plan.fields)
        ]
        return price(usages, self._cards, self._it.aligned.period).subtotal


def _bridge(it: Reconciliation, charge: _Charge) -> Iterator[str | None]:
    """Walk down from the first subtotal, and price where each line leads."""
    steps = list(_steps(it))
    state: _State = {line.day: (0,) * len(it.terms.plan) for line in it.days}
    before = Decimal(0)
    for line, step in zip(it.bridge, steps, strict=True):
        for day, minutes in step.items():
            state[day] = tuple(one + other for one, other in zip(state[day], minutes, strict=True))
        after = charge.of(state) if step else before
        yield charge.currency.text(after if line.subtotal else after - before)
        before = after


def _steps(it: Reconciliation) -> Iterator[_State]:
    """What each line of the bridge adds to the days; the first holds all that the lines down to the meeting level take off."""
    nothing = (0,) * len(it.terms.plan)
    meeting = {line.day: tuple(line.meeting_level or nothing) for line in it.days}
    project = {line.day: tuple(line.project_level or nothing) for line in it.days}
    if len(it.bridge) == 1:
        yield project
        return
    first, last = it.days[0].day, it.days[-1].day
    above = [
        (first if line.step in _BEFORE else last, tuple(line.minutes))
        for line in it.bridge[1 : [line.step for line in it.bridge].index("meeting_level")]
    ]
    start = dict(meeting)
    for day, minutes in above:
        start[day] = _less(start[day], minutes)
    yield start
    yield from ({day: minutes} for day, minutes in above)
    yield {}
    rest = {day: _less(project[day], meeting[day]) for day in project}
    for line in it.bridge[len(above) + 2 : -2]:
        parts = {part.day: tuple(part.minutes) for part in it.causes if part.code == line.step}
        rest |= {day: _less(rest[day], minutes) for day, minutes in parts.items()}
        yield parts
    yield rest
    yield {}


def _less(one: Tiers, other: Tiers) -> tuple[int, ...]:
    return tuple(left - right for left, right in zip(one, other, strict=True))


def _discrepancy(found: Discrepancy, it: Reconciliation, charge: _Charge) -> str | None:
    """What its minutes would cost on top of the basis; None where they are in a tier that the card does not price."""
    plan = it.terms.plan.fields
    if not set(found.minutes) <= set(plan):
        return None
    day = next((day for day in found.days if day in it.aligned.period), it.days[0].day)
    more = [charge.basis[day][place] + found.minutes.get(tier, 0) for place, tier in enumerate(plan)]
    return charge.currency.text(charge.of(charge.basis | {day: tuple(more)}) - charge.of_basis)
