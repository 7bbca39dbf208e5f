"""A simulated year: every day is collected that could be, every other one is reported as lost, nothing is asked for twice."""

from calendar import monthrange
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.db import transaction
from app.flows.coverage import coverage
from app.sandbox.dataset import Dataset
from app.store import observations, projects
from app.store.close_tables import Close
from app.store.money_tables import Invoice
from app.store.payloads import decode_daily
from app.store.plan_tables import CollectionGap
from app.store.webhook_tables import WebhookEvent
from billing.facts import Kind, Observation
from billing.period import BillingPeriod
from tests.scenarios.year import (
    ACME,
    BEGIN,
    BETA,
    DAY,
    DOWNTIMES,
    DROPPED,
    END,
    FIRST,
    HOUR,
    LAST,
    MINUTE,
    PACIFIC,
    RESTATED,
    VAULT,
    WRONG,
    StillClock,
    Year,
    dataset,
    in_maintenance,
    is_late,
    is_up,
    pacific,
)

DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
KINDS = (Kind.DAILY_USAGE, Kind.MEETINGS)


def midnight(day: date) -> datetime:
    return pacific(day.year, day.month, day.day)


def readings(year: Year, kind: Kind, project_id: str = ACME) -> dict[date, list[Observation]]:
    with transaction(year.engine, read_only=True) as session:
        found = observations.history(session, project_id, kind, date(2025, 1, 1), date(2027, 12, 31))
    days: dict[date, list[Observation]] = {}
    for it in found:
        days.setdefault(it.day, []).append(it)
    return days


def could_be_read(kind: Kind, day: date) -> bool:
    """Whether there was a quarter of an hour in which upstream could say all of the day and somebody was there to ask."""
    since, kept = (48 * HOUR, 90 * DAY) if kind is Kind.DAILY_USAGE else (timedelta(0), 21 * DAY)
    moment = max(midnight(day + DAY) + since + 15 * MINUTE, BEGIN)
    while moment < min(midnight(day) + kept - 30 * MINUTE, END):
        if is_up(moment) and (kind is Kind.DAILY_USAGE or not in_maintenance(moment)):
            return True
        moment += 15 * MINUTE
    return False


def told(year: Year, project_id: str) -> Counter[tuple[str, str, str]]:
    with transaction(year.engine, read_only=True) as session:
        events = session.exec(select(WebhookEvent).where(WebhookEvent.type == "collection.gap")).all()
    return Counter((it.data["kind"], it.data["day"], it.data["state"]) for it in events if it.data["project_id"] == project_id)


def every_day_is_collected_that_could_be(year: Year) -> None:
    for kind in KINDS:
        held = readings(year, kind)
        for day in DAYS:
            assert could_be_read(kind, day) == any(it.complete for it in held.get(day, [])), (kind, day)


def every_other_day_is_reported_as_lost_and_none_else(year: Year) -> None:
    lost = {day for day in DAYS if not could_be_read(Kind.MEETINGS, day)}
    assert lost == {date(2026, 6, 5) + timedelta(days=number) for number in range(5)}, "that is what 25 days cost"
    assert all(could_be_read(Kind.DAILY_USAGE, day) for day in DAYS)
    events = told(year, ACME)
    assert {(kind, day) for kind, day, state in events if state == "lost"} == {("meetings", str(day)) for day in lost}
    assert set(events.values()) == {1}, "each is told once"
    with transaction(year.engine, read_only=True) as session:
        project = projects.get(session, VAULT, ACME)
        rows = coverage(session, project, BillingPeriod(FIRST, LAST), clock=year.clock)
        gaps = session.exec(select(CollectionGap).where(CollectionGap.project_id == ACME)).all()
    assert {(it.source, it.day) for it in rows if it.risk == "lost"} == {(Kind.MEETINGS, day) for day in lost}
    assert {(it.kind, it.day) for it in gaps if it.state == "lost"} == {("meetings", day) for day in lost}


def no_day_is_read_twice_for_the_same_reason(year: Year) -> None:
    """Once in a billing day, but for what becomes final or is about to be forgotten within one, and for meetings that end."""
    for kind in KINDS:
        for day, read in readings(year, kind).items():
            at = [it.observed_at for it in read if it.complete or kind is Kind.DAILY_USAGE]
            limit = midnight(day + DAY) + 48 * HOUR if kind is Kind.DAILY_USAGE else midnight(day) + 18 * DAY
            for before, after in pairwise(at):
                same_day = before.astimezone(PACIFIC).date() == after.astimezone(PACIFIC).date()
                assert not same_day or before < limit <= after, (kind, day, at)


def a_room_that_is_used_every_day_is_read_no_more_often(year: Year) -> None:
    """Its statement is another each day. Three readings: when the day has ended, one that agrees, and one before it is gone."""
    held = readings(year, Kind.MEETINGS)
    quiet = [day for day in DAYS if all(not start - 23 * DAY <= midnight(day) < end + DAY for start, end in DOWNTIMES)]
    often = Counter(len(held[day]) for day in quiet if day < LAST - 23 * DAY and not is_late(day))
    assert often[3] > 0.95 * often.total()
    assert max(often) <= 5, "upstream failed a few times"


def what_is_held_is_what_upstream_says_in_the_end(year: Year) -> None:
    """Days changed long after they were final too, but for the last week's, which are not asked for again yet."""
    record = Dataset.load(dataset()).projects[ACME]
    latest = {day: read[-1] for day, read in readings(year, Kind.DAILY_USAGE).items()}
    with transaction(year.engine, read_only=True) as session:
        for day in DAYS:
            said = decode_daily(observations.payload(session, latest[day].sha256))
            assert (said is None) == (day == DROPPED or day not in record.days), day
    history = readings(year, Kind.DAILY_USAGE)
    for day, _, at in RESTATED:
        final = [it for it in history[day] if it.complete]
        assert len({it.sha256 for it in final}) == 2, day
        seen = next(it.observed_at for it in final if it.sha256 != final[0].sha256)
        assert at <= seen < max(at + 8 * DAY, *(end + DAY for start, end in DOWNTIMES if start <= at < end), at)


def a_project_with_a_wrong_secret_holds_up_no_other_and_catches_up(year: Year) -> None:
    failed = [at for at, job in year.ran if job.project_id == BETA and job.state == "failed"]
    assert WRONG[0] <= failed[0] < failed[-1] < WRONG[1]
    nights = {at.astimezone(PACIFIC).date() for at, job in year.ran if job.project_id == ACME and WRONG[0] <= at < WRONG[1]}
    assert len(nights) == (WRONG[1] - WRONG[0]).days
    assert len(failed) < 5 * 24, "it is not asked for every minute"
    events = told(year, BETA)
    lost = {day for _, day, state in events if state == "lost"}
    at_risk = {day for _, day, state in events if state == "at_risk"}
    assert at_risk - lost, "it is told before it is too late"
    mended = readings(year, Kind.MEETINGS, BETA)
    assert min(mended) == date(2026, 7, 17), "the oldest day that upstream still had"
    assert lost == {f"2026-07-{number}" for number in range(12, 17)} | {f"2026-05-0{number}" for number in range(4, 9)}
    assert all(any(it.complete for it in mended[day]) for day in DAYS if date(2026, 7, 17) <= day < LAST)


def jobs_are_few(year: Year) -> None:
    """One a night, one more in the morning after a call over midnight, and a few after what failed."""
    jobs = Counter(at.astimezone(PACIFIC).date() for at, job in year.ran if (job.kind, job.project_id) == ("collection", ACME))
    assert len(jobs) >= 365 - 30
    assert jobs.total() < 1.3 * len(jobs)


def every_cycle_is_closed_once_however_often_it_was_attempted(year: Year) -> None:
    with transaction(year.engine, read_only=True) as session:
        rows = session.exec(select(Close).where(Close.project_id == ACME).order_by(Close.first_day)).all()
        invoices = session.exec(select(Invoice).where(Invoice.kind == "invoice")).all()
    months = [(date(2026, month, 1), date(2026, month, monthrange(2026, month)[1])) for month in range(1, 13)]
    assert [(it.first_day, it.last_day) for it in rows] == months
    whole = [it for it in rows if it.state == "closed" and it.invoice_ids]
    assert sorted(it.first_day for it in invoices) == [it.first_day for it in whole]
    # A month of which upstream forgot a day, or left one out for good, waits for somebody's word or says that it is lost.
    lost = {day.month for day in DAYS if not could_be_read(Kind.MEETINGS, day)} | {DROPPED.month}
    assert {it.first_day.month for it in rows} - {it.first_day.month for it in whole} == lost
    assert all(it.reason for it in rows)


def test_a_year(sqlite_engine: Engine, subtests: pytest.Subtests) -> None:
    """One test, however many things must be true of it: two workers that shared them would each live through it."""
    year = Year(sqlite_engine)
    year.live_until(WRONG[0])
    year.add(BETA, secret="a-wrong-secret-0123456789abcdef01234567")
    year.live_until(WRONG[1])
    year.mend(BETA)
    year.live_until(END)
    for is_true in (
        every_day_is_collected_that_could_be,
        every_other_day_is_reported_as_lost_and_none_else,
        no_day_is_read_twice_for_the_same_reason,
        a_room_that_is_used_every_day_is_read_no_more_often,
        what_is_held_is_what_upstream_says_in_the_end,
        a_project_with_a_wrong_secret_holds_up_no_other_and_catches_up,
        jobs_are_few,
        every_cycle_is_closed_once_however_often_it_was_attempted,
    ):
        with subtests.test(is_true.__name__):
            is_true(year)


def story(engine: Engine) -> dict[str, Any]:
    """What an installation has done and holds after two weeks, in which nothing ran while the clocks went back."""
    year = Year(engine, StillClock(pacific(2026, 10, 25, 9)))
    year.live_until(pacific(2026, 11, 8, 9))
    with transaction(engine, read_only=True) as session:
        closes = session.exec(select(Close).order_by(Close.first_day)).all()
    return {
        "jobs": [(at, job.kind, job.arguments, job.state) for at, job in year.ran],
        "told": told(year, ACME),
        "closes": [(it.first_day, it.last_day, it.state, it.attempts, it.reason) for it in closes],
    } | {
        kind: {day: [(it.observed_at, it.complete, it.sha256) for it in read] for day, read in readings(year, kind).items()}
        for kind in KINDS
    }


@pytest.mark.postgresql
def test_two_weeks_are_the_same_on_postgresql(postgresql_engine: Engine, sqlite_engine: Engine) -> None:
    found = story(postgresql_engine)
    assert found == story(sqlite_engine)
    for kind in KINDS:
        days = {day for day, read in found[kind].items() if any(it[1] for it in read)}
        assert days >= {date(2026, 10, 25) + timedelta(days=number) for number in range(11)}, kind
    assert [it[0] for it in found["closes"]] == [date(2026, 10, 1)]
