"""The generator plants what it says, and the oracle names each fault once, with its own minutes and nothing beside it."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.scenarios.case import Finding
from tests.scenarios.faults import HISTORIES, KINDS, Planter
from tests.scenarios.oracle import truth
from tests.scenarios.scenario import Scenario, scenario

MEANS = {
    "dropped": {"project_day_missing"},
    "day_raised": {"residual"},
    "day_lowered": {"residual"},
    "within_tolerance": set[str](),
    "shifted": {"tier_shift"},
    "restated": {"restated"},
    "restated_unseen": {"residual"},
    "meeting_raised": {"residual"},
    "meeting_lowered": {"residual"},
    "meeting_elsewhere": set[str](),
    "conflict": {"conflicting_meeting", "session_total_mismatch", "residual"},
    "session_total": {"session_total_mismatch"},
    "unplanned_day": {"unplanned_tier"},
    "overlap_day": {"tier_overlap"},
    "unplanned_meeting": {"unplanned_tier"},
    "overlap_meeting": {"tier_overlap"},
    "http": set[str](),
}
"""What each kind of fault adds to a report."""
ALWAYS = {"session_reuse_spillover", "boundary_straddle", "period_misaligned"}


def plant(kind: str) -> tuple[Scenario, Planter]:
    """The first scenario without faults that has room for one of this kind, before and after."""
    for seed in range(0, 200, 2):
        told = scenario(seed, faults=False)
        told = replace(told, case=replace(told.case, cross_check=True))
        planter = Planter(Random(seed), told.case)
        clean = replace(told.case, dataset={**told.case.dataset, "faults": []})
        if getattr(planter, f"plant_{kind}")():
            return replace(told, case=clean), planter
    raise AssertionError(f"nowhere is there room for {kind}")


def named(report_findings: Counter[Finding]) -> Counter[Finding]:
    return Counter({it: count for it, count in report_findings.items() if it.code not in ALWAYS})


@pytest.mark.parametrize("kind", MEANS)
def test_a_fault_adds_its_own_discrepancies_and_no_other(kind: str) -> None:
    told, planter = plant(kind)
    before, after = truth(told.case), truth(planter.case)
    assert not named(before.findings)
    found = named(after.findings)
    assert {it.code for it in found} == MEANS[kind]
    assert len(found) == len(MEANS[kind])
    fault = planter.case.dataset["faults"][0]
    if "minutes" in fault and found and kind not in ("unplanned_day", "unplanned_meeting", "overlap_day", "overlap_meeting"):
        stated = round(float(fault["minutes"]) * 1_000_000)
        assert {abs(value) for it in found for _, value in it.minutes} == {abs(stated)}
        assert {it.days for it in found if it.days} <= {(day,) for day in planter.days}


def test_what_the_meetings_used_is_what_a_dropped_day_lacks() -> None:
    _, planter = plant("dropped")
    report = truth(planter.case)
    (found,) = named(report.findings)
    (line,) = (it for it in report.days if it.status == "no_usage" and it.day in planter.days)
    assert dict(found.minutes) == {
        tier: -minutes for tier, minutes in line.meetings.items() if minutes > planter.case.tolerance
    }
    assert report.verdict == "incomplete"


@pytest.mark.parametrize("kind", HISTORIES)
def test_what_was_not_collected_in_time_leaves_the_report_incomplete(kind: str) -> None:
    _, planter = plant(kind)
    report = truth(planter.case)
    assert report.verdict == "incomplete"
    assert {it.code for it in named(report.findings)} <= {"meeting_day_missing", "project_day_missing", "day_not_final"}


def test_every_kind_is_planted_often() -> None:
    planted = [scenario(seed, faults=True).planted for seed in range(1, 320, 2)]
    counts = Counter(kind for kinds in planted for kind in kinds)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 3
    assert all(1 <= len(kinds) <= 3 for kinds in planted)


def test_a_seed_always_gives_the_same_scenario() -> None:
    assert scenario(7, faults=True) == scenario(7, faults=True)
