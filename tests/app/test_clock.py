"""The clocks."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.clock import MovableClock, SystemClock

START = datetime(2026, 11, 1, 9, tzinfo=UTC)


def test_the_system_clock_says_utc() -> None:
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert SystemClock().now().tzinfo is UTC


def test_a_movable_clock_ticks_and_moves() -> None:
    clock = MovableClock(START)
    first = clock.now()
    time.sleep(0.02)
    assert timedelta(milliseconds=20) <= clock.now() - first < timedelta(minutes=1)
    clock.move(datetime(2026, 10, 1, tzinfo=timezone(timedelta(hours=-7))))
    assert timedelta() <= clock.now() - datetime(2026, 10, 1, 7, tzinfo=UTC) < timedelta(minutes=1)
    assert clock.now().tzinfo is UTC


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="no offset"):
        MovableClock(START.replace(tzinfo=None))
