"""Billing periods: every Pacific midnight from 2007 to 2037, and every way of asking."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import InvalidPeriod
from billing.period import (
    FIRST_DAY,
    LAST_DAY,
    Alignment,
    BillingPeriod,
    align,
    cycle,
    day_of,
    day_start,
    hours_of,
    month,
    next_day,
    parse_instant,
    parse_period,
    resolve,
)

PACIFIC = ZoneInfo("America/Los_Angeles")
days = st.dates(FIRST_DAY, date(2037, 11, 1))
spans = st.integers(1, 400)
naive = {"min_value": datetime(2007, 1, 2), "max_value": datetime(2036, 11, 1)}
instants = st.datetimes(**naive, timezones=st.just(UTC))
lengths = st.timedeltas(timedelta(microseconds=1), timedelta(days=390))


def every_day() -> list[date]:
    return [FIRST_DAY + timedelta(days=offset) for offset in range((LAST_DAY - FIRST_DAY).days + 1)]


def test_every_midnight_is_where_another_zone_database_puts_it() -> None:
    for day in every_day():
        assert day_start(day) == datetime(day.year, day.month, day.day, tzinfo=PACIFIC).astimezone(UTC)
        assert day_of(day_start(day)) == day
        assert day_of(day_start(day) - timedelta(microseconds=1)) == day - timedelta(days=1)


def test_each_year_has_one_short_and_one_long_day() -> None:
    for year in range(2007, 2038):
        hours = [hours_of(day) for day in every_day() if day.year == year]
        assert sorted(set(hours)) == [23, 24, 25]
        assert (hours.count(23), hours.count(25)) == (1, 1)


def test_every_midnight_stays_where_it_is_and_what_is_just_beside_it_moves_there() -> None:
    moment = timedelta(microseconds=1)
    for day in every_day():
        period = BillingPeriod(day, day)
        start, end = period.start, period.end
        assert all(align(start, end, alignment) == period for alignment in Alignment)
        assert align(start + moment, end - moment, Alignment.COVER) == period
        assert align(start - moment, end + moment, Alignment.WITHIN) == period
        assert align(start - moment, end + moment, Alignment.NEAREST) == period
        assert align(start + moment, end - moment, Alignment.NEAREST) == period


def test_what_an_alignment_answers_may_be_asked_again() -> None:
    for year in range(2007, 2038):
        for first in (date(year, number, 1) for number in range(1, 13)):
            period = month(f"{first:%Y-%m}")
            assert resolve({"start": period.start.isoformat(), "end": period.end.isoformat()}).period == period


@given(days, spans)
def test_the_days_of_a_period_tile_it(first: date, span: int) -> None:
    period = BillingPeriod(first, min(first + timedelta(days=span - 1), LAST_DAY))
    edges = [period.start]
    for day in period.days:
        assert day_start(day) == edges[-1]
        edges.append(day_start(next_day(day)))
    assert edges[-1] == period.end
    assert sum(hours_of(day) for day in period.days) * 3600 == (period.end - period.start).total_seconds()


@given(days, spans, st.sampled_from(Alignment))
def test_alignment_leaves_an_aligned_period_alone(first: date, span: int, alignment: Alignment) -> None:
    period = BillingPeriod(first, min(first + timedelta(days=span - 1), LAST_DAY))
    assert align(period.start, period.end, alignment) == period


@given(instants, lengths)
def test_within_lies_in_the_request_and_the_request_in_cover(start: datetime, length: timedelta) -> None:
    cover = align(start, start + length, Alignment.COVER)
    assert cover.start <= start
    assert start + length <= cover.end
    assert day_of(start) == cover.first_day
    assert day_of(start + length - timedelta(microseconds=1)) == cover.last_day
    resolved = resolve({"start": start.isoformat(), "end": (start + length).isoformat()})
    try:
        within = align(start, start + length, Alignment.WITHIN)
    except InvalidPeriod:
        assert resolved.added_days == len(cover)
    else:
        assert start <= within.start
        assert within.end <= start + length
        assert resolved.added_days == len(cover) - len(within)


@given(instants, lengths)
def test_nearest_moves_no_end_by_more_than_half_a_day(start: datetime, length: timedelta) -> None:
    try:
        nearest = align(start, start + length, Alignment.NEAREST)
    except InvalidPeriod:
        assert length <= timedelta(hours=25)
    else:
        half = timedelta(hours=12, minutes=30)
        assert abs(nearest.start - start) <= half
        assert abs(nearest.end - start - length) <= half


@pytest.mark.parametrize("anchor", range(1, 32))
def test_cycles_tile_every_year(anchor: int) -> None:
    period = cycle(date(2007, 1, 31), anchor)
    for _ in range(12 * 30):
        following = cycle(next_day(period.last_day), anchor)
        assert following.first_day == next_day(period.last_day)
        assert 28 <= len(period) <= 31
        assert all(cycle(day, anchor) == period for day in (period.first_day, period.last_day))
        period = following
    assert period.first_day.year == 2037


@pytest.mark.parametrize(
    ("anchor", "first", "last"),
    [
        (1, "2026-02-01", "2026-02-28"),
        (15, "2026-01-15", "2026-02-14"),
        (29, "2026-01-29", "2026-02-27"),
        (30, "2026-01-30", "2026-02-27"),
        (31, "2026-01-31", "2026-02-27"),
    ],
)
def test_cycles_of_a_short_month(anchor: int, first: str, last: str) -> None:
    assert resolve({"cycle": "2026-02-10", "anchor_day": anchor}).period == BillingPeriod(
        date.fromisoformat(first), date.fromisoformat(last)
    )


@pytest.mark.parametrize(
    ("start", "end", "first", "count", "added"),
    [
        ("2023-12-30T08:00Z", "2023-12-31T08:00Z", "2023-12-30", 1, 0),
        ("2023-12-30T08:00Z", "2023-12-31T03:00Z", "2023-12-30", 1, 1),
        ("2023-12-30T07:00Z", "2023-12-31T08:00Z", "2023-12-29", 2, 1),
    ],
)
def test_the_guides_three_examples(start: str, end: str, first: str, count: int, added: int) -> None:
    answer = resolve({"start": start, "end": end})
    assert (str(answer.period.first_day), len(answer.period), answer.added_days) == (first, count, added)


def test_months_over_both_clock_changes() -> None:
    assert (month("2026-03").end - month("2026-03").start) == timedelta(days=31, hours=-1)
    assert (month("2026-11").end - month("2026-11").start) == timedelta(days=30, hours=1)
    year = resolve({"first_day": "2026-03-01", "last_day": "2026-11-30"})
    assert (year.short_days, year.long_days) == ([date(2026, 3, 8)], [date(2026, 11, 1)])


@given(st.integers(1_167_696_000, 2_145_000_000))
def test_ten_digits_are_seconds_and_more_are_milliseconds(seconds: int) -> None:
    instant = datetime.fromtimestamp(seconds, UTC)
    assert parse_instant(seconds) == parse_instant(str(seconds)) == parse_instant(seconds * 1000) == instant


def test_the_command_line_says_periods_shortly() -> None:
    assert parse_period("2026-10").period == month("2026-10")
    assert parse_period("2026-10-01..2026-10-31").period == month("2026-10")
    assert parse_period("2026-10-01T07:00:00Z..2026-11-01T07:00:00Z").period == month("2026-10")


@pytest.mark.parametrize(
    ("request_", "pointer", "expected"),
    [
        ({"start": "2026-10-01T00:00:00", "end": "2026-10-02T00:00:00Z"}, "/start", "offset"),
        ({"start": "2026-10-01T00:00:00 PST", "end": "2026-10-02T00:00:00Z"}, "/start", "offset"),
        ({"start": "2026-10-01T00:00:00[Mars/Olympus]", "end": "2026-10-02T00:00:00Z"}, "/start", "offset"),
        ({"start": 1.5, "end": "2026-10-02T00:00:00Z"}, "/start", "epoch"),
        ({"start": True, "end": "2026-10-02T00:00:00Z"}, "/start", "epoch"),
        ({"start": 0, "end": "2026-10-02T00:00:00Z"}, "/start", "2007"),
        ({"start": "2007-01-01T00:00:00Z", "end": "2007-01-02T08:00:00Z"}, "/start", "Pacific"),
        ({"start": "2037-12-31T08:00:00Z", "end": "2038-01-01T08:00:01Z"}, "/end", "Pacific"),
        ({"start": "2026-01-01T08:00:00Z", "end": "2027-02-05T08:00:01Z"}, "", "400"),
        ({"start": "9999-12-31T23:59:59-08:00", "end": "2026-10-02T00:00:00Z"}, "/start", "ISO"),
        ({"start": "2026-10-02T07:00Z", "end": "2026-10-01T07:00Z"}, "/end", "after"),
        ({"start": "2026-10-02T07:00Z", "end": "2026-10-02T07:00Z"}, "/end", "after"),
        ({"start": "2026-10-02T07:00Z"}, "/end", "start, end"),
        ({"start": "2026-10-02T08:00Z", "end": "2026-10-02T09:00Z", "alignment": "within"}, "/alignment", "cover"),
        (
            {"start": "2026-10-02T08:00Z", "end": "2026-10-03T07:00Z", "alignment": "strict"},
            "/start",
            "2026-10-02T07:00:00Z or",
        ),
        ({"start": "2026-10-02T07:00Z", "end": "2026-10-03T08:00Z", "alignment": "strict"}, "/end", "2026-10-03T07:00:00Z or"),
        ({"start": "2026-10-02T08:00Z", "end": "2026-10-03T07:00Z", "alignment": "round"}, "/alignment", "nearest"),
        ({"first_day": "2026-10-02", "last_day": "2026-10-01"}, "/last_day", "2026-10-02"),
        ({"first_day": "2026-01-01", "last_day": "2027-12-31"}, "", "400"),
        ({"first_day": "2026-02-30", "last_day": "2026-03-01"}, "/first_day", "2026-10-31"),
        ({"first_day": "20260201", "last_day": "2026-03-01"}, "/first_day", "2026-10-31"),
        ({"first_day": "2038-01-01", "last_day": "2038-01-02"}, "/last_day", "2037"),
        ({"month": "2026-13"}, "/month", "2026-10"),
        ({"month": "1999-01"}, "/month", "2007"),
        ({"month": "２０２６-10"}, "/month", "2026-10"),
        ({"month": 202610}, "/month", "2026-10"),
        ({"month": "2026-10", "alignment": "cover"}, "/alignment", "month"),
        ({"cycle": "2026-10-20"}, "/anchor_day", "anchor_day"),
        ({"cycle": "2026-10-20", "anchor_day": 32}, "/anchor_day", "1 to 31"),
        ({"cycle": "0001-01-01", "anchor_day": 15}, "/cycle", "2007"),
        ({"zone": "UTC", "month": "2026-10"}, "/zone", "month"),
        ({}, "", "month"),
        ("2026-10", "", "month"),
    ],
)
def test_what_is_refused_names_the_field_and_what_was_expected(request_: object, pointer: str, expected: str) -> None:
    with pytest.raises(InvalidPeriod) as refused:
        resolve(request_)
    assert refused.value.pointer == pointer
    assert expected in refused.value.expected


@pytest.mark.parametrize(
    "request_",
    [
        "x" * 10_000,
        {"month": "x" * 10_000},
        {"cycle": "2026-10-20", "anchor_day": 10**4000},
        {"first_day": ["x" * 100] * 100, "last_day": "2026-10-31"},
        {"start": "9" * 10_000, "end": 0},
        {"start": 0.5, "end": 0},
        {"month": "2026-10", "x" * 10_000: 1},
        {"start": "2026-10-01T07:00:00Z", "end": "2026-10-02T07:00:00Z", "alignment": "x" * 10_000},
    ],
    ids=range(8),
)
def test_a_refusal_repeats_no_more_than_a_line_of_what_was_sent(request_: object) -> None:
    with pytest.raises(InvalidPeriod) as refused:
        resolve(request_)
    assert len(refused.value.message) < 400


@given(
    st.dictionaries(
        st.sampled_from(["month", "cycle", "anchor_day", "first_day", "last_day", "start", "end", "alignment"]),
        st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=30), st.booleans(), st.lists(st.integers())),
    )
)
def test_any_request_is_answered_or_refused(request_: dict[str, object]) -> None:
    with suppress(InvalidPeriod):
        answer = resolve(request_)
        assert answer.period.first_day <= answer.period.last_day
