"""The collection plan: what is due is due once, what is at risk is said before it is lost, downtime is made up for."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.collection_plan import MARGIN, Due, Reason, at_risk, due, lost
from billing.coverage import DAILY_RETENTION, FINAL_AFTER, MEETING_RETENTION
from billing.facts import Kind, Observation
from billing.period import day_start, next_day

DAY = date(2026, 10, 5)
"""A Monday, whose clocks stay as they are."""


def read(kind: Kind, day: date, at: datetime, sha256: str = "a", *, complete: bool | None = None) -> Observation:
    ends = day_start(next_day(day)) + (FINAL_AFTER if kind is Kind.DAILY_USAGE else timedelta(minutes=5))
    return Observation(f"{kind}{day}{at}", "100", kind, day, at, sha256, 1, at >= ends if complete is None else complete)


def after(days: float, day: date = DAY) -> datetime:
    """So many days after the day began."""
    return day_start(day) + timedelta(days=days)


def reason(kind: Kind, now: datetime, *held: Observation, day: date = DAY) -> Reason | None:
    found = [it.reason for it in due(now, held, cross_check=True, closed=False) if (it.kind, it.day) == (kind, day)]
    return found[0] if found else None


MEETINGS, USAGE = Kind.MEETINGS, Kind.DAILY_USAGE


@pytest.mark.parametrize(
    ("now", "held", "expected"),
    [
        (0.5, [], None),
        (1.003, [], None),
        (1.004, [], Reason.FIRST),
        (20.9, [], Reason.FIRST),
        (21, [], None),
        (1.5, [(0.5, "a")], Reason.FIRST),
        (1.9, [(1.1, "a")], None),
        (2.1, [(1.1, "a")], Reason.AGREEMENT),
        (3.1, [(1.1, "a"), (2.1, "b")], Reason.AGREEMENT),
        (3.1, [(1.1, "a"), (2.1, "a")], None),
        (4.1, [(1.1, "a"), (2.1, "a"), (3.1, "b")], Reason.AGREEMENT),
        (17.9, [(1.1, "a"), (2.1, "a")], None),
        (18, [(1.1, "a"), (2.1, "a")], Reason.LAST_READING),
        (18.5, [(1.1, "a"), (2.1, "a"), (18.1, "a")], None),
    ],
)
def test_meetings_are_read_until_two_readings_agree_and_once_more_at_the_end(now, held, expected):
    assert reason(MEETINGS, after(now), *(read(MEETINGS, DAY, after(at), sha) for at, sha in held)) is expected


def test_meetings_that_had_not_ended_are_read_again():
    live = read(MEETINGS, DAY, after(1.1), complete=False)
    assert reason(MEETINGS, after(1.9), live) is None
    assert reason(MEETINGS, after(2.1), live) is Reason.INCOMPLETE
    assert reason(MEETINGS, after(3.1), live, read(MEETINGS, DAY, after(2.1), "b")) is Reason.AGREEMENT


@pytest.mark.parametrize(
    ("now", "held", "expected"),
    [
        (0.9, [], None),
        (1, [], Reason.FIRST),
        (1.9, [1], None),
        (2, [1], Reason.NOT_FINAL),
        (3, [1, 2], Reason.NOT_FINAL),
        (3.5, [1, 2, 3], None),
        (9.9, [1, 2, 3], None),
        (10, [1, 2, 3], Reason.RECHECK),
        (89.9, [82.95], None),
        (89.9, [82.85], Reason.RECHECK),
        (89.999, [50], None),
        (90, [], None),
    ],
)
def test_daily_usage_is_read_each_day_until_final_and_then_each_week(now, held, expected):
    assert reason(USAGE, after(now), *(read(USAGE, DAY, after(at)) for at in held)) is expected


def test_a_reading_just_before_it_is_final_does_not_put_off_the_final_one():
    """The clocks change, and 48 hours after the day ended is in the middle of another."""
    day = date(2026, 10, 30)
    final = day_start(next_day(day)) + FINAL_AFTER
    early = read(USAGE, day, final - timedelta(minutes=5))
    assert reason(USAGE, final - timedelta(minutes=1), early, day=day) is None
    assert reason(USAGE, final, early, day=day) is Reason.NOT_FINAL


def test_nothing_is_asked_for_in_maintenance_or_without_the_add_on():
    everything = due(after(20), [], cross_check=True, closed=False)
    usage = [it for it in everything if it.kind is USAGE]
    assert due(after(20), [], cross_check=True, closed=True) == usage
    assert due(after(20), [], cross_check=False, closed=False) == usage
    assert everything == sorted(everything, key=lambda it: it.day)
    assert (len(usage), len(everything)) == (89, 89 + 19)


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=3), st.sampled_from([6, 12, 20]))
def test_every_day_that_could_be_read_is_read(downtimes, hours):
    """Ticks every few hours but for the days when nothing runs; what is due is read at once, and agrees with itself."""
    start = day_start(DAY)
    held: list[Observation] = []
    gone = set()
    down = [(start + timedelta(days=at), start + timedelta(days=at + length)) for at, length in downtimes]
    up = [now for tick in range(24 * 100 // hours) if not_in(down, now := start + timedelta(hours=tick * hours))]
    for now in up:
        gone |= {(it.kind, it.day) for it in lost(now, held, DAY, cross_check=True)}
        held += [read(it.kind, it.day, now) for it in due(now, held, cross_check=True, closed=False)]
    for offset in range(8):
        day = DAY + timedelta(days=offset)
        for kind, ready, kept in (
            (MEETINGS, timedelta(minutes=5), MEETING_RETENTION),
            (USAGE, FINAL_AFTER, DAILY_RETENTION),
        ):
            since, until = day_start(next_day(day)) + ready, day_start(day) + kept - MARGIN
            could = any(since <= now < until for now in up)
            assert could == any(it.complete for it in held if (it.kind, it.day) == (kind, day))
            assert (kind, day) not in gone or not could


def not_in(down: list[tuple[datetime, datetime]], now: datetime) -> bool:
    return all(not start <= now < end for start, end in down)


def test_a_day_about_to_be_lost_is_at_risk_before_it_is():
    assert [it.day for it in at_risk(after(17.99), [], DAY, cross_check=True)] == []
    (risk,) = at_risk(after(18), [], DAY, cross_check=True)
    assert (risk.kind, risk.day, risk.gone_at) == (MEETINGS, DAY, after(21))
    assert Due(MEETINGS, DAY, Reason.FIRST) in due(after(18), [], cross_check=True, closed=False)
    assert risk in lost(after(21), [], DAY, cross_check=True)
    assert at_risk(after(18), [read(MEETINGS, DAY, after(1.1))], DAY, cross_check=True) == []
    assert not any(it.kind is MEETINGS for it in at_risk(after(80), [], DAY, cross_check=False))
