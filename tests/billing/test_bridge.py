"""The bridge: an identity to the micro-minute, whatever the meetings, the order and the detail held."""

import random
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import report
from billing.errors import InvalidMinutes
from billing.facts import LIVE, MeetingDetail
from billing.meetings import MeetingLevel, attribute
from billing.model import BridgeLine, Evidence, Reconciliation
from billing.period import BillingPeriod, next_day, resolve
from billing.reconcile import reconcile
from tests.billing.world import MILLION, MINUTE, PLAN, TERMS, Meeting, Room, as_of, instant, reading, window

FIRST, LAST = date(2026, 10, 31), date(2026, 11, 2)
PERIOD = BillingPeriod(FIRST, LAST)
ALIGNED = resolve({"first_day": str(FIRST), "last_day": str(LAST)})
WINDOWS = [FIRST - timedelta(days=1), *PERIOD.days]
START, END = instant(FIRST), instant(next_day(LAST))

offsets = st.integers(-3 * 24 * 60, 6 * 24 * 60)
meetings = st.builds(
    lambda offset, length, people, name: Meeting(
        START + offset * MINUTE, START + (offset + length) * MINUTE, people, f"m{name}"
    ),
    offsets,
    st.integers(0, 30 * 60),
    st.integers(1, 40),
    st.integers(0, 2),
)
rooms = st.lists(
    st.lists(meetings, min_size=1, max_size=5, unique_by=lambda it: (it.id, it.created)),
    max_size=6,
).map(lambda lists: [Room(f"s{index}", listed) for index, listed in enumerate(lists)])


def known(world: list[Room]) -> list[Room]:
    """The sessions that some window lists."""
    low, high = instant(WINDOWS[0]), END
    return [room for room in world if any(low <= meeting.created < high for meeting in room.meetings)]


def by_tier(counts: dict[str, int]) -> list[int]:
    return [counts.get(field, 0) for field in PLAN.fields]


def brute(world: list[Room], low: int, high: int) -> list[int]:
    """What the known sessions used in `[low, high)`, meeting by meeting."""
    total = dict.fromkeys(PLAN.fields, 0)
    for room in world:
        for meeting in room.meetings:
            for field in meeting.minutes:
                total[field] += meeting.inside(low, high)
    return by_tier(total)


@given(rooms, st.booleans(), st.randoms(use_true_random=False))
def test_every_day_and_every_step_is_what_a_count_by_hand_gives(
    world: list[Room], detailed: bool, shuffled: random.Random
) -> None:
    windows = [window(world, day) for day in WINDOWS]
    shuffled.shuffle(windows)
    details = [meeting.detail(room.id) for room in world for meeting in room.meetings] if detailed else []
    level = attribute(windows, details, PERIOD, PLAN)
    seen = known(world)
    for index, day in enumerate(PERIOD.days):
        assert level.days[index].tolist() == brute(seen, instant(day), instant(next_day(day)))
    n = [room for room in seen if any(START <= meeting.created < END for meeting in room.meetings)]
    others = [room for room in seen if room not in n]
    stated = [sum(meeting.minutes.get(field, 0) for room in n for meeting in room.meetings) for field in PLAN.fields]
    assert level.session_level.tolist() == stated
    assert level.before.tolist() == brute(n, 0, START)
    created_in = [Room(room.id, [it for it in room.meetings if START <= it.created < END]) for room in n]
    created_out = [Room(room.id, [it for it in room.meetings if not START <= it.created < END]) for room in n]
    assert level.straddles_end.tolist() == brute(created_in, END, 1 << 62)
    assert level.after.tolist() == brute(created_out, END, 1 << 62)
    assert level.straddles_start.tolist() == brute(others, START, END)
    assert not level.mismatch.any()
    assert not level.mismatches


def bridge_of(answer: Reconciliation) -> dict[str, BridgeLine]:
    return {line.step: line for line in answer.bridge}


def evidence(world: list[Room], changes: dict[date, dict[str, int]] | None = None) -> Evidence:
    """Both levels as upstream would give them, the project level with `changes` by day."""
    daily = []
    for day in PERIOD.days:
        used = brute(known(world), instant(day), instant(next_day(day)))
        tiers = {
            field: value + (changes or {}).get(day, {}).get(field, 0) for field, value in zip(PLAN.fields, used, strict=True)
        }
        daily.append(reading(day, tiers if any(tiers.values()) else None))
    windows = [window(world, day) for day in WINDOWS]
    return Evidence(daily, windows, [], [], as_of(LAST))


adjustments = st.dictionaries(
    st.sampled_from(PERIOD.days),
    st.dictionaries(st.sampled_from(PLAN.fields), st.integers(1, 10_000) | st.integers(MILLION, 500 * MILLION), max_size=3),
)


@given(rooms, adjustments, st.dictionaries(st.sampled_from(PLAN.fields), st.integers(1, 10**9), max_size=2))
def test_each_subtotal_is_the_sum_of_the_lines_above(
    world: list[Room], changes: dict[date, dict[str, int]], excess: dict[str, int]
) -> None:
    for room in world[:1]:
        room.excess = excess
    answer = reconcile(ALIGNED, TERMS, evidence(world, changes))
    running = np.zeros(len(PLAN), np.int64)
    for line in answer.bridge:
        if line.subtotal and line.step != "session_level":
            assert running.tolist() == list(line.minutes)
        running = np.array(line.minutes) if line.subtotal else running + line.minutes
    assert answer.bridge[-1].minutes == answer.totals["project_level"]


@given(rooms, adjustments, st.randoms(use_true_random=False))
def test_the_same_evidence_in_any_order_gives_the_same_bytes(
    world: list[Room], changes: dict[date, dict[str, int]], shuffled: random.Random
) -> None:
    given_ = evidence(world, changes)
    details = [meeting.detail(room.id) for room in world for meeting in room.meetings]
    bytes_ = []
    for _ in range(2):
        parts = [list(given_.daily), list(given_.meetings), list(details)]
        for part in parts:
            shuffled.shuffle(part)
        bytes_.append(report.build(reconcile(ALIGNED, TERMS, Evidence(parts[0], parts[1], parts[2], [], given_.as_of))))
    assert bytes_[0] == bytes_[1]


@given(rooms, adjustments)
def test_what_was_added_to_a_day_is_the_residual_and_nothing_else(
    world: list[Room], changes: dict[date, dict[str, int]]
) -> None:
    answer = reconcile(ALIGNED, TERMS, evidence(world, changes))
    found = {it.days[0]: dict(it.minutes) for it in answer.discrepancies if it.code == "residual"}
    assert found == {
        day: above
        for day, fields in changes.items()
        if (above := {field: value for field, value in fields.items() if value > 10_000})
        and day_has_no_other_cause(answer, day)
    }


def day_has_no_other_cause(answer: Reconciliation, day: date) -> bool:
    return not any(
        day in it.days and it.code in ("project_day_missing", "boundary_straddle")
        for it in answer.discrepancies
        if not it.sessions
    )


def test_a_later_window_counts_for_a_meeting_that_two_hold() -> None:
    early, late = Meeting(START + MINUTE, START + 11 * MINUTE, 2, "a"), Meeting(instant(LAST, 5), instant(LAST, 6), 2, "b")
    grown = Meeting(early.created, early.end, 2, "a", adjusted=3 * MILLION)
    windows = [window([Room("s", [early, late])], FIRST), window([Room("s", [grown, late])], LAST)]
    level = attribute(windows, [], PERIOD, PLAN)
    assert level.days[0][0] == 23 * MILLION
    assert [change.minutes[0] for change in level.restated] == [3 * MILLION]


def test_a_meeting_past_retention_stays_counted_and_is_no_mismatch() -> None:
    """The last window no longer lists (nor states) the first meeting; what was stated of it before still counts."""
    old, new = Meeting(START + MINUTE, START + 11 * MINUTE, 2, "a"), Meeting(instant(LAST, 5), instant(LAST, 6), 2, "b")
    windows = [window([Room("s", [old])], FIRST), window([Room("s", [new])], LAST)]
    level = attribute(windows, [], PERIOD, PLAN)
    assert level.session_level[0] == level.total[0] == 140 * MILLION
    assert not level.mismatches


def test_the_latest_statement_of_a_session_counts() -> None:
    meeting, other = Meeting(START, START + 10 * MINUTE, 2, "a"), Meeting(instant(LAST, 5), instant(LAST, 6), 2, "b")
    wrong = window([Room("s", [meeting, other], {PLAN.fields[0]: 7 * MILLION})], FIRST)
    right = window([Room("s", [meeting, other])], LAST)
    assert not attribute([wrong, right], [], PERIOD, PLAN).mismatches
    later = window([Room("s", [meeting, other], {PLAN.fields[0]: 7 * MILLION})], FIRST, hours=300)
    assert [it.minutes[0] for it in attribute([later, right], [], PERIOD, PLAN).mismatches] == [7 * MILLION]


def test_a_live_meeting_counts_to_the_moment_that_upstream_knew_of() -> None:
    meeting = Meeting(instant(LAST, 23), instant(LAST, 26), 2, "a", live=True)
    told = window([Room("s", [meeting])], LAST, hours=2 + 5 / 60)
    detail = replace(
        meeting.detail("s"),
        connections=[(meeting.created, LIVE)] * 2,
        publishing=[(who, meeting.created, LIVE) for who in range(2)],
    )
    for details in ([], [detail]):
        level = attribute([told], details, PERIOD, PLAN)
        assert (level.days[2][0], level.straddles_end[0]) == (120 * MILLION, 240 * MILLION)


def test_a_room_may_be_older_than_any_period() -> None:
    room = Room("s", [Meeting(START - 800 * 1440 * MINUTE, START - 799 * 1440 * MINUTE, 1, "a"), Meeting(START, START, 1, "b")])
    assert [len(reuse.days) for reuse in attribute([window([room], FIRST)], [], PERIOD, PLAN).reuses] == [1]


def test_the_detail_of_a_live_meeting_says_nothing_of_what_came_after() -> None:
    night = Meeting(instant(FIRST, 23), instant(FIRST, 24.5), 2, "a", live=True)
    then = window([Room("s", [night])], FIRST, hours=0.5 + 5 / 60, complete=False)
    detail = replace(night.detail("s"), connections=[(night.created, LIVE)] * 2, publishing=[(0, night.created, LIVE)])
    ended, again = replace(night, end=instant(FIRST, 27), live=False), Meeting(instant(LAST, 5), instant(LAST, 6), 2, "b")
    later = window([Room("s", [ended, again])], LAST)
    assert level_of(then, later, detail).error[0][0] == level_of(then, later).error[0][0] > 0
    assert not level_of(then, detail).error.any()


def level_of(*evidence: object) -> MeetingLevel:
    details = [it for it in evidence if isinstance(it, MeetingDetail)]
    return attribute([it for it in evidence if isinstance(it, tuple)], details, PERIOD, PLAN)


def test_a_sum_that_leaves_64_bits_is_refused_and_never_wraps_around() -> None:
    people = [Room(f"s{index}", [Meeting(START, START, 1, "a", adjusted=10**15)]) for index in range(20_000)]
    with pytest.raises(InvalidMinutes, match="absurd"):
        attribute([window(people, FIRST)], [], PERIOD, PLAN)
    assert attribute([window(people[:4_000], FIRST)], [], PERIOD, PLAN).days[0][0] == 4 * 10**18
