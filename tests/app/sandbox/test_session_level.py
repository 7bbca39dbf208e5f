"""sessionSummaries and sessions: ranges, totals, latency, retention, outer and nested pages, and details."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from tests.app.sandbox.asking import NOON, Asker, dataset, instant, person, room


def calls(session_id, *times):
    """A room with a call of two for each (start, end), in minutes after noon."""
    return room(session_id, *(person(f"{session_id}-{n}{who}", *time) for n, time in enumerate(times) for who in "ab"))


def names(page):
    return [row["sessionId"] for row in page["resources"]]


def between(start, end):
    return f'start: "{instant(start)}", end: "{instant(end)}"'


def test_a_range_holds_the_sessions_with_a_meeting_created_in_it_with_their_whole_totals():
    asker = Asker(
        dataset(calls("reused", (0, 10), (100, 110), (200, 210)), calls("across", (95, 105)), calls("edge", (120, 121)))
    )
    wanted = "sessionId participantMinutes { from1To2Publishers } meetings { totalCount }"
    page = asker.summaries(between(96, 120), wanted)
    assert page["resources"] == [
        {"sessionId": "reused", "participantMinutes": {"from1To2Publishers": 60.0}, "meetings": {"totalCount": 3}}
    ]
    assert names(asker.summaries(between(95, 121))) == ["reused", "across", "edge"]
    assert names(asker.summaries(between(121, 200))) == []


def test_sessions_come_in_the_order_of_their_first_meeting_and_empty_rooms_not_at_all():
    asker = Asker(dataset(calls("late", (50, 60)), calls("b", (0, 10)), room("empty"), calls("a", (0, 5))))
    assert names(asker.summaries()) == ["a", "b", "late"]


def test_a_live_meeting_has_no_end_and_grows_until_five_minutes_ago():
    asker = Asker(dataset(calls("s", (0, 60))), NOON + timedelta(minutes=4, seconds=59))
    wanted = """sessionId meetings { resources {
        createdAt destroyedAt participantMinutes { from1To2Publishers } connections { resources { destroyedAt } } } }"""
    assert names(asker.summaries()) == []
    asker.upstream.clock.move(NOON + timedelta(minutes=25))
    (meeting,) = asker.session("s", wanted)["meetings"]["resources"]
    assert meeting["destroyedAt"] is None
    assert meeting["participantMinutes"]["from1To2Publishers"] == pytest.approx(40, abs=0.1)
    assert meeting["connections"]["resources"] == [{"destroyedAt": None}] * 2
    asker.upstream.clock.move(NOON + timedelta(minutes=66))
    (meeting,) = asker.session("s", wanted)["meetings"]["resources"]
    assert meeting["destroyedAt"] == "2026-10-05T20:00:00.000Z"
    assert meeting["participantMinutes"]["from1To2Publishers"] == 120.0


def test_a_meeting_is_gone_after_21_days_from_lists_and_totals():
    asker = Asker(dataset(calls("s", (0, 10), (60, 65))), NOON + timedelta(days=21, seconds=-5))
    wanted = "sessionId participantMinutes { from1To2Publishers } meetings { totalCount }"
    (row,) = asker.summaries("start: 0", wanted)["resources"]
    assert (row["participantMinutes"]["from1To2Publishers"], row["meetings"]["totalCount"]) == (30.0, 2)
    asker.upstream.clock.move(NOON + timedelta(days=21, seconds=1))
    (row,) = asker.summaries("start: 0", wanted)["resources"]
    assert (row["participantMinutes"]["from1To2Publishers"], row["meetings"]["totalCount"]) == (10.0, 1)
    asker.upstream.clock.move(NOON + timedelta(days=22))
    assert names(asker.summaries()) == []
    assert (
        asker.code(
            '{ project(projectId: 100) { sessionData { sessions(sessionIds: ["s"]) { totalCount resources { sessionId } } } } }'
        )
        == 1017
    )


def test_a_start_past_retention_is_an_error_but_0_is_the_earliest_record():
    asker = Asker(dataset(calls("s", (0, 10))), NOON + timedelta(days=21, minutes=10))
    query = "{ project(projectId: 100) { sessionData { sessionSummaries(%s) { totalCount } } } }"
    assert asker.code(query % between(0, 100)) == 1002
    assert "errors" not in asker.ask(query % between(11, 100))
    assert "errors" not in asker.ask(query % "start: 0")


def test_outer_pages_hold_every_session_once():
    asker = Asker(dataset(*(calls(f"s{n:03}", (n, n + 1)) for n in range(23))))
    found, cursor = [], ""
    while True:
        page = asker.summaries(f'start: 0, first: 10, endCursor: "{cursor}"')
        assert page["totalCount"] == 23
        found += names(page)
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        assert base64.b64decode(cursor).startswith(b"sessionSummaries:")
    assert cursor is None
    assert found == [f"s{n:03}" for n in range(23)]


def test_a_busy_room_shows_ten_meetings_inside_a_page_and_the_rest_by_nested_pages():
    asker = Asker(dataset(calls("busy", *((n * 20, n * 20 + 5) for n in range(27))), calls("quiet", (0, 5))))
    wanted = "sessionId meetings(first: 100) { pageInfo { hasNextPage endCursor } totalCount resources { createdAt } }"
    page = asker.summaries("start: 0", wanted)
    assert not page["pageInfo"]["hasNextPage"]
    busy, quiet = (row["meetings"] for row in page["resources"])
    assert (len(busy["resources"]), busy["totalCount"], busy["pageInfo"]["hasNextPage"]) == (10, 27, True)
    assert (len(quiet["resources"]), quiet["pageInfo"]["hasNextPage"]) == (1, False)
    found, meetings = busy["resources"], busy
    while meetings["pageInfo"]["hasNextPage"]:
        cursor = meetings["pageInfo"]["endCursor"]
        more = (
            f'meetings(first: 10, endCursor: "{cursor}") {{ pageInfo {{ hasNextPage endCursor }} resources {{ createdAt }} }}'
        )
        meetings = asker.session("busy", more)["meetings"]
        found += meetings["resources"]
    assert len(found) == 27
    assert [row["createdAt"] for row in found] == sorted({row["createdAt"] for row in found})


def test_meetings_can_be_asked_for_by_id_and_an_id_may_name_several():
    asker = Asker(dataset(calls("s", (0, 5), (8, 12), (60, 65))))
    ids = [row["meetingId"] for row in asker.session("s", "meetings { resources { meetingId } }")["meetings"]["resources"]]
    assert ids[0] == ids[1] != ids[2]
    for meeting_id, number in ((ids[0], 2), (ids[2], 1), ("nothing", 0)):
        assert asker.session("s", f'meetings(meetingId: "{meeting_id}") {{ totalCount }}')["meetings"]["totalCount"] == number


def test_sessions_answers_the_first_50_ids_only():
    asker = Asker(dataset(*(calls(f"s{n}", (n, n + 1)) for n in range(60))))
    query = """query($ids: [String]!) { project(projectId: 100) { sessionData {
        sessions(sessionIds: $ids, first: 1000) { totalCount resources { sessionId } } } } }"""
    page = asker.project(query, ids=[f"s{n}" for n in range(60)])["sessionData"]["sessions"]
    assert page["totalCount"] == 50
    assert names(page) == [f"s{n}" for n in range(50)]


def test_an_unknown_session_is_null_with_an_error_beside_the_others():
    asker = Asker(dataset(calls("known", (0, 5))))
    content = asker.ask(
        '{ project(projectId: 100) { sessionData { sessions(sessionIds: ["no", "known"]) { resources { sessionId } } } } }'
    )
    assert content["data"]["project"]["sessionData"]["sessions"]["resources"] == [None, {"sessionId": "known"}]
    (error,) = content["errors"]
    assert (error["errorCode"], error["path"]) == (1017, ["project", "sessionData", "sessions", "resources", 0])
    assert error["locations"]


def test_a_session_of_another_project_is_not_found():
    other = {"id": "200", "secret": "another-secret-0123456789abcdef0123456789"}
    asker = Asker(dataset(calls("mine", (0, 5)), {**calls("other", (0, 5)), "project_id": "200"}, projects=[other]))
    assert names(asker.summaries()) == ["mine"]
    assert (
        asker.code(
            '{ project(projectId: 100) { sessionData { sessions(sessionIds: ["other"]) { resources { sessionId } } } } }'
        )
        == 1017
    )


DETAILS = """
    mediaMode publisherMinutes subscriberMinutes
    meetings { resources {
        meetingId createdAt destroyedAt maxConcurrentStreams maxConcurrentConnections maxConcurrentSubscribers
        totalStreams totalConnections totalSubscribers publisherMinutes subscriberMinutes
        connections { totalCount maxConcurrent resources {
            connectionId guid createdAt destroyedAt sdkType sdkVersion browser browserVersion country region
            publishers { totalCount } subscribers { totalCount }
        } }
        publishers { totalCount resources {
            connectionId createdAt destroyedAt stream { streamId videoType hasAudioTrack hasVideoTrack }
            subscribers { totalCount }
            streamStatsCollection { totalCount resources { createdAt hasAudio hasVideo videoResolution { width height } } }
        } }
        subscribers { totalCount resources {
            subscriberId connectionId createdAt destroyedAt stream { streamId }
            streamStatsCollection(first: 2) { totalCount resources { createdAt subscribeToAudio subscribeToVideo audioCodec } }
        } }
    } }
"""


def test_details_say_who_was_connected_published_and_subscribed():
    session = Asker(
        dataset(room("s", person("a", 0, 10), person("b", 1, 9, [(2, 4), (3, 9)]), person("c", 5, 6, False)))
    ).session("s", DETAILS)
    assert (session["mediaMode"], session["publisherMinutes"], session["subscriberMinutes"]) == (
        "routed",
        18.0,
        8.0 + 8.0 + 2.0,
    )
    (meeting,) = session["meetings"]["resources"]
    assert {name: meeting[name] for name in meeting if name.startswith(("max", "total"))} == {
        "maxConcurrentStreams": 3,
        "maxConcurrentConnections": 3,
        "maxConcurrentSubscribers": 4,
        "totalStreams": 3,
        "totalConnections": 3,
        "totalSubscribers": 5,
    }
    connections = meeting["connections"]
    assert (connections["totalCount"], connections["maxConcurrent"]) == (3, 3)
    assert [
        (c["connectionId"], c["publishers"]["totalCount"], c["subscribers"]["totalCount"]) for c in connections["resources"]
    ] == [
        ("a", 1, 2),
        ("b", 2, 1),
        ("c", 0, 2),
    ]
    assert (connections["resources"][1]["createdAt"], connections["resources"][1]["destroyedAt"]) == (
        "2026-10-05T19:01:00.000Z",
        "2026-10-05T19:09:00.000Z",
    )
    publishers = meeting["publishers"]["resources"]
    assert [(p["connectionId"], p["stream"]["streamId"], p["subscribers"]["totalCount"]) for p in publishers] == [
        ("a", "a-0", 2),
        ("b", "b-0", 1),
        ("b", "b-1", 2),
    ]
    assert [p["streamStatsCollection"]["totalCount"] for p in publishers] == [20, 4, 12]
    assert [row["createdAt"] for row in publishers[1]["streamStatsCollection"]["resources"]] == [
        "2026-10-05T19:02:00.000Z",
        "2026-10-05T19:02:30.000Z",
        "2026-10-05T19:03:00.000Z",
        "2026-10-05T19:03:30.000Z",
    ]
    subscribers = meeting["subscribers"]["resources"]
    assert len({s["subscriberId"] for s in subscribers}) == 5
    assert all(len(s["streamStatsCollection"]["resources"]) == 2 for s in subscribers)


def test_people_are_paged_fifty_by_default_and_a_thousand_at_most():
    asker = Asker(dataset(room("s", *(person(f"p{n:04}", 0, 1, False) for n in range(1100)))))
    for arguments, number in (("", 50), ("(first: 7)", 7), ("(first: 100000)", 1000)):
        wanted = f"meetings {{ resources {{ connections{arguments} {{ totalCount resources {{ connectionId }} }} }} }}"
        (meeting,) = asker.session("s", wanted)["meetings"]["resources"]
        assert meeting["connections"]["totalCount"] == 1100
        assert len(meeting["connections"]["resources"]) == number


@pytest.mark.parametrize(
    ("pacific", "retry_after"),
    [
        (datetime(2026, 10, 8, 20, 59, 59), None),
        (datetime(2026, 10, 8, 21), 7200),
        (datetime(2026, 10, 8, 22, 59, 30), 30),
        (datetime(2026, 10, 8, 23, 0), None),
        (datetime(2026, 10, 11, 3, 59, 59), None),
        (datetime(2026, 10, 11, 4), 3 * 3600),
        (datetime(2026, 10, 11, 7), None),
        (datetime(2026, 10, 10, 5), None),
    ],
)
def test_maintenance_stops_the_session_level_only(pacific, retry_after):
    asker = Asker(dataset(calls("s", (0, 10))), (pacific + timedelta(hours=7)).replace(tzinfo=UTC))
    assert asker.post("{ project(projectId: 100) { projectData(start: 0) { totalCount } } }").status == 200
    for wanted in ("sessionSummaries(start: 0) { totalCount }", 'sessions(sessionIds: ["s"]) { totalCount }'):
        answer = asker.post(f"{{ project(projectId: 100) {{ sessionData {{ {wanted} }} }} }}")
        if retry_after is None:
            assert answer.status == 200
        else:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) == pytest.approx(retry_after, abs=1)
