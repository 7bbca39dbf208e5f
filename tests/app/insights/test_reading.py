"""What the client reads is what the dataset holds, to the last page, whatever the size of the pages."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from unittest import mock

import pytest
from graphql import parse
from hypothesis import given, settings
from hypothesis import strategies as st

from app.insights import queries
from app.insights.client import InsightsClient, MeetingRef
from app.insights.queries import DetailAsk, More
from app.sandbox.paging import asked
from app.sandbox.upstream import MOST_NODES
from app.store.payloads import decode_details, decode_meetings, meeting_rows
from billing.facts import LIVE, USAGE_KINDS, key64
from billing.period import BillingPeriod, day_start
from billing.tiers import KNOWN_FIELDS
from tests.app.insights.support import DAY_START, NOW, TIERS, client, connection, session, upstream

DAY = date(2026, 10, 4)


def page_sizes(**sizes):
    return mock.patch.multiple(queries, **sizes)


def truth(inner, start, end):
    """By session with a meeting created in [start, end): (id, created, destroyed) of all its meetings, from the dataset."""
    held = {}
    for name, record in inner.dataset.projects["100"].sessions.items():
        meetings = [(meeting.meeting_id, meeting.created, meeting.destroyed) for meeting in record.meetings]
        if any(start <= created < end for _, created, _ in meetings):
            held[name] = meetings
    return held


def test_a_window_holds_every_meeting_of_every_session_in_it():
    inner = upstream()
    with client(inner) as reader:
        answer = reader.meetings(DAY, TIERS)
    day = decode_meetings(answer.payload.content, TIERS)
    expected = truth(inner, int(DAY_START.timestamp()) * 10**6, int(day_start(date(2026, 10, 5)).timestamp()) * 10**6)
    assert set(day.session_ids) == set(expected) == {"busy", "busier", "ordinary", "crossing", "crossing twice", "silent"}
    assert len(expected["busy"]) == 23
    for name, meetings in expected.items():
        rows = meeting_rows(answer.payload.content, name).meetings
        assert [(row.meeting_id, row.created, row.destroyed) for row in rows] == meetings
    assert answer.live == 0
    assert answer.observed_at == pytest.approx(NOW, abs=timedelta(minutes=1))
    assert {ref.session_id for ref in answer.crossers} == {"crossing", "crossing twice"}
    assert [ref.created for ref in answer.crossers] == [
        int((DAY_START + timedelta(hours=hours)).timestamp()) * 10**6 for hours in (23.5, 23.75)
    ]


def test_further_meetings_of_several_sessions_are_asked_for_together():
    inner = upstream()
    with client(inner) as reader:
        answer = reader.meetings(DAY, TIERS)
    # 23 and 31 meetings: two and three further pages, the first two of both in one request; and the one page of sessions.
    assert answer.requests == 4


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 10), st.integers(1, 3))
def test_the_payload_does_not_depend_on_the_size_of_the_pages(sessions, meetings, per_query):
    inner = upstream()
    with client(inner) as reader, page_sizes(_SUMMARIES=sessions, _MEETINGS=meetings, SESSIONS_PER_QUERY=per_query):
        paged = reader.meetings(DAY, TIERS)
    with client(inner) as reader:
        whole = reader.meetings(DAY, TIERS)
    assert (paged.payload.sha256, paged.crossers, paged.live) == (whole.payload.sha256, whole.crossers, whole.live)


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(1, 3))
def test_details_do_not_depend_on_the_size_of_the_pages(people, per_query):
    inner = upstream()
    with client(inner) as reader:
        crossers = reader.meetings(DAY, TIERS).crossers
        whole = reader.details(crossers)
        with page_sizes(_PEOPLE=people, SESSIONS_PER_QUERY=per_query):
            paged = reader.details(crossers)
    assert paged.payload == whole.payload
    assert whole.requests == 1
    details = {detail.session: detail for detail in decode_details(whole.payload.content)}
    crossing = details[key64("crossing")]
    start = int((DAY_START + timedelta(hours=23.5)).timestamp()) * 10**6
    assert crossing.connections == [(start, start + 3600 * 10**6)] * 7
    assert len(crossing.publishing) == 3
    assert len({index for index, _, _ in crossing.publishing}) == 3


def test_meetings_that_share_an_id_are_told_apart_in_their_details():
    """Back within ten minutes: a new meeting of the same id. Only the second crosses the midnight."""
    calls = [(23, 30), (23 + 35 / 60, 60)]
    inner = upstream(sessions=[session("back", *calls)])
    with client(inner) as reader:
        answer = reader.meetings(DAY, TIERS)
        (crosser,) = answer.crossers
        details = reader.details(answer.crossers)
        both = [
            MeetingRef("back", crosser.meeting_id, int((DAY_START + timedelta(hours=hours)).timestamp()) * 10**6)
            for hours, _ in calls
        ]
        assert both[1] == crosser
        for sizes in ({"_PEOPLE": 9}, {"_PEOPLE": 1}, {"_MEETINGS": 1}, {"_MEETINGS": 1, "_PEOPLE": 1}):
            with page_sizes(**sizes):
                assert [detail.created for detail in decode_details(reader.details(both).payload.content)] == [
                    ref.created for ref in both
                ]
    (detail,) = decode_details(details.payload.content)
    assert detail.created == crosser.created
    assert len(detail.connections) == len(detail.publishing) == 2


def test_a_meeting_answered_twice_is_a_conflict_and_its_detail_is_read_once():
    fault = {
        "kind": "meeting_conflict",
        "session_id": "crossing",
        "meeting_created_at": (DAY_START + timedelta(hours=23.5)).isoformat(),
        "tier": "from3To6Publishers",
        "minutes": "5",
    }
    with client(upstream(fault)) as reader:
        answer = reader.meetings(DAY, TIERS)
        (conflict,) = decode_meetings(answer.payload.content, ["from3To6Publishers"]).conflicts
        details = reader.details(answer.crossers)
    assert conflict.session_id == "crossing"
    assert conflict.second["from3To6Publishers"] - conflict.first["from3To6Publishers"] == 5_000_000
    assert len(decode_details(details.payload.content)) == 2


def test_a_meeting_that_goes_on_is_live_and_crosses_once_the_midnight_is_past():
    start = DAY_START + timedelta(hours=23)
    room = session("going on") | {"connections": [connection("a", start, start + timedelta(hours=5))]}
    for hours, crossers in ((0.5, 0), (2, 1)):
        inner = upstream(sessions=[room], now=start + timedelta(hours=hours))
        with client(inner) as reader:
            answer = reader.meetings(DAY, TIERS)
            assert (answer.live, len(answer.crossers)) == (1, crossers)
            assert decode_meetings(answer.payload.content, TIERS).destroyed.tolist() == [LIVE]
            if crossers:
                (detail,) = decode_details(reader.details(answer.crossers).payload.content)
                assert detail.connections[0][1] == LIVE


def test_a_day_without_meetings_is_an_empty_window():
    with client(upstream()) as reader:
        answer = reader.meetings(date(2026, 10, 6), TIERS)
    assert len(decode_meetings(answer.payload.content, TIERS).sessions) == 0
    assert (answer.crossers, answer.live, answer.requests) == ([], 0, 1)


def test_every_day_of_a_period_is_answered_for_and_a_day_left_out_is_none():
    with client(upstream()) as reader:
        answer = reader.daily_usage(BillingPeriod(date(2026, 10, 1), date(2026, 10, 7)), TIERS)
    assert list(answer.days) == [date(2026, 10, day) for day in range(1, 8)]
    assert [day for day, usage in answer.days.items() if usage] == [date(2026, 10, 3), date(2026, 10, 4)]
    usage = answer.days[DAY]
    assert tuple(usage.tiers) == KNOWN_FIELDS
    # Calls of two: 22 of 10 minutes on the day, 31 of 7, one of 45; then the crossings' parts, and 30 alone.
    assert usage.tiers["from1To2Publishers"] == 10**6 * (22 * 20 + 31 * 14 + 90 + 2 * 15 + 2 * 15 + 30)
    assert usage.tiers["from3To6Publishers"] == 10**6 * 7 * 30
    assert set(usage.usage) == set(USAGE_KINDS)
    assert answer.requests == 1


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_daily_usage_is_read_to_the_last_page(size):
    sessions = [session("long", *[(24 * day + 9, 30) for day in range(30)])]
    period = BillingPeriod(date(2026, 10, 4), date(2026, 11, 2))
    inner = upstream(sessions=sessions, now=datetime(2026, 11, 20, tzinfo=UTC))
    with client(inner) as reader, page_sizes(_DAYS=size):
        answer = reader.daily_usage(period, TIERS)
    # An hour later from 1 November on, because the clocks go back: still on the same day.
    assert all(usage.tiers["from1To2Publishers"] == 60 * 10**6 for usage in answer.days.values())
    assert answer.requests == -(-30 // size)


def test_only_the_tiers_asked_for_are_kept():
    with client(upstream()) as reader:
        answer = reader.daily_usage(BillingPeriod(DAY, DAY), TIERS[:2])
        assert set(answer.days[DAY].tiers) == set(TIERS[:2])
        assert decode_meetings(reader.meetings(DAY, TIERS[:2]).payload.content, TIERS[:2]).minutes.keys() == set(TIERS[:2])


EVIL = 'a"b\\c{}\n\u2028😀'


def test_every_query_is_under_the_limit_of_nodes_and_holds_any_id():
    start, end = DAY_START, DAY_START + timedelta(days=1)
    many = [
        queries.daily_usage(EVIL, start, end, TIERS, EVIL),
        queries.summaries(EVIL, start, end, TIERS, EVIL),
        queries.more_meetings(EVIL, [More(EVIL, EVIL)] * queries.SESSIONS_PER_QUERY, TIERS),
        queries.details(EVIL, [DetailAsk(EVIL, EVIL)] * queries.SESSIONS_PER_QUERY),
    ]
    for query in many:
        assert 0 < asked(parse(query), None, {}).nodes < MOST_NODES / 2
    for selection in parse(many[2]).definitions[0].selection_set.selections[0].selection_set.selections:
        assert all(
            field.arguments[0].value.values[0].value == EVIL
            for field in selection.selection_set.selections
            if field.name.value == "sessions"
        )


@pytest.mark.parametrize("hours", [23, 25])
def test_the_day_of_a_change_of_the_clocks_is_asked_for_whole(hours):
    day = date(2026, 3, 8) if hours == 23 else date(2026, 11, 1)
    start, end = day_start(day), day_start(day + timedelta(days=1))
    assert end - start == timedelta(hours=hours)
    edges = [start, end - timedelta(minutes=5)]
    rooms = [
        {**session(f"at {edge:%H:%M}"), "connections": [connection("a", edge, edge + timedelta(minutes=5))]}
        for edge in (*edges, start - timedelta(minutes=5), end)
    ]
    with client(upstream(sessions=rooms, now=end + timedelta(hours=60))) as reader:
        answer = reader.meetings(day, TIERS)
        usage = reader.daily_usage(BillingPeriod(day, day), TIERS).days[day]
    assert sorted(decode_meetings(answer.payload.content, TIERS).created) == sorted(
        int(edge.timestamp()) * 10**6 for edge in edges
    )
    assert usage.tiers["from1To2Publishers"] == 10 * 10**6


def test_one_client_serves_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    inner = upstream()
    days = [date(2026, 10, day) for day in (3, 4, 5, 6)] * 3
    with client(inner) as reader, ThreadPoolExecutor(6) as pool:
        hashes = [answer.payload.sha256 for answer in pool.map(lambda day: reader.meetings(day, TIERS), days)]
    assert hashes[:4] * 3 == hashes
    assert all(one != other for one, other in pairwise(hashes[:3]))


def test_the_client_is_a_context_manager_that_closes():
    reader = client(upstream())
    assert isinstance(reader, InsightsClient)
    with reader as same:
        assert same is reader
    with pytest.raises(RuntimeError, match="closed"):
        reader.meetings(DAY, TIERS)
