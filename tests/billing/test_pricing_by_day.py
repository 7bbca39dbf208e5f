"""A period taken apart by day: what its parts cost comes to the whole, and what changes within it counts from its day on."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.period import BillingPeriod
from billing.pricing import Usage, price
from billing.ratecard import CardHistory
from tests.billing.rate_cards import PERIOD, PLAN, card, texts, usages

FLAT = {tier: {"model": "flat", "unit_price": "0.01"} for tier in PLAN}
MIDDLE = PERIOD.first_day + timedelta(days=15)


@given(st.lists(texts(1, 5), min_size=len(PLAN), max_size=len(PLAN)), usages(), st.integers(1, len(PERIOD) - 1))
def test_two_invoices_of_the_parts_come_to_that_of_the_whole_where_a_minute_costs_the_same_in_each(unit_prices, used, length):
    """Exactly before the amounts are rounded, and within a minor unit a line after it."""
    tiers = {tier: {"model": "flat", "unit_price": it} for tier, it in zip(PLAN, unit_prices, strict=True)}
    cards = CardHistory([card(tiers, rounding={"quantity_decimals": "6"})])
    second = PERIOD.first_day + timedelta(days=length)
    parts = [BillingPeriod(PERIOD.first_day, second - timedelta(days=1)), BillingPeriod(second, PERIOD.last_day)]
    whole, *priced = (price(used, cards, it) for it in (PERIOD, *parts))

    def exact(*found):
        return sum(line.units * line.unit_price for it in found for line in it.lines)

    assert exact(*priced) == exact(whole)
    lines = sum(len(it.lines) for it in (whole, *priced))
    assert abs(sum(it.subtotal for it in priced) - whole.subtotal) <= lines * whole.currency.minor


def test_a_tax_that_changes_within_a_period_is_owed_from_its_day_on_and_of_the_true_up_by_the_last_day():
    """10.00 in each half; of the 100.00 that are committed to 80.00 are missing."""
    versions = [
        card(FLAT, commitment={"amount": "100.00"}, tax={"name": "VAT 19", "percent": "19"}),
        card(
            FLAT,
            commitment={"amount": "100.00"},
            tax={"name": "VAT 7", "percent": "7"},
            effective_from=str(MIDDLE),
            version=2,
        ),
    ]
    it = price([Usage("100", PLAN[0], dict.fromkeys((PERIOD.first_day, MIDDLE), 1_000_000_000))], CardHistory(versions), PERIOD)
    assert [(line.tax.name, str(line.amount)) for line in it.lines] == [("VAT 19", "10.00"), ("VAT 7", "10.00")]
    assert (str(it.commitment), it.commitment_tax.name) == ("80.00", "VAT 7")
    assert [(tax.rate.name, str(tax.base), str(tax.amount)) for tax in it.taxes] == [
        ("VAT 19", "10.00", "1.90"),
        ("VAT 7", "90.00", "6.30"),
    ]
    assert str(it.total) == "108.20"


def test_what_is_free_of_a_tier_is_taken_before_what_is_free_of_all():
    """Of October's 31 days 15 have 310 minutes of the first tier and 16 have 310 of any: 150 and 160, wherever used."""
    versions = [
        card(FLAT, allowance={"scope": "tier", "minutes": {PLAN[0]: "310"}}),
        card(FLAT, allowance={"scope": "pooled", "minutes": "310"}, effective_from=str(MIDDLE), version=2),
    ]
    used = [Usage("100", PLAN[0], {PERIOD.first_day: 200_000_000}), Usage("100", PLAN[1], {MIDDLE: 160_000_000})]
    lines = price(used, CardHistory(versions), PERIOD).lines
    assert [(line.usage, str(line.allowance_used), str(line.units)) for line in lines] == [
        (PLAN[0], "200.00", "0.00"),
        (PLAN[1], "110.00", "50.00"),
    ]


def test_versions_that_round_minutes_otherwise_free_no_more_than_each_line_has():
    """Of 2.7 minutes, 1 is taken back where whole minutes are billed."""
    pooled = {"scope": "pooled", "minutes": "600"}
    versions = [
        card(FLAT, allowance=pooled, rounding={"quantity_decimals": "6"}),
        card(FLAT, allowance=pooled, rounding={"quantity_decimals": "0"}, effective_from=str(MIDDLE), version=2),
    ]
    used = [Usage(project, PLAN[0], {PERIOD.first_day: 900_000}) for project in "abc"]
    used.append(Usage("a", PLAN[0], {MIDDLE: -1_000_000}, kind="level_difference"))
    for more in ([], [Usage("b", PLAN[0], {MIDDLE: 1_000_000})]):
        for line in price([*used, *more], CardHistory(versions), PERIOD).lines:
            assert 0 <= line.allowance_used <= max(line.quantity, 0)


def test_of_versions_that_hold_a_day_the_one_published_last_counts_whenever_it_began():
    late, last = card({}, effective_from=str(MIDDLE)), card(FLAT, version=2)
    assert {CardHistory([late, last]).on(day).version for day in PERIOD.days} == {2}
    ended = card(FLAT, effective_to=str(MIDDLE), version=2)
    history = CardHistory([card({}), ended])
    assert [history.on(MIDDLE + timedelta(days=it)).version for it in (0, 1)] == [2, 1]


def test_each_part_rests_on_the_readings_of_its_own_days():
    versions = [card(FLAT), card(FLAT, effective_from=str(MIDDLE), version=2)]
    days = (PERIOD.first_day, MIDDLE, PERIOD.last_day)
    used = Usage("100", PLAN[0], dict.fromkeys(days, 1_000_000), observations=dict(zip(days, "abc", strict=True)))
    assert [line.observations for line in price([used], CardHistory(versions), PERIOD).lines] == [("a",), ("b", "c")]
