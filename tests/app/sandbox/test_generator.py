"""The generated company is valid, the same for the same seed, and holds what makes reconciling hard."""

from datetime import date, datetime
from itertools import pairwise

import pytest

from app.sandbox.dataset import Dataset
from app.sandbox.generator import generate
from app.sandbox.meetings import MINUTE, REJOIN, day_of, day_start
from billing.tiers import KNOWN_PLANS

FIRST = date(2026, 10, 26)


@pytest.fixture(scope="module")
def content():
    return generate(7, FIRST, 7, scale=0.4)


@pytest.fixture(scope="module")
def record(content):
    return Dataset.load(content).projects["100"]


def test_the_same_seed_gives_the_same_company_and_another_seed_another():
    assert generate(3, FIRST, 1, 0.1) == generate(3, FIRST, 1, 0.1) != generate(4, FIRST, 1, 0.1)


def test_every_instant_is_a_multiple_of_3_ms_so_every_figure_is_whole_micro_minutes(content, record):
    for session in content["sessions"]:
        for connection in session["connections"]:
            for part in (connection, *connection["streams"]):
                for name in ("created_at", "destroyed_at"):
                    at = datetime.fromisoformat(part[name])
                    assert (int(at.timestamp()) * 1000 + at.microsecond // 1000) % 3 == 0
    for day in record.days.values():
        assert all(amount % 60 == 0 for amount in day.use.tiers().values())


def test_a_working_day_has_about_300_sessions():
    sessions = generate(1, FIRST, 1)["sessions"]
    assert 250 <= len(sessions) <= 350


def test_it_holds_every_tier_of_the_standard_plan_and_forty_publishers_at_once(record):
    used = [day.use for day in record.days.values()]
    for tier in KNOWN_PLANS[0]:
        assert any(use.tiers()[tier.field] for use in used)
    assert any(40 in use.participants for use in used)


def test_the_last_midnight_is_crossed_by_an_all_hands(record):
    end = day_start(date(2026, 11, 2))
    crossing = [m for session in record.sessions.values() for m in session.meetings if m.created < end < m.destroyed]
    assert any(len(meeting.connections) == 50 for meeting in crossing)


def test_rooms_are_reused_for_days_some_with_more_than_ten_meetings_on_a_day(record):
    days = [[day_of(meeting.created) for meeting in session.meetings] for session in record.sessions.values()]
    assert sum(len(set(one)) >= 5 for one in days) >= 6
    assert sum(one.count(day) > 10 for one in days for day in set(one)) >= 4


def test_it_holds_silence_midnights_and_returns_around_ten_minutes():
    record = Dataset.load(generate(2, FIRST, 4)).projects["100"]
    meetings = [meeting for session in record.sessions.values() for meeting in session.meetings]
    assert any(not meeting.use for meeting in meetings)
    assert sum(day_of(meeting.created) != day_of(meeting.destroyed) for meeting in meetings) >= 4
    gaps = [
        after.created - before.destroyed for session in record.sessions.values() for before, after in pairwise(session.meetings)
    ]
    for edge in (REJOIN - 3000, REJOIN, REJOIN + 3000):
        assert edge in gaps
    assert any(gap < 9 * MINUTE for gap in gaps)
