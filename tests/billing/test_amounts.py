"""The money of a report: each subtotal of the bridge is the sum of the lines above it, and what its level would cost."""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.amounts import amounts
from billing.model import Evidence
from billing.pricing import price
from billing.ratecard import CardHistory
from billing.reconcile import reconcile
from billing.report import Envelope, build, document
from billing.usage import usages_of
from tests.billing.rate_cards import card, cards
from tests.billing.test_bridge import ALIGNED, FIRST, PERIOD, WINDOWS, rooms
from tests.billing.world import MILLION, PLAN, TERMS, Meeting, Room, as_of, instant, reading, window

LOW, HIGH = PLAN.fields[:2]
figures = st.lists(st.dictionaries(st.sampled_from(PLAN.fields), st.integers(0, 10**10)) | st.none(), min_size=3, max_size=3)


def reconciled(world, daily, terms=TERMS):
    readings = [reading(day, tiers) for day, tiers in zip(PERIOD.days, daily, strict=True)]
    evidence = Evidence(readings, [window(world, day) for day in WINDOWS], [], [], as_of(PERIOD.last_day))
    return reconcile(ALIGNED, terms, evidence)


def told(it, history):
    envelope = Envelope("rpt_1", 1, None, as_of(PERIOD.last_day))
    return json.loads(document(build(it, amounts(it, "rc", history)), envelope))


@given(rooms, figures, cards(plan=PLAN.fields), cards(plan=PLAN.fields), st.booleans())
def test_every_subtotal_is_the_sum_of_the_lines_above_it(world, daily, early, later, changes):
    later = replace(
        later, version=2, effective_from=FIRST + timedelta(days=1), currency=early.currency, commitment=None, discounts=()
    )
    history = CardHistory([early, later] if changes else [early])
    report = told(reconciled(world, daily), history)
    running = Decimal(0)
    for line in report["bridge"]:
        if line["subtotal"] and line["step"] != "session_level":
            assert Decimal(line["amount"]) == running, line["step"]
        running = Decimal(line["amount"]) if line["subtotal"] else running + Decimal(line["amount"])
    for level in ("meeting_level", "project_level"):
        charged = next(Decimal(line["amount"]) for line in report["bridge"] if line["step"] == level)
        assert charged == price(usages_of(report, level), history, PERIOD).subtotal
    assert report["currency"] == early.currency.code
    assert report["rate_card"] == {"id": "rc", "versions": [1, 2] if changes else [1], "problem": None}


FLAT = {LOW: {"model": "flat", "unit_price": "0.01"}, HIGH: {"model": "flat", "unit_price": "0.02"}}


def reused_room():
    """40 minutes in the period, on its first day; 60 before and 80 after it."""
    hour = 3_600 * MILLION
    meetings = [(-24 * hour, 30), (hour, 20), (73 * hour, 40)]
    return [
        Room("s", [Meeting(instant(FIRST) + at, instant(FIRST) + at + length * 60 * MILLION, 2) for at, length in meetings])
    ]


def test_a_reused_room_would_have_cost_what_its_other_meetings_used():
    it = reconciled(reused_room(), [{LOW: 40 * MILLION}, {}, {}])
    report = told(it, CardHistory([card(FLAT, plan=PLAN.fields)]))
    lines = {line["step"]: line["amount"] for line in report["bridge"]}
    assert lines == {
        "session_level": "1.80",
        "session_total_mismatch": "0.00",
        "reuse_before": "-0.60",
        "reuse_after": "-0.80",
        "straddles_end": "0.00",
        "straddles_start": "0.00",
        "meeting_level": "0.40",
        "residual": "0.00",
        "project_level": "0.40",
    }
    assert [(found["code"], found["amount"]) for found in report["discrepancies"]] == [("session_reuse_spillover", "1.40")]


def test_what_is_before_the_period_costs_what_its_first_day_does_and_what_is_after_it_what_its_last_does():
    dear = {LOW: {"model": "flat", "unit_price": "0.03"}}
    later = card(dear, plan=PLAN.fields, effective_from=str(FIRST + timedelta(days=1)), version=2)
    report = told(reconciled(reused_room(), [{LOW: 40 * MILLION}, {}, {}]), CardHistory([card(FLAT, plan=PLAN.fields), later]))
    lines = {line["step"]: line["amount"] for line in report["bridge"]}
    assert (lines["reuse_before"], lines["meeting_level"], lines["reuse_after"]) == ("-0.60", "0.40", "-2.40")


def test_what_is_free_costs_nothing_and_what_is_on_top_costs_its_bracket():
    graduated = {
        "model": "graduated",
        "brackets": [{"up_to": "100", "unit_price": "0.02"}, {"up_to": None, "unit_price": "0.01"}],
    }
    allowance = {"scope": "tier", "minutes": {LOW: "10"}}
    history = CardHistory([card({LOW: graduated}, plan=PLAN.fields, allowance=allowance)])
    it = reconciled([], [{LOW: 60 * MILLION}, {}, {}])
    report = told(it, history)
    assert report["bridge"][-1]["amount"] == "1.00"  # 50 × 0.02
    (missing,) = report["discrepancies"]
    assert (missing["code"], missing["amount"]) == ("residual", "1.10")  # 50 more × 0.02, 10 more × 0.01


def test_minutes_of_a_tier_without_a_price_have_no_amount():
    it = reconciled([], [{}, {}, {}])
    found = replace(it, discrepancies=[])
    assert told(found, CardHistory([card({}, plan=PLAN.fields)]))["discrepancies"] == []
    strange = reconciled_with_strange_tier()
    report = told(strange, CardHistory([card({}, plan=PLAN.fields)]))
    assert [each["amount"] for each in report["discrepancies"] if set(each["minutes"]) - set(PLAN.fields)] == [None]


def reconciled_with_strange_tier():
    day = reading(FIRST, {})
    usage = replace(day.value, tiers={**day.value.tiers, "from3To25Publishers": 5 * MILLION})
    readings = [replace(day, value=usage), *(reading(other, {}) for other in PERIOD.days[1:])]
    evidence = Evidence(readings, [window([], each) for each in WINDOWS], [], [], as_of(PERIOD.last_day))
    return reconcile(ALIGNED, TERMS, evidence)


def test_a_card_that_cannot_price_the_period_says_why():
    it = reconciled([], [{}, {}, {}])
    for bad, words in (
        (card({}), "another tier plan"),
        (card({}, plan=PLAN.fields, effective_from="2026-11-01"), "2026-10-31"),
        (card({}, plan=PLAN.fields, effective_from="2027-01-01"), "2026-10-31"),
    ):
        report = told(it, CardHistory([bad]))
        assert words in report["rate_card"]["problem"]
        assert {line["amount"] for line in report["bridge"]} == {None}
        assert report["currency"] is None
    assert json.loads(build(it))["rate_card"] is None


def test_the_other_kinds_of_usage_stand_in_the_report():
    day = reading(FIRST, {LOW: MILLION})
    with_sip = replace(day, value=replace(day.value, usage={"sipUserMinutes": 5 * MILLION}))
    again = [with_sip, *(reading(other, {}) for other in PERIOD.days[1:])]
    it = reconcile(ALIGNED, TERMS, Evidence(again, [window([], each) for each in WINDOWS], [], [], as_of(PERIOD.last_day)))
    priced = card(FLAT, plan=PLAN.fields, usage_prices={"sipUserMinutes": {"model": "flat", "unit_price": "0.005"}})
    report = told(it, CardHistory([priced]))
    assert report["usage"] == {"sipUserMinutes": "5.000000"}
    lines = price(usages_of(report), CardHistory([priced]), PERIOD).lines
    assert [(line.usage, str(line.amount), line.observations[0]) for line in lines] == [
        (LOW, "0.01", with_sip.observation.id),
        ("sipUserMinutes", "0.03", with_sip.observation.id),
    ]
    assert date.fromisoformat(report["days"][0]["day"]) == FIRST
