"""Rate cards and usage for tests: a plan of three tiers, and strategies that draw all that a card may say."""

from datetime import date, timedelta
from decimal import Decimal
from functools import cache

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


# A strategy that is made anew for every example is also checked anew, which takes longer than to draw from it.
@cache
def texts(most, places):
    """Decimal texts from 0 on."""
    return st.decimals(0, most, places=places).map(lambda it: format(it, "f"))


_UNIT_PRICES = st.decimals(0, 1, places=5)
_ENDS = st.sets(st.integers(1, 10**6), max_size=4)
_FLAT = st.builds(Flat, _UNIT_PRICES)
_PACKAGE = st.builds(Package, st.integers(1, 5000).map(Decimal), _UNIT_PRICES.map(lambda it: it * 100))
_MODELS = st.sampled_from([Flat, Graduated, Volume, Package])


@st.composite
def prices(draw):
    """Any model."""
    model = draw(_MODELS)
    if model in (Flat, Package):
        return draw(_FLAT if model is Flat else _PACKAGE)
    ends = [Decimal(it) for it in sorted(draw(_ENDS))]
    return model(
        tuple(
            Bracket(start, up_to, draw(_UNIT_PRICES)) for start, up_to in zip([Decimal(0), *ends], [*ends, None], strict=True)
        )
    )


_PRICE_DOCUMENTS = prices().map(_price_document)
_CURRENCIES = {"EUR": 2, "JPY": 0, "KWD": 3}
_CODES = st.sampled_from(list(_CURRENCIES))
_MODES = st.sampled_from("half_up half_even half_down up down ceiling floor".split())
_DECIMALS = st.sampled_from("0123456")
_PER = st.sampled_from(["line", "invoice"])
_TAX = st.none() | st.just({"name": "VAT", "percent": "19"})


@cache
def _allowances(plan):
    by_tier = st.dictionaries(st.sampled_from(plan), texts(10**5, 6))
    return st.one_of(
        st.none(),
        st.fixed_dictionaries({"scope": st.just("pooled"), "minutes": texts(10**5, 6)}),
        st.fixed_dictionaries({"scope": st.just("tier"), "minutes": by_tier}),
    )


@cache
def _commitments(places):
    return st.none() | st.fixed_dictionaries({"amount": texts(1000, places)})


@cache
def _discounts(places):
    percentage = st.fixed_dictionaries({"kind": st.just("percentage"), "value": texts(100, 2)})
    fixed = st.fixed_dictionaries({"kind": st.just("fixed"), "value": texts(1000, places)})
    return st.lists(percentage | fixed, max_size=3)


@st.composite
def cards(draw, exact=False, plan=PLAN):
    """Any card for PERIOD; an `exact` one rounds no quantity, and rounds amounts once."""
    code = draw(_CODES)
    places = _CURRENCIES[code]
    return card(
        {tier: draw(_PRICE_DOCUMENTS) for tier in plan},
        plan=plan,
        currency=code,
        allowance=None if exact else draw(_allowances(plan)),
        commitment=draw(_commitments(places)),
        discounts=[] if exact else draw(_discounts(places)),
        tax=draw(_TAX),
        rounding={
            "quantity_decimals": "6" if exact else draw(_DECIMALS),
            "quantity_mode": draw(_MODES),
            "amount_mode": draw(_MODES),
            "per": "invoice" if exact else draw(_PER),
        },
    )


_USED = st.dictionaries(
    st.integers(0, len(PERIOD) - 1).map(lambda it: PERIOD.first_day + timedelta(days=it)), st.integers(0, 10**11), max_size=6
)
_WHETHER = st.booleans()


@st.composite
def usages(draw):
    """What two projects used, and a difference between the levels of one of them."""
    found = [Usage(project, tier, draw(_USED)) for project in ("100", "200") for tier in PLAN]
    if draw(_WHETHER):
        less = {day: -value // 2 for day, value in found[0].days.items()}
        found.append(Usage("100", PLAN[0], less, kind="level_difference"))
    return found
