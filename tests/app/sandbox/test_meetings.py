"""What follows from who was connected: the 10-minute rule, and the sweep against a count of every instant by itself."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sandbox.dataset import Dataset
from app.sandbox.meetings import MINUTE, peak
from billing.tiers import KNOWN_FIELDS, Tier
from tests.app.sandbox.asking import dataset, instant, person, room

MILLISECOND = 1 / 60_000


def meetings(*people):
    return Dataset.load(dataset(room("s", *people))).projects["100"].sessions["s"].meetings


@pytest.mark.parametrize(
    ("gap", "number", "ids"),
    [
        (-0.5, 1, 1),
        (0, 1, 1),
        (MILLISECOND, 2, 1),
        (10 - 3 * MILLISECOND, 2, 1),
        (10, 2, 2),
        (10 + 3 * MILLISECOND, 2, 2),
        (60, 2, 2),
    ],
)
def test_the_ten_minute_rule(gap, number, ids):
    found = meetings(person("a", 0, 5), person("b", 5 + gap, 8 + gap))
    assert len(found) == number
    assert len({meeting.meeting_id for meeting in found}) == ids


def test_an_id_is_handed_on_from_one_return_to_the_next():
    found = meetings(person("a", 0, 5), person("b", 10, 15), person("c", 20, 25), person("d", 35, 40))
    assert [meeting.meeting_id == found[0].meeting_id for meeting in found] == [True, True, True, False]


def test_several_streams_of_one_connection_are_one_publisher_but_each_is_streamed():
    (meeting,) = meetings(person("a", 0, 10, [(0, 10), (2, 6)]), person("b", 0, 10, []))
    assert meeting.use.participants == {1: 20 * MINUTE}
    assert meeting.use.published == 14 * MINUTE
    assert meeting.use.subscribed == 14 * MINUTE


def test_stated_subscriptions_replace_those_to_everybody():
    stated = {"subscriptions": [{"stream_id": "a-0", "created_at": instant(2), "destroyed_at": instant(5)}]}
    (meeting,) = meetings(person("a", 0, 10), person("b", 0, 10, **stated), person("c", 0, 10, [], subscriptions=[]))
    assert [(s.subscriber, s.publication.publisher, s.end - s.start) for s in meeting.subscriptions] == [
        (0, 1, 10 * MINUTE),
        (1, 0, 3 * MINUTE),
    ]
    assert meeting.use.subscribed == 13 * MINUTE


def test_a_full_mesh_of_n_subscribes_n_times_n_minus_1_minutes_a_minute():
    (meeting,) = meetings(*(person(f"p{number}", 0, 3) for number in range(7)))
    assert meeting.use.subscribed == 3 * 7 * 6 * MINUTE


def test_peak_counts_half_open_intervals():
    assert peak([(0, 5), (5, 9), (4, 6)]) == 2
    assert peak([(3, 3)]) == peak([]) == 0


# Times in whole minutes, on both sides of the midnight that ends 5 October.
EDGE = 12 * 60
interval = st.tuples(st.integers(EDGE - 25, EDGE + 25), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@st.composite
def people(draw):
    found = []
    for number in range(draw(st.integers(1, 7))):
        start, end = draw(interval)
        streams = [
            (start + first, min(end, start + first + length))
            for first, length in draw(st.lists(st.tuples(st.integers(0, end - start - 1), st.integers(1, 9)), max_size=3))
        ]
        found.append((f"p{number}", start, end, streams))
    return found


@given(people())
def test_the_sweep_is_what_counting_minute_by_minute_gives(drawn):
    """Every figure, against a look at each minute by itself that knows nothing of sweeps."""
    record = Dataset.load(dataset(room("s", *(person(*one) for one in drawn)))).projects["100"]
    by_day = {0: Counter(), 1: Counter()}
    published = subscribed = 0
    for minute in range(EDGE - 26, EDGE + 50):
        present = [one for one in drawn if one[1] <= minute < one[2]]
        publishing = [one for one in present if any(start <= minute < end for start, end in one[3])]
        streams = sum(start <= minute < end for one in present for start, end in one[3])
        by_day[minute >= EDGE].update({len(publishing): len(present)})
        published += streams
        subscribed += streams * (len(present) - 1)
    days = [record.days[day].use for day in sorted(record.days)]
    expected = [counts for counts in by_day.values() if sum(counts.values())]
    assert len(days) == len(expected)
    for use, counts in zip(days, expected, strict=True):
        for field in KNOWN_FIELDS:
            holds = Tier.parse(field).holds
            assert use.tiers()[field] == MINUTE * sum(amount for number, amount in counts.items() if number and holds(number))
    assert sum(use.published for use in days) == published * MINUTE
    assert sum(use.subscribed for use in days) == subscribed * MINUTE
    meetings = record.sessions["s"].meetings
    for field in KNOWN_FIELDS:
        assert sum(m.use.tiers()[field] for m in meetings) == sum(use.tiers()[field] for use in days)
        assert record.sessions["s"].total(meetings).tiers()[field] == sum(use.tiers()[field] for use in days)


@given(people())
def test_meetings_never_touch_and_hold_every_connection_once(drawn):
    found = meetings(*(person(*one) for one in drawn))
    assert sorted(c.connection_id for meeting in found for c in meeting.connections) == sorted(name for name, *_ in drawn)
    for before, after in pairwise(found):
        assert before.destroyed < after.created
        assert (before.meeting_id == after.meeting_id) == (after.created - before.destroyed < 10 * MINUTE)


@given(people(), st.integers(EDGE - 24, EDGE + 45))
def test_what_is_known_of_a_meeting_never_shrinks_and_ends_as_it_was(drawn, minute):
    for meeting in meetings(*(person(*one) for one in drawn)):
        as_of = meeting.created + 1 + (minute - EDGE + 24) * MINUTE
        known = meeting.known_at(as_of)
        assert known.live == (as_of < meeting.destroyed)
        assert sum(known.use.participants.values()) <= sum(meeting.use.participants.values())
        assert meeting.known_at(meeting.destroyed) is meeting
