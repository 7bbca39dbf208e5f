"""Money: exact decimals in a currency of ISO 4217. Nothing here takes a float, and a currency rounds to its own minor unit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

import iso4217

from billing.errors import InvalidMoney
from billing.minutes import share

EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""Arithmetic that raises rather than lose a digit: sums and products of money are made in it."""

ROUNDING: Mapping[str, str] = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "half_down": ROUND_HALF_DOWN,
    "up": ROUND_UP,
    "down": ROUND_DOWN,
    "ceiling": ROUND_CEILING,
    "floor": ROUND_FLOOR,
}
"""The names of the rounding modes. `up` and `down` go away from zero and towards it, `ceiling` and `floor` to a side."""

LARGEST = Decimal(10) ** 15
"""An amount, price or quantity of outside input must be less than this."""

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,20})(?:\.([0-9]{1,20}))?")
WIDE = Context(prec=80)
"""For a division that is rounded next: 80 digits lose nothing that could change the rounding."""


def decimal_of(value: object, pointer: str = "", *, places: int = 12, negative: bool = False) -> Decimal:
    """The decimal that a text of outside input says, digit by digit, with at most `places` decimals.

    Raises InvalidMoney, with `pointer`, for a number (JSON's are floats), NaN, an exponent, or what is out of range.

    >>> decimal_of("0.00395")
    Decimal('0.00395')
    """
    match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    if match and len(match[1] or "") <= places and (negative or not match[0].startswith("-")):
        exact = Decimal(match[0])
        if abs(exact) < LARGEST:
            return exact
    raise InvalidMoney(
        f"{_shown(value)} cannot be used",
        pointer=pointer,
        expected=f"a decimal as text, {'' if negative else 'not negative, '}with at most {places} decimals, such as '12.50'",
    )


def rounded(value: Decimal, places: int, mode: str = "half_up") -> Decimal:
    """`value` to that many decimals; `mode` is a name of ROUNDING.

    >>> rounded(Decimal("2.005"), 2), rounded(Decimal("-2.5"), 0, "half_even")
    (Decimal('2.01'), Decimal('-2'))
    """
    result = value.quantize(Decimal(1).scaleb(-places), ROUNDING[mode], WIDE)
    return result or abs(result)


@dataclass(frozen=True)
class Currency:
    """A currency: its code and the decimals of its minor unit (JPY 0, EUR 2, KWD 3)."""

    code: str
    decimals: int

    @classmethod
    def of(cls, code: object, pointer: str = "") -> "Currency":
        """The currency of an ISO 4217 code. Raises InvalidMoney.

        >>> Currency.of("KWD")
        Currency(code='KWD', decimals=3)
        """
        try:
            found = iso4217.Currency(code)
        except ValueError:
            found = None
        if found is None or found.exponent is None:
            raise InvalidMoney(f"{_shown(code)} is no currency", pointer=pointer, expected="a code of ISO 4217, such as 'EUR'")
        return cls(found.code, found.exponent)

    @property
    def minor(self) -> Decimal:
        """The smallest amount there is, such as 0.01."""
        return Decimal(1).scaleb(-self.decimals)

    def round(self, amount: Decimal, mode: str = "half_up") -> Decimal:
        """The amount in whole minor units."""
        return rounded(amount, self.decimals, mode)

    def text(self, amount: Decimal) -> str:
        """The amount with the currency's own decimals. Raises ValueError where it has more: rounding is nobody's accident.

        >>> Currency.of("EUR").text(Decimal("3")), Currency.of("JPY").text(Decimal("3"))
        ('3.00', '3')
        """
        exact = rounded(amount, self.decimals)
        if exact != amount:
            raise ValueError(f"{amount} is not in whole minor units of {self.code}")
        return format(exact, "f")

    def parse(self, value: object, pointer: str = "", *, negative: bool = False) -> Decimal:
        """An amount from outside, as text, with no more decimals than the currency has. Raises InvalidMoney."""
        return decimal_of(value, pointer, places=self.decimals, negative=negative)

    def share(self, total: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
        """Split an amount in proportion to `weights` by the largest remainder: the parts are whole and add up exactly.

        Weights of both signs are taken by their size. Where all are zero, the first part takes everything.

        >>> Currency.of("EUR").share(Decimal("1.00"), [Decimal(1), Decimal(1), Decimal(1)])
        [Decimal('0.34'), Decimal('0.33'), Decimal('0.33')]
        """
        units = int(self.round(total) / self.minor)
        scale = max((-int(weight.as_tuple().exponent) for weight in weights), default=0)
        whole = [int(abs(weight).scaleb(max(scale, 0), WIDE)) for weight in weights]
        if not any(whole):
            whole = [1, *(0 for _ in weights[1:])]
        sign = -1 if units < 0 else 1
        return [sign * part * self.minor for part in share(abs(units), whole)]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
