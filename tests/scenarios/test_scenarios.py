"""At least 300 scenarios with known truth: every report must say what the oracle says, and nothing else.

Half of them have one to three planted faults. All run on SQLite, a tenth on PostgreSQL too. What was named rightly, wrongly
or not at all is added up over all of them, and printed at the end of the session as precision and recall.
"""

from collections import Counter
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from math import floor

import pytest
from sqlalchemy.engine import Engine

from tests.scenarios.case import Finding, Truth
from tests.scenarios.oracle import STEPS, truth
from tests.scenarios.product import Reported, report_on
from tests.scenarios.scenario import Scenario, scenario
from tests.scenarios.tally import Tally

EXACT, ROUGH = 320, 40
NOISE = 200
"""Micro-minutes by which rounding each figure of a scenario with arbitrary milliseconds may move a sum of them."""


@pytest.mark.parametrize("seed", range(EXACT))
def test_a_report_says_what_is_true(seed: int, sqlite_engine: Engine, tally: Tally) -> None:
    judge(scenario(seed, faults=seed % 2 == 1), sqlite_engine, tally)


@pytest.mark.parametrize("seed", range(EXACT, EXACT + ROUGH))
def test_rounding_is_no_discrepancy(seed: int, sqlite_engine: Engine, tally: Tally) -> None:
    judge(scenario(seed, faults=seed % 2 == 1, grain=1), sqlite_engine, tally)


@pytest.mark.postgresql
@pytest.mark.parametrize("seed", [*range(3, EXACT, 20), *range(8, EXACT, 20)])
def test_postgresql_gives_the_same_report(seed: int, postgresql_engine: Engine, sqlite_engine: Engine, tally: Tally) -> None:
    told = scenario(seed, faults=seed % 2 == 1)
    report = judge(told, postgresql_engine, tally)
    assert report.content == report_on(told.case, told.requested, sqlite_engine).content


def judge(told: Scenario, engine: Engine, tally: Tally) -> Reported:
    """Hold the product's report against the truth."""
    true, report = truth(told.case), report_on(told.case, told.requested, engine)
    noise = 0 if told.exact else NOISE
    named = {near(it, true.findings, noise): count for it, count in report.findings.items()}
    tally.add(true.findings, Counter(named))
    assert Counter(named) == true.findings, told.planted
    assert report.verdict == true.verdict
    check_bridge(report, true, noise)
    check_days(report, true, noise)
    check_money(report)
    if not noise:
        explained = Decimal(true.explained.numerator) / true.explained.denominator
        assert report.explained == str(explained.quantize(Decimal("0.000001"), ROUND_DOWN))
    return report


def near(found: Finding, true: Counter[Finding], noise: int) -> Finding:
    """The true finding that this one is, but for rounding; or itself."""

    def alike(other: Finding) -> bool:
        both = dict(found.minutes), dict(other.minutes)
        return all(abs(both[0].get(tier, 0) - both[1].get(tier, 0)) <= noise for tier in both[0] | both[1])

    same = [it for it in true if replace(it, minutes=()) == replace(found, minutes=())]
    return next((it for it in same if alike(it)), found)


def check_bridge(report: Reported, true: Truth, noise: int) -> None:
    """Every line to the micro-minute, in the contract's order, and each subtotal the sum of the lines above it."""
    assert set(report.bridge) == set(true.bridge)
    for step, minutes in true.bridge.items():
        assert all(abs(report.bridge[step][tier] - value) <= noise for tier, value in minutes.items()), step
    steps = list(report.bridge)
    if steps == ["project_level"]:
        return
    assert (steps[: len(STEPS)], steps[-2:]) == (list(STEPS), ["residual", "project_level"])
    for tier in report.bridge["project_level"]:
        lines = [report.bridge[step][tier] for step in steps]
        assert sum(lines[:6]) == lines[6]
        assert sum(lines[6:-1]) == lines[-1]


def check_days(report: Reported, true: Truth, noise: int) -> None:
    """The figures and the status of each day."""
    told = [(it["day"], it["hours"], it["project_status"], it["meeting_coverage"]) for it in report.days]
    assert told == [(str(it.day), it.hours, it.status, it.coverage) for it in true.days]
    for it, day in zip(report.days, true.days, strict=True):
        for level, minutes in (("project_level", day.project), ("meeting_level", day.meetings)):
            if level == "meeting_level" or it[level] or any(minutes.values()):
                assert all(abs(it[level].get(tier, 0) - value) <= noise for tier, value in minutes.items()), (it["day"], level)
        if it["project_level"] and it["meeting_level"]:
            assert it["difference"] == {tier: it["project_level"][tier] - it["meeting_level"][tier] for tier in day.project}
        else:
            assert it["difference"] == {}


def check_money(report: Reported) -> None:
    """Each subtotal costs what its minutes cost, each line what it adds, each discrepancy what it would cost on top of the
    project level; worked out in fractions from the minutes that have just been found true."""
    plan: list[str] = report.content["tier_plan"]
    running = Fraction(0)
    for line in report.content["bridge"]:
        amount, minutes = Fraction(line["amount"]), report.bridge[line["step"]]
        running = amount if line is report.content["bridge"][0] else running if line["subtotal"] else running + amount
        if line["subtotal"]:
            assert amount == running == charge(plan, minutes), line["step"]
    billed = report.bridge["project_level"]
    for found in report.content["discrepancies"]:
        minutes = {tier: int(Decimal(text).scaleb(6)) for tier, text in found["minutes"].items()}
        if set(minutes) <= set(billed):
            more = {tier: value + minutes.get(tier, 0) for tier, value in billed.items()}
            assert Fraction(found["amount"]) == charge(plan, more) - charge(plan, billed), found["code"]
        else:
            assert found["amount"] is None


def charge(plan: list[str], minutes: dict[str, int]) -> Fraction:
    """What micro-minutes of the plan's tiers cost in whole cents."""
    cents = Fraction(0)
    for place, tier in enumerate(plan, 1):
        used = Fraction(minutes[tier], 10**6)
        cents += min(used, 100) * place + max(used - 100, 0) * place / 10
    return Fraction(floor(cents + Fraction(1, 2)) if cents >= 0 else -floor(-cents + Fraction(1, 2)), 100)
