"""Every fault does what it says, to that figure and to those that follow from it, and to no other."""

import json
from datetime import timedelta

import httpx
import pytest

from app.sandbox.datafile import DatasetError
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from billing.tiers import KNOWN_FIELDS
from tests.app.sandbox.asking import ACCOUNT_SECRET, DAYS_LATER, Asker, dataset, instant, person, room, signed

TIERS = f"participantMinutes {{ {' '.join(KNOWN_FIELDS)} }}"
LOW, MIDDLE = "from1To2Publishers", "from3To6Publishers"
DAY = "2026-10-05"

# A call of two for 10 minutes, then another of four for 5 in the same room; the day has 20 minutes at 2 and 20 at 4 publishers.
ROOM = room(
    "s",
    *(person(f"{who}", 0, 10) for who in "ab"),
    *(person(f"{who}", 60, 65) for who in "cdef"),
)


def asker(*faults, now=DAYS_LATER, **project):
    return Asker(dataset(ROOM, faults=faults, **project), now)


def day(who):
    """The day's tiers, or None where it is left out."""
    rows = who.days("start: 0, interval: DAILY", f"usage {{ {TIERS} }}")
    return rows[0]["usage"]["participantMinutes"] if rows else None


def session(who):
    """The session's total, and the tiers of each of its meetings."""
    found = who.session("s", f"{TIERS} meetings {{ resources {{ {TIERS} }} }}")
    return found["participantMinutes"], [meeting["participantMinutes"] for meeting in found["meetings"]["resources"]]


def changed(before, after):
    return {tier: after[tier] - before[tier] for tier in before if after[tier] != before[tier]}


def test_project_day_dropped():
    who = asker({"kind": "project_day_dropped", "day": DAY})
    assert day(who) is None
    assert who.days("start: 0, interval: MONTHLY") == []
    assert session(who) == session(asker())


def test_project_day_adjusted_moves_every_overlapping_tier():
    more = {"kind": "project_day_adjusted", "day": DAY, "tier": MIDDLE, "minutes": "1.5"}
    assert changed(day(asker()), day(asker(more))) == {
        MIDDLE: 1.5,
        "from1To4Publishers": 1.5,
        "from1To8Publishers": 1.5,
        "from1To10Publishers": 1.5,
        "from1To25Publishers": 1.5,
        "from3To25Publishers": 1.5,
    }
    less = more | {"minutes": -20}
    assert day(asker(less))[MIDDLE] == 0.0
    assert day(asker(less))["from1To4Publishers"] == 20.0
    assert session(asker(more)) == session(asker())


def test_a_day_can_be_made_of_nothing():
    who = asker({"kind": "project_day_adjusted", "day": "2026-10-04", "tier": LOW, "minutes": 3})
    assert [row["usage"]["participantMinutes"][LOW] for row in who.days("start: 0, interval: DAILY")] == [3.0, 20.0]


@pytest.mark.parametrize(
    ("tier", "more", "tiers"),
    [
        ("from1To4Publishers", {}, {"from1To4Publishers": 7.0}),
        (LOW, {"alone": True}, {LOW: 7.0}),
        ("from41PlusPublishers", {"alone": False}, {"from41PlusPublishers": 7.0, "from36PlusPublishers": 7.0}),
    ],
)
def test_a_fault_alone_changes_one_field_only(tier, more, tiers):
    fault = {"tier": tier, "minutes": 7} | more
    assert changed(day(asker()), day(asker({"kind": "project_day_adjusted", "day": DAY} | fault))) == tiers
    meeting = {"kind": "meeting_adjusted", "session_id": "s", "meeting_created_at": instant(0)} | fault
    (total, meetings), (plain, plain_meetings) = session(asker(meeting)), session(asker())
    assert changed(plain, total) == changed(plain_meetings[0], meetings[0]) == tiers


def test_an_unlisted_tier_of_a_project_with_a_plan_can_be_filled_alone():
    plan = ["from1To8Publishers", "from9To10Publishers", "from11To35Publishers", "from36PlusPublishers"]
    fault = {"kind": "project_day_adjusted", "day": DAY, "tier": LOW, "minutes": 7}
    assert changed(day(asker(tiers=plan)), day(asker(fault | {"alone": True}, tiers=plan))) == {LOW: 7.0}
    assert changed(day(asker(tiers=plan)), day(asker(fault, tiers=plan))) == {"from1To8Publishers": 7.0}
    with pytest.raises(DatasetError, match="not filled"):
        asker(fault | {"alone": True, "minutes": -7}, tiers=plan)


def test_tier_shifted_keeps_the_total():
    who = asker({"kind": "tier_shifted", "day": DAY, "from": MIDDLE, "to": LOW, "minutes": 5})
    shifts = changed(day(asker()), day(who))
    assert (shifts[LOW], shifts[MIDDLE], shifts.get("from1To8Publishers", 0)) == (5.0, -5.0, 0)


def test_restated_from_an_instant_on():
    at = DAYS_LATER + timedelta(hours=1)
    who = asker({"kind": "restated", "day": DAY, "tier": LOW, "minutes": "-2.25", "at": at.isoformat()})
    assert day(who)[LOW] == 20.0
    who.upstream.clock.move(at + timedelta(seconds=1))
    assert day(who)[LOW] == 17.75
    who.upstream.clock.move(at - timedelta(minutes=1))
    assert day(who)[LOW] == 20.0


def test_meeting_adjusted_moves_the_sessions_total_and_not_the_day():
    who = asker(
        {"kind": "meeting_adjusted", "session_id": "s", "meeting_created_at": instant(60), "tier": MIDDLE, "minutes": 2}
    )
    total, meetings = session(who)
    assert [meeting[MIDDLE] for meeting in meetings] == [0.0, 22.0]
    assert total[MIDDLE] == 22.0
    assert day(who) == day(asker())


def test_meeting_hidden_stays_in_the_total():
    who = asker({"kind": "meeting_hidden", "session_id": "s", "meeting_created_at": instant(60)})
    total, meetings = session(who)
    assert len(meetings) == 1
    assert (total[LOW], total[MIDDLE]) == (20.0, 20.0)
    assert who.summaries(f'start: "{instant(1)}", end: "{instant(100)}"')["totalCount"] == 0
    assert day(who) == day(asker())


def test_session_total_adjusted_changes_the_total_only():
    for minutes, then in ((4, 24.0), (-4, 16.0)):
        who = asker({"kind": "session_total_adjusted", "session_id": "s", "tier": LOW, "minutes": minutes})
        total, meetings = session(who)
        assert total[LOW] == then
        assert meetings == session(asker())[1]
        assert day(who) == day(asker())


def test_meeting_conflict_answers_twice_in_one_listing():
    conflict = {"session_id": "s", "meeting_created_at": instant(0), "tier": LOW, "minutes": 1}
    who = asker({"kind": "meeting_conflict"} | conflict)
    total, meetings = session(who)
    assert [meeting[LOW] for meeting in meetings] == [20.0, 21.0, 0.0]
    assert total == session(asker())[0]
    assert day(who) == day(asker())


@pytest.mark.parametrize(
    ("pointer", "fault"),
    [
        ("/faults/0/kind", {"kind": "nonsense"}),
        ("/faults/0", {"kind": "project_day_dropped"}),
        ("/faults/0/day", {"kind": "project_day_dropped", "day": "5 October"}),
        ("/faults/0/project_id", {"kind": "project_day_dropped", "project_id": "7", "day": DAY}),
        ("/faults/0/tier", {"kind": "project_day_adjusted", "day": DAY, "tier": "from1To3Publishers", "minutes": 1}),
        ("/faults/0/minutes", {"kind": "project_day_adjusted", "day": DAY, "tier": LOW, "minutes": "one"}),
        ("/faults/0/minutes", {"kind": "project_day_adjusted", "day": DAY, "tier": LOW, "minutes": "0.0000001"}),
        ("/faults/0/minutes", {"kind": "project_day_adjusted", "day": DAY, "tier": LOW, "minutes": -20.5}),
        ("/faults/0/minutes", {"kind": "project_day_adjusted", "day": DAY, "tier": LOW, "minutes": -20.5, "alone": True}),
        ("/faults/0/minutes", {"kind": "tier_shifted", "day": DAY, "from": LOW, "to": MIDDLE, "minutes": 21}),
        ("/faults/0/minutes", {"kind": "restated", "day": DAY, "tier": LOW, "minutes": -21, "at": "2026-10-09T00:00:00Z"}),
        ("/faults/0/at", {"kind": "restated", "day": DAY, "tier": LOW, "minutes": 1, "at": "2026-10-09"}),
        ("/faults/0/session_id", {"kind": "session_total_adjusted", "session_id": "t", "tier": LOW, "minutes": 1}),
        ("/faults/0/minutes", {"kind": "session_total_adjusted", "session_id": "s", "tier": LOW, "minutes": -21}),
        ("/faults/0/meeting_created_at", {"kind": "meeting_hidden", "session_id": "s", "meeting_created_at": instant(1)}),
        ("/faults/0", {"kind": "http", "operation": "sessions", "calls": [1]}),
        ("/faults/0", {"kind": "http", "operation": "sessions", "calls": [1], "status": 500, "html": True}),
        ("/faults/0/calls/0", {"kind": "http", "operation": "sessions", "calls": [0], "status": 500}),
        ("/faults/0/timeout", {"kind": "http", "operation": "sessions", "calls": [1], "timeout": -1}),
        ("/faults/0/operation", {"kind": "http", "operation": "clock", "calls": [1], "status": 500}),
    ],
)
def test_a_fault_that_cannot_be_planted_is_refused_by_its_pointer(pointer, fault):
    with pytest.raises(DatasetError) as refused:
        Dataset.load(dataset(ROOM, faults=[fault]))
    assert refused.value.pointer == pointer


QUERIES = {
    "projectData": "{ project(projectId: 100) { projectData(start: 0) { totalCount } } }",
    "sessionSummaries": "{ project(projectId: 100) { sessionData { sessionSummaries(start: 0) { totalCount } } } }",
    "sessions": '{ project(projectId: 100) { sessionData { sessions(sessionIds: ["s"]) { totalCount } } } }',
}


def json_or_none(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


@pytest.mark.parametrize("operation", list(QUERIES))
@pytest.mark.parametrize(
    ("way", "check"),
    [
        ({"status": 503, "retry_after": 7}, lambda a: (a.status, a.headers["Retry-After"]) == (503, "7")),
        ({"status": 429}, lambda a: a.status == 429 and "Retry-After" not in a.headers),
        ({"timeout": True}, lambda a: a.delay == 60.0),
        ({"timeout": 2.5}, lambda a: a.delay == 2.5 and a.status == 200),
        ({"truncated": True}, lambda a: a.status == 200 and a.body.startswith(b'{"data"') and not a.body.endswith(b"}")),
        ({"html": True}, lambda a: a.headers["Content-Type"] == "text/html" and a.body.startswith(b"<!doctype")),
        ({"error_code": 1012}, lambda a: json.loads(a.body)["errors"][0]["errorCode"] == 1012),
    ],
)
def test_http_faults_strike_the_calls_named_and_no_others(operation, way, check):
    expected = {name: json.loads(asker().post(query).body) for name, query in QUERIES.items()}
    who = asker({"kind": "http", "operation": operation, "calls": [2, 3]} | way)
    for call in (1, 2, 3, 4):
        for name, query in QUERIES.items():
            answer = who.post(query)
            plain = (answer.status, answer.delay, json_or_none(answer.body)) == (200, 0.0, expected[name])
            assert plain == (name != operation or call not in (2, 3))
            assert plain or check(answer)


def test_http_faults_are_one_projects():
    other = {"id": "200", "secret": "another-secret-0123456789abcdef0123456789"}
    fault = {"kind": "http", "operation": "projectData", "calls": [1], "status": 500, "project_id": "200"}
    who = Asker(dataset(ROOM, faults=[fault], projects=[other]))
    assert who.post(QUERIES["projectData"]).status == 200


def test_http_faults_of_the_project_list():
    who = asker({"kind": "http", "operation": "projects", "calls": [1], "status": 502})
    now = int(who.upstream.clock.now().timestamp())
    account = {"X-OPENTOK-AUTH": signed({"iss": "9000", "ist": "account", "iat": now, "exp": now + 60}, ACCOUNT_SECRET)}
    assert [who.upstream.handle("GET", "/v2/project", account).status for _ in range(2)] == [502, 200]


def test_the_transport_times_out_at_once_where_a_socket_would_after_a_while():
    who = asker({"kind": "http", "operation": "projectData", "calls": [1, 2], "timeout": 30})
    with httpx.Client(transport=SandboxTransport(who.upstream), base_url="http://sandbox") as client:
        body = {"query": QUERIES["projectData"]}
        with pytest.raises(httpx.ReadTimeout):
            client.post("/graphql", json=body, headers=who.headers())
        assert client.post("/graphql", json=body, headers=who.headers(), timeout=60).status_code == 200
