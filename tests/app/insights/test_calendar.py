"""Maintenance, by the guide's Pacific windows and their margins."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.insights.calendar import maintenance_until
from billing.period import ZONE


def pacific(text):
    return ZONE.localize(datetime.fromisoformat(text)).astimezone(UTC)


@pytest.mark.parametrize(
    ("instant", "until"),
    [
        ("2026-10-05T20:59:59.999999", None),
        ("2026-10-05T21:00", "2026-10-05T23:30"),
        ("2026-10-05T23:29:59.999999", "2026-10-05T23:30"),
        ("2026-10-05T23:30", None),
        ("2026-10-05T05:00", None),  # a Monday
        ("2026-10-04T03:59:59", None),
        ("2026-10-04T04:00", "2026-10-04T08:00"),
        ("2026-10-04T07:59:59", "2026-10-04T08:00"),
        ("2026-10-04T08:00", None),
        ("2026-10-04T22:00", "2026-10-04T23:30"),  # a Sunday has both
        ("2026-11-01T04:00", "2026-11-01T08:00"),  # the clocks went back at 02:00
        ("2027-03-14T05:00", "2027-03-14T08:00"),  # and forward
    ],
)
def test_windows(instant, until):
    assert maintenance_until(pacific(instant)) == (until and pacific(until))


@given(st.datetimes(datetime(2007, 1, 1), datetime(2037, 12, 30), timezones=st.just(UTC)))
def test_what_is_under_maintenance_is_back_within_four_hours_and_then_open(instant):
    until = maintenance_until(instant)
    if until is not None:
        assert instant < until <= instant + timedelta(hours=4)
        assert maintenance_until(until) is None
