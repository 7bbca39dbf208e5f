"""Pricing: its parts add up, positions telescope, and the models cost what they cost worked out another way."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import NoRateCard
from billing.money import ROUNDING, Currency
from billing.prices import cost, pieces
from billing.pricing import Usage, price
from billing.ratecard import CardHistory, Package, Volume
from billing.ratecard_file import dump, parse
from tests.billing.rate_cards import PERIOD, PLAN, brackets_of, card, cards, prices, usages

FIRST = PERIOD.first_day


def positions():
    return st.decimals(0, 10**6, places=6)


@given(prices(), positions(), positions(), positions())
def test_pieces_meet_without_gap(it, one, other, more):
    """From one position to the next and on costs what the whole way costs, forth and back."""
    low, high = sorted((one, other))
    whole = high + more
    there = pieces(it, low, high, whole)
    assert sum(piece.quantity for piece in there) == high - low
    split = [*pieces(it, Decimal(0), low, whole), *there, *pieces(it, high, whole, whole)]
    assert sum(piece.units * piece.unit_price for piece in split) == cost(it, whole)
    back = pieces(it, high, low, whole)
    assert [(piece.units, piece.unit_price) for piece in back[::-1]] == [(-piece.units, piece.unit_price) for piece in there]


@given(prices(), positions())
def test_a_model_costs_what_its_definition_says(it, quantity):
    exact = Fraction(quantity)
    match it.model:
        case "flat":
            expected = exact * Fraction(it.unit_price)
        case "package":
            expected = -(-exact // Fraction(it.size)) * Fraction(it.package_price)
        case "volume":
            held = [b for b in it.brackets if (b.start < quantity or not b.start) and (b.up_to is None or quantity <= b.up_to)]
            assert len(held) == 1
            expected = exact * Fraction(held[0].unit_price)
        case _:
            expected = sum(
                max(Fraction(0), min(exact, Fraction(b.up_to) if b.up_to is not None else exact) - Fraction(b.start))
                * Fraction(b.unit_price)
                for b in it.brackets
            )
    assert Fraction(cost(it, quantity)) == expected


@given(cards(), usages())
def test_the_totals_are_the_sums_of_their_parts(rate_card, used):
    it = price(used, CardHistory([rate_card]), PERIOD)
    currency = rate_card.currency
    for amount in (*(line.amount for line in it.lines), it.subtotal, it.discount, it.commitment, it.tax, it.total):
        currency.text(amount)  # whole minor units, or it raises
    assert it.total == it.subtotal - it.discount + it.commitment + it.tax
    assert [line.position for line in it.lines] == list(range(1, len(it.lines) + 1))
    if rate_card.tax:
        assert sum(tax.base for tax in it.taxes) == it.subtotal - it.discount + it.commitment
    if rate_card.commitment is None:
        assert not it.commitment
    else:
        assert it.subtotal - it.discount + it.commitment >= rate_card.commitment
    if it.subtotal >= 0:
        assert 0 <= it.discount <= it.subtotal


@given(cards(), usages())
def test_every_rounded_minute_is_on_one_line(rate_card, used):
    it = price(used, CardHistory([rate_card]), PERIOD)
    places, mode = rate_card.rounding.quantity_decimals, rate_card.rounding.quantity_mode
    for usage in used:
        lines = [
            line for line in it.lines if (line.project_id, line.usage, line.kind) == (usage.project_id, usage.usage, usage.kind)
        ]
        minutes = Decimal(sum(usage.days.values())).scaleb(-6)
        assert sum(line.quantity for line in lines) == minutes.quantize(Decimal(1).scaleb(-places), ROUNDING[mode])
    for line in it.lines:
        assert -line.quantity.as_tuple().exponent <= max(places, 6)
        assert 0 <= line.allowance_used <= max(line.quantity, 0)
        if line.model != "package":
            assert line.units == line.quantity - line.allowance_used


@given(cards(), usages(), st.randoms(use_true_random=False))
def test_the_order_of_the_usage_does_not_matter(rate_card, used, random):
    shuffled = list(used)
    random.shuffle(shuffled)
    assert price(shuffled, CardHistory([rate_card]), PERIOD) == price(used, CardHistory([rate_card]), PERIOD)


@given(cards(exact=True), usages(), st.integers(1, len(PERIOD) - 1))
def test_splitting_the_period_by_a_version_that_says_the_same_changes_nothing(rate_card, used, day):
    """Exactly, where nothing is rounded on the way: brackets and packages go on, and the period's values are shared by days."""
    again = parse(dump(rate_card) | {"effective_from": str(FIRST + timedelta(days=day))}, card_id="rc", version=2)
    whole = price(used, CardHistory([rate_card]), PERIOD)
    split = price(used, CardHistory([rate_card, again]), PERIOD)
    assert {line.rate_card.version for line in split.lines} <= {1, 2}
    packages = any(isinstance(it, Package) for it in rate_card.prices.values())
    if all(usage.kind != "level_difference" for usage in used) or not packages:
        assert split.subtotal == whole.subtotal
        assert split.commitment - split.discount == pytest.approx(whole.commitment - whole.discount, abs=Decimal("0.02"))


@given(cards(), usages(), st.sampled_from(["line", "invoice"]))
def test_rounding_per_invoice_keeps_the_sum(rate_card, used, per):
    rate_card = replace(rate_card, rounding=replace(rate_card.rounding, per=per))
    it = price(used, CardHistory([rate_card]), PERIOD)
    exact = [line.units * line.unit_price for line in it.lines]
    minor = rate_card.currency.minor
    assert all(abs(line.amount - amount) <= minor for line, amount in zip(it.lines, exact, strict=True))
    if per == "invoice":
        assert it.subtotal == rate_card.currency.round(sum(exact, Decimal(0)), rate_card.rounding.amount_mode)
        cut = [amount.quantize(minor, ROUND_FLOOR) for amount in exact]
        parts = [(amount - floor, line.amount > floor) for line, amount, floor in zip(it.lines, exact, cut, strict=True)]
        less, more = ([rest for rest, is_up in parts if is_up is up] for up in (False, True))
        assert max(less, default=Decimal(0)) <= min(more, default=Decimal(1)), "the largest remainders are rounded up"


@given(cards(), usages())
def test_what_is_free_is_taken_once(rate_card, used):
    it = price(used, CardHistory([rate_card]), PERIOD)
    allowance = rate_card.allowance
    taken = {tier: sum(line.allowance_used for line in it.lines if line.usage == tier) for tier in PLAN}
    billable = {tier: max(sum(line.quantity for line in it.lines if line.usage == tier), Decimal(0)) for tier in PLAN}
    unit = Decimal(1).scaleb(-rate_card.rounding.quantity_decimals)
    if allowance is None:
        assert not any(taken.values())
    elif allowance.pooled is not None:
        assert max(min(allowance.pooled, sum(billable.values())) - sum(taken.values()), 0) < unit
        assert sum(taken.values()) <= allowance.pooled + unit
    else:
        for tier, minutes in allowance.by_tier.items():
            assert max(min(minutes, billable[tier]) - taken[tier], 0) < unit


def test_a_change_of_prices_splits_the_period_by_day():
    cheap = card({"from1To2Publishers": {"model": "flat", "unit_price": "0.01"}})
    dear = card({"from1To2Publishers": {"model": "flat", "unit_price": "0.02"}}, effective_from="2026-10-11", version=2)
    used = [Usage("100", "from1To2Publishers", dict.fromkeys(PERIOD.days, 100000000))]
    it = price(used, CardHistory([cheap, dear]), PERIOD)
    assert [(str(line.first_day), str(line.last_day), str(line.amount)) for line in it.lines] == [
        ("2026-10-01", "2026-10-10", "10.00"),
        ("2026-10-11", "2026-10-31", "42.00"),
    ]


def test_a_graduated_price_goes_on_where_the_version_before_stopped():
    graduated = {"model": "graduated", "brackets": brackets_of("1000", "0.02", "0.01")}
    versions = [
        card({"from1To2Publishers": graduated}),
        card({"from1To2Publishers": graduated}, effective_from="2026-10-16", version=2),
    ]
    used = [Usage("100", "from1To2Publishers", {date(2026, 10, 2): 600_000_000, date(2026, 10, 20): 600_000_000})]
    it = price(used, CardHistory(versions), PERIOD)
    assert [(str(line.quantity), str(line.unit_price), str(line.amount)) for line in it.lines] == [
        ("600.00", "0.02", "12.00"),
        ("400.00", "0.02", "8.00"),
        ("200.00", "0.01", "2.00"),
    ]


def test_projects_share_their_customers_brackets_and_allowance():
    graduated = {"model": "graduated", "brackets": brackets_of("1000", "0.02", "0.01")}
    rate_card = card({"from1To2Publishers": graduated}, allowance={"scope": "tier", "minutes": {"from1To2Publishers": "100"}})
    used = [Usage(project, "from1To2Publishers", {FIRST: 1_000_000_000}) for project in ("a", "b")]
    lines = price(used, CardHistory([rate_card]), PERIOD).lines
    assert [(line.project_id, str(line.quantity), str(line.allowance_used), str(line.amount)) for line in lines] == [
        ("a", "1000.00", "50.00", "19.00"),
        ("b", "100.00", "50.00", "1.00"),
        ("b", "900.00", "0.00", "9.00"),
    ]


def test_what_the_levels_differ_by_is_taken_back_at_its_own_price():
    graduated = {"model": "graduated", "brackets": brackets_of("1000", "0.02", "0.01")}
    used = [
        Usage("100", "from1To2Publishers", {FIRST: 1_500_000_000}),
        Usage("100", "from1To2Publishers", {FIRST: -700_000_000}, kind="level_difference"),
    ]
    lines = price(used, CardHistory([card({"from1To2Publishers": graduated})]), PERIOD).lines
    assert [(line.kind, str(line.quantity), str(line.amount)) for line in lines] == [
        ("usage", "1000.00", "20.00"),
        ("usage", "500.00", "5.00"),
        ("level_difference", "-500.00", "-5.00"),
        ("level_difference", "-200.00", "-4.00"),
    ]


def test_what_was_free_is_not_given_back_at_its_price():
    """The vendor bills 500 of 1,000 minutes, and 600 are free: nothing is to pay, and nothing to give back."""
    used = [
        Usage("100", "from1To2Publishers", {FIRST: 1_000_000_000}),
        Usage("100", "from1To2Publishers", {PERIOD.last_day: -500_000_000}, kind="level_difference"),
    ]
    flat = {"from1To2Publishers": {"model": "flat", "unit_price": "0.01"}}
    for minutes in ({"scope": "pooled", "minutes": "600"}, {"scope": "tier", "minutes": {"from1To2Publishers": "600"}}):
        versions = [card(flat, allowance=minutes), card(flat, allowance=minutes, effective_from="2026-10-16", version=2)]
        for history in (CardHistory(versions[:1]), CardHistory(versions)):
            it = price(used, history, PERIOD)
            assert (it.subtotal, it.commitment, it.total) == (0, 0, 0)
            assert [str(line.allowance_used) for line in it.lines] == ["500.00", "0.00"]


def test_a_volume_is_judged_by_the_whole_period():
    it = Volume(parse_brackets("50000", "0.006", "0.005"))
    assert cost(it, Decimal(50_000)) == 300
    assert cost(it, Decimal("50000.000001")) == Decimal("250.000000005")


def parse_brackets(up_to, below, above):
    return (
        card({"from1To2Publishers": {"model": "volume", "brackets": brackets_of(up_to, below, above)}})
        .prices["from1To2Publishers"]
        .brackets
    )


def test_a_tier_without_a_price_is_refused_and_named():
    with pytest.raises(NoRateCard, match="from36PlusPublishers"):
        price([Usage("100", "from36PlusPublishers", {FIRST: 1_000_000})], CardHistory([card({})]), PERIOD)
    with pytest.raises(NoRateCard, match="2026-10-01"):
        price([], CardHistory([card({}, effective_from="2026-10-02")]), PERIOD)
    with pytest.raises(NoRateCard, match="currency"):
        price([], CardHistory([card({}), card({}, effective_from="2026-10-02", version=2, currency="USD")]), PERIOD)


def test_another_kind_of_usage_costs_something_where_it_has_a_price():
    used = [Usage("100", "sipUserMinutes", {FIRST: 1_000_000_000})]
    assert price(used, CardHistory([card({})]), PERIOD).lines == ()
    priced = card({}, usage_prices={"sipUserMinutes": {"model": "flat", "unit_price": "0.005"}})
    assert str(price(used, CardHistory([priced]), PERIOD).total) == "5.00"
    pooled = card({}, usage_prices=dump(priced)["usage_prices"], allowance={"scope": "pooled", "minutes": "600"})
    assert str(price(used, CardHistory([pooled]), PERIOD).total) == "5.00", "the pool is for the tiers of the plan"


def test_a_named_rate_of_the_table_takes_the_place_of_the_cards_own():
    table = [{"name": "Reverse charge", "percent": "0", "category": "AE", "reason": "Tax is owed by the recipient"}]
    rate_card = card({}, tax={"name": "DE VAT", "percent": "19"}, taxes=table, commitment={"amount": "100.00"})
    it = price([], CardHistory([rate_card]), PERIOD, tax="Reverse charge")
    assert (str(it.total), it.taxes[0].rate.category, str(it.taxes[0].base)) == ("100.00", "AE", "100.00")
    assert str(price([], CardHistory([rate_card]), PERIOD).total) == "119.00"
    with pytest.raises(NoRateCard, match="FR VAT"):
        price([], CardHistory([rate_card]), PERIOD, tax="FR VAT")


@given(st.sampled_from(["JPY", "EUR", "KWD"]), st.integers(-(10**9), 10**9), st.lists(st.integers(-99, 99), min_size=1))
def test_an_amount_is_shared_to_the_last_minor_unit(code, units, weights):
    currency = Currency.of(code)
    total = units * currency.minor
    parts = currency.share(total, [Decimal(weight) for weight in weights])
    assert sum(parts) == total
    size = sum(map(abs, weights))
    if size:
        assert all(abs(part - total * abs(w) / size) < currency.minor for part, w in zip(parts, weights, strict=True))
