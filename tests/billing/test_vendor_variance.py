"""The variance of a vendor's invoice: its parts always add up, and each planted cause is named, by its amount and alone."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.model import Tolerance
from billing.money import Currency
from billing.period import BillingPeriod
from billing.pricing import Usage, price
from billing.ratecard import CardHistory
from billing.vendor import BilledInvoice, BilledLine, Kind
from billing.vendor_minutes import Cause, Unit, Zone, together
from billing.vendor_variance import vary
from tests.billing.rate_cards import PERIOD, PLAN, brackets_of, card, cards

LOW, MIDDLE, HIGH = PLAN
PRICES = {
    LOW: {"model": "flat", "unit_price": "0.00395"},
    MIDDLE: {"model": "flat", "unit_price": "0.0045"},
    HIGH: {"model": "graduated", "brackets": brackets_of("3000", "0.006", "0.005")},
}
CARD = CardHistory([card(PRICES, usage_prices={"hlsMinutes": {"model": "flat", "unit_price": "0.002"}})])
DAYS = [PERIOD.first_day + timedelta(days=offset) for offset in range(-40, 71)]
TOLERANCE = Tolerance()


def used(day: date) -> dict[str, int]:
    """What the world used on a day: no two days are alike."""
    number = (day - DAYS[0]).days
    return {
        LOW: 100_000_000 + 7_310_000 * number,
        MIDDLE: 60_000_000 + 130_000 * number * number % 90_000_000,
        HIGH: 120_000_000 + 990_000 * (number % 13),
        "hlsMinutes": 10_000_000 + 210_000 * number,
    }


WORLD = Unit(
    "100",
    {day: used(day) for day in DAYS},
    meeting_level=dict.fromkeys(PLAN, 5_000_000),
    session_level={tier: sum(used(day)[tier] for day in PERIOD.days) + 70_000_000 * place for place, tier in enumerate(PLAN)},
    spillover={tier: 70_000_000 * place for place, tier in enumerate(PLAN)},
)


ACCOUNT = together([WORLD])


def bill(minutes, history=CARD, *, decimals=2, project=None, more=()) -> BilledInvoice:
    """What a vendor without fault bills for these minutes: a row for each line of the card, its discounts and tax."""
    priced = price([Usage("", usage, {PERIOD.first_day: micro}) for usage, micro in minutes.items()], history, PERIOD)
    rows = []
    for line in priced.lines:
        step = Decimal(1).scaleb(-decimals)
        rows.append((Kind.USAGE, line.usage, line.quantity.quantize(step), line.unit_price, line.amount))
    if priced.discount:
        rows.append((Kind.CREDIT, "", None, None, -priced.discount))
    if priced.commitment:
        rows.append((Kind.OTHER, "", None, None, priced.commitment))
    rows += [(Kind.TAX, "", None, None, tax.amount) for tax in priced.taxes]
    rows += more
    lines = [
        BilledLine(number, kind, usage, project if kind is Kind.USAGE else None, quantity, unit_price, amount, "")
        for number, (kind, usage, quantity, unit_price, amount) in enumerate(rows, 1)
    ]
    return footed(BilledInvoice("vendor", "1", priced.currency, PERIOD, (), tuple(lines), Decimal(0)))


def footed(invoice: BilledInvoice) -> BilledInvoice:
    return replace(invoice, total=invoice.currency.round(sum((line.amount for line in invoice.lines), Decimal(0))))


def altered(invoice: BilledInvoice, usage: str, **changes) -> BilledInvoice:
    """With the first row of a usage changed."""
    place = next(place for place, line in enumerate(invoice.lines) if line.usage == usage)
    lines = list(invoice.lines)
    lines[place] = replace(lines[place], **changes)
    return footed(replace(invoice, lines=tuple(lines)))


def row(invoice: BilledInvoice, usage: str) -> BilledLine:
    return next(line for line in invoice.lines if line.usage == usage)


def month(period: BillingPeriod = PERIOD) -> dict[str, int]:
    return dict(WORLD.used(period))


def parts(invoice: BilledInvoice, unit=ACCOUNT, history=CARD):
    """The parts that are not zero: money and minutes."""
    found = vary(invoice, [unit], history, TOLERANCE)
    assert sum(found.parts.values()) == found.billed - found.expected
    assert all(amount == invoice.currency.round(amount) for amount in found.parts.values())
    return (
        {cause.value: amount for cause, amount in found.parts.items() if amount},
        {cause.value: micro for cause, micro in found.minutes.items() if micro},
    )


def charge(minutes) -> Decimal:
    return price([Usage("", usage, {PERIOD.first_day: micro}) for usage, micro in minutes.items()], CARD, PERIOD).total


def test_what_is_billed_as_it_was_used_differs_in_nothing() -> None:
    assert parts(bill(month())) == ({}, {})


def test_a_wrong_price_is_price_and_nothing_else() -> None:
    right = bill(month())
    before = row(right, LOW)
    dearer = Currency.of("EUR").round(before.quantity * Decimal("0.005"))
    wrong = altered(right, LOW, unit_price=Decimal("0.005"), amount=dearer)
    assert parts(wrong) == ({"price": dearer - before.amount}, {})
    untold = altered(right, LOW, unit_price=None, amount=dearer)
    assert parts(untold) == ({"price": dearer - before.amount}, {}), "where the row states no price"


def test_a_price_printed_with_fewer_decimals_is_no_other_price() -> None:
    right = bill(month())
    assert parts(altered(right, LOW, unit_price=Decimal("0.004"))) == ({}, {})


@pytest.mark.parametrize("usage", [LOW, HIGH, "hlsMinutes"])
@pytest.mark.parametrize("micro", [20_000_000, 1_234_560_000, -250_000_000])
def test_wrong_volume_is_volume_and_nothing_else(usage, micro) -> None:
    wrong = month() | {usage: month()[usage] + micro}
    assert parts(bill(wrong)) == ({"volume": charge(wrong) - charge(month())}, {"volume": micro})


def test_a_moved_tier_is_tier_mix_and_nothing_else() -> None:
    moved = month() | {LOW: month()[LOW] - 400_000_000, HIGH: month()[HIGH] + 400_000_000}
    assert parts(bill(moved)) == ({"tier_mix": charge(moved) - charge(month())}, {})


def test_a_moved_tier_and_more_volume_are_told_apart() -> None:
    moved = month() | {LOW: month()[LOW] - 400_000_000, MIDDLE: month()[MIDDLE] + 1_000_000_000}
    mixed = month() | {LOW: month()[LOW] - 400_000_000, MIDDLE: month()[MIDDLE] + 400_000_000}
    tier_mix = charge(mixed) - charge(month())
    assert parts(bill(moved)) == (
        {"tier_mix": tier_mix, "volume": charge(moved) - charge(mixed)},
        {"volume": 600_000_000},
    )


def test_cutting_each_line_off_is_rounding_and_nothing_else() -> None:
    right = bill(month())
    lines = [
        replace(line, amount=(line.quantity * line.unit_price).quantize(Decimal("0.01"), "ROUND_DOWN")) for line in right.lines
    ]
    wrong = footed(replace(right, lines=tuple(lines)))
    assert wrong.total < right.total
    assert parts(wrong) == ({"rounding": wrong.total - right.total}, {})


def test_whole_minutes_are_rounding_of_minutes() -> None:
    right = bill(month())
    whole = row(right, LOW).quantity.quantize(Decimal(1), "ROUND_UP")
    amount = Currency.of("EUR").round(whole * Decimal("0.00395"))
    wrong = altered(right, LOW, quantity=whole, amount=amount)
    money, minutes = parts(wrong)
    assert minutes == {"rounding": int(whole * 10**6) - month()[LOW]}
    assert money.keys() <= {"rounding"}


def test_a_credit_that_the_card_does_not_know_is_credit() -> None:
    wrong = bill(month(), more=[(Kind.CREDIT, "", None, None, Decimal("-25.00"))])
    assert parts(wrong) == ({"credit": Decimal("-25.00")}, {})


@pytest.mark.parametrize("shift", [-31, -14, -1, 1, 3, 20])
def test_another_cycle_is_period_and_nothing_else(shift) -> None:
    other = BillingPeriod(PERIOD.first_day + timedelta(days=shift), PERIOD.last_day + timedelta(days=shift))
    wrong = month(other)
    micro = sum(wrong.values()) - sum(month().values())
    assert parts(bill(wrong)) == ({"period": charge(wrong) - charge(month())}, {"period": micro})


def test_the_days_that_a_month_in_utc_touches_are_period() -> None:
    other = BillingPeriod(PERIOD.first_day - timedelta(days=1), PERIOD.last_day)
    wrong = month(other)
    found = vary(bill(wrong), [ACCOUNT], CARD, TOLERANCE)
    assert found.parts[Cause.PERIOD] == charge(wrong) - charge(month())
    assert found.findings == ["What was billed is what was used from 2026-09-30 to 2026-10-31."]


def test_another_cycle_at_another_price_is_both() -> None:
    other = BillingPeriod(PERIOD.first_day + timedelta(days=14), PERIOD.last_day + timedelta(days=14))
    right = bill(month(other))
    before = row(right, MIDDLE)
    dearer = Currency.of("EUR").round(before.quantity * Decimal("0.009"))
    wrong = altered(right, MIDDLE, unit_price=Decimal("0.009"), amount=dearer)
    money, _ = parts(wrong)
    assert money == {"period": charge(month(other)) - charge(month()), "price": dearer - before.amount}


def test_the_hours_of_another_time_zone_are_period_within_what_the_split_may_be_wrong_by() -> None:
    shifted = {tier: micro + 50_000_000 for tier, micro in month().items() if tier in PLAN} | {
        "hlsMinutes": month()["hlsMinutes"]
    }
    zone = Zone("UTC", shifted, {LOW: 3_000_000})
    unit = replace(ACCOUNT, zone=zone)
    wrong = shifted | {LOW: shifted[LOW] + 2_000_000}
    assert parts(bill(wrong), unit) == ({"period": charge(wrong) - charge(month())}, {"period": 152_000_000})


def test_the_session_level_is_spillover_and_nothing_else() -> None:
    wrong = month() | WORLD.session_level
    assert parts(bill(wrong)) == ({"spillover": charge(wrong) - charge(month())}, {"spillover": 210_000_000})


def test_a_sum_that_is_not_quantity_times_price_is_unexplained() -> None:
    right = bill(month())
    wrong = altered(right, LOW, amount=row(right, LOW).amount + 10)
    assert parts(wrong) == ({"unexplained": Decimal(10)}, {})


def test_a_total_that_is_not_the_sum_is_unexplained() -> None:
    right = bill(month())
    assert parts(replace(right, total=right.total + 5)) == ({"unexplained": Decimal(5)}, {})


def test_what_else_is_billed_is_unexplained() -> None:
    wrong = bill(month(), more=[(Kind.OTHER, "", None, None, Decimal("99.00"))])
    assert parts(wrong) == ({"unexplained": Decimal("99.00")}, {})


def test_what_was_not_used_and_has_no_price_is_volume() -> None:
    wrong = bill(month(), more=[(Kind.USAGE, "sipUserMinutes", Decimal(100), Decimal("0.01"), Decimal("1.00"))])
    assert parts(wrong) == ({"volume": Decimal("1.00")}, {"volume": 100_000_000})


def test_a_row_billed_twice_is_volume() -> None:
    again = row(bill(month()), MIDDLE)
    twice = bill(month(), more=[(Kind.USAGE, MIDDLE, again.quantity, again.unit_price, again.amount)])
    assert parts(twice) == ({"volume": again.amount}, {"volume": month()[MIDDLE]})


def test_free_minutes_that_are_billed_are_price() -> None:
    generous = CardHistory([card(PRICES, allowance={"scope": "tier", "minutes": {LOW: "1000"}})])
    tiers = {tier: month()[tier] for tier in PLAN}
    unit = replace(ACCOUNT, days={day: {tier: used(day)[tier] for tier in PLAN} for day in DAYS})
    assert parts(bill(tiers, generous), unit, generous) == ({}, {})
    stingy = bill(tiers, CardHistory([card(PRICES)]))
    money, minutes = parts(stingy, unit, generous)
    assert (money, minutes) == ({"price": Decimal("3.95")}, {})


WITH_TAX = CardHistory(
    [
        card(
            PRICES,
            usage_prices={"hlsMinutes": {"model": "flat", "unit_price": "0.002"}},
            discounts=[{"kind": "percentage", "value": "10"}],
            tax={"name": "VAT", "percent": "20"},
        )
    ]
)


def test_discount_and_tax_follow_their_cause() -> None:
    right = bill(month(), WITH_TAX)
    assert parts(right, history=WITH_TAX) == ({}, {})
    wrong = bill(month() | {LOW: month()[LOW] + 1_000_000_000}, WITH_TAX)
    money, _ = parts(wrong, history=WITH_TAX)
    assert money.keys() == {"volume"}
    assert abs(money["volume"] - Decimal("3.95") * Decimal("0.9") * Decimal("1.2")) <= Decimal("0.02")


def test_a_discount_that_is_left_out_is_credit_with_its_tax() -> None:
    right = bill(month(), WITH_TAX)
    lines = tuple(line for line in right.lines if line.kind is Kind.USAGE)
    net = sum(line.amount for line in lines)
    tax = BilledLine(90, Kind.TAX, "", None, None, None, Currency.of("EUR").round(net / 5), "")
    wrong = footed(replace(right, lines=(*lines, tax)))
    money, _ = parts(wrong, history=WITH_TAX)
    assert money == {"credit": wrong.total - right.total}


def test_a_wrong_tax_is_unexplained() -> None:
    right = bill(month(), WITH_TAX)
    lines = tuple(replace(line, amount=line.amount + 3) if line.kind is Kind.TAX else line for line in right.lines)
    assert parts(footed(replace(right, lines=lines)), history=WITH_TAX) == ({"unexplained": Decimal(3)}, {})


def test_projects_that_rows_name_are_taken_apart_each_by_itself() -> None:
    other = replace(WORLD, project_id="200", days={day: {LOW: 1_000_000_000} for day in DAYS})
    first = bill(month(), project="100")
    second = BilledLine(50, Kind.USAGE, LOW, "200", Decimal("31500.00"), Decimal("0.00395"), Decimal("124.43"), "")
    invoice = footed(replace(first, lines=(*first.lines, second)))
    found = vary(invoice, [WORLD, other], CARD, TOLERANCE)
    assert {cause.value: it for cause, it in found.minutes.items() if it} == {"volume": 500_000_000}
    assert [group.minutes for group in found.groups if group.project_id == "200"] == [{Cause.VOLUME: 500_000_000}]


def test_several_projects_together_are_the_sum_of_each() -> None:
    other = replace(WORLD, project_id="200", days={day: {LOW: 1_000_000} for day in DAYS[1:]}, zone=Zone("UTC", {}, {}))
    account = together([WORLD, other])
    assert account.partly == {DAYS[0]}
    assert account.used(PERIOD)[LOW] == month()[LOW] + 31_000_000
    assert account.meeting_level == dict.fromkeys(PLAN, 10_000_000)
    assert account.zone is None, "not known of all"
    assert together([WORLD, replace(other, meeting_level=None)]).meeting_level is None
    minutes = month() | {LOW: month()[LOW] + 31_000_000}
    assert parts(bill(minutes), account) == ({}, {})
    unknown = together([replace(WORLD, days={day: use for day, use in WORLD.days.items() if day != PERIOD.last_day}), other])
    assert unknown.used(PERIOD)[LOW] == minutes[LOW] - used(PERIOD.last_day)[LOW], "what the others used that day counts"


# ---- properties


@given(
    shift=st.sampled_from([0, 0, -31, -3, 1, 14]),
    dearer=st.none() | st.decimals("0.0046", "0.02", places=4),
    more=st.just(0) | st.integers(-300, 5000).map(lambda minutes: minutes * 1_000_000),
    credit=st.just(Decimal(0)) | st.decimals(-50, -1, places=2),
    charged=st.just(Decimal(0)) | st.decimals(1, 50, places=2),
)
def test_any_faults_at_once_are_each_named_by_their_amount(shift, dearer, more, credit, charged) -> None:
    days = timedelta(days=shift)
    shifted = month(BillingPeriod(PERIOD.first_day + days, PERIOD.last_day + days))
    minutes = shifted | {"hlsMinutes": shifted["hlsMinutes"] + more}
    planted = {
        "period": charge(shifted) - charge(month()),
        "volume": charge(minutes) - charge(shifted),
        "credit": credit,
        "unexplained": charged,
    }
    kinds = ((Kind.CREDIT, credit), (Kind.OTHER, charged))
    wrong = bill(minutes, more=[(kind, "", None, None, amount) for kind, amount in kinds if amount])
    if dearer is not None:
        before = row(wrong, MIDDLE)
        amount = Currency.of("EUR").round(before.quantity * dearer)
        wrong = altered(wrong, MIDDLE, unit_price=dearer, amount=amount)
        planted["price"] = amount - before.amount
    assert parts(wrong)[0] == {cause: amount for cause, amount in planted.items() if amount}


@st.composite
def billed_lines(draw):
    """Rows of any kind, as wrong as can be."""
    amounts = st.decimals(-1000, 1000, places=3)
    number = draw(st.integers(0, 12))
    lines = []
    for place in range(number):
        kind = draw(st.sampled_from(list(Kind)))
        usage = kind is Kind.USAGE
        quantity = draw(st.decimals(0, 10**6, places=draw(st.sampled_from([0, 2, 6])))) if usage else None
        unit_price = draw(st.none() | st.decimals(0, 1, places=5))
        amount = draw(amounts)
        if usage and unit_price is not None and draw(st.booleans()):
            amount = (quantity * unit_price).quantize(Decimal("0.01"))
        if kind is Kind.CREDIT:
            amount = -abs(amount)
        name = draw(st.sampled_from([*PLAN, "hlsMinutes", "from1To4Publishers"])) if usage else ""
        lines.append(BilledLine(place + 1, kind, name, None, quantity, unit_price, amount, ""))
    return tuple(lines)


@st.composite
def units(draw):
    days = st.dictionaries(
        st.sampled_from([PERIOD.first_day + timedelta(days=offset) for offset in range(-2, 34)]),
        st.dictionaries(st.sampled_from([*PLAN, "hlsMinutes"]), st.integers(0, 10**11), max_size=4),
        max_size=6,
    )
    some = st.dictionaries(st.sampled_from(PLAN), st.integers(0, 10**11))
    return Unit("", draw(days), draw(st.none() | some), draw(st.none() | some), draw(some))


@given(rate_card=cards(), lines=billed_lines(), unit=units(), off=st.decimals(-10, 10, places=0))
def test_the_parts_of_any_invoice_add_up(rate_card, lines, unit, off) -> None:
    total = rate_card.currency.round(sum((line.amount for line in lines), Decimal(0)) + off)
    invoice = BilledInvoice("vendor", "1", rate_card.currency, PERIOD, (), lines, total)
    found = vary(invoice, [unit], CardHistory([rate_card]), TOLERANCE)
    assert sum(found.parts.values()) == found.billed - found.expected == total - found.expected
    assert all(amount == rate_card.currency.round(amount) for amount in found.parts.values())
    billed = sum(line.micro for line in lines if line.kind is Kind.USAGE)
    held = sum(group.used for group in found.groups)
    assert sum(found.minutes.values()) == billed - held
    for group in found.groups:
        assert sum(group.minutes.values()) == group.billed - group.used
        assert sum(group.money.values()) == group.amount - group.our_amount
    rows = [row.line for it in (*found.groups, *found.others) for row in it.rows]
    assert sorted(rows) == [line.line for line in lines], "each row is matched once"


@given(rate_card=cards(), minutes=st.dictionaries(st.sampled_from(PLAN), st.integers(0, 10**11)))
def test_what_the_card_itself_would_bill_has_no_variance_but_rounding(rate_card, minutes) -> None:
    history = CardHistory([rate_card])
    unit = Unit("", {PERIOD.first_day: minutes})
    found = vary(bill(minutes, history, decimals=6), [unit], history, TOLERANCE)
    assert found.billed == found.expected
    assert {cause for cause, amount in found.parts.items() if amount} <= {Cause.ROUNDING, Cause.VOLUME}
