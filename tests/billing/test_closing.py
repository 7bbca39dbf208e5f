"""Which cycles are due: every day in one of them, whatever happens to the clock, the process or the anchor day."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.closing import Outcome, Settled, State, conclude, due, final_at, first_day, has_aged, ready_at, runs
from billing.period import BillingPeriod, cycle, day_start

anchors = st.integers(1, 31)
instants = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))
OCTOBER = BillingPeriod(date(2026, 10, 1), date(2026, 10, 31))


@given(anchor=anchors, created_at=instants, days=st.lists(st.integers(0, 120), max_size=40))
def test_however_often_it_is_asked_each_cycle_is_due_once(anchor: int, created_at: datetime, days: list[int]) -> None:
    """The process is away for some days between two looks, for weeks at times; in one look nobody misses anything."""
    now, closed = created_at, list[BillingPeriod]()
    since = start = first_day(created_at, anchor)
    for away in days:
        now += timedelta(days=away)
        closed += (found := due(now, anchor, since))
        since = found[-1].last_day + timedelta(days=1) if found else since
        assert due(now, anchor, since) == [], "asked again at once, nothing is due"
    assert closed == due(now, anchor, start), "one look after all that time finds the same"
    assert all(it == cycle(it.first_day, anchor) for it in closed)
    assert all(ready_at(it) <= now for it in closed)
    assert ready_at(BillingPeriod(since, cycle(since, anchor).last_day)) > now, "none is left out"


@given(changes=st.lists(st.tuples(anchors, st.integers(0, 90)), min_size=1, max_size=30), created_at=instants)
def test_no_day_is_closed_twice_and_none_never_when_the_anchor_day_changes(
    changes: list[tuple[int, int]], created_at: datetime
) -> None:
    now, since = created_at, first_day(created_at, changes[0][0])
    days = list[date]()
    for anchor, away in changes:
        now += timedelta(days=away)
        for period in due(now, anchor, since):
            days += period.days
            assert len(period) <= 31
            since = period.last_day + timedelta(days=1)
    start = first_day(created_at, changes[0][0])
    assert days == [start + timedelta(days=offset) for offset in range(len(days))]


@pytest.mark.parametrize("anchor", range(1, 32))
def test_a_decade_has_a_hundred_and_twenty_cycles(anchor: int) -> None:
    """With both changes of the clock in each year, and Februaries of 28 and 29 days."""
    found = due(ready_at(cycle(date(2033, 12, 31), anchor)), anchor, cycle(date(2024, 1, 31), anchor).first_day)
    assert len(found) == 120
    assert {len(it) for it in found} <= {28, 29, 30, 31}


def test_a_cycle_is_due_six_hours_after_its_last_day_is_final() -> None:
    ready = datetime(2026, 11, 3, 13, tzinfo=UTC)  # the first of the two days after it has 25 hours
    assert (final_at(OCTOBER), ready_at(OCTOBER)) == (ready - timedelta(hours=6), ready)
    assert due(ready, 1, OCTOBER.first_day) == [OCTOBER]
    assert due(ready - timedelta(microseconds=1), 1, OCTOBER.first_day) == []


def a_report(verdict: str = "balanced", usage: str = "final", coverage: str = "complete", **more: Any) -> dict[str, Any]:
    """The parts of a report that a close looks at, of two days; the second is as said."""
    days = [("2026-10-30", "final", "complete"), ("2026-10-31", usage, coverage)]
    lines = [{"day": day, "project_status": status, "meeting_coverage": meetings} for day, status, meetings in days]
    windows = [{"kind": "meetings", "day": f"2026-10-{day}", "complete": True} for day in (29, 30)]
    return {"verdict": verdict, "days": lines, "discrepancies": [], "observations": windows} | more


NEVER = "It cannot become complete any more: upstream has forgotten"
OVERRIDE = "It can be invoiced with an override."
INVOICED = Settled("cus_1", ["inv_1"])
REFUSED = Settled("cus_2", [], "There is no rate card.")
SOON, LATE, TOO_LATE = (datetime(2026, *day, tzinfo=UTC) for day in ((11, 3), (11, 25), (12, 31)))
TOO_LATE += timedelta(days=60)


@pytest.mark.parametrize(
    ("report", "settled", "now", "state", "reason"),
    [
        (a_report(), [INVOICED], SOON, State.CLOSED, "It is reconciled and invoiced."),
        (a_report(), [], SOON, State.CLOSED, "It is reconciled. The project belongs to no customer, so nothing is invoiced."),
        (a_report(), [INVOICED, REFUSED, REFUSED], SOON, State.WAITING, "There is no rate card."),
        (
            a_report("unexplained"),
            [Settled("cus_1", [], "Only with an override.")],
            SOON,
            State.CLOSED,
            "It is reconciled, but not invoiced. Only with an override.",
        ),
        (
            a_report("incomplete", "provisional", "incomplete"),
            [REFUSED],
            SOON,
            State.WAITING,
            "It is not complete: the daily usage of 2026-10-31 and all meetings created on 2026-10-31 cannot be relied on yet.",
        ),
        (
            a_report("incomplete", "missing", "incomplete"),
            [],
            LATE,
            State.FAILED,
            f"{NEVER} all meetings created on 2026-10-31. Upstream may still say the daily usage of 2026-10-31. {OVERRIDE}",
        ),
        (
            a_report("incomplete", "no_usage", discrepancies=[{"code": "project_day_missing", "days": ["2026-10-31"]}]),
            [REFUSED],
            TOO_LATE,
            State.FAILED,
            f"{NEVER} the daily usage of 2026-10-31. {OVERRIDE}",
        ),
        (a_report("incomplete", "missing"), [INVOICED], LATE, State.CLOSED, "It is reconciled and invoiced."),
    ],
)
def test_what_becomes_of_a_close(
    report: dict[str, Any], settled: list[Settled], now: datetime, state: State, reason: str
) -> None:
    outcome = conclude(report, settled, now)
    assert (outcome.state, outcome.reason) == (state, reason)
    again = state is State.WAITING or "not invoiced" in reason
    assert outcome.again_at == (now + timedelta(days=1) if again else None)


def test_what_may_not_be_invoiced_is_tried_again_as_long_as_it_can_change() -> None:
    def at(now: datetime) -> Outcome:
        return conclude(a_report("unexplained"), [REFUSED], now)

    gone = day_start(date(2026, 10, 31)) + timedelta(days=90)
    assert at(gone - timedelta(seconds=1)).again_at
    assert at(gone).again_at is None


def test_a_missing_day_expires() -> None:
    gone = day_start(date(2026, 10, 31)) + timedelta(days=90)
    missing = a_report("incomplete", "missing")
    assert not has_aged(missing, gone)
    assert has_aged(missing, gone + timedelta(seconds=1))
    assert not has_aged(a_report("incomplete", "expired"), gone + timedelta(days=1))


@given(st.sets(st.dates(date(2026, 1, 1), date(2026, 3, 1)), min_size=1))
def test_days_in_words_are_the_same_days(days: set[date]) -> None:
    found = set[date]()
    for part in runs(sorted(days)).split(", "):
        first, _, last = part.partition(" to ")
        found |= set(BillingPeriod(date.fromisoformat(first), date.fromisoformat(last or first)).days)
    assert found == days
