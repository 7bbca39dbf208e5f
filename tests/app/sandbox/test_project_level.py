"""projectData: whole Pacific days, intervals, what is left out, groups and filters."""

from datetime import UTC, date, datetime, timedelta

import pytest

from app.sandbox.metrics import published_at
from billing.period import day_start, next_day
from tests.app.sandbox.asking import Asker, dataset, person, room

ALL = "intervalStart intervalEnd usage { participantMinutes { from1To2Publishers } }"


def daily_calls(first, days, minutes=10):
    """One call of two, ten minutes long, at noon of every day from `first`."""
    people = []
    for number in range(days):
        day = day_start(first + timedelta(days=number)) + timedelta(hours=12)
        people += [person(f"{number}-{who}", 0, minutes, origin=day) for who in "ab"]
    return room("s", *people)


def starts(rows):
    return [row["intervalStart"][:10] for row in rows]


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2023-12-30T08:00:00Z", "2023-12-31T08:00:00Z", ["2023-12-30"]),
        ("2023-12-30T08:00:00Z", "2023-12-31T03:00:00Z", ["2023-12-30"]),
        ("2023-12-30T07:00:00Z", "2023-12-31T08:00:00Z", ["2023-12-29", "2023-12-30"]),
    ],
)
def test_the_guides_three_examples(start, end, days):
    asker = Asker(dataset(daily_calls(date(2023, 12, 28), 6)), datetime(2024, 1, 10, tzinfo=UTC))
    assert starts(asker.days(f'start: "{start}", end: "{end}", interval: DAILY')) == days


def test_interval_end_is_the_first_instant_of_the_last_day_as_seen_in_the_wild():
    asker = Asker(dataset(daily_calls(date(2020, 2, 1), 29)), datetime(2020, 3, 20, tzinfo=UTC))
    (month,) = asker.days('start: "2020-02-01T08:00:00Z", end: "2020-03-01T08:00:00Z", interval: MONTHLY', ALL)
    assert (month["intervalStart"], month["intervalEnd"]) == ("2020-02-01T08:00:00.000Z", "2020-02-29T08:00:00.000Z")
    assert month["usage"]["participantMinutes"]["from1To2Publishers"] == 29 * 20.0
    rows = asker.days('start: "2020-02-01T08:00:00Z", end: "2020-03-01T08:00:00Z", interval: DAILY', ALL)
    assert len(rows) == 29
    assert all(row["intervalStart"] == row["intervalEnd"] for row in rows)


def test_weeks_begin_on_monday_and_are_whole():
    asker = Asker(dataset(daily_calls(date(2026, 10, 5), 14)), datetime(2026, 10, 25, tzinfo=UTC))
    rows = asker.days('start: "2026-10-07T07:00:00Z", end: "2026-10-14T07:00:00Z", interval: WEEKLY', ALL)
    assert [(row["intervalStart"][:10], row["intervalEnd"][:10]) for row in rows] == [
        ("2026-10-05", "2026-10-11"),
        ("2026-10-12", "2026-10-18"),
    ]
    assert [row["usage"]["participantMinutes"]["from1To2Publishers"] for row in rows] == [140.0, 140.0]


@pytest.mark.parametrize(("days", "used"), [(31, "DAILY"), (32, "WEEKLY"), (90, "WEEKLY"), (91, "MONTHLY")])
def test_auto_says_which_interval_it_used(days, used):
    asker = Asker(dataset())
    start, end = day_start(date(2026, 6, 1)), day_start(date(2026, 6, 1) + timedelta(days=days))
    for arguments in ("interval: AUTO,", ""):
        query = f'projectData({arguments} start: "{start.isoformat()}", end: "{end.isoformat()}") {{ interval totalCount }}'
        assert asker.project(query)["projectData"] == {"interval": used, "totalCount": 0}


def test_days_of_23_and_25_hours_hold_what_happens_in_their_last_hour():
    for day, hours in ((date(2026, 3, 8), 23), (date(2026, 11, 1), 25)):
        last_minutes = day_start(next_day(day)) - timedelta(minutes=10)
        assert last_minutes - day_start(day) == timedelta(hours=hours) - timedelta(minutes=10)
        asker = Asker(dataset(room("s", person("a", 0, 20, origin=last_minutes))), day_start(day) + timedelta(days=5))
        rows = asker.days("start: 0, interval: DAILY")
        assert starts(rows) == [str(day), str(next_day(day))]
        assert [row["usage"]["participantMinutes"]["from1To2Publishers"] for row in rows] == [10.0, 10.0]


def test_a_day_without_usage_is_left_out_also_when_somebody_was_connected():
    asker = Asker(dataset(room("s", person("a", 0, 60, False)), room("t", person("b", -1440, -1430))))
    assert starts(asker.days("start: 0, interval: DAILY")) == ["2026-10-04"]


def test_a_day_appears_36_to_48_hours_after_its_end_and_stays_90_days():
    ends = day_start(date(2026, 10, 6))
    appears = published_at("100", date(2026, 10, 5)) / 1e6 - ends.timestamp()
    assert 36 * 3600 <= appears < 48 * 3600
    asker = Asker(dataset(room("s", person("a", 0, 10))))
    for now, shown in (
        (ends + timedelta(seconds=appears - 5), 0),
        (ends + timedelta(seconds=appears + 1), 1),
        (day_start(date(2026, 10, 5)) + timedelta(days=90, seconds=-5), 1),
        (day_start(date(2026, 10, 5)) + timedelta(days=90, seconds=1), 0),
    ):
        asker.upstream.clock.move(now)
        assert len(asker.days("start: 0, interval: DAILY")) == shown
    assert len(asker.days("start: 0, interval: MONTHLY")) == 1
    asker.upstream.clock.move(datetime(2027, 10, 31, tzinfo=UTC))
    assert len(asker.days('start: "2026-10-01T07:00:00Z", interval: MONTHLY')) == 1
    asker.upstream.clock.move(datetime(2027, 11, 2, tzinfo=UTC))
    assert len(asker.days('start: "2026-10-01T07:00:00Z", interval: MONTHLY')) == 0


def test_the_pages_of_project_data_hold_every_row_once():
    asker = Asker(dataset(daily_calls(date(2026, 9, 1), 25)))
    found, cursor = [], ""
    for size in (10, 10, 5):
        wanted = "pageInfo { hasNextPage endCursor } totalCount resources { intervalStart }"
        query = f'projectData(start: 0, interval: DAILY, first: 10, endCursor: "{cursor}") {{ {wanted} }}'
        page = asker.project(query)["projectData"]
        assert page["totalCount"] == 25
        assert len(page["resources"]) == size
        found += starts(page["resources"])
        cursor = page["pageInfo"]["endCursor"]
    assert page["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    assert found == sorted(set(found))
    assert len(found) == 25


MIXED = room(
    "mixed",
    person("a", 0, 10, sdk_type="JS", browser="CHROME", browser_version="141.0", country="US", region="CA"),
    person("b", 0, 10, sdk_type="JS", browser="FIREFOX", browser_version="143.0", country="DE", region="BE"),
    person("c", 0, 4, sdk_type="IOS", sdk_version="2.31.0", browser="", browser_version="", country="DE", region="BE"),
)
STREAMED = (
    "usage { streamedPublishedMinutes streamedSubscribedMinutes participantMinutes { from1To4Publishers } sipUserMinutes }"
)


def test_groups_split_what_was_streamed_and_repeat_participant_minutes():
    asker = Asker(dataset(MIXED, usage={"2026-10-05": {"sipUserMinutes": "12.5"}}))
    rows = asker.days("start: 0, interval: DAILY, groupBy: SDK_TYPE", f"sdkType country {STREAMED}")
    assert [(row["sdkType"], row["country"], *row["usage"].values()) for row in rows] == [
        ("IOS", None, 4.0, 8.0, {"from1To4Publishers": 24.0}, 12.5),
        ("JS", None, 20.0, 20.0 + 8.0, {"from1To4Publishers": 24.0}, 12.5),
    ]
    groups = "groupBy: [COUNTRY, REGION, BROWSER_NAME, BROWSER_VERSION, SDK_VERSION]"
    rows = asker.days(f"start: 0, interval: DAILY, {groups}", "country region browser browserVersion sdkVersion")
    assert [tuple(row.values()) for row in rows] == [
        ("DE", "BE", "", "", "2.31.0"),
        ("DE", "BE", "FIREFOX", "143.0", "2.30.1"),
        ("US", "CA", "CHROME", "141.0", "2.30.1"),
    ]


@pytest.mark.parametrize(
    ("filters", "published"),
    [
        ("sdkType: [JS, ANDROID]", 20.0),
        ("sdkType: JS, browser: [CHROME]", 10.0),
        ('sdkVersion: ["2.31.0"]', 4.0),
        ("country: [DE]", 14.0),
        ('region: ["CA"]', 10.0),
        ('browserVersion: ["143.0"]', 10.0),
        ("country: [AR]", 0.0),
        ("sdkType: []", 24.0),
    ],
)
def test_filters_apply_to_what_was_streamed_only(filters, published):
    asker = Asker(dataset(MIXED, usage={"2026-10-05": {"sipUserMinutes": 12.5}}))
    (row,) = asker.days(f"start: 0, interval: DAILY, {filters}", STREAMED)
    assert row["usage"]["streamedPublishedMinutes"] == published
    assert row["usage"]["participantMinutes"]["from1To4Publishers"] == 24.0
    assert row["usage"]["sipUserMinutes"] == 12.5


def test_quality_and_errors_are_plausible_and_steady():
    asker = Asker(dataset(MIXED))
    wanted = """quality { publisher { videoBitrateKbpsAvg latencyDistribution {
        ms50 ms100 ms200 ms300 ms400 ms500 ms600 ms700 ms800 ms900 ms1000 ms1000Plus } } }
        errors { connect { attempts failures } publish { attempts } subscribe { attempts } }"""
    (row,) = asker.days("start: 0, interval: DAILY", wanted)
    assert sum(row["quality"]["publisher"]["latencyDistribution"].values()) == pytest.approx(100)
    assert row["errors"] == {
        "connect": {"attempts": 3, "failures": 0},
        "publish": {"attempts": 3},
        "subscribe": {"attempts": 6},
    }
    assert asker.days("start: 0, interval: DAILY", wanted) == [row]


def test_a_project_whose_tiers_are_a_plan_answers_0_in_the_others():
    asker = Asker(dataset(MIXED, tiers=["from1To4Publishers", "from5To8Publishers"]))
    wanted = "participantMinutes { from1To4Publishers from3To6Publishers from1To25Publishers }"
    (row,) = asker.days("start: 0, interval: DAILY", f"usage {{ {wanted} }}")
    assert list(row["usage"]["participantMinutes"].values()) == [24.0, 0.0, 0.0]
    assert list(asker.session("mixed", wanted)["participantMinutes"].values()) == [24.0, 0.0, 0.0]


def test_the_sum_of_the_meetings_is_the_days_where_nothing_crosses():
    asker = Asker(
        dataset(*(room(f"s{n}", person(f"{n}a", n * 7, n * 7 + 5), person(f"{n}b", n * 7, n * 7 + 4)) for n in range(20)))
    )
    (day,) = asker.days("start: 0, interval: DAILY")
    sessions = asker.summaries("start: 0")["resources"]
    total = sum(row["participantMinutes"]["from1To2Publishers"] for row in sessions)
    assert day["usage"]["participantMinutes"]["from1To2Publishers"] == total == 20 * 9
