"""Reconciling the worked example end to end, versions of a report, and looking back."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.flows.reconcile import look_back
from app.flows.verify import verify
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Upstream
from app.store.tables import Report
from billing.period import parse_period
from tests.app.flows.conftest import WORKED as WORKED_DATASET
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"
LOW, HIGH = "from1To2Publishers", "from3To6Publishers"
BRIDGE = {
    "session_level": ("390.000000", "45.000000", "435.000000"),
    "session_total_mismatch": ("0.000000", "0.000000", "0.000000"),
    "reuse_before": ("-60.000000", "0.000000", "-60.000000"),
    "reuse_after": ("-80.000000", "0.000000", "-80.000000"),
    "straddles_end": ("-40.000000", "0.000000", "-40.000000"),
    "straddles_start": ("0.000000", "30.000000", "30.000000"),
    "meeting_level": ("210.000000", "75.000000", "285.000000"),
    "residual": ("0.000000", "0.000000", "0.000000"),
    "project_level": ("210.000000", "75.000000", "285.000000"),
}


def read(report: Report) -> Any:
    return json.loads(report.body)


def test_the_worked_period_comes_to_its_table(worked: Office) -> None:
    worked.collect(WORKED)
    report = read(worked.reconcile(WORKED))
    lines = {line["step"]: (line["minutes"][LOW], line["minutes"][HIGH], line["total"]) for line in report["bridge"]}
    assert lines == BRIDGE
    assert list(lines) == list(BRIDGE)
    assert report["verdict"] == "balanced"
    assert sorted((it["code"], it["total"], *it["sessions"]) for it in report["discrepancies"]) == [
        ("boundary_straddle", "30.000000", "1_MX4xMDB-worked-C"),
        ("boundary_straddle", "40.000000", "1_MX4xMDB-worked-D"),
        ("session_reuse_spillover", "140.000000", "1_MX4xMDB-worked-B"),
    ]
    assert [(it["hours"], it["meeting_level"][LOW], it["meeting_level"][HIGH]) for it in report["days"]] == [
        (24, "110.000000", "45.000000"),
        (25, "100.000000", "30.000000"),
    ]
    assert len(report["observations"]) == 8


def test_nothing_collected_is_incomplete_and_not_zero(worked: Office) -> None:
    report = read(worked.reconcile(WORKED))
    assert report["verdict"] == "incomplete"
    assert [(it["project_status"], it["meeting_coverage"]) for it in report["days"]] == [("missing", "incomplete")] * 2
    assert report["observations"] == []


def test_the_same_observations_give_the_same_report(worked: Office) -> None:
    worked.collect(WORKED)
    first = worked.reconcile(WORKED)
    worked.at("2026-11-09T20:00:00Z")
    assert worked.reconcile(WORKED).id == first.id


def test_a_new_observation_makes_a_new_version(worked: Office) -> None:
    worked.collect(WORKED)
    first = worked.reconcile(WORKED)
    worked.collect(WORKED)
    second = worked.reconcile(WORKED)
    assert (second.version, second.supersedes) == (2, first.id)
    assert read(second)["bridge"] == read(first)["bridge"]
    assert second.sha256 != first.sha256, "it rests on other observations"


def test_other_terms_make_a_new_version(worked: Office) -> None:
    worked.collect(WORKED)
    first = worked.reconcile(WORKED)
    worked.change(cross_check=False)
    second = worked.reconcile(WORKED)
    assert (second.version, second.verdict) == (2, "unchecked")
    assert second.supersedes == first.id


def test_a_look_back_knows_what_was_known_then_and_changes_nothing(worked_with: Callable[..., Office]) -> None:
    restated = {
        "kind": "restated",
        "project_id": "100",
        "day": "2026-10-31",
        "tier": LOW,
        "minutes": "5",
        "at": "2026-11-08T00:00:00Z",
    }
    office = worked_with(faults=[restated])
    office.collect(WORKED)
    then = office.reconcile(WORKED)
    known_at = office.clock.now()
    office.at("2026-11-09T20:00:00Z")
    office.collect(WORKED)
    now = office.reconcile(WORKED)
    assert (read(now)["verdict"], now.version) == ("explained", 2)

    back = json.loads(look_back(office.engine, office.project, parse_period(WORKED), known_at))
    assert back == {key: value for key, value in read(then).items() if key in back}
    assert office.reconcile(WORKED).id == now.id, "the look back left nothing behind"
    nothing = json.loads(look_back(office.engine, office.project, parse_period(WORKED), datetime(2026, 11, 1, tzinfo=UTC)))
    assert nothing["observations"] == []


@pytest.mark.parametrize("period", ["2026-10-31", "2026-11-01"])
def test_a_single_day_is_a_period_too(worked: Office, period: str) -> None:
    worked.collect(f"{period}..{period}")
    report = read(worked.reconcile(f"{period}..{period}"))
    assert report["verdict"] == "balanced"
    assert report["totals"]["project_level"] == report["totals"]["meeting_level"]


def test_a_session_that_is_not_in_the_period_pulls_nothing_into_it(worked: Office) -> None:
    """A month is collected around a two-day period: its windows beyond the day before do not count."""
    worked.collect("2026-10-20..2026-11-05")
    report = read(worked.reconcile(WORKED))
    assert {line["step"]: line["total"] for line in report["bridge"]} == {step: it[2] for step, it in BRIDGE.items()}
    assert {it["day"] for it in report["observations"]} == {"2026-10-30", "2026-10-31", "2026-11-01"}


def test_meetings_answered_otherwise_later_are_restated_and_verified(worked: Office) -> None:
    """Upstream changes a meeting of a window that was complete: the report tells it, and rests on both readings."""
    worked.collect(WORKED)
    changed = json.loads(WORKED_DATASET.read_text())
    changed["faults"] = [
        {
            "kind": "meeting_adjusted",
            "project_id": "100",
            "session_id": "1_MX4xMDB-worked-A",
            "meeting_created_at": "2026-10-31T20:05:00.000Z",
            "tier": LOW,
            "minutes": "7.5",
        }
    ]
    worked.transport.upstream = Upstream(Dataset.load(changed), worked.clock)
    worked.at("2026-11-07T20:00:00Z")
    worked.collect(WORKED)
    stored = worked.reconcile(WORKED)
    report = read(stored)
    restated = [(it["minutes"], it["sessions"]) for it in report["discrepancies"] if it["code"] == "restated"]
    assert restated == [({LOW: "7.500000"}, ["1_MX4xMDB-worked-A"])]
    assert [it["minutes"] for it in report["discrepancies"] if it["code"] == "residual"] == [{LOW: "-7.500000"}]
    days = [it["day"] for it in report["observations"] if it["kind"] == "meetings"]
    assert sorted(days) == ["2026-10-30", "2026-10-31", "2026-10-31", "2026-11-01"]
    assert verify(worked.engine, stored.id) == []


def test_a_meeting_of_several_days_is_counted_where_its_first_day_was_collected(open_office: Callable[..., Office]) -> None:
    """Two people talk from 29 October to 1 November, 10:00 Pacific; the period is the last of these days."""
    dataset = json.loads(WORKED_DATASET.read_text())
    people = [connection for session in dataset["sessions"] for connection in session["connections"]][:2]
    for person in people:
        person |= {"created_at": "2026-10-29T20:00:00Z", "destroyed_at": "2026-11-01T18:00:00Z"}
        person["streams"][0] |= {"created_at": person["created_at"], "destroyed_at": person["destroyed_at"]}
    dataset["sessions"] = [dataset["sessions"][0] | {"connections": people}]
    office = open_office(dataset, "2026-11-05T20:00:00Z")
    office.collect("2026-11-01..2026-11-01")
    assert read(office.reconcile("2026-11-01..2026-11-01"))["verdict"] == "unexplained"
    office.collect("2026-10-29..2026-10-29")
    stored = office.reconcile("2026-11-01..2026-11-01")
    report = read(stored)
    assert report["verdict"] == "balanced"
    assert [(it["code"], it["total"]) for it in report["discrepancies"]] == [("boundary_straddle", "1320.000000")]
    assert verify(office.engine, stored.id) == []
