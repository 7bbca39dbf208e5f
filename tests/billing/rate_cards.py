"""Rate cards and usage for tests: a plan of three tiers, and strategies that draw all that a card may say."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from billing.period import BillingPeriod
from billing.pricing import Usage
from billing.ratecard import Bracket, Flat, Graduated, Package, RateCard, Volume
from billing.ratecard_file import _price_document, parse

PERIOD = BillingPeriod(date(2026, 10, 1), date(2026, 10, 31))
PLAN = ("from1To2Publishers", "from3To6Publishers", "from7PlusPublishers")
_FREE = {"model": "flat", "unit_price": "0"}


def card(tiers, *, version=1, effective_from="2026-10-01", currency="EUR", plan=PLAN, **more) -> RateCard:
    """A card that prices `tiers` and gives the rest of the plan away."""
    document = {
        "name": "Test",
        "currency": currency,
        "effective_from": effective_from,
        "tier_plan": list(plan),
        "prices": {tier: tiers.get(tier, _FREE) for tier in plan},
    }
    return parse(document | more, card_id="rc", version=version)


def brackets_of(up_to, below, above):
    """Two brackets, as a card has them."""
    return [{"up_to": up_to, "unit_price": below}, {"up_to": None, "unit_price": above}]


def texts(most, places):
    """Decimal texts from 0 on."""
    return st.decimals(0, most, places=places).map(lambda it: format(it, "f"))


def unit_prices():
    """Prices of a minute."""
    return st.decimals(0, 1, places=5)


@st.composite
def prices(draw):
    """Any model."""
    ends = [Decimal(it) for it in sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))]
    brackets = tuple(
        Bracket(start, up_to, draw(unit_prices())) for start, up_to in zip([Decimal(0), *ends], [*ends, None], strict=True)
    )
    return draw(
        st.one_of(
            st.builds(Flat, unit_prices()),
            st.just(Graduated(brackets)),
            st.just(Volume(brackets)),
            st.builds(Package, st.integers(1, 5000).map(Decimal), unit_prices().map(lambda it: it * 100)),
        )
    )


@st.composite
def price_documents(draw):
    """Any model, as a card writes it."""
    return _price_document(draw(prices()))


@st.composite
def cards(draw, exact=False, plan=PLAN):
    """Any card for PERIOD; an `exact` one rounds no quantity, and rounds amounts once."""
    code = draw(st.sampled_from(["EUR", "JPY", "KWD"]))
    money = texts(1000, {"EUR": 2, "JPY": 0, "KWD": 3}[code])
    allowance = st.one_of(
        st.none(),
        st.fixed_dictionaries({"scope": st.just("pooled"), "minutes": texts(10**5, 6)}),
        st.fixed_dictionaries({"scope": st.just("tier"), "minutes": st.dictionaries(st.sampled_from(plan), texts(10**5, 6))}),
    )
    discount = st.one_of(
        st.fixed_dictionaries({"kind": st.just("percentage"), "value": texts(100, 2)}),
        st.fixed_dictionaries({"kind": st.just("fixed"), "value": money}),
    )
    modes = st.sampled_from("half_up half_even half_down up down ceiling floor".split())
    return card(
        {tier: draw(price_documents()) for tier in plan},
        plan=plan,
        currency=code,
        allowance=None if exact else draw(allowance),
        commitment=draw(st.none() | st.fixed_dictionaries({"amount": money})),
        discounts=[] if exact else draw(st.lists(discount, max_size=3)),
        tax=draw(st.none() | st.just({"name": "VAT", "percent": "19"})),
        rounding={
            "quantity_decimals": "6" if exact else draw(st.sampled_from("0123456")),
            "quantity_mode": draw(modes),
            "amount_mode": draw(modes),
            "per": "invoice" if exact else draw(st.sampled_from(["line", "invoice"])),
        },
    )


@st.composite
def usages(draw):
    """What two projects used, and a difference between the levels of one of them."""
    days = st.dictionaries(
        st.integers(0, len(PERIOD) - 1).map(lambda it: PERIOD.first_day + timedelta(days=it)),
        st.integers(0, 10**11),
        max_size=6,
    )
    found = [Usage(project, tier, draw(days)) for project in ("100", "200") for tier in PLAN]
    if draw(st.booleans()):
        less = {day: -value // 2 for day, value in found[0].days.items()}
        found.append(Usage("100", PLAN[0], less, kind="level_difference"))
    return found
