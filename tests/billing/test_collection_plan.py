"""The collection plan: what is due is due once, what is at risk is said before it is lost, downtime is made up for."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.collection_plan import (
    LONGEST_PAUSE,
    MARGIN,
    SHORTEST_PAUSE,
    Due,
    Reason,
    Risk,
    again_at,
    gaps,
    gone_at,
    held,
    next_look,
    same_meetings,
)
from billing.collection_plan import due as planned
from billing.coverage import FINAL_AFTER
from billing.facts import Kind, MeetingDay, Observation
from billing.period import day_of, day_start, microseconds, next_day

DAY = date(2026, 10, 5)
"""A Monday, whose clocks stay as they are."""


def read(kind: Kind, day: date, at: datetime, sha256: str = "a", *, complete: bool | None = None) -> Observation:
    ends = day_start(next_day(day)) + (FINAL_AFTER if kind is Kind.DAILY_USAGE else timedelta(minutes=5))
    return Observation(f"{kind}{day}{at}", "100", kind, day, at, sha256, 1, at >= ends if complete is None else complete)


def after(days: float, day: date = DAY) -> datetime:
    """So many days after the day began."""
    return day_start(day) + timedelta(days=days)


def due(now: datetime, readings: Iterable[Observation], *, cross_check: bool = True, closed: bool = False) -> list[Due]:
    return planned(now, held(readings), cross_check=cross_check, closed=closed)


def reason(kind: Kind, now: datetime, *readings: Observation, day: date = DAY) -> Reason | None:
    found = [it.reason for it in due(now, readings) if (it.kind, it.day) == (kind, day)]
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
        (4.1, [(1.1, "a"), (2.1, "b"), (3.1, "a")], Reason.AGREEMENT),
        (17.9, [(1.1, "a"), (2.1, "a")], None),
        (18, [(1.1, "a"), (2.1, "a")], Reason.LAST_READING),
        (18.5, [(1.1, "a"), (2.1, "a"), (18.1, "a")], None),
    ],
)
def test_meetings_are_read_until_two_readings_agree_and_once_more_at_the_end(now, held, expected):
    assert reason(MEETINGS, after(now), *(read(MEETINGS, DAY, after(at), sha) for at, sha in held)) is expected


def test_meetings_that_had_not_ended_are_read_again():
    live = read(MEETINGS, DAY, after(1.1), complete=False)
    assert reason(MEETINGS, after(1.24), live) is None
    assert reason(MEETINGS, after(1.25), live) is Reason.INCOMPLETE
    assert reason(MEETINGS, after(1.9), live, read(MEETINGS, DAY, after(1.25), complete=False)) is None
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
        (9.9, [1, 2, 3.9], None),
        (10, [1, 2, 3.9], Reason.RECHECK),
        (89.9, [83.1], None),
        (89.9, [82.9], Reason.RECHECK),
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


def test_all_final_days_are_read_again_in_the_same_night():
    days = [DAY + timedelta(days=number) for number in range(6)]
    readings = [read(USAGE, day, after(3.1, day)) for day in days]
    assert {it.day: it.reason for it in due(after(9.5), readings, cross_check=False) if it.day in days} == {}
    again = {it.day: it.reason for it in due(after(10), readings, cross_check=False) if it.day in days}
    assert again == dict.fromkeys(days, Reason.RECHECK)


def test_nothing_is_asked_for_in_maintenance_or_without_the_add_on():
    everything = due(after(20), [])
    usage = [it for it in everything if it.kind is USAGE]
    assert due(after(20), [], closed=True) == usage
    assert due(after(20), [], cross_check=False) == usage
    assert everything == sorted(everything, key=lambda it: it.day)
    assert (len(usage), len(everything)) == (89, 89 + 19)


DOWNTIMES = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=3)
FIRST_DAYS = st.sampled_from([DAY, date(2026, 2, 20), date(2026, 10, 20)])


@settings(max_examples=8)
@given(DOWNTIMES, FIRST_DAYS)
def test_every_day_that_could_be_read_is_read_and_every_other_one_is_lost(downtimes, first):
    """Looked at whenever more may be due but for the days when nothing runs; what is due is read, and agrees with itself."""
    start = day_start(first)
    down = [(start + timedelta(days=at), start + timedelta(days=at + length)) for at, length in downtimes]
    readings: list[Observation] = []
    up, lost, risky, looked, now = [], set(), set(), start, start
    while now < start + timedelta(days=110):
        if all(not since <= now < until for since, until in down):
            up.append(now)
            for gap in gaps(now, held(readings), cross_check=True, since=looked):
                (lost if gap.risk is Risk.LOST else risky).add((gap.kind, gap.day))
            readings += [read(it.kind, it.day, now) for it in due(now, readings)]
            assert due(now, readings) == []
            looked = now
        now = next_look(now)
    for day in (first + timedelta(days=offset) for offset in range(8)):
        for kind, ready in ((MEETINGS, timedelta(minutes=5)), (USAGE, FINAL_AFTER)):
            since, until = day_start(next_day(day)) + ready, gone_at(kind, day) - MARGIN
            could = any(since <= at < until for at in up)
            assert could == any(it.complete for it in readings if (it.kind, it.day) == (kind, day))
            assert could == ((kind, day) not in lost)


@settings(max_examples=60)
@given(FIRST_DAYS, st.integers(0, 60 * 24 * 30), st.lists(st.integers(0, 60 * 24 * 30), max_size=12), st.integers(0, 3000))
def test_nothing_becomes_due_before_the_next_look(first, minutes, readings, later):
    """Whatever was read whenever: until five minutes before a look, nothing comes to be due, or meetings at risk or lost."""
    now = day_start(next_day(first)) + timedelta(days=20, minutes=minutes)
    known = []
    for at in readings:
        seen = now - timedelta(minutes=at)
        known += [
            read(kind, day_of(seen) - timedelta(days=age), seen, str(at % 2)) for kind in (USAGE, MEETINGS) for age in (1, 3, 9)
        ]
    then = max(now, min(now + timedelta(minutes=later), next_look(now) - timedelta(minutes=5, microseconds=1)))
    assert {(it.kind, it.day) for it in due(then, known)} <= {(it.kind, it.day) for it in due(now, known)}
    wanting = (gaps(at, held(known), cross_check=True, since=now - timedelta(days=30)) for at in (now, then))
    at_now, at_then = ([it for it in found if it.kind is MEETINGS] for found in wanting)
    assert at_now == at_then


@pytest.mark.parametrize("day", [DAY, date(2026, 2, 20), date(2026, 3, 6), date(2026, 10, 20), date(2026, 10, 30)])
def test_no_limit_is_looked_at_late(day):
    """Limits are so many times 24 hours after a midnight: an hour beside one where the clocks have changed."""
    ended = day_start(next_day(day))
    for limit in (ended, ended + timedelta(hours=6), ended + FINAL_AFTER, after(18, day), after(21, day)):
        assert limit < next_look(limit - timedelta(minutes=1)) <= limit + timedelta(minutes=5)


def test_the_end_of_maintenance_is_looked_at():
    now = after(20.9)
    assert next_look(now, now + timedelta(minutes=7)) == now + timedelta(minutes=7)
    assert next_look(now, after(25)) == next_look(now)


def test_what_fails_is_asked_for_ever_less_often_but_more_often_before_it_is_gone():
    far = after(90)
    pauses = [again_at(after(2), times, far) - after(2) for times in range(1, 8)]
    assert pauses == [SHORTEST_PAUSE * 2**n for n in range(5)] + [LONGEST_PAUSE, LONGEST_PAUSE]
    asked, gone = [after(17)], gone_at(MEETINGS, DAY)
    while asked[-1] < gone - MARGIN:
        asked.append(again_at(asked[-1], 50, gone))
    gone_in = [(gone - at) / timedelta(hours=1) for at in asked]
    assert sum(1 < left < 6 for left in gone_in) >= 4
    assert sum(0 < left < 1 for left in gone_in) >= 2
    assert again_at(after(1), 10**9, far) == after(1) + LONGEST_PAUSE


def test_a_day_about_to_be_lost_is_at_risk_before_it_is():
    def of(
        now: float, *readings: Observation, kind: Kind = MEETINGS, since: float = 0, cross_check: bool = True
    ) -> Risk | None:
        found = gaps(after(now), held(readings), cross_check=cross_check, since=after(since))
        assert all(it.gone_at == gone_at(it.kind, it.day) for it in found)
        return next((it.risk for it in found if (it.kind, it.day) == (kind, DAY)), None)

    assert [of(at) for at in (17.99, 18, 20.99, 21, 40)] == [None, Risk.AT_RISK, Risk.AT_RISK, Risk.LOST, Risk.LOST]
    assert [of(at, kind=USAGE) for at in (79.99, 80, 89.99, 90)] == [None, Risk.AT_RISK, Risk.AT_RISK, Risk.LOST]
    assert Due(MEETINGS, DAY, Reason.FIRST) in due(after(18), [])
    assert (of(40, since=20.9), of(40, since=21)) == (Risk.LOST, None), "what was lost before is not told again"
    assert of(18, read(MEETINGS, DAY, after(1.1))) is None
    assert of(18, read(MEETINGS, DAY, after(1.1), complete=False)) is Risk.AT_RISK
    assert of(85, read(USAGE, DAY, after(2)), kind=USAGE) is Risk.AT_RISK, "it was never final"
    assert of(18, cross_check=False) is None


def meetings(*rows: tuple[int, datetime, int], tier: str = "from1To2Publishers", stated: int = 0) -> MeetingDay:
    """Meetings of (session, created, micro-minutes), in the order of a payload."""
    sessions, created, minutes = ([row[column] for row in sorted(rows)] for column in range(3))
    ints = partial(np.array, dtype=np.int64)
    made = ints([microseconds(at) for at in created])
    keys = sorted(set(sessions))
    return MeetingDay(
        sessions=ints(keys),
        session_ids=[str(key) for key in keys],
        statements={tier: ints([stated] * len(keys))},
        meeting_sessions=ints(sessions),
        meeting_keys=ints(sessions),
        created=made,
        destroyed=made + 1,
        max_connections=ints([2] * len(rows)),
        minutes={tier: ints(minutes)},
    )


def test_readings_agree_when_they_say_the_same_of_the_meetings_of_the_day():
    """A room that goes on being used is stated anew every day, and its later meetings come with it."""
    first = meetings((7, after(0.5), 10), (8, after(0.6), 20))
    assert same_meetings(DAY, first, meetings((7, after(0.5), 10), (7, after(1), 30), (8, after(0.6), 20), stated=5))
    assert same_meetings(DAY, first, meetings((7, after(-0.1), 10), (7, after(0.5), 10), (8, after(0.6), 20)))
    for other in (
        meetings((7, after(0.5), 11), (8, after(0.6), 20)),
        meetings((7, after(0.5), 10)),
        meetings((7, after(0.5), 10), (8, after(0.6), 20), (9, after(0.9999), 1)),
        meetings((7, after(0.5), 10), (8, after(0.6), 20), tier="from3To6Publishers"),
        replace(first, destroyed=first.destroyed + 1),
        replace(first, max_connections=first.max_connections + 1),
    ):
        assert not same_meetings(DAY, first, other)


@pytest.mark.parametrize(("downtime", "windows"), [(0, 3), (1, 5), (3, 8), (20, 20)])
def test_a_night_costs_so_many_requests(downtime: int, windows: int) -> None:
    """What the operator's guide counts with: a window of meetings is a request at least, all daily usage is one."""
    readings, day = list[Observation](), DAY
    for _ in range(100):
        now = day_start(next_day(day)) + timedelta(minutes=5)
        known = [it for it in readings if now - day_start(it.day) < timedelta(days=92)]
        asked = due(now, known)
        readings += [read(it.kind, it.day, now + timedelta(minutes=1)) for it in asked]
        day = next_day(day)
    night = day_start(day) + timedelta(days=1 + downtime, minutes=5)
    assert [it.kind for it in due(night, readings)].count(MEETINGS) == windows
    assert len([it for it in readings if it.observed_at > day_start(day) - timedelta(days=6.5)]) == 6 * 6 + 92, "in a week"
