"""Coverage: the status of each source of each day, and why something is wanting."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from app.db import transaction
from app.flows.coverage import coverage
from billing.facts import Kind
from billing.period import parse_period
from tests.app.flows.conftest import Office


def of(office: Office, period: str) -> dict[tuple[str, Kind], tuple[str, datetime | None, Sequence[str]]]:
    with transaction(office.engine, read_only=True) as session:
        rows = coverage(session, office.project, parse_period(period).period, clock=office.clock)
    return {(str(it.day), it.source): (it.status, it.observed_at, it.gaps) for it in rows}


def test_a_day_never_observed_is_missing_and_later_expired(worked: Office) -> None:
    before = of(worked, "2026-10-31..2026-10-31")
    assert before["2026-10-31", Kind.DAILY_USAGE] == ("missing", None, ())
    status, seen, gaps = before["2026-10-31", Kind.MEETINGS]
    assert (status, seen) == ("incomplete", None)
    assert gaps == [
        "meetings created on 2026-10-30 were never collected",
        "meetings created on 2026-10-31 were never collected",
    ]

    worked.at("2027-02-01T00:00:00Z")
    after = of(worked, "2026-10-31..2026-10-31")
    assert after["2026-10-31", Kind.DAILY_USAGE] == ("expired", None, ())
    assert all(gap.endswith("and upstream keeps them no longer") for gap in after["2026-10-31", Kind.MEETINGS][2])


def test_a_day_to_come_has_not_begun(worked: Office) -> None:
    worked.at("2026-10-31T12:00:00-07:00")
    assert of(worked, "2026-11-01..2026-11-01")["2026-11-01", Kind.MEETINGS][2] == [
        "meetings created on 2026-10-31 were never collected",
        "2026-11-01 has not begun",
    ]


def test_a_day_is_provisional_until_it_was_observed_48_hours_after_its_end(worked: Office) -> None:
    worked.at("2026-11-03T20:00:00Z")  # 61 hours after the end of 31 October, 36 after that of 1 November
    worked.collect("2026-10-31..2026-11-01")
    seen = of(worked, "2026-10-31..2026-11-01")
    assert {day: seen[day, Kind.DAILY_USAGE][0] for day in ("2026-10-31", "2026-11-01")} == {
        "2026-10-31": "final",
        "2026-11-01": "provisional",
    }
    assert {seen[day, Kind.MEETINGS][0] for day in ("2026-10-31", "2026-11-01")} == {"complete"}


def test_a_day_left_out_for_good_has_no_usage(worked: Office) -> None:
    worked.collect("2026-10-25..2026-10-25")
    status, observed_at, _ = of(worked, "2026-10-25..2026-10-25")["2026-10-25", Kind.DAILY_USAGE]
    assert status == "no_usage"
    assert observed_at is not None
    assert observed_at.tzinfo is UTC


def test_a_day_needs_the_window_before_it(worked: Office) -> None:
    worked.collect("2026-10-31..2026-10-31")
    seen = of(worked, "2026-10-30..2026-10-31")
    assert seen["2026-10-31", Kind.MEETINGS][0] == "complete"
    assert seen["2026-10-30", Kind.MEETINGS][2] == ["meetings created on 2026-10-29 were never collected"]


def test_a_project_that_is_not_cross_checked_is_unchecked(worked: Office) -> None:
    worked.change(cross_check=False)
    worked.collect("2026-10-31..2026-10-31")
    assert of(worked, "2026-10-31..2026-10-31")["2026-10-31", Kind.MEETINGS] == ("unchecked", None, ())


def test_the_rows_are_in_order_two_a_day(worked: Office) -> None:
    days = [date(2026, 10, 31), date(2026, 11, 1)]
    assert list(of(worked, "2026-10-31..2026-11-01")) == [
        (str(day), kind) for day in days for kind in (Kind.DAILY_USAGE, Kind.MEETINGS)
    ]
