"""The worked period of the specification, to the last minute, and the vendor's own example of 45."""

import pytest

from billing.tiers import KNOWN_FIELDS
from tests.app.sandbox.asking import WORKED, Asker

AFTER = "2026-11-06T00:00:00Z"
BOTH = "participantMinutes { from1To2Publishers from3To6Publishers }"


@pytest.fixture(scope="module")
def asker():
    from billing.period import parse_instant

    return Asker(WORKED, parse_instant(AFTER))


def both(resource):
    return tuple(resource["participantMinutes"].values())


def test_the_days_are_those_of_the_table(asker):
    rows = asker.days(
        'start: "2026-10-31T07:00:00Z", end: "2026-11-02T08:00:00Z", interval: DAILY', f"intervalStart usage {{ {BOTH} }}"
    )
    assert {row["intervalStart"]: both(row["usage"]) for row in rows} == {
        "2026-10-31T07:00:00.000Z": (110.0, 45.0),
        "2026-11-01T07:00:00.000Z": (100.0, 30.0),
    }


def test_the_sessions_of_the_period_are_all_but_c_and_their_totals_hold_everything(asker):
    page = asker.summaries('start: "2026-10-31T07:00:00Z", end: "2026-11-02T08:00:00Z"', f"sessionId {BOTH}")
    assert {row["sessionId"][-1]: both(row) for row in page["resources"]} == {
        "A": (30.0, 15.0),
        "B": (180.0, 0.0),
        "D": (60.0, 0.0),
        "E": (20.0, 0.0),
        "F": (100.0, 30.0),
        "G": (0.0, 0.0),
    }


def test_the_vendors_example_gives_45_in_every_tier_that_holds_one_to_three_publishers(asker):
    tiers = asker.session("1_MX4xMDB-worked-A", f"participantMinutes {{ {' '.join(KNOWN_FIELDS)} }}")["participantMinutes"]
    assert len(tiers) == 17
    assert {tier: minutes for tier, minutes in tiers.items() if minutes} == {
        "from1To2Publishers": 30.0,
        "from3To6Publishers": 15.0,
        "from1To4Publishers": 45.0,
        "from1To8Publishers": 45.0,
        "from1To10Publishers": 45.0,
        "from1To25Publishers": 45.0,
        "from3To25Publishers": 15.0,
    }


def test_coming_back_after_five_minutes_makes_two_meetings_of_one_id(asker):
    wanted = f"meetings {{ totalCount resources {{ meetingId createdAt destroyedAt {BOTH} }} }}"
    meetings = asker.session("1_MX4xMDB-worked-E", wanted)["meetings"]["resources"]
    assert [both(meeting) for meeting in meetings] == [(10.0, 0.0), (10.0, 0.0)]
    assert meetings[0]["meetingId"] == meetings[1]["meetingId"]
    assert [(m["createdAt"], m["destroyedAt"]) for m in meetings] == [
        ("2026-10-31T22:00:00.000Z", "2026-10-31T22:10:00.000Z"),
        ("2026-10-31T22:15:00.000Z", "2026-10-31T22:25:00.000Z"),
    ]
