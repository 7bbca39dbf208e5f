"""Each discrepancy when it is due, and only then; the verdict that follows."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from billing.discrepancy import Code
from billing.errors import TierNotObserved
from billing.facts import Conflict, DailyUsage, MeetingDay, Observation
from billing.model import DailyReading, Evidence, Reconciliation, Verdict
from billing.period import next_day, resolve
from billing.reconcile import reconcile
from tests.billing.world import MILLION, PLAN, TERMS, Meeting, Room, as_of, instant, reading, window

DAY = date(2026, 10, 6)
BEFORE, AFTER = DAY - timedelta(days=1), next_day(DAY)
ONE, TWO = PLAN.fields[0], PLAN.fields[1]


def answer(
    rooms: list[Room],
    daily: list[DailyReading],
    *,
    details: bool = True,
    skip: tuple[date, ...] = (),
    request: dict[str, object] | None = None,
    incomplete: tuple[date, ...] = (),
    cross_check: bool = True,
) -> Reconciliation:
    aligned = resolve(request or {"first_day": str(DAY), "last_day": str(DAY)})
    days = [aligned.period.first_day - timedelta(days=1), *aligned.period.days]
    windows = [window(rooms, day, complete=day not in incomplete) for day in days if day not in skip]
    held = [meeting.detail(room.id) for room in rooms for meeting in room.meetings] if details else []
    terms = TERMS if cross_check else replace(TERMS, cross_check=False)
    return reconcile(aligned, terms, Evidence(daily, windows, held, [], as_of(aligned.period.last_day)))


def found(it: Reconciliation) -> list[tuple[str, dict[str, int], list[str], list[str]]]:
    return [(x.code.value, dict(x.minutes), [str(day) for day in x.days], list(x.sessions)) for x in it.discrepancies]


def hour(room: str = "s", people: int = 2) -> Room:
    return Room(room, [Meeting(instant(DAY, 9), instant(DAY, 10), people)])


def test_two_levels_that_agree_balance() -> None:
    it = answer([hour()], [reading(DAY, {ONE: 120 * MILLION})])
    assert (it.verdict, found(it), it.explained) == (Verdict.BALANCED, [], Decimal(1))


@pytest.mark.parametrize(
    ("off", "verdict"), [(10_000, Verdict.BALANCED), (10_001, Verdict.UNEXPLAINED), (-10_001, Verdict.UNEXPLAINED)]
)
def test_the_tolerance_is_a_hundredth_of_a_minute(off: int, verdict: Verdict) -> None:
    it = answer([hour()], [reading(DAY, {ONE: 120 * MILLION + off})])
    assert it.verdict is verdict
    assert found(it) == ([("residual", {ONE: off}, [str(DAY)], [])] if verdict is Verdict.UNEXPLAINED else [])


def test_a_large_figure_has_a_relative_tolerance() -> None:
    rooms = [Room("s", [Meeting(instant(DAY, 9), instant(DAY, 10), 2, adjusted=10**11)])]
    assert answer(rooms, [reading(DAY, {ONE: 120 * MILLION + 10**11 + 100_000})]).verdict is Verdict.BALANCED
    assert answer(rooms, [reading(DAY, {ONE: 120 * MILLION + 10**11 + 100_200})]).verdict is Verdict.UNEXPLAINED


def test_a_day_left_out_after_it_was_final_is_missing_where_meetings_show_usage() -> None:
    it = answer([hour()], [reading(DAY, None)])
    assert (it.verdict, found(it)) == (Verdict.INCOMPLETE, [("project_day_missing", {ONE: -120 * MILLION}, [str(DAY)], [])])
    assert it.days[0].project_status == "no_usage"


def test_a_day_left_out_without_meetings_is_a_day_without_usage() -> None:
    it = answer([], [reading(DAY, None)])
    assert (it.verdict, found(it)) == (Verdict.BALANCED, [])


def test_a_day_never_read_is_missing_or_expired() -> None:
    it = answer([hour()], [])
    assert (it.verdict, it.days[0].project_status) == (Verdict.INCOMPLETE, "missing")
    late = reconcile(it.aligned, it.terms, Evidence([], [], [], [], as_of(DAY, 24 * 91)))
    assert late.days[0].project_status == "expired"


def test_an_early_reading_is_provisional_even_where_it_agrees() -> None:
    it = answer([hour()], [reading(DAY, {ONE: 120 * MILLION}, hours=47.9)])
    assert (it.verdict, found(it)) == (Verdict.INCOMPLETE, [("day_not_final", {}, [str(DAY)], [])])
    it = answer([hour()], [reading(DAY, {ONE: 100 * MILLION}, hours=40)])
    assert found(it) == [("day_not_final", {ONE: -20 * MILLION}, [str(DAY)], [])]


@pytest.mark.parametrize("gap", [BEFORE, DAY])
def test_usage_on_a_day_whose_meetings_are_not_all_known(gap: date) -> None:
    it = answer([hour()], [reading(DAY, {ONE: 150 * MILLION})], skip=(gap,))
    missing = 30 * MILLION if gap == BEFORE else 150 * MILLION
    assert found(it) == [("meeting_day_missing", {ONE: missing}, [str(DAY)], [])]
    assert it.verdict is Verdict.INCOMPLETE
    assert str(gap) in it.discrepancies[0].summary


def test_meetings_missing_cannot_explain_that_there_are_too_many() -> None:
    it = answer([hour()], [reading(DAY, {ONE: 90 * MILLION})], incomplete=(DAY,))
    assert [(code, minutes) for code, minutes, _, _ in found(it)] == [
        ("residual", {ONE: -30 * MILLION}),
        ("meeting_day_missing", {}),
    ]
    assert "meetings still live" in it.days[0].gaps[0]


def test_a_tier_shift_keeps_the_total() -> None:
    it = answer([hour(), hour("t", 3)], [reading(DAY, {ONE: 110 * MILLION, TWO: 190 * MILLION})])
    assert found(it) == [("tier_shift", {ONE: -10 * MILLION, TWO: 10 * MILLION}, [str(DAY)], [])]
    assert (it.verdict, it.explained) == (Verdict.EXPLAINED, Decimal(1))
    it = answer([hour(), hour("t", 3)], [reading(DAY, {ONE: 110 * MILLION, TWO: 195 * MILLION})])
    assert [code for code, *_ in found(it)] == ["residual"]


def test_a_restatement_explains_no_more_than_it_changed() -> None:
    first, latest = reading(DAY, {ONE: 120 * MILLION}), reading(DAY, {ONE: 135 * MILLION}, hours=200)
    it = answer([hour()], [latest, first])
    assert (it.verdict, found(it)) == (Verdict.EXPLAINED, [("restated", {ONE: 15 * MILLION}, [str(DAY)], [])])
    it = answer([hour()], [reading(DAY, {ONE: 130 * MILLION}), latest])
    assert sorted(found(it), key=str) == [
        ("residual", {ONE: 10 * MILLION}, [str(DAY)], []),
        ("restated", {ONE: 5 * MILLION}, [str(DAY)], []),
    ]
    assert it.verdict is Verdict.UNEXPLAINED
    assert it.explained == Decimal("0.333333")


def test_a_restatement_towards_the_meetings_explains_nothing_and_is_told() -> None:
    it = answer([hour()], [reading(DAY, {ONE: 100 * MILLION}), reading(DAY, {ONE: 120 * MILLION}, hours=200)])
    assert (it.verdict, found(it)) == (Verdict.BALANCED, [("restated", {ONE: 20 * MILLION}, [str(DAY)], [])])


def test_a_change_that_is_taken_back_is_still_a_change() -> None:
    """An invoice may rest on the figure between, so that it is corrected and not forgotten."""
    readings = [reading(DAY, {ONE: minutes * MILLION}, hours=hours) for minutes, hours in ((120, 50), (150, 200), (120, 300))]
    it = answer([hour()], readings)
    assert (it.verdict, found(it)) == (Verdict.BALANCED, [("restated", {}, [str(DAY)], [])])
    assert "without a participant minute more or less in the end" in it.discrepancies[0].summary


def test_a_change_before_the_day_was_final_is_no_restatement() -> None:
    it = answer([hour()], [reading(DAY, {ONE: 100 * MILLION}, hours=40), reading(DAY, {ONE: 120 * MILLION})])
    assert found(it) == []


def test_other_usage_that_changed_is_restated_too() -> None:
    first, latest = reading(DAY, {ONE: 120 * MILLION}), reading(DAY, {ONE: 120 * MILLION}, hours=200)
    assert latest.value is not None
    changed = DailyReading(latest.observation, type(latest.value)(latest.value.tiers, {"sipUserMinutes": MILLION}))
    assert found(answer([hour()], [first, changed])) == [("restated", {}, [str(DAY)], [])]


def straddler(people: int = 2) -> Room:
    return Room("s", [Meeting(instant(BEFORE, 23), instant(DAY, 1), people)])


def test_a_meeting_over_the_start_of_a_session_not_in_n() -> None:
    it = answer([straddler()], [reading(DAY, {ONE: 120 * MILLION})])
    assert found(it) == [("boundary_straddle", {ONE: 120 * MILLION}, [str(DAY)], ["s"])]
    assert it.discrepancies[0].evidence["method"] == "exact"
    assert it.verdict is Verdict.BALANCED


def test_a_session_in_n_counts_its_head_and_its_other_meetings_apart() -> None:
    room = straddler()
    room.meetings += [
        Meeting(instant(DAY, 12), instant(DAY, 13), 2, "b"),
        Meeting(instant(DAY, 23.5), instant(AFTER, 0.5), 2, "c"),
        Meeting(instant(AFTER, 9), instant(AFTER, 10), 2, "d"),
        Meeting(instant(BEFORE, 9), instant(BEFORE, 10), 2, "e"),
    ]
    it = answer([room], [reading(DAY, {ONE: (120 + 120 + 60) * MILLION})])
    assert found(it) == [
        ("session_reuse_spillover", {ONE: 240 * MILLION}, [str(BEFORE), str(AFTER)], ["s"]),
        ("boundary_straddle", {ONE: (120 + 60) * MILLION}, [str(DAY)], ["s"]),
    ]
    steps = {line.step: line.minutes[0] // MILLION for line in it.bridge}
    assert steps == {
        "session_level": 720,
        "session_total_mismatch": 0,
        "reuse_before": -240,
        "reuse_after": -120,
        "straddles_end": -60,
        "straddles_start": 0,
        "meeting_level": 300,
        "residual": 0,
        "project_level": 300,
    }
    assert it.verdict is Verdict.BALANCED


def test_a_difference_within_a_proportional_splits_error_is_attribution() -> None:
    lopsided = Room("s", [Meeting(instant(BEFORE, 23), instant(DAY, 1), 2, adjusted=-60 * MILLION)])
    it = answer([lopsided], [reading(DAY, {ONE: 120 * MILLION})], details=False)
    assert it.verdict is Verdict.EXPLAINED
    assert sorted(((code, minutes, sessions) for code, minutes, _, sessions in found(it)), key=str) == [
        ("boundary_straddle", {ONE: 30 * MILLION}, []),
        ("boundary_straddle", {ONE: 90 * MILLION}, ["s"]),
    ]
    it = answer([lopsided], [reading(DAY, {ONE: 121 * MILLION})], details=False)
    assert it.verdict is Verdict.UNEXPLAINED


def test_a_statement_that_is_not_the_sum_of_its_meetings() -> None:
    room = hour()
    room.excess = {ONE: -7 * MILLION}
    it = answer([room], [reading(DAY, {ONE: 120 * MILLION})])
    assert (it.verdict, found(it)) == (Verdict.BALANCED, [("session_total_mismatch", {ONE: -7 * MILLION}, [], ["s"])])
    assert it.totals["session_level"][0] == 113 * MILLION


def test_a_meeting_that_was_answered_otherwise_in_a_complete_window_is_restated() -> None:
    now, then = hour(), hour()
    then.meetings[0].adjusted = -15 * MILLION
    base = answer([now], [reading(DAY, {ONE: 120 * MILLION})])
    windows = [window([], BEFORE), window([now], DAY, hours=50)]
    evidence = Evidence([reading(DAY, {ONE: 120 * MILLION})], windows, [], [], as_of(DAY), [window([then], DAY)])
    it = reconcile(base.aligned, base.terms, evidence)
    assert found(it) == [("restated", {ONE: 15 * MILLION}, [], ["s"])]
    assert it.verdict is Verdict.BALANCED
    assert len(it.observations) == 4
    then.meetings[0].live = True
    evidence = replace(evidence, superseded=[window([then], DAY)])
    assert found(reconcile(base.aligned, base.terms, evidence)) == []


def test_a_conflict_of_one_collection_is_told() -> None:
    base = answer([hour()], [reading(DAY, {ONE: 120 * MILLION})])
    observation, day = window([hour()], DAY)
    conflict = Conflict("s", instant(DAY, 9), {ONE: 115 * MILLION}, {ONE: 120 * MILLION})
    twice = (observation, replace(day, conflicts=(conflict,)))
    daily = [reading(DAY, {ONE: 120 * MILLION})]
    it = reconcile(base.aligned, base.terms, Evidence(daily, [window([], BEFORE), twice], [], [], as_of(DAY)))
    assert found(it) == [("conflicting_meeting", {ONE: 5 * MILLION}, [str(DAY)], ["s"])]


def test_a_conflict_that_comes_with_every_window_of_its_session_is_told_once() -> None:
    base = answer([hour()], [reading(DAY, {ONE: 120 * MILLION})])
    room = Room("s", [*hour().meetings, Meeting(instant(BEFORE, 9), instant(BEFORE, 9), 1, "earlier")])
    conflict = Conflict("s", instant(DAY, 9), {ONE: 115 * MILLION}, {ONE: 120 * MILLION})
    windows = [(it, replace(day, conflicts=(conflict,))) for it, day in (window([room], BEFORE), window([room], DAY))]
    daily = [reading(DAY, {ONE: 120 * MILLION})]
    it = reconcile(base.aligned, base.terms, Evidence(daily, windows, [], [], as_of(DAY)))
    assert found(it) == [("conflicting_meeting", {ONE: 5 * MILLION}, [str(DAY)], ["s"])]


@pytest.mark.parametrize(
    ("field", "value", "code", "beyond"),
    [
        ("from1To8Publishers", 125 * MILLION, "unplanned_tier", 5 * MILLION),
        ("from1To8Publishers", 113 * MILLION, "tier_overlap", -7 * MILLION),
        ("from1To8Publishers", 120 * MILLION, None, 0),
        ("from1To8Publishers", 0, None, 0),
        ("from1To1Publishers", 119 * MILLION, None, 0),
        ("from1To1Publishers", 121 * MILLION, "unplanned_tier", MILLION),
        ("from100PlusPublishers", MILLION, "unplanned_tier", MILLION),
    ],
)
def test_tiers_outside_the_plan_are_compared_and_never_added(field: str, value: int, code: str | None, beyond: int) -> None:
    it = answer([hour()], [reading(DAY, {ONE: 120 * MILLION, field: value})])
    assert it.verdict is Verdict.BALANCED
    assert found(it) == ([(code, {field: beyond}, [str(DAY)], [])] if code else [])
    assert it.totals["project_level"] == (120 * MILLION, 0, 0, 0, 0, 0)


def test_the_tiers_of_a_meeting_are_compared_by_session_and_only_where_it_was_created_in_the_period() -> None:
    def windows(day: date) -> list[tuple[Observation, MeetingDay]]:
        observation, it = window([Room("s", [Meeting(instant(day, 9), instant(day, 10), 2)])], day)
        field = "from1To8Publishers"
        zeros = np.zeros_like(it.statements[ONE])
        odd = replace(
            it, minutes=it.minutes | {field: it.minutes[ONE] + 5 * MILLION}, statements=it.statements | {field: zeros}
        )
        return [(observation, odd), window([], BEFORE if day == DAY else DAY)]

    base = answer([], [reading(DAY, {ONE: 120 * MILLION})])
    daily = [reading(DAY, {ONE: 120 * MILLION})]
    inside = reconcile(base.aligned, base.terms, Evidence(daily, windows(DAY), [], [], as_of(DAY)))
    assert found(inside) == [("unplanned_tier", {"from1To8Publishers": 5 * MILLION}, [], ["s"])]
    before = reconcile(base.aligned, base.terms, Evidence([reading(DAY, None)], windows(BEFORE), [], [], as_of(DAY)))
    assert found(before) == []


def test_a_request_off_midnight_is_told_with_the_days_taken_whole() -> None:
    request = {"start": "2026-10-06T08:00:00Z", "end": "2026-10-07T07:00:00Z"}
    it = answer([hour()], [reading(DAY, {ONE: 120 * MILLION})], request=request)
    assert found(it) == [("period_misaligned", {ONE: 120 * MILLION}, [str(DAY)], [])]
    assert it.verdict is Verdict.BALANCED
    assert it.discrepancies[0].summary.endswith("is taken whole and used 120.00 minutes in all.")


def test_a_day_taken_whole_without_a_figure_is_not_said_to_have_used_nothing() -> None:
    it = answer([], [], request={"start": "2026-10-06T08:00:00Z", "end": "2026-10-07T07:00:00Z"})
    assert it.discrepancies[0].summary.endswith("used 0.00 minutes in all, as far as is known.")


def test_without_the_cross_check_nothing_stands_behind_the_project_level() -> None:
    it = answer([], [reading(DAY, {ONE: 120 * MILLION})], cross_check=False)
    assert (it.verdict, found(it)) == (Verdict.UNCHECKED, [])
    assert [line.step for line in it.bridge] == ["project_level"]
    assert set(it.totals) == {"project_level"}
    assert it.days[0].meeting_level is None
    assert answer([], [], cross_check=False).verdict is Verdict.INCOMPLETE


def test_a_tier_that_was_not_asked_for_is_unknown_and_not_zero() -> None:
    bare = reading(DAY, {})
    with pytest.raises(TierNotObserved, match=ONE):
        answer([], [DailyReading(bare.observation, DailyUsage({TWO: MILLION}))])
    observation, day = window([hour()], DAY)
    lacking = (observation, replace(day, minutes={TWO: day.minutes[TWO]}))
    base = answer([], [reading(DAY, {})])
    with pytest.raises(TierNotObserved, match=ONE):
        reconcile(base.aligned, base.terms, Evidence([], [lacking], [], [], as_of(DAY)))


def test_a_fingerprint_is_of_project_code_and_subject() -> None:
    one = answer([hour()], [reading(DAY, {ONE: 130 * MILLION})]).discrepancies[0]
    other = answer([hour()], [reading(DAY, {ONE: 140 * MILLION})]).discrepancies[0]
    assert one.code is Code.RESIDUAL
    assert one.fingerprint("100") == other.fingerprint("100") != one.fingerprint("101")
