"""The worked period, by hand: the oracle and the product must both come to its table."""

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from tests.scenarios.case import Case, Collection, Finding
from tests.scenarios.oracle import truth
from tests.scenarios.product import report_on
from tests.scenarios.world import World, instant

LOW, HIGH = "from1To2Publishers", "from3To6Publishers"
PLAN = (LOW, HIGH, "from7To8Publishers", "from9To10Publishers", "from11To35Publishers", "from36PlusPublishers")
HALLOWEEN, LONG_DAY = date(2026, 10, 31), date(2026, 11, 1)
BRIDGE = {
    "session_level": (390, 45),
    "session_total_mismatch": (0, 0),
    "reuse_before": (-60, 0),
    "reuse_after": (-80, 0),
    "straddles_end": (-40, 0),
    "straddles_start": (0, 30),
    "meeting_level": (210, 75),
    "residual": (0, 0),
    "project_level": (210, 75),
}
DAYS = {HALLOWEEN: (24, 110, 45), LONG_DAY: (25, 100, 30)}
SESSIONS = {"A": (30, 15), "B": (180, 0), "C": (0, 90), "D": (60, 0), "E": (20, 0), "F": (100, 30), "G": (0, 0)}
FINDINGS = [
    Finding.of("session_reuse_spillover", {LOW: 140_000_000}, [date(2026, 10, 30), date(2026, 11, 2)], ["1_MX4xMDB-worked-B"]),
    Finding.of("boundary_straddle", {HIGH: 30_000_000}, [HALLOWEEN], ["1_MX4xMDB-worked-C"], "exact"),
    Finding.of("boundary_straddle", {LOW: 40_000_000}, [LONG_DAY], ["1_MX4xMDB-worked-D"], "exact"),
]


@pytest.fixture
def dataset() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "worked-period.json").read_text())


@pytest.fixture
def case(dataset: dict[str, Any]) -> Case:
    late = instant("2026-11-06T20:00:00Z")
    return Case(dataset, "100", PLAN, HALLOWEEN, LONG_DAY, (Collection(late, HALLOWEEN, LONG_DAY),), late)


def tiers(low: int, high: int) -> dict[str, int]:
    return {**dict.fromkeys(PLAN, 0), LOW: low * 1_000_000, HIGH: high * 1_000_000}


def test_every_session_states_what_the_table_says(case: Case) -> None:
    world = World(case.dataset, "100")
    stated = {}
    for day in (date(2026, 10, 30), HALLOWEEN, LONG_DAY):
        stated.update(world.window(day, case.as_of))
    whole = {name.removeprefix("1_MX4xMDB-worked-"): {tier: it.total[tier] for tier in PLAN} for name, it in stated.items()}
    assert whole == {name: tiers(*minutes) for name, minutes in SESSIONS.items()}


def test_somebody_back_within_ten_minutes_makes_two_meetings(case: Case) -> None:
    meetings = dict(World(case.dataset, "100").meetings(case.as_of))["1_MX4xMDB-worked-E"]
    assert [(it.ended - it.created) // 60_000 for it in meetings] == [10, 10]


def test_the_oracle_comes_to_the_table(case: Case) -> None:
    report = truth(case)
    assert report.bridge == {step: tiers(*minutes) for step, minutes in BRIDGE.items()}
    assert [(it.day, it.hours, it.status, it.coverage) for it in report.days] == [
        (day, hours, "final", "complete") for day, (hours, _, _) in DAYS.items()
    ]
    assert [it.project for it in report.days] == [tiers(low, high) for _, low, high in DAYS.values()]
    assert [it.meetings for it in report.days] == [tiers(low, high) for _, low, high in DAYS.values()]
    assert report.findings == Counter(FINDINGS)
    assert (report.verdict, report.explained) == ("balanced", 1)


def test_the_product_comes_to_the_table(case: Case, engine: Engine) -> None:
    report = report_on(case, {"first_day": str(HALLOWEEN), "last_day": str(LONG_DAY)}, engine)
    assert report.bridge == {step: tiers(*minutes) for step, minutes in BRIDGE.items()}
    assert [(it["day"], it["hours"], it["project_status"], it["meeting_coverage"]) for it in report.days] == [
        (str(day), hours, "final", "complete") for day, (hours, _, _) in DAYS.items()
    ]
    assert [it["project_level"] for it in report.days] == [tiers(low, high) for _, low, high in DAYS.values()]
    assert [it["meeting_level"] for it in report.days] == [tiers(low, high) for _, low, high in DAYS.values()]
    assert report.findings == Counter(FINDINGS)
    assert (report.verdict, report.explained) == ("balanced", "1.000000")
    spillover = next(it for it in report.content["discrepancies"] if it["code"] == "session_reuse_spillover")
    assert spillover["evidence"] == {"before": {LOW: "60.000000"}, "after": {LOW: "80.000000"}}


def test_the_product_prices_the_table(case: Case, engine: Engine) -> None:
    """At 0.01 and 0.02 for the first 100 minutes of the two tiers, 0.001 and 0.002 for those above."""
    report = report_on(case, {"first_day": str(HALLOWEEN), "last_day": str(LONG_DAY)}, engine)
    amounts = {line["step"]: line["amount"] for line in report.content["bridge"]}
    assert amounts == {
        "session_level": "2.19",  # 1.00 + 290 × 0.001 + 45 × 0.02
        "session_total_mismatch": "0.00",
        "reuse_before": "-0.06",
        "reuse_after": "-0.08",
        "straddles_end": "-0.04",
        "straddles_start": "0.60",
        "meeting_level": "2.61",  # 1.00 + 110 × 0.001 + 75 × 0.02
        "residual": "0.00",
        "project_level": "2.61",
    }
    found = {it["code"]: it["amount"] for it in report.content["discrepancies"] if it["code"] != "boundary_straddle"}
    assert found == {"session_reuse_spillover": "0.14"}  # 140 × 0.001, all above the first 100
    assert report.content["rate_card"] == {"id": "rc_scenario", "versions": [1], "problem": None}
