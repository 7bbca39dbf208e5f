"""Attempts go on for days, further and further apart, never all at once, and never against a receiver's word."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.schedule import DELAYS, JITTER, LONGEST_WAIT, PATIENCE, next_attempt

NOW = datetime(2026, 11, 1, 8, tzinfo=UTC)
draws = st.floats(0, 1)


@given(draw=draws)
def test_whoever_is_given_up_has_failed_for_as_long_as_an_endpoint_may(draw: float) -> None:
    now, tries = NOW, 1
    while following := next_attempt(tries, now, "", draw):
        now, tries = following, tries + 1
    assert tries == len(DELAYS) + 1
    assert PATIENCE <= now - NOW <= (1 + JITTER) * sum(map(timedelta, [0] * len(DELAYS), DELAYS), timedelta(0))


@given(tries=st.integers(1, len(DELAYS)), draw=draws)
def test_chance_makes_a_wait_longer_by_up_to_a_fifth(tries: int, draw: float) -> None:
    shortest, drawn, longest = (next_attempt(tries, NOW, "", it) for it in (0, draw, 1))
    assert shortest is not None
    assert drawn is not None
    assert shortest - NOW == timedelta(seconds=DELAYS[tries - 1])
    assert longest == NOW + (shortest - NOW) * 1.2
    assert (drawn - shortest).total_seconds() == pytest.approx(0.2 * draw * DELAYS[tries - 1], abs=1e-5)


@given(tries=st.integers(1, len(DELAYS)), draw=draws, asked=st.integers(0, 10**12))
def test_retry_after_is_honoured_up_to_a_day(tries: int, draw: float, asked: int) -> None:
    ours, theirs = (next_attempt(tries, NOW, header, draw) for header in ("", str(asked)))
    assert ours is not None
    assert theirs == max(ours, NOW + min(timedelta(seconds=min(asked, 10**6)), LONGEST_WAIT))


def test_retry_after_may_be_a_date() -> None:
    at = NOW + timedelta(hours=2)
    assert next_attempt(1, NOW, format_datetime(at, usegmt=True), 0) == at
    far = NOW + timedelta(days=4000)
    assert next_attempt(1, NOW, format_datetime(far, usegmt=True), 0) == NOW + LONGEST_WAIT


@pytest.mark.parametrize(
    "header", ["soon", "-5", "1.5", "²", "Thu, 99 Foo 2026 00:00:00 GMT", "Mon, 02 Nov 1970 00:00:00 GMT", "\0"]
)
def test_a_retry_after_that_makes_no_sense_changes_nothing(header: str) -> None:
    assert next_attempt(1, NOW, header, 0) == NOW + timedelta(seconds=5)
