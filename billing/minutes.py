"""Minutes as exact integers of micro-minutes (10⁻⁶ minute), so that sums do not depend on order or engine."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from billing.errors import InvalidMinutes

MICRO = 1_000_000
LARGEST = 10**9
"""Minutes above this (1,900 years) in one figure are absurd, and are refused; below it micro-minutes are exact in a float."""

_EXPECTED = f"a finite number of minutes from 0 to {LARGEST}"


def micro_minutes(value: float | int, path: str = "") -> int:
    """Micro-minutes of an upstream figure: `round(Decimal(repr(x)) × 10⁶)`, half to even.

    `path` is the JSON pointer of the field, for the error. Raises InvalidMinutes for NaN, infinite, negative or absurd values.

    >>> micro_minutes(56554.83333333332)
    56554833333
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidMinutes(f"{value!r} is no number of minutes", pointer=path, expected=_EXPECTED)
    if not isfinite(value) or not 0 <= value <= LARGEST:
        raise InvalidMinutes(f"{value!r} cannot be minutes of usage", pointer=path, expected=_EXPECTED)
    return int((Decimal(repr(value)) * MICRO).to_integral_value(ROUND_HALF_EVEN))


def micro_minutes_array(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """`micro_minutes` of every element, at numpy's speed.

    A float product can be off by an ulp; that matters only near a half, so only those few are rounded through Decimal.
    Raises InvalidMinutes with the flat index of the first bad element as its pointer.
    """
    bad = ~((values >= 0) & (values <= LARGEST))
    if bad.any():
        index = int(np.flatnonzero(bad.ravel())[0])
        refused = values.ravel()[index].item()
        raise InvalidMinutes(f"{refused!r} cannot be minutes of usage", pointer=f"/{index}", expected=_EXPECTED)
    scaled = values * float(MICRO)
    rounded = np.rint(scaled)
    result = rounded.astype(np.int64)
    near_half = np.flatnonzero(np.abs(np.abs(scaled - rounded) - 0.5).ravel() < scaled.ravel() * 1e-15 + 1e-12)
    for index in near_half.tolist():
        result.ravel()[index] = micro_minutes(values.ravel()[index].item())
    return result


def format_minutes(micro: int) -> str:
    """Minutes with six decimals, as they stand in JSON.

    >>> format_minutes(45_000_000), format_minutes(-1)
    ('45.000000', '-0.000001')
    """
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(int(micro)), MICRO)
    return f"{sign}{whole}.{part:06d}"


def parse_minutes(text: str, path: str = "") -> int:
    """Micro-minutes of a decimal text with at most six decimals; the inverse of `format_minutes`.

    >>> parse_minutes("0.01")
    10000
    """
    try:
        scaled = Decimal(text) * MICRO
        if scaled == scaled.to_integral_value() and abs(scaled) <= LARGEST * MICRO:
            return int(scaled)
    except (InvalidOperation, TypeError):
        pass
    raise InvalidMinutes(
        f"{text!r} is no number of minutes",
        pointer=path,
        expected="a decimal text with at most six decimals, such as '45.000000'",
    )


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights` (not negative, not all 0) by the largest remainder: the parts add up exactly.

    Equal remainders go to the earlier part, so the same input always gives the same split.

    >>> share(100, [1, 1, 1])
    [34, 33, 33]
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative, and not all zero")
    parts = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    left = total - sum(parts)
    for index in sorted(range(len(weights)), key=lambda part: -remainders[part])[:left]:
        parts[index] += 1
    return parts
