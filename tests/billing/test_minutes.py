"""Micro-minutes: exact, whatever the order, and split without loss."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import InvalidMinutes
from billing.minutes import (
    LARGEST,
    MICRO,
    format_minutes,
    micro_minutes,
    micro_minutes_array,
    parse_minutes,
    share,
)

figures = st.floats(0, LARGEST)
halves = st.integers(0, 10**9).map(lambda whole: (2 * whole + 1) / 2 / MICRO)


@given(figures | halves)
def test_a_figure_is_its_decimal_text_rounded_half_to_even(value: float) -> None:
    assert micro_minutes(value) == round(Decimal(repr(value)) * MICRO)


@given(st.lists(figures | halves))
def test_a_column_is_rounded_as_each_figure_is(values: list[float]) -> None:
    assert micro_minutes_array(np.array(values, np.float64)).tolist() == [micro_minutes(value) for value in values]


@given(st.integers(-(10**15), 10**15))
def test_the_text_of_minutes_reads_back(micro: int) -> None:
    assert parse_minutes(format_minutes(micro)) == micro


@given(st.integers(0, 10**12))
def test_whole_micro_minutes_survive_upstreams_floats(micro: int) -> None:
    assert micro_minutes(micro / MICRO) == micro


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.5, -1, LARGEST * 1.01, True, "1", None])
def test_what_cannot_be_minutes_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(InvalidMinutes, match="minutes") as refused:
        micro_minutes(value, "/data/usage")  # type: ignore[arg-type]  # the point of the test
    assert refused.value.pointer == "/data/usage"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_bad_figure_in_a_column_is_refused_with_its_index(value: float) -> None:
    with pytest.raises(InvalidMinutes) as refused:
        micro_minutes_array(np.array([1.0, value]))
    assert refused.value.pointer == "/1"


@pytest.mark.parametrize("text", ["", "1.0000001", "NaN", "Infinity", "1e30", "one", "-"])
def test_a_text_that_is_no_minutes_is_refused(text: str) -> None:
    with pytest.raises(InvalidMinutes, match="minutes"):
        parse_minutes(text)


weights = st.lists(st.integers(0, 10**15), min_size=1, max_size=40).filter(any)


@given(st.integers(0, 10**15), weights)
def test_shares_add_up_and_none_is_off_by_a_whole(total: int, parts: list[int]) -> None:
    shares = share(total, parts)
    assert sum(shares) == total
    for part, weight in zip(shares, parts, strict=True):
        assert abs(part * sum(parts) - total * weight) < sum(parts)


@pytest.mark.parametrize("parts", [[], [0, 0], [1, -1, 3]])
def test_shares_need_weights(parts: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        share(1, parts)
