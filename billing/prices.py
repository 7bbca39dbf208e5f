"""The price models: what a run of minutes costs, from one position in the period to another.

Positions are billable minutes since the period began, so that parts of a period add up to the whole. A bracket holds the
quantities above its start and up to its `up_to`.

*Flat*: every minute costs the same. 1,000 minutes at 0.00395 are 3.95:

>>> from billing.ratecard import Volume
>>> def costs(price, minutes):
...     return f"{cost(price, Decimal(minutes)):.2f}"
>>> costs(Flat(Decimal("0.00395")), 1_000)
'3.95'

*Graduated*: each minute costs what its own bracket says. With 0.0045 up to 100,000 and 0.0040 above, 150,000 minutes are
100,000 × 0.0045 + 50,000 × 0.0040 = 450 + 200:

>>> low, high = Bracket(Decimal(0), Decimal(100_000), Decimal("0.0045")), Bracket(Decimal(100_000), None, Decimal("0.0040"))
>>> costs(Graduated((low, high)), 150_000)
'650.00'

*Volume*: all minutes cost what the bracket of the whole period's quantity says. With the same brackets 100,000 minutes are
100,000 × 0.0045, and 150,000 are 150,000 × 0.0040:

>>> costs(Volume((low, high)), 100_000), costs(Volume((low, high)), 150_000)
('450.00', '600.00')

*Package*: one that is begun is paid for. With 1,000 minutes for 7.00, 2,000 are two packages and 2,001 are three:

>>> costs(Package(Decimal(1_000), Decimal("7.00")), 2_000), costs(Package(Decimal(1_000), Decimal("7.00")), 2_001)
('14.00', '21.00')
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext

from billing.money import EXACT, WIDE
from billing.ratecard import Bracket, Flat, Graduated, Package, Price


@dataclass(frozen=True)
class Piece:
    """Minutes at one price: `units` of `unit_price` each, which for packages are fewer than the minutes, or none."""

    quantity: Decimal
    units: Decimal
    unit_price: Decimal
    bracket: Bracket | None


def pieces(price: Price, start: Decimal, end: Decimal, whole: Decimal) -> list[Piece]:
    """The minutes from position `start` to `end`, of a period of `whole` billable minutes in all, in pieces of one price.

    Where `end` is below `start` the pieces are negative: what was counted before is taken back at its own price.

    Minutes 1,500 to 2,001 in packages of 1,000 begin the third one:

    >>> (piece,) = pieces(Package(Decimal(1_000), Decimal("7.00")), Decimal(1_500), Decimal(2_001), Decimal(2_001))
    >>> str(piece.quantity), str(piece.units)
    ('501', '1')
    """
    quantity = end - start
    if isinstance(price, Flat):
        return [Piece(quantity, quantity, price.unit_price, None)]
    if isinstance(price, Package):
        packages = _packages(end, price.size) - _packages(start, price.size)
        return [Piece(quantity, packages, price.package_price, None)]
    if isinstance(price, Graduated):
        return _graduated(price.brackets, start, end)
    bracket = next(it for it in price.brackets if it.up_to is None or whole <= it.up_to)
    return [Piece(quantity, quantity, bracket.unit_price, bracket)]


def cost(price: Price, whole: Decimal) -> Decimal:
    """What a whole period of so many billable minutes costs, not rounded."""
    with localcontext(EXACT):
        return sum((it.units * it.unit_price for it in pieces(price, Decimal(0), whole, whole)), Decimal(0))


def _packages(position: Decimal, size: Decimal) -> Decimal:
    return WIDE.divide(position, size).to_integral_value(ROUND_CEILING) + 0  # and never minus nothing


def _graduated(brackets: Sequence[Bracket], start: Decimal, end: Decimal) -> list[Piece]:
    low, high = min(start, end), max(start, end)
    sign = 1 if end >= start else -1
    found = []
    for bracket in brackets:
        # Below zero, which only a line that takes back can reach, the first bracket goes on.
        bottom = low if bracket.start == 0 else max(low, bracket.start)
        top = high if bracket.up_to is None else min(high, bracket.up_to)
        if top > bottom:
            found.append(Piece(sign * (top - bottom), sign * (top - bottom), bracket.unit_price, bracket))
    # Nothing to pay for is still a line: all of it was free.
    return found[::sign] or [Piece(Decimal(0), Decimal(0), brackets[0].unit_price, brackets[0])]
